"""Small stand-ins for vLLM's classes: the members, signatures and habits that the hooks rely on, and no engine."""

from __future__ import annotations

import asyncio
import enum
import sys
import time
import types
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest


class RequestOutputKind(enum.Enum):
    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


@dataclass
class SamplingParams:
    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int | None = 16
    seed: int | None = None
    stop: list[str] | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE


@dataclass
class Stats:
    """As `RequestStateStats`: an arrival by the wall clock, the rest by a clock of its own."""

    arrival_time: float = 0.0
    queued_ts: float = 0.0
    scheduled_ts: float = 0.0
    first_token_ts: float = 0.0
    last_token_ts: float = 0.0
    first_token_latency: float = 0.0
    num_preemptions: int = 0


@dataclass
class WeightVersionSpan:
    version: str
    start: int
    end: int


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: list[int]
    cumulative_logprob: float | None = None
    finish_reason: str | None = "stop"
    stop_reason: int | str | None = None
    lora_request: Any = None
    weight_versions: list[WeightVersionSpan] | None = None


@dataclass
class OldCompletionOutput:
    """Of a release that told less."""

    index: int
    text: str
    token_ids: tuple[int, ...]
    finish_reason: str | None = "stop"


@dataclass
class RequestOutput:
    request_id: str
    prompt: str | None
    prompt_token_ids: list[int] | None
    outputs: Sequence[Any]
    finished: bool = True
    metrics: Stats | None = None
    num_cached_tokens: int | None = None


@dataclass
class ModelConfig:
    model: str = "/home/somebody/models/tiny"
    served_model_name: str | list[str] | None = None


@dataclass
class ParallelConfig:
    distributed_executor_backend: str | None = None
    world_size: int = 1


@dataclass
class VllmConfig:
    parallel_config: ParallelConfig = field(default_factory=ParallelConfig)


@dataclass
class ObservabilityConfig:
    otlp_traces_endpoint: str | None = None


@dataclass
class Parent:
    external_req_id: str


@dataclass
class RequestState:
    parent_req: Parent | None
    request_index: int
    stats: Stats | None


class OutputProcessor:
    def _update_stats_from_finished(self, req_state: Any, finish_reason: Any, iteration_stats: Any) -> None:
        """Do what vLLM does there: nothing that can be seen."""


class LLMEngine:
    def __init__(self, endpoint: str | None = None, log_stats: bool = True) -> None:
        self.observability_config = ObservabilityConfig(endpoint)
        self.vllm_config = VllmConfig()
        self.output_processor = OutputProcessor()
        self.log_stats = log_stats
        self.requests: list[tuple[str, Any]] = []

    def add_request(
        self,
        request_id: str,
        prompt: Any,
        params: Any,
        arrival_time: float | None = None,
        lora_request: Any = None,
        tokenization_kwargs: Any = None,
        trace_headers: Any = None,
        priority: int = 0,
    ) -> str:
        self.requests.append((request_id, trace_headers))
        return request_id


def tokens(text: str) -> list[int]:
    return list(text.encode())


class LLM:
    """Answers with what `answers` holds, one text a sample."""

    def __init__(self, model: str = "/home/somebody/models/tiny", **kwargs: Any) -> None:
        self.given = dict(kwargs)
        self.model_config = ModelConfig(model)
        self.llm_engine = LLMEngine(
            kwargs.get("otlp_traces_endpoint"), log_stats=not kwargs.get("disable_log_stats", True)
        )
        self.answers: list[str] = ["yes"]
        self.error: BaseException | None = None
        self.counter = 0
        self.seen: list[Any] = []

    def generate(
        self, prompts: Any, sampling_params: Any = None, *, use_tqdm: bool = True
    ) -> list[RequestOutput]:
        """Answer each prompt."""
        many = prompts if isinstance(prompts, list) else [prompts]
        params = sampling_params or SamplingParams()
        return [self._run(prompt if isinstance(prompt, str) else None, prompt, params) for prompt in many]

    def chat(self, messages: Any, sampling_params: Any = None, use_tqdm: bool = True) -> list[RequestOutput]:
        many = messages if isinstance(messages[0], list) else [messages]
        # As in older releases: through `generate`.
        return self.generate([str(each[-1]["content"]) for each in many], sampling_params)

    def _run(self, text: str | None, prompt: Any, params: Any) -> RequestOutput:
        request_id = str(self.counter)
        self.counter += 1
        self.llm_engine.add_request(request_id, prompt, params)
        if self.error is not None:
            raise self.error
        completions = []
        stats = None
        for index in range(params.n):
            answer = self.answers[index % len(self.answers)]
            completions.append(CompletionOutput(index, answer, tokens(answer)))
            if self.llm_engine.log_stats:
                stats = Stats(time.time(), 5.0, 5.25, 5.5 + index, 7.5 + index, 0.001 * (index + 1))
                parent = Parent(request_id) if params.n > 1 else None
                state = RequestState(parent, index, stats)
                self.llm_engine.output_processor._update_stats_from_finished(state, "stop", None)
        ids = tokens(text) if text is not None else prompt["prompt_token_ids"]
        output = RequestOutput(request_id, text, ids, completions, metrics=stats)
        self.seen.append(output)
        return output


class AsyncLLM:
    def __init__(self, endpoint: str | None = None) -> None:
        self.model_config = ModelConfig(served_model_name=["served", "alias"])
        self.observability_config = ObservabilityConfig(endpoint)
        self.log_stats = True
        self.outputs: list[RequestOutput] = []
        self.error: BaseException | None = None
        self.aborted = 0
        self.headers: list[Any] = []

    async def add_request(
        self, request_id: str, prompt: Any, params: Any, arrival_time: Any = None, trace_headers: Any = None
    ) -> list[RequestOutput]:
        self.headers.append(trace_headers)
        return self.outputs

    async def generate(
        self, prompt: Any, sampling_params: Any, request_id: str, *, trace_headers: Any = None
    ) -> AsyncGenerator[RequestOutput, None]:
        try:
            for output in await self.add_request(
                request_id, prompt, sampling_params, trace_headers=trace_headers
            ):
                await asyncio.sleep(0)
                yield output
            if self.error is not None:
                raise self.error
        except (asyncio.CancelledError, GeneratorExit):
            self.aborted += 1
            raise


def set_tracer_provider(provider: Any) -> None:
    from opentelemetry import trace

    trace.set_tracer_provider(provider)


_MODULES: dict[str, dict[str, Any]] = {
    "vllm": {},
    "vllm.entrypoints": {},
    "vllm.entrypoints.llm": {"LLM": LLM},
    "vllm.v1": {},
    "vllm.v1.engine": {},
    "vllm.v1.engine.llm_engine": {"LLMEngine": LLMEngine},
    "vllm.v1.engine.output_processor": {"OutputProcessor": OutputProcessor},
    "vllm.v1.engine.async_llm": {"AsyncLLM": AsyncLLM},
    "vllm.tracing": {},
    "vllm.tracing.otel": {"set_tracer_provider": set_tracer_provider},
}


def install(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Let `vllm` be these for one test; return the module that sets providers."""
    for name, members in _MODULES.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    return sys.modules["vllm.tracing.otel"]
