"""Samples in vLLM's outputs: `RequestOutput` and `CompletionOutput` of any release, read on the worker.

Fields that a release does not have are left out. Nothing here changes an output.
Source: vllm/outputs.py, vllm/v1/metrics/stats.py (`RequestStateStats`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from otel_llm import semconv as sc
from otel_llm.llm import AttributeValue
from otel_llm_vllm import semconv as vc

_MAX_VERSIONS: Final = 64
_MAX_TEXT: Final = 256


class Times(NamedTuple):
    """What vLLM measured of one sample; None for what it did not. All but the first in seconds.

    Attributes:
        arrival_ns: when the request came, in nanoseconds since the epoch.
        first_token: from there to the first token.
        queue: in the queue.
        prefill: from the first scheduling to the first token.
        decode: from the first token to the last.
        preemptions: how often it was put back.
    """

    arrival_ns: int | None
    first_token: float | None
    queue: float | None
    prefill: float | None
    decode: float | None
    preemptions: int

    @property
    def end_ns(self) -> int | None:
        """When its last token came."""
        if self.arrival_ns is None or self.first_token is None:
            return None
        return self.arrival_ns + int((self.first_token + (self.decode or 0.0)) * 1e9)


@dataclass(slots=True)
class Sample:
    """One answer to one prompt.

    Attributes:
        prompt_index: which prompt of the call.
        index: which of the prompt's samples.
        request: vLLM's `RequestOutput` that told of it last.
        completion: vLLM's `CompletionOutput`.
        text: what the model said.
        output_tokens: how many tokens that are.
        times: what vLLM measured, None for nothing.
    """

    prompt_index: int
    index: int
    request: Any
    completion: Any
    text: str
    output_tokens: int
    times: Times | None

    @property
    def finish_reason(self) -> str | None:
        """`stop`, `length`, `abort` …; None where it did not finish."""
        return _text(getattr(self.completion, "finish_reason", None))

    @property
    def input_tokens(self) -> int | None:
        """Tokens of its prompt."""
        return size(getattr(self.request, "prompt_token_ids", None))

    @property
    def cached_tokens(self) -> int | None:
        """Tokens of its prompt that the prefix cache had."""
        found = getattr(self.request, "num_cached_tokens", None)
        return found if isinstance(found, int) else None

    @property
    def versions(self) -> list[tuple[str, int]]:
        """Which weights made it: `(version, the token before which it ended)`, in order."""
        spans = getattr(self.completion, "weight_versions", None) or ()
        return [(str(span.version)[:_MAX_TEXT], int(span.end)) for span in spans[:_MAX_VERSIONS]]

    def attributes(self) -> dict[str, AttributeValue]:
        """Return what its span says, without content."""
        out: dict[str, Any] = {vc.PROMPT_INDEX: self.prompt_index, vc.SAMPLE_INDEX: self.index}
        request, completion = self.request, self.completion
        lora = getattr(completion, "lora_request", None) or getattr(request, "lora_request", None)
        stop = getattr(completion, "stop_reason", None)
        logprob = getattr(completion, "cumulative_logprob", None)
        found: dict[str, Any] = {
            vc.REQUEST_ID: _text(getattr(request, "request_id", None)),
            vc.INPUT_TOKENS: self.input_tokens,
            vc.CACHED_TOKENS: self.cached_tokens or None,
            vc.OUTPUT_TOKENS: self.output_tokens,
            vc.FINISH_REASON: self.finish_reason,
            vc.STOP_REASON: None if stop is None else str(stop)[:_MAX_TEXT],
            vc.LOGPROB: float(logprob) if isinstance(logprob, int | float) else None,
            vc.LORA: _text(getattr(lora, "lora_name", None)),
        }
        if (times := self.times) is not None:
            found |= {
                vc.TIME_TO_FIRST_TOKEN: times.first_token,
                vc.TIME_IN_QUEUE: times.queue,
                vc.TIME_IN_PREFILL: times.prefill,
                vc.TIME_IN_DECODE: times.decode,
                vc.PREEMPTIONS: times.preemptions or None,
            }
        if versions := self.versions:
            out[sc.SAMPLE_POLICY_VERSION] = versions[-1][0]
            if len(versions) > 1:
                out[vc.SAMPLE_WEIGHT_VERSIONS] = tuple(version for version, _ in versions)
                out[vc.SAMPLE_WEIGHT_ENDS] = tuple(end for _, end in versions)
        out.update((key, value) for key, value in found.items() if value is not None)
        return out


def times_of(stats: Any) -> Times | None:
    """Return what `RequestStateStats` say; None where there are none, which is what `LLM` does by default."""
    if stats is None:
        return None
    arrival, queued, scheduled, first, last = (
        _number(stats, name)
        for name in ("arrival_time", "queued_ts", "scheduled_ts", "first_token_ts", "last_token_ts")
    )
    latency = _number(stats, "first_token_latency")
    return Times(
        arrival_ns=None if arrival is None else int(arrival * 1e9),
        first_token=latency if latency is not None else _between(queued, first),
        queue=_between(queued, scheduled),
        prefill=_between(scheduled, first),
        decode=_between(first, last),
        preemptions=int(_number(stats, "num_preemptions") or 0),
    )


def finished_samples(
    outputs: Iterable[Any], stats: Mapping[tuple[str, int], Any] | None = None
) -> Iterator[Sample]:
    """Yield the samples of final outputs, prompt by prompt.

    Args:
        outputs: `RequestOutput`s that finished.
        stats: vLLM's stats of samples by request id and index: the output of several samples has only those of the
            one that finished last.
    """
    for prompt_index, request in enumerate(outputs):
        completions = request.outputs
        for place, completion in enumerate(completions):
            index = getattr(completion, "index", place)
            told = _stats(request, index, stats)
            yield Sample(
                prompt_index,
                index,
                request,
                completion,
                completion.text or "",
                size(completion.token_ids) or 0,
                times_of(told),
            )


class Streamed:
    """What a stream of `RequestOutput`s said so far; holds no more of it than its samples need.

    Args:
        delta: whether each output has only what is new; else it has all so far.
    """

    __slots__ = ("_delta", "_last", "_pieces")

    def __init__(self, *, delta: bool) -> None:
        self._delta = delta
        self._last: dict[int, tuple[Any, Any]] = {}
        self._pieces: dict[int, list[tuple[str, int]]] = {}

    def saw(self, request: Any) -> None:
        """Note an output. On the caller's side."""
        for completion in request.outputs:
            index = completion.index
            self._last[index] = request, completion
            if self._delta:
                self._pieces.setdefault(index, []).append((completion.text, len(completion.token_ids)))

    def tokens(self) -> int:
        """Return how many tokens of prompts and answers are kept alive, roughly."""
        if self._delta:
            held = sum(n for pieces in self._pieces.values() for _, n in pieces)
        else:
            held = sum(size(completion.token_ids) or 0 for _, completion in self._last.values())
        return held + max(
            (size(request.prompt_token_ids) or 0 for request, _ in self._last.values()), default=0
        )

    def samples(self, stats: Mapping[tuple[str, int], Any] | None = None) -> Iterator[Sample]:
        """Yield the samples, in the order of their index.

        Args:
            stats: as for `finished_samples`.
        """
        for index in sorted(self._last):
            request, completion = self._last[index]
            if self._delta:
                pieces = self._pieces[index]
                text, tokens = "".join(text for text, _ in pieces), sum(n for _, n in pieces)
            else:
                text, tokens = completion.text or "", size(completion.token_ids) or 0
            told = _stats(request, index, stats)
            yield Sample(0, index, request, completion, text, tokens, times_of(told))


def _stats(request: Any, index: int, stats: Mapping[tuple[str, int], Any] | None) -> Any:
    """Return vLLM's stats of one sample; None where it has none, or only those of another."""
    if len(request.outputs) == 1:
        return getattr(request, "metrics", None)
    return None if stats is None else stats.get((request.request_id, index))


def size(found: Any) -> int | None:
    """Return how many there are, None where nobody says."""
    return None if found is None else len(found)


def _number(stats: Any, name: str) -> float | None:
    value = getattr(stats, name, None)
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else max(0.0, end - start)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)[:_MAX_TEXT]
