"""Recorded provider traffic, through real HTTP clients with the instrumentation on: one whole span a call.

Bodies come as they were compressed when they were recorded, or compressed anew, and split anywhere.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from otel_llm import semconv as sc
from otel_llm import testing
from tests.http import cassette_readings as readings
from tests.http.cassettes import Interaction, interactions, root

pytestmark = pytest.mark.skipif(
    not root().is_dir(),
    reason=f"no recorded traffic at {root()}; set OTEL_LLM_CASSETTES to the folder of cassettes",
)
HOP_BY_HOP = {"transfer-encoding", "content-length", "connection", "content-encoding"}


@pytest.fixture(scope="module")
def recorded() -> list[Interaction]:
    return list(interactions())


def pieces(data: bytes, rng: random.Random) -> list[bytes]:
    out = []
    while data:
        size = rng.choice((1, 2, 3, 7, 40, 400, 4000))
        out.append(data[:size])
        data = data[size:]
    return out


def answer(
    hx: Any, interaction: Interaction, rng: random.Random, *, asynchronous: bool, compress: bool
) -> Any:
    headers = {name: value for name, value in interaction.response_headers.items() if name not in HOP_BY_HOP}
    raw, encoding = interaction.raw, interaction.response_headers.get("content-encoding")
    if compress:
        raw, encoding = gzip.compress(interaction.body), "gzip"
    elif interaction.raw == interaction.body:
        encoding = None  # the recorder had uncompressed it
    if encoding is not None:
        headers["content-encoding"] = encoding

    class Sync(hx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from pieces(raw, rng)

    class Async(hx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in pieces(raw, rng):
                yield piece

    return hx.Response(interaction.status, headers=headers, stream=Async() if asynchronous else Sync())


def request(client: Any, interaction: Interaction) -> Any:
    headers = {name: value for name, value in interaction.request_headers.items() if name not in HOP_BY_HOP}
    return client.build_request(
        interaction.method, interaction.url, headers=headers, content=interaction.request_body
    )


def differences(expected: readings.Reading, attributes: dict[str, Any]) -> list[str]:
    wanted = {
        sc.OPERATION_NAME: expected.operation,
        sc.PROVIDER_NAME: expected.provider,
        sc.REQUEST_MODEL: expected.model,
        sc.USAGE_INPUT_TOKENS: expected.input_tokens,
        sc.USAGE_OUTPUT_TOKENS: expected.output_tokens,
        sc.RESPONSE_FINISH_REASONS: tuple(expected.finish_reasons) or None,
        sc.OUTPUT_TOOL_CALLS: tuple(expected.tool_calls) or None,
        sc.RESPONSE_ID: expected.response_id,
    }
    wrong = [
        f"{k}: {v!r} expected, {attributes.get(k)!r} seen"
        for k, v in wanted.items()
        if attributes.get(k) != v
    ]
    if expected.failed != (sc.ERROR_TYPE in attributes):
        wrong.append(f"failed: {expected.failed} expected, {attributes.get(sc.ERROR_TYPE)!r} seen")
    return wrong


@pytest.mark.parametrize("compress", [False, True], ids=["as recorded", "compressed"])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
async def test_every_recorded_call_is_one_span_and_everything_else_none(
    recorded: list[Interaction], library: str, asynchronous: bool, compress: bool
) -> None:
    hx = pytest.importorskip(library)
    rng = random.Random(f"{library} {asynchronous} {compress}")
    wrong, calls, others = [], 0, 0
    for interaction in recorded:
        with testing.capture(content="length", metrics=False) as captured:
            stream = rng.random() < 0.5 or "stream" in interaction.path
            if asynchronous:

                async def aserve(_request: Any, interaction: Interaction = interaction) -> Any:
                    return answer(hx, interaction, rng, asynchronous=True, compress=compress)

                async with hx.AsyncClient(transport=hx.MockTransport(aserve)) as client:
                    response = await client.send(request(client, interaction), stream=stream)
                    body = await response.aread()
                    await response.aclose()
            else:

                def serve(_request: Any, interaction: Interaction = interaction) -> Any:
                    return answer(hx, interaction, rng, asynchronous=False, compress=compress)

                with hx.Client(transport=hx.MockTransport(serve)) as client:
                    response = client.send(request(client, interaction), stream=stream)
                    body = response.read()
                    response.close()
            assert body == interaction.body, f"{interaction}: the program saw something else"
            spans = captured.spans()
        expected = readings.read(interaction)
        if expected is None:
            others += 1
            if spans:
                wrong.append(f"{interaction}: {len(spans)} spans of no call")
            continue
        calls += 1
        if len(spans) != 1:
            wrong.append(f"{interaction}: {len(spans)} spans")
        elif found := differences(expected, dict(spans[0].attributes or {})):
            wrong.append(f"{interaction}: {'; '.join(found)}")
    assert not wrong, "\n".join(wrong[:40])
    assert calls > 480
    assert others == len(recorded) - calls
