"""Event streams, cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm_http.dialects._frames import Frame, LineDecoder, SSEDecoder
from otel_llm_http.dialects._template import template


def sse(data: bytes, size: int | None = None, limit: int = 1 << 20) -> list[Frame]:
    decoder = SSEDecoder(limit)
    size = size or len(data) or 1
    frames = [frame for at in range(0, len(data), size) for frame in decoder.feed(data[at : at + size])]
    return frames + decoder.feed(b"", final=True)


CASES = [
    ("one event", b"data: a\n\n", [(None, b"a")]),
    ("no space after the colon", b"data:a\n\n", [(None, b"a")]),
    ("only one space is dropped", b"data:  a\n\n", [(None, b" a")]),
    ("a name", b"event: x\ndata: a\n\ndata: b\n\n", [("x", b"a"), (None, b"b")]),
    ("a name after the data", b"data: a\nevent: x\n\n", [("x", b"a")]),
    ("many data lines", b"data: a\ndata: b\ndata\ndata: c\n\n", [(None, b"a\nb\n\nc")]),
    ("CRLF", b"event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", [("x", b"a"), (None, b"b")]),
    ("CR", b"data: a\r\rdata: b\r\r", [(None, b"a"), (None, b"b")]),
    (
        "mixed line ends",
        b"data: a\r\n\ndata: b\n\r\ndata: c\r\r\n",
        [(None, b"a"), (None, b"b"), (None, b"c")],
    ),
    ("comments", b": hello\n\n:\ndata: a\n: there\n\n", [(None, b"a")]),
    ("other fields", b"id: 7\nretry: 10\nnonsense\ndata: a\n\n", [(None, b"a")]),
    ("a name without data", b"event: x\n\ndata: a\n\n", [(None, b"a")]),
    ("a byte order mark", b"\xef\xbb\xbfdata: a\n\n", [(None, b"a")]),
    ("a second mark is text", b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [(None, b"b")]),
    (
        "line separators are text",
        "data: a\u2028b\u0085c\x0b\n\n".encode(),
        [(None, "a\u2028b\u0085c\x0b".encode())],
    ),
    ("what is no UTF-8", b"event: \xff\ndata: \xff\n\n", [("\ufffd", b"\xff")]),
    ("no blank line at the end", b"data: a\n\ndata: b", [(None, b"a"), (None, b"b")]),
    ("many blank lines", b"\n\n\ndata: a\n\n\n\n", [(None, b"a")]),
    ("nothing", b"", []),
]


@pytest.mark.parametrize(("data", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_server_sent_events(data: bytes, expected: list[Frame]) -> None:
    assert sse(data) == expected
    for size in (1, 2, 3, 5):
        assert sse(data, size) == expected


@given(
    data=st.lists(
        st.sampled_from(
            [b"data: a", b"data:", b"event: x", b":", b"\r", b"\n", b"\r\n", b"\xef\xbb\xbf", b"z"]
        )
    ),
    size=st.integers(1, 4),
)
def test_server_sent_events_do_not_depend_on_how_they_are_split(data: list[bytes], size: int) -> None:
    assert sse(b"".join(data), size) == sse(b"".join(data))


def test_an_event_that_is_too_large_is_dropped_and_the_next_is_not() -> None:
    for data in (
        b"data: a\n\ndata: " + b"x" * 99 + b"\n\ndata: b\n\n",
        b"data: a\n\ndata: x\ndata: " + b"x" * 99 + b"\ndata: y\n\ndata: b\n\n",
        b"data: a\n\n" + b"data: xxxxx\n" * 20 + b"\ndata: b\n\n",
    ):
        for size in (1, 7, 1000):
            decoder = SSEDecoder(50)
            frames = [
                frame for at in range(0, len(data), size) for frame in decoder.feed(data[at : at + size])
            ]
            assert frames == [(None, b"a"), (None, b"b")]
            assert decoder.overflowed
            assert decoder.pending <= 50


def test_an_event_without_its_blank_line_is_known_to_be_cut() -> None:
    for data, cut in ((b"data: a\n\n", False), (b"data: a\n", True), (b"data: a", True), (b"", False)):
        decoder = SSEDecoder(100)
        decoder.feed(data, final=True)
        assert decoder.cut is cut


def lines(data: bytes, size: int | None = None, limit: int = 1 << 20) -> list[bytes]:
    decoder = LineDecoder(limit)
    size = size or len(data) or 1
    frames = [frame for at in range(0, len(data), size) for frame in decoder.feed(data[at : at + size])]
    return [data for _, data in frames + decoder.feed(b"", final=True)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n\r\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\0\n{"b":2}\0', [b'{"a":1}', b'{"b":2}']),
        (b'data: {"a":1}\n\n: ping\ndata: [DONE]\n', [b'{"a":1}', b"[DONE]"]),
        (b'{"a":"\xe2\x80\xa8"}\n', [b'{"a":"\xe2\x80\xa8"}']),
    ],
)
def test_lines_of_json(data: bytes, expected: list[bytes]) -> None:
    for size in (None, 1, 2, 3):
        assert lines(data, size) == expected


def test_a_line_that_is_too_large_is_dropped_and_the_next_is_not() -> None:
    data = b'{"a":1}\n' + b"x" * 99 + b'\n{"b":2}\n'
    for size in (None, 1, 7):
        assert lines(data, size, limit=50) == [b'{"a":1}', b'{"b":2}']


def test_a_template_takes_only_what_differs_in_one_text() -> None:
    taken: list[str] = []
    event = b'{"id":1,"delta":{"content":"a"},"x":null}'
    known = template(event, b'"content":', taken.append)
    assert known is not None
    assert known.text(b'{"id":1,"delta":{"content":"b\\n\\u00e9\\""},"x":null}') == 'b\né"'
    for other in (
        b'{"id":2,"delta":{"content":"b"},"x":null}',
        b'{"id":1,"delta":{"content":"b"},"x":true}',
        b'{"id":1,"delta":{"content":7},"x":null}',
        b'{"id":1,"delta":{"content":null},"x":null}',
        b'{"id":1,"delta":{"content":"b","role":"x"},"x":null}',
        b'{"id":1,"delta":{"content":"b"},"delta":{"content":"c"},"x":null}',
        b'{"id":1,"delta":{"content":"b\xff"},"x":null}',
        b'{"id":1,"delta":{"content":},"x":null}',
    ):
        assert known.text(other) is None


def test_no_template_is_made_in_doubt() -> None:
    for event in (
        b'{"content":"a","other":{"content":"b"}}',
        b'{"c\\u006fntent":"a","other":{"content":"b"}}',
        b'{"content":7}',
        b'{"content":"a',
        b'{"text":"a"}',
    ):
        assert template(event, b'"content":', lambda _: None) is None
