"""The metrics of model calls, in the conventions' names and buckets, recorded on the worker.

A histogram record of OpenTelemetry's SDK costs 6.6 µs, so there are as few as the conventions ask for: one of
the duration, one each of input and output tokens, and for streams the time to the first chunk and the mean
time per chunk (one sample a stream, not one a chunk). Counters are summed here and added once a batch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from opentelemetry import metrics as metrics_api
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, MeterProvider, Observation
from opentelemetry.metrics import _internal as metrics_internal

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.llm import LLMCall
from otel_llm.version import VERSION

if TYPE_CHECKING:
    from otel_llm.calls import CallRecord

Labels = tuple[tuple[str, str | int], ...]

_NOBODY: Final = (metrics_internal._ProxyMeterProvider, metrics_api.NoOpMeterProvider)
"""MeterProviders that drop what they are given."""

_MAX_LABELS: Final = 2000
"""Distinct label sets kept at most; what comes on top goes without its model names."""


class Instruments:
    """The call metrics on one MeterProvider at a time; moves over when the program sets its own.

    Args:
        provider: returns the MeterProvider in use.
        v1_41: whether to use the names of semantic conventions v1.41.
        scrub_name: takes secrets out of a model's name.
        queue_bytes: returns how many bytes wait in the queue.
    """

    def __init__(
        self,
        provider: Callable[[], MeterProvider],
        scrub_name: Callable[[str], str],
        queue_bytes: Callable[[], int],
        *,
        v1_41: bool = False,
    ) -> None:
        self._provider_in_use = provider
        self._scrub_name = scrub_name
        self._queue_bytes = queue_bytes
        self._v1_41 = v1_41
        self._provider: MeterProvider | None = None
        self._lock = threading.RLock()
        self._labels: dict[Labels, dict[str, str | int]] = {}
        self._sums: dict[tuple[Counter, Labels], float] = {}

    def _name(self, name: str) -> str:
        return sc.V1_41.get(name, name) if self._v1_41 else name

    def _settle(self) -> None:
        """Make the instruments on the MeterProvider in use, if it is another one than before."""
        provider = self._provider_in_use()
        if provider is self._provider:
            return
        meter = provider.get_meter("otel_llm", VERSION, sc.SCHEMA_URL)

        def histogram(name: str, unit: str, buckets: tuple[float, ...], text: str) -> Histogram:
            return meter.create_histogram(
                self._name(name), unit, text, explicit_bucket_boundaries_advisory=list(buckets)
            )

        seconds = sc.UNIT_SECONDS, sc.DURATION_BUCKETS
        tokens = sc.UNIT_TOKENS, sc.TOKEN_BUCKETS
        self.duration = histogram(sc.METRIC_DURATION, *seconds, "Duration of an inference call.")
        self.operation_duration = (
            self.duration
            if self._v1_41
            else histogram(sc.METRIC_OPERATION_DURATION, *seconds, "Duration of a call that is no inference.")
        )
        self.first_chunk = histogram(
            sc.METRIC_TIME_TO_FIRST_CHUNK, *seconds, "Time to the first chunk of a streamed answer."
        )
        self.per_chunk = histogram(
            sc.METRIC_TIME_PER_CHUNK, *seconds, "Mean time between the chunks of a streamed answer."
        )
        if self._v1_41:
            self.token_usage = histogram(sc.METRIC_TOKEN_USAGE_V1_41, *tokens, "Tokens of a call.")
        else:
            self.input_tokens = histogram(sc.METRIC_INPUT_TOKENS, *tokens, "Input tokens of a call.")
            self.output_tokens = histogram(sc.METRIC_OUTPUT_TOKENS, *tokens, "Output tokens of a call.")
        self.usage = {
            name: meter.create_counter(
                sc.METRIC_USAGE_PREFIX + name.removeprefix(sc.USAGE_PREFIX), sc.UNIT_TOKENS, "Tokens used."
            )
            for name in (
                sc.USAGE_INPUT_TOKENS,
                sc.USAGE_OUTPUT_TOKENS,
                sc.USAGE_CACHE_READ,
                sc.USAGE_CACHE_WRITE,
                sc.USAGE_REASONING,
            )
        }
        self.cost = meter.create_counter(sc.METRIC_COST, sc.UNIT_USD, "Cost of calls, by list prices.")
        meter.create_observable_counter(
            sc.METRIC_DROPPED, [_observe_drops], sc.UNIT_ITEMS, "What otel_llm dropped, and why."
        )
        meter.create_observable_up_down_counter(
            sc.METRIC_QUEUE_BYTES, [self._observe_queue], sc.UNIT_BYTES, "Bytes that wait to be finished."
        )
        self._sums.clear()
        self._provider = provider

    @property
    def wanted(self) -> bool:
        """Whether recording would reach anybody: a no-op still costs a microsecond a record."""
        return is_recorded(self._provider_in_use())

    def _observe_queue(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self._queue_bytes())]

    def record_call(self, record: CallRecord, call: LLMCall, cost: float | None = None) -> None:
        """Measure a finished call."""
        with self._lock:
            self._settle()
            error = call.error.type if call.error is not None else None
            labels = self._label(record, call, None)
            inference = call.operation in sc.INFERENCE_OPERATIONS
            duration = self.duration if inference else self.operation_duration
            if record.timed:
                duration.record(
                    record.duration_s, labels if error is None else self._label(record, call, error)
                )
            if record.streaming and call.stream and (first := record.time_to_first_chunk_s) is not None:
                self.first_chunk.record(first, labels)
                if (gaps := record.time_per_chunk_s) is not None:
                    self.per_chunk.record(gaps[0], labels)
            self._tokens(call, labels)
            if cost is not None:
                self._add(self.cost, cost, labels)

    def _tokens(self, call: LLMCall, labels: dict[str, str | int]) -> None:
        usage = call.usage
        if usage is None:
            return
        if self._v1_41:
            for kind, value in (("input", usage.input_tokens), ("output", usage.output_tokens)):
                if value is not None:
                    self.token_usage.record(value, {**labels, sc.TOKEN_TYPE: kind})
            return
        if usage.input_tokens is not None:
            self.input_tokens.record(usage.input_tokens, labels)
        if usage.output_tokens is not None:
            self.output_tokens.record(usage.output_tokens, labels)
        for name, value in (
            (sc.USAGE_INPUT_TOKENS, usage.input_tokens),
            (sc.USAGE_OUTPUT_TOKENS, usage.output_tokens),
            (sc.USAGE_CACHE_READ, usage.cache_read_tokens),
            (sc.USAGE_CACHE_WRITE, usage.cache_write_tokens),
            (sc.USAGE_REASONING, usage.reasoning_tokens),
        ):
            if value:
                self._add(self.usage[name], value, labels)

    def _add(self, counter: Counter, value: float, labels: dict[str, str | int]) -> None:
        key = counter, tuple(labels.items())
        self._sums[key] = self._sums.get(key, 0) + value

    def flush_counters(self) -> None:
        """Add what was summed to the counters; called once a batch."""
        with self._lock:
            self._settle()  # a program without a call has drops and a queue all the same
            sums, self._sums = self._sums, {}
        for (counter, labels), value in sums.items():
            counter.add(value, dict(labels))

    def _label(self, record: CallRecord, call: LLMCall, error: str | None) -> dict[str, str | int]:
        key: Labels = ((sc.OPERATION_NAME, call.operation),)
        if call.provider:  # of a call that the program tells of, it may be unknown
            key += ((sc.PROVIDER_NAME, call.provider),)
        if record.host:
            key += ((sc.SERVER_ADDRESS, record.host),)
        if record.port is not None:
            key += ((sc.SERVER_PORT, record.port),)
        if error is not None:
            key += ((sc.ERROR_TYPE, error),)
        bare = key
        if call.request_model:
            key += ((sc.REQUEST_MODEL, self._scrub_name(call.request_model)),)
        if call.response_model:
            key += ((sc.RESPONSE_MODEL, self._scrub_name(call.response_model)),)
        if (known := self._labels.get(key)) is None:
            if len(self._labels) >= _MAX_LABELS:
                drops.count("metric_label", "cardinality")
                return dict(bare)
            known = self._labels[key] = dict(key)
        return known

    def after_fork_in_child(self) -> None:
        """Forget what the parent will add itself."""
        self._lock = threading.RLock()
        self._sums = {}


def current_meter_provider() -> MeterProvider:
    """Return the global MeterProvider."""
    return metrics_api.get_meter_provider()


def is_recorded(provider: MeterProvider) -> bool:
    """Say whether what is recorded on `provider` reaches anybody."""
    return not isinstance(provider, _NOBODY)


def _observe_drops(_options: CallbackOptions) -> Iterable[Observation]:
    return [
        Observation(n, {sc.DROP_WHAT: what, sc.DROP_REASON: reason})
        for (what, reason), n in drops.counts().items()
    ]
