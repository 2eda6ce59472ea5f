"""One call into vLLM as one model call: its record, and the spans of its samples.

On the caller's side the record keeps references to what vLLM returned, which nobody changes afterwards; all else
happens on the worker, where every call is finished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.calls import CallRecord
from otel_llm.content import ContentPolicy
from otel_llm.llm import AttributeValue, CallError, Limits, LLMCall, Message, Usage
from otel_llm_vllm import semconv as vc
from otel_llm_vllm import settings
from otel_llm_vllm.failures import failure_of
from otel_llm_vllm.reading import copied, messages_of, prompt_messages
from otel_llm_vllm.samples import Sample, Streamed, finished_samples

if TYPE_CHECKING:
    from otel_llm.parsing import CallParser
    from otel_llm.pricing import Cost
    from otel_llm.recording import Recorder

_MAX_CHOICES: Final = 4096
_MAX_REASONS: Final = 256
_TOKEN_BYTES: Final = 64
"""What a token of an output keeps alive, roughly: its id, its text, the log-probability that trainers ask for."""


class Endpoint(NamedTuple):
    """Which call it is."""

    operation: str
    provider: str = vc.PROVIDER

    def parser(self, limits: Limits) -> CallParser:
        """There are no bytes to parse."""
        raise NotImplementedError


COMPLETION: Final = Endpoint(sc.TEXT_COMPLETION)
CHAT: Final = Endpoint(sc.CHAT)


class Generation(CallRecord):
    """One call, from its start to its ended span and those of its samples.

    Attributes:
        asked: attributes of the request.
        stats: what vLLM measured of single samples, by request id and index; see `finished_samples`.
    """

    _error: CallError | None = None
    _conversations: Sequence[Sequence[Any]] = ()
    _outputs: Sequence[Any] = ()
    _streamed: Streamed | None = None
    _samples: Sequence[Sample] = ()

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: dict[str, AttributeValue] = {}
        self.stats: dict[tuple[str, int], Any] = {}

    # --- on the caller's side -----------------------------------------------------------------------

    def said(self, conversations: Any) -> None:
        """Note the conversations of a chat, as they are now, if anybody wants to know of content."""
        if any(policy is not ContentPolicy.NONE for policy in self._recorder.describer.policies):
            self._conversations = copied(conversations)

    def stream(self, *, delta: bool, final_only: bool) -> None:
        """Note that outputs will come one by one.

        Args:
            delta: each has only what is new.
            final_only: there will be one, at the end.
        """
        self._streamed = Streamed(delta=delta)
        self.streaming = not final_only

    def saw(self, output: Any) -> None:
        """Note an output of a stream, and when it came."""
        self.raw_chunk(b"")
        assert self._streamed is not None  # noqa: S101 (`stream` came before)
        self._streamed.saw(output)

    def returned(self, outputs: Any) -> None:
        """Note what vLLM returned, and end the call."""
        self._outputs = outputs if isinstance(outputs, list | tuple) else ()
        if len(self._outputs) > 1:
            self.timed = False  # the time of a batch is no latency
        self.end()

    def failed(self, exception: BaseException) -> None:
        """End the call with what the program is about to see."""
        self._error = failure_of(exception)
        self.end()

    def end(self, content: bytes | None = None, exception: BaseException | None = None) -> None:
        """Hand the call over to be finished. Only the first of several calls counts."""
        if not self.done:
            try:
                self._pending_bytes = self._kept_bytes()
            except Exception:  # not as the releases that we know have them: the span ends all the same
                drops.internal_error("weighing an output of vLLM")
        super().end(content, exception)

    def _kept_bytes(self) -> int:
        if self._streamed is not None:
            return self._streamed.tokens() * _TOKEN_BYTES
        if not self._outputs:
            return 0
        first = self._outputs[0]
        tokens = sum(len(each.token_ids) for each in first.outputs) + len(first.prompt_token_ids or ())
        return len(self._outputs) * tokens * _TOKEN_BYTES

    def shed(self) -> None:
        """Let what was asked and answered go; that there was a call stays."""
        super().shed()
        self._outputs = self._conversations = ()
        self._streamed = None

    # --- on the worker ------------------------------------------------------------------------------

    def feed(self, chunks: list[bytes]) -> None:
        """Do nothing: there are no bytes."""

    def _price(self, call: LLMCall) -> Cost | None:  # noqa: ARG002
        return None  # list prices are of providers

    def _parsed(self) -> LLMCall:
        streamed = self._streamed
        found = (
            finished_samples(self._outputs, self.stats) if streamed is None else streamed.samples(self.stats)
        )
        self._samples = samples = _read(found)
        call = LLMCall(self.endpoint.operation, self.endpoint.provider, self.model)
        call.request = self.asked
        call.stream = self.streaming
        call.error = self._error
        call.complete = bool(samples) and all(sample.finish_reason is not None for sample in samples)
        if not self.timed:
            call.response[sc.UNTIMED] = True
        if samples:
            prompts = _one_a_prompt(samples)
            call.response_id = prompts[0].request.request_id if len(prompts) == 1 else None
            call.usage = _usage(samples, prompts)
            call.response |= _figures(samples, prompts)
            self._put_content(call, samples, prompts)
        self._settle(call)
        if self.streaming is False and streamed is not None and not call.complete and call.error is None:
            call.error = CallError("cancelled", message="closed before there was an answer")
        if samples and len(samples) <= _MAX_REASONS:
            call.finish_reasons = [sample.finish_reason or "error" for sample in samples]
        return call

    def _put_content(self, call: LLMCall, samples: Sequence[Sample], prompts: Sequence[Sample]) -> None:
        if self._conversations:
            for conversation in self._conversations:
                call.input_messages += messages_of(conversation)
        else:
            for prompt in prompts[:_MAX_CHOICES]:
                call.input_messages += _prompt(prompt)
        call.output_messages = [_answer(sample) for sample in samples[:_MAX_CHOICES]]

    def _describe(self, call: LLMCall, cost: Cost | None) -> dict[str, AttributeValue]:
        told = super()._describe(call, cost)
        try:
            several = len(_one_a_prompt(self._samples)) > 1
            for sample in self._samples[: settings.current.samples]:
                self._record(sample, call, several=several)
        except Exception:
            drops.internal_error("recording samples")
        self._samples = ()
        return told

    def _record(self, sample: Sample, call: LLMCall, *, several: bool) -> None:
        """Make the span of a sample: a child of the call's, at the times that vLLM measured."""
        describer = self._recorder.describer
        start_ns, end_ns, timed = self._bounds(sample)
        attributes: dict[str, Any] = {} if self.scope is None else dict(self.scope.inherited)
        attributes |= describer.scoped(sample.attributes())
        if not timed:
            attributes[sc.UNTIMED] = True
        policy, kept = describer.policies
        own = LLMCall(call.operation, call.provider)
        own.output_messages = [_answer(sample)]
        if several:  # else the call has the prompt
            own.input_messages = self._asked_by(sample)
        attributes |= describer.content(own, policy)
        span = self._recorder.seat.tracer().start_span(
            vc.SPAN_SAMPLE,
            trace_api.set_span_in_context(self.span, Context()),
            SpanKind.INTERNAL,
            attributes,
            None,
            start_ns,
        )
        if kept is not policy and describer.keep is not None and span.is_recording():
            describer.keep(span, describer.content(own, kept))
        span.end(end_ns)

    def _asked_by(self, sample: Sample) -> list[Message]:
        if sample.prompt_index < len(self._conversations):
            return messages_of(self._conversations[sample.prompt_index])
        return _prompt(sample)

    def _bounds(self, sample: Sample) -> tuple[int, int, bool]:
        """Return when a sample began and ended, within the call, and whether vLLM measured that."""
        times = sample.times
        if times is None or times.arrival_ns is None or (last := times.end_ns) is None:
            return self.start_ns, self.end_ns, False
        start = min(max(times.arrival_ns, self.start_ns), self.end_ns)
        return start, min(max(last, start), self.end_ns), True


