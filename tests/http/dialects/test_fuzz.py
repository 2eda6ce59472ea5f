"""Whatever the bytes are, a dialect raises nothing, returns a well-formed call, and does not mind how they are cut."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Iterator
from typing import Any, get_args

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_llm.llm import ErrorType, LLMCall, Usage
from otel_llm_http.dialects import Limits, _parser, recognise
from tests.http.dialects.examples import EXAMPLES, Example
from tests.http.dialects.exchanges import endpoint

NAMES = [example.name for example in EXAMPLES]
KINDS = st.sampled_from(
    [
        "application/json",
        "text/event-stream",
        "application/x-ndjson",
        "application/vnd.amazon.eventstream",
        "text/html",
        "",
    ]
)
ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([10**30, -(10**30), 1e308, 2**63, 0.5, float("nan"), float("inf")]),
    st.text(max_size=6),
    st.sampled_from(["\ud800", "\u2028", "data: x\n\n", "[DONE]", "error"]),
    st.lists(st.one_of(st.none(), st.integers(0, 9), st.text(max_size=3)), max_size=3),
    st.dictionaries(
        st.sampled_from(["error", "type", "text", "content", "name", "index"]), st.integers(0, 9), max_size=3
    ),
)
JSON_VALUES = st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
fuzz = settings(
    max_examples=int(os.environ.get("OTEL_LLM_FUZZ_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def read(
    example: Example, request: bytes | None, pieces: list[bytes], status: int = 200, kind: str | None = None
) -> LLMCall:
    reader = endpoint(example.url, example.method).parser(Limits())
    reader.request(request, "application/json")
    reader.response(status, example.headers if kind is None else {"content-type": kind})
    for piece in pieces:
        reader.feed(piece)
    return reader.end()


def check(call: LLMCall) -> None:
    """Assert that a call is what the rest of the house may rely on."""
    assert isinstance(call, LLMCall)
    for value in (call.request_model, call.response_model, call.response_id):
        assert value is None or (type(value) is str and value)
    assert call.error is None or call.error.type in get_args(ErrorType)
    assert call.error is None or not call.complete
    assert call.error is None or (
        (call.error.message is None or type(call.error.message) is str)
        and (call.error.code is None or type(call.error.code) is str)
    )
    for attributes in (call.request, call.response):
        for key, value in attributes.items():
            assert type(key) is str
            assert_attribute(value)
    assert all(type(reason) is str and reason for reason in call.finish_reasons)
    for message in (*call.input_messages, *call.output_messages):
        assert type(message["role"]) is str
        assert type(message.get("finish_reason", "")) is str
        check_parts(message["parts"])
    check_parts(call.system_instructions)
    check_parts(call.tool_definitions)
    if call.usage is not None:
        usage = call.usage
        assert isinstance(usage, Usage)
        for value in (
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
            *usage.by_modality.values(),
        ):
            assert value is None or (type(value) is int and value >= 0)
    for content in (
        call.input_messages,
        call.output_messages,
        call.system_instructions,
        call.tool_definitions,
    ):
        orjson.dumps(content)


def check_parts(parts: list[dict[str, Any]]) -> None:
    assert type(parts) is list
    for part in parts:
        assert type(part["type"]) is str
        if "content" in part:
            assert type(part["content"]) is str


def assert_attribute(value: Any) -> None:
    if type(value) is tuple:
        assert value
        assert len({type(item) for item in value}) == 1
        for item in value:
            assert_attribute(item)
    else:
        assert type(value) in {str, bool, int, float}
        assert type(value) is not int or -(2**63) <= value < 2**63
        assert type(value) is not float or math.isfinite(value)


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_the_example_itself_is_read_without_complaint(example: Example) -> None:
    call = read(example, example.request, [example.body])
    check(call)
    assert call.error is None
    assert call.complete
    assert (
        call.usage is not None
        or "embed" in example.name
        or "completion" in example.name
        or call.operation == "fetch_response"
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_a_body_split_at_every_byte_gives_the_same_call(
    example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read(example, example.request, [example.body])
    body = example.body
    assert read(example, example.request, [body[at : at + 1] for at in range(len(body))]) == whole
    monkeypatch.setattr(_parser, "_BATCH", 1)  # every piece is parsed as it comes
    assert read(example, example.request, [body[at : at + 1] for at in range(len(body))]) == whole
    for at in range(0, len(body), 7):
        assert read(example, example.request, [body[:at], b"", body[at:]]) == whole


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_a_truncated_body_gives_a_well_formed_call_that_is_not_called_complete_too_early(
    example: Example,
) -> None:
    body = example.body
    for at in range(0, len(body), max(1, len(body) // 60)):
        check(read(example, example.request, [body[:at]]))
        check(read(example, (example.request or b"")[:at], [body[:at]]))
    assert not read(example, example.request, [body[: len(body) // 3]]).complete


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
@fuzz
@given(data=st.data())
def test_a_mutated_payload_gives_a_well_formed_call_however_it_is_split(
    example: Example, data: st.DataObject
) -> None:
    request = data.draw(mutated(example.asked)) if example.asked is not None else None
    body = data.draw(mutated_body(example))
    status = data.draw(st.sampled_from([200, 200, 200, 206, 302, 400, 429, 500, 529]))
    whole = read(example, dump(request), [body], status)
    check(whole)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_parser, "_BATCH", 1)
        assert read(example, dump(request), pieces, status) == whole


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
@fuzz
@given(
    request=st.one_of(st.none(), st.binary(max_size=60), JSON_VALUES.map(lambda value: dump(value))),
    body=st.one_of(
        st.binary(max_size=200),
        st.lists(JSON_VALUES, max_size=4).map(
            lambda values: b"\n\n".join(b"data: " + dump(v) for v in values)
        ),
        JSON_VALUES.map(lambda value: dump(value)),
    ),
    status=st.sampled_from([100, 200, 204, 301, 400, 401, 404, 413, 429, 500, 503, 504, 999]),
    kind=KINDS,
)
def test_arbitrary_bytes_give_a_well_formed_call(
    example: Example, request: bytes | None, body: bytes, status: int, kind: str
) -> None:
    whole = read(example, request, [body], status, kind)
    check(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_parser, "_BATCH", 1)
        assert read(example, request, [body[at : at + 1] for at in range(len(body))], status, kind) == whole


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_deep_nesting_and_gigantic_numbers_are_survived(example: Example) -> None:
    deep = b"[" * 100_000
    nested = b'{"choices":' * 5_000 + b"1" + b"}" * 5_000
    digits = b'{"usage": {"prompt_tokens": ' + b"9" * 5_000 + b'}, "choices": [], "content": []}'
    for body in (deep, nested, digits, b"data: " + nested + b"\n\n", b"data: " + digits + b"\n\n"):
        check(read(example, body, [body]))


@fuzz
@given(
    method=st.text(max_size=6),
    host=st.text(max_size=12),
    path=st.text(max_size=30),
    body=st.none() | st.binary(max_size=80),
)
def test_recognising_arbitrary_requests_raises_nothing(
    method: str, host: str, path: str, body: bytes | None
) -> None:
    found = recognise(method, host, path)
    if found is not None:
        found.confirm(body)
        found.request_model(body)
        found.is_streaming(body)


@fuzz
@given(
    body=st.binary(max_size=120),
    tail=st.sampled_from([b'"model"', b'"model":', b'"model":"', b'"model":"\xff"', b'"stream":tr']),
)
def test_looking_into_arbitrary_bytes_raises_nothing(body: bytes, tail: bytes) -> None:
    for example in EXAMPLES:
        known = endpoint(example.url, example.method)
        for content in (body, body + tail, (body + tail) * 200):
            assert known.confirm(content) in {True, False}
            assert known.is_streaming(content) in {True, False}
            model = known.request_model(content)
            assert model is None or type(model) is str


def dump(value: Any) -> bytes:
    return b"" if value is None else json.dumps(value).encode("utf-8", "replace")


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from paths(inner, (*path, key))


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """Draw a copy of a JSON value in which some values are replaced or missing."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(0, 3))):
        if not (places := list(paths(value))):
            break
        *above, last = draw(st.sampled_from(places))
        holder = value
        for key in above:
            holder = holder[key]
        if draw(st.booleans()):
            holder[last] = draw(ODD)
        else:
            del holder[last]
    return value


@st.composite
def mutated_body(draw: st.DrawFn, example: Example) -> bytes:
    """Draw a body in which some values, or some bytes, are something else."""
    if not isinstance(example.answer, bytes):
        return dump(draw(mutated(example.answer)))
    body = bytearray(example.answer)
    if draw(st.booleans()) and b"data: " in body:
        out = []
        for line in bytes(body).split(b"\n"):
            prefix, found, payload = line.partition(b"data: ")
            if found and payload.startswith(b"{") and draw(st.integers(0, 2)) == 0:
                line = prefix + found + dump(draw(mutated(json.loads(payload))))
            out.append(line)
        return b"\n".join(out)
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, max(len(body) - 1, 0)))
        match draw(st.integers(0, 2)):
            case 0:
                body[at : at + 1] = draw(st.binary(max_size=3))
            case 1:
                del body[at : at + draw(st.integers(1, 30))]
            case 2:
                body[at:at] = draw(
                    st.sampled_from([b"\r\n", b"\n\n", b"\r", b":x\n", b"\xff", b"\xe2\x80\xa8", b"NaN"])
                )
    return bytes(body)
