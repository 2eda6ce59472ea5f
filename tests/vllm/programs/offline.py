"""`LLM` in this process with vLLM's own spans on, as the README of vLLM would have it; prints what was recorded.

Arguments: the model's directory, the site-packages that `otel_llm` is in.
"""

from __future__ import annotations

import json
import os
import random
import site
import sys
from typing import Any

MODEL, SITE = sys.argv[1:]
site.addsitedir(SITE)  # after vLLM's own: only what is missing there comes from here

os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # the engine in this process, as in training
PROMPTS: list[Any] = [{"prompt_token_ids": [30, 31, 32]}, "Once"]


def main() -> None:
    import otlp_server

    import otel_llm
    from otel_llm import drops, testing
    from otel_llm_vllm import VLLMInstrumentor

    told: dict[str, Any] = {}
    with otlp_server.serving() as (endpoint, received):
        with testing.capture(content="full") as captured:
            from vllm import LLM, SamplingParams

            # Without us this fails at the first request: nobody says disable_log_stats=False.
            llm = LLM(
                MODEL,
                max_model_len=256,
                max_num_seqs=8,
                enforce_eager=True,
                dtype="float32",
                otlp_traces_endpoint=endpoint,
            )
            params = SamplingParams(n=2, max_tokens=8, temperature=0.7, ignore_eos=True, seed=1, logprobs=0)
            llm.generate("warm", SamplingParams(max_tokens=2), use_tqdm=False)
            captured.spans()
            captured.exporter.clear()

            state = random.getstate()
            with otel_llm.step(3):
                outputs = llm.generate(PROMPTS, params, use_tqdm=False)
            llm.update_weight_version("step-7")
            llm.chat(
                [{"role": "user", "content": "hi"}],
                SamplingParams(max_tokens=4, ignore_eos=True),
                use_tqdm=False,
            )
            try:
                llm.generate("too long " * 100, SamplingParams(max_tokens=4), use_tqdm=False)
            except Exception as error:
                told["error"] = str(error)
            told["random"] = random.getstate() == state
            told["spans"] = [
                {
                    "name": span.name,
                    "id": f"{span.context.span_id:016x}",
                    "trace": f"{span.context.trace_id:032x}",
                    "parent": None if span.parent is None else f"{span.parent.span_id:016x}",
                    "start": span.start_time,
                    "end": span.end_time,
                    "status": span.status.status_code.name,
                    "attributes": dict(span.attributes or {}),
                }
                for span in captured.spans()
            ]
            told["seams"] = VLLMInstrumentor().seams()
            told["ours"] = [[list(each.token_ids) for each in out.outputs] for out in outputs]
        plain = llm.generate(PROMPTS, params, use_tqdm=False)  # nothing is instrumented any more
        told["plain"] = [[list(each.token_ids) for each in out.outputs] for out in plain]
        told["dropped"] = [" ".join(key) for key in drops.counts()]
        from opentelemetry import trace

        told["exported"] = received(lambda names: names.count("llm_request") >= 6)
        told["provider"] = type(trace.get_tracer_provider()).__name__
    print("\n" + json.dumps(told))


if __name__ == "__main__":
    main()
