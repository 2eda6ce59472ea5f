"""`AsyncLLM` with its engine in another process, which is what vLLM does by default; prints what was recorded.

Arguments: the model's directory, the site-packages that `otel_llm` is in.
"""

from __future__ import annotations

import asyncio
import json
import site
import sys
from typing import Any

MODEL, SITE = sys.argv[1:]
site.addsitedir(SITE)


async def use(told: dict[str, Any], endpoint: str) -> None:
    from vllm import AsyncEngineArgs, SamplingParams
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.async_llm import AsyncLLM

    import otel_llm

    args = AsyncEngineArgs(
        MODEL,
        served_model_name="tiny",
        max_model_len=256,
        max_num_seqs=8,
        enforce_eager=True,
        dtype="float32",
        otlp_traces_endpoint=endpoint,
    )
    engine = AsyncLLM.from_engine_args(args)
    try:

        async def read(name: str, limit: int | None = None, **given: Any) -> None:
            kind = given.pop("kind", RequestOutputKind.DELTA)
            params = SamplingParams(ignore_eos=True, temperature=0.7, seed=1, output_kind=kind, **given)
            text, tokens, n = "", 0, 0
            stream = engine.generate(given.get("prompt", "Once"), params, name)
            with otel_llm.step(1):
                async for output in stream:
                    for each in output.outputs:
                        text, tokens = text + each.text, tokens + len(each.token_ids)
                    n += 1
                    if n == limit:
                        break
                await stream.aclose()
            told[name] = {"text": text, "tokens": tokens, "outputs": n}

        await read("warm", max_tokens=2)
        await asyncio.gather(
            read("delta", max_tokens=6),
            read("closed", limit=2, max_tokens=100),
            read("final", max_tokens=5, n=2, kind=RequestOutputKind.FINAL_ONLY),
        )
        task = asyncio.ensure_future(read("cancelled", max_tokens=200))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        told["unfinished"] = engine.get_num_unfinished_requests()
    finally:
        engine.shutdown()


def main() -> None:
    import otlp_server

    from otel_llm import drops, testing

    told: dict[str, Any] = {}
    with otlp_server.serving() as (endpoint, received):
        with testing.capture(content="full") as captured:
            asyncio.run(use(told, endpoint))
            told["spans"] = [
                {
                    "name": span.name,
                    "id": f"{span.context.span_id:016x}",
                    "trace": f"{span.context.trace_id:032x}",
                    "parent": None if span.parent is None else f"{span.parent.span_id:016x}",
                    "status": span.status.status_code.name,
                    "attributes": dict(span.attributes or {}),
                }
                for span in captured.spans()
            ]
        told["dropped"] = [" ".join(key) for key in drops.counts()]
        told["exported"] = received(lambda names: names.count("llm_request") >= 4)
    print("\n" + json.dumps(told))


if __name__ == "__main__":
    main()
