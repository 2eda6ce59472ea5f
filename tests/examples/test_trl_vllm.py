"""examples/grpo/trl_vllm.py against a real vLLM server on the CPU: trainer, HTTP client and engine in one trace."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_llm import semconv as sc

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from processes import serving_vllm, vllm_command
from received import CLIENT, SERVER, Received, Sink, eventually, otlp_sink

_MISSING = [name for name in ("torch", "trl", "httpx") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.trl,
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.skipif(bool(_MISSING), reason=f"this story needs {', '.join(_MISSING)}"),
]

STEPS, PROMPTS, GROUP = 3, 4, 8
ROLLOUTS = PROMPTS * GROUP
SMALL = (
    f"--no-wandb --steps {STEPS} --rollouts-per-step {PROMPTS} --group-size {GROUP} --train-batch-size {ROLLOUTS} "
    "--seed 7 --log-trajectory-samples 0"
).split()


def story(folder: Path, *more: str, **env: str) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "WANDB_"))}
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "grpo" / "trl_vllm.py"), *more],
        cwd=folder,
        env=kept
        | {
            "ACCELERATE_USE_CPU": "true",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        | env,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]


class Served:
    """A server that serves the tiny model, and where its spans and the trainer's go."""

    def __init__(self, url: str, folder: Path, sink: Sink) -> None:
        self.url, self.folder, self.sink = url, folder, sink

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def has_learned(self) -> bool:
        """Return whether the weights last sent differ from the first; without a spread of rewards they do not."""
        from safetensors.torch import load_file

        first, last = (
            load_file(self.folder / "grpo_checkpoints" / name / "model.safetensors")
            for name in ("tiny", "policy")
        )
        return any(not last[name].equal(weights) for name, weights in first.items() if name in last)

    def train(self, *more: str) -> list[Received]:
        """Train, and return the spans of it, also those of the engine."""
        run = f"run-{'-'.join(more) or 'plain'}"
        story(
            self.folder,
            *("--server", self.url, "--store", run, *SMALL, *more),
            OTEL_EXPORTER_OTLP_ENDPOINT=self.sink.endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_LLM_RUN_ID=run,
            OTEL_LLM_SHUTDOWN_TIMEOUT="60",
        )

        def of_run() -> list[Received]:
            spans = list(self.sink.spans)
            traces = {span.trace_id for span in spans if span.attributes.get(sc.RUN_ID) == run}
            return [span for span in spans if span.trace_id in traces]

        eventually(lambda: len(named(of_run(), "llm_request")) >= STEPS * ROLLOUTS)
        return of_run()


def named(spans: list[Received], name: str) -> list[Received]:
    return [span for span in spans if span.name == name]


def above(spans: list[Received], span: Received) -> list[str]:
    """The names of a span and of all that it is below of."""
    by_id = {one.span_id: one for one in spans}
    found = [span.name]
    while span.parent_id:
        span = by_id[span.parent_id]
        found.append(span.name)
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    vllm = vllm_command()
    if vllm is None:
        pytest.skip("vLLM is neither installed nor named: OTEL_LLM_TEST_VLLM=$(tests/components/vllm.sh)")
    folder = tmp_path_factory.mktemp("user")
    story(folder, "--make-model", *SMALL)
    options = "--max-model-len 128 --max-num-seqs 16 --logprobs-mode processed_logprobs"
    model = folder / "grpo_checkpoints" / "tiny"
    with (
        otlp_sink() as sink,
        serving_vllm(vllm, model, sink, options, {"VLLM_SERVER_DEV_MODE": "1"}) as url,
    ):
        yield Served(url, folder, sink)


def test_trainer_http_and_engine_spans_are_one_trace_a_step(served: Served) -> None:
    before = served.ask("/weight_checker", {"action": "checksum"})
    spans = served.train()

    engine = named(spans, "llm_request")
    assert len(engine) == STEPS * ROLLOUTS
    for span in engine:
        assert (span.service, span.kind) == ("vllm", SERVER)
        assert above(spans, span) == [
            "llm_request",
            "text_completion tiny",
            "generation",
            "sampling",
            "training_step",
        ]
    steps = named(spans, "training_step")
    assert [span.attributes[sc.TRAIN_STEP] for span in steps] == [*range(1, STEPS + 1)]
    for step in steps:
        trace = [span for span in spans if span.trace_id == step.trace_id]
        rollouts, below = named(trace, "rollout"), named(trace, "llm_request")
        assert len(rollouts) == len(below) == ROLLOUTS
        generated = [span.attributes["gen_ai.usage.completion_tokens"] for span in below]
        assert Counter(generated) == Counter(span.attributes[sc.SAMPLE_OUTPUT_TOKENS] for span in rollouts)
        for call in named(trace, "text_completion tiny"):
            assert (call.kind, call.service) == (CLIENT, "grpo-trl_vllm")
        learned = {link.span_id for span in named(trace, "loss") for link in span.links}
        assert learned == {span.span_id for span in rollouts}

    synced = named(spans, "weight_sync")
    assert len(synced) == STEPS - 1, "the server begins with the weights that training begins with"
    assert served.ask("/weight_info") == {"weight_version": f"step-{STEPS - 1}"}
    assert (served.ask("/weight_checker", {"action": "checksum"}) != before) == served.has_learned()


def test_with_a_trace_for_each_rollout_its_call_and_the_engine_are_in_it(served: Served) -> None:
    spans = served.train("--rollout-traces")
    rollouts = named(spans, "rollout")
    assert len(rollouts) == len({span.trace_id for span in rollouts}) == STEPS * ROLLOUTS
    steps = {span.span_id: span.attributes[sc.TRAIN_STEP] for span in named(spans, "training_step")}
    for span in rollouts:
        (engine,) = named([one for one in spans if one.trace_id == span.trace_id], "llm_request")
        assert above(spans, engine) == ["llm_request", "text_completion tiny", "rollout"]
        assert engine.attributes["gen_ai.usage.completion_tokens"] == span.attributes[sc.SAMPLE_OUTPUT_TOKENS]
        (step,) = [
            steps[link.span_id] for link in span.links if link.attributes[sc.LINK_KIND] == sc.LINK_STEP
        ]
        assert span.attributes[sc.SAMPLE_POLICY_VERSION] == f"step-{step - 1}"
        assert sc.SAMPLE_ADVANTAGE in span.attributes
    learned = {link.span_id for span in named(spans, "loss") for link in span.links}
    assert learned == {span.span_id for span in rollouts}