def begin(
    recorder: Recorder,
    endpoint: Endpoint,
    model: str | None,
) -> Generation | None:
    """Start a call; None where nobody wants it.

    Args:
        recorder: `otel_llm.recording.active`.
        endpoint: which call.
        model: the model's name.
    """
    found = recorder.begin(endpoint, model, "", None, None, kind=SpanKind.INTERNAL, make=Generation)
    return found if isinstance(found, Generation) else None


def _read(samples: Iterable[Sample]) -> list[Sample]:
    """Read samples until one cannot be read."""
    found: list[Sample] = []
    try:
        found.extend(samples)
    except Exception:
        drops.internal_error("reading an output of vLLM")
    return found


def _one_a_prompt(samples: Sequence[Sample]) -> list[Sample]:
    return list({sample.prompt_index: sample for sample in samples}.values())


def _prompt(sample: Sample) -> list[Message]:
    request = sample.request
    return prompt_messages(getattr(request, "prompt", None), getattr(request, "prompt_token_ids", None))


def _answer(sample: Sample) -> Message:
    answer: Message = {"role": "assistant", "parts": [{"type": "text", "content": sample.text}]}
    if sample.finish_reason is not None:
        answer["finish_reason"] = sample.finish_reason
    return answer


def _usage(samples: Sequence[Sample], prompts: Sequence[Sample]) -> Usage:
    """Return the tokens of all samples; those of a prompt count once, as vLLM's server counts them."""
    return Usage(
        input_tokens=_sum(prompts, lambda sample: sample.input_tokens),
        output_tokens=sum(sample.output_tokens for sample in samples),
        cache_read_tokens=_sum(prompts, lambda sample: sample.cached_tokens) or None,
    )


def _sum(samples: Iterable[Sample], of: Callable[[Sample], int | None]) -> int | None:
    found = [value for sample in samples if (value := of(sample)) is not None]
    return sum(found) if found else None


def _figures(samples: Sequence[Sample], prompts: Sequence[Sample]) -> dict[str, AttributeValue]:
    """Return what the call says of its samples together."""
    tokens = [sample.output_tokens for sample in samples]
    first = [s.times.first_token for s in samples if s.times is not None and s.times.first_token is not None]
    out: dict[str, AttributeValue] = {
        vc.PROMPTS: len(prompts),
        vc.SAMPLES: len(samples),
        vc.OUTPUT_TOKENS_LEAST: min(tokens),
        vc.OUTPUT_TOKENS_MOST: max(tokens),
    }
    if len(samples) > settings.current.samples:
        out[vc.SAMPLES_WITHOUT_SPAN] = len(samples) - settings.current.samples
    if first:
        out[vc.FIRST_TOKEN_MEAN], out[vc.FIRST_TOKEN_MOST] = sum(first) / len(first), max(first)
    reasons: dict[str, int] = {}
    for sample in samples:
        reason = sample.finish_reason or "error"
        reasons[reason] = reasons.get(reason, 0) + 1
    out.update((vc.FINISHED_PREFIX + reason, n) for reason, n in islice(reasons.items(), 16))
    versions = dict.fromkeys(version for sample in samples for version, _ in sample.versions)
    if len(versions) == 1:
        out[sc.SAMPLE_POLICY_VERSION] = next(iter(versions))
    elif versions:
        out[vc.WEIGHT_VERSIONS] = tuple(islice(versions, _MAX_REASONS))
    return out
