"""Whatever a server answers, the program sees what it would have seen without us, and there is one span."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from otel_llm import drops, testing
from otel_llm.errors import error_of
from tests.http.payloads import ANSWER, URL, events, request

URLS = [
    URL,
    "https://api.openai.com/v1/responses",
    "https://api.openai.com/v1/embeddings",
    "https://api.anthropic.com/v1/messages",
    "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent",
    "https://api.cohere.com/v2/chat",
    "http://localhost:11434/api/chat",
    "http://localhost:8000/v1/completions",
]
KINDS = ["application/json", "text/event-stream", "application/x-ndjson", "text/html", "image/png", ""]
VALID = [json.dumps(ANSWER).encode(), b"".join(events()), b"".join(events(done=False))]


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    valid = draw(st.sampled_from(VALID))
    at = draw(st.integers(0, len(valid)))
    return draw(
        st.one_of(
            st.binary(max_size=400),
            st.just(valid[:at]),
            st.binary(max_size=20).map(lambda noise: valid[:at] + noise + valid[at:]),
            st.text(max_size=100).map(
                lambda text: json.dumps({"error": {"message": text}, "usage": text}).encode()
            ),
            st.just(
                b'{"usage": {"prompt_tokens": NaN, "completion_tokens": 1e999}, "choices": [{"message": 3}]}'
            ),
            st.just(b"[" * 5000),
        )
    )


class Pieces(httpx2.SyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces


def exchange(
    url: str, body: bytes, kind: str, status: int, size: int, encoding: str, stream: bool
) -> tuple[Any, ...]:
    """What a program sees: status, headers and body, or the exception."""
    raw = {"": body, "gzip": body, "deflate": zlib.compress(body)}[
        encoding
    ]  # gzip that is none: a decoding error
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    headers = {"content-type": kind, **({"content-encoding": encoding} if encoding else {})}
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(status, headers=headers, stream=Pieces(pieces))
    )
    try:
        with httpx2.Client(transport=transport) as client:
            if not stream:
                response = client.post(url, json=request(prompt="x", input="x"))
                return response.status_code, dict(response.headers), response.content
            with client.stream("POST", url, json=request(stream=True, prompt="x", input="x")) as response:
                return response.status_code, dict(response.headers), list(response.iter_bytes())
    except httpx2.HTTPError as error:
        return type(error), str(error)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(URLS),
    bodies(),
    st.sampled_from(KINDS),
    st.sampled_from([200, 200, 200, 204, 302, 400, 404, 429, 500]),
    st.integers(1, 300),
    st.sampled_from(["", "", "deflate", "gzip"]),
    st.booleans(),
)
@example(URL, b"".join(events()), "text/event-stream", 200, 1, "", True)
def test_the_program_sees_what_it_would_have_seen(
    url: str, body: bytes, kind: str, status: int, size: int, encoding: str, stream: bool
) -> None:
    drops.reset()
    without = exchange(url, body, kind, status, size, encoding, stream)
    with testing.capture(content="full", metrics=False) as captured:
        assert exchange(url, body, kind, status, size, encoding, stream) == without
        (span,) = captured.spans()
    assert span.end_time is not None
    assert drops.counts() == {}  # nothing of ours failed inside either
    failed = span.status.status_code.name == "ERROR"
    assert failed == ("error.type" in (span.attributes or {}))
    if status >= 400 or isinstance(without[0], type):
        assert failed
    for value in (span.attributes or {}).values():
        assert not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize("url", URLS)
def test_a_gigantic_body_is_passed_on_and_not_parsed(url: str) -> None:
    body = b'{"choices": [' + b'"' + b"x" * (3 << 20) + b'"]}'
    with testing.capture(content="full", metrics=False, max_body_bytes=1 << 20) as captured:
        assert exchange(url, body, "application/json", 200, 1 << 16, "", False)[2] == body
        (span,) = captured.spans()
    assert span.attributes["otel_llm.body_truncated"] is True
    assert sum(len(str(value)) for value in span.attributes.values()) < 10_000


def test_every_exception_of_the_clients_has_a_class_of_failure() -> None:
    for name in dir(httpx2):
        kind = getattr(httpx2, name)
        if isinstance(kind, type) and issubclass(kind, httpx2.RequestError):
            assert error_of(kind("x")) in {
                "connection",
                "timeout",
                "malformed_response",
                "invalid_request",
            }, name
