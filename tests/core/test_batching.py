"""Between ended spans and exporters that are slow, down or hanging."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest
from opentelemetry import context as context_api
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_llm import drops
from otel_llm.batching import BoundedBatchProcessor


class Backend(SpanExporter):
    """A backend that can be told to fail, to raise or to hang."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.mode = "up"
        self.release = threading.Event()
        self.suppressed: list[object] = []
        self.closed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.suppressed.append(context_api.get_value(context_api._SUPPRESS_INSTRUMENTATION_KEY))
        if self.mode == "hang":
            self.release.wait(30)
        if self.mode == "down":
            return SpanExportResult.FAILURE
        if self.mode == "raise":
            raise OSError("broken on purpose")
        self.batches.append([span.name for span in spans])
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.closed += 1

    @property
    def names(self) -> list[str]:
        return [name for batch in self.batches for name in batch]


def emit(provider: TracerProvider, names: Sequence[str], **attributes: str) -> None:
    tracer = provider.get_tracer("t")
    for name in names:
        tracer.start_span(name, attributes=attributes).end()


def make(max_bytes: int = 64 << 20, **more: object) -> tuple[TracerProvider, BoundedBatchProcessor, Backend]:
    backend = Backend()
    processor = BoundedBatchProcessor(backend, "otlp", max_bytes=max_bytes, **more)  # type: ignore[arg-type]
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider, processor, backend


def test_a_burst_of_20_000_spans_arrives_whole_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    provider, processor, backend = make(256 << 20)
    names = [str(n) for n in range(20_000)]
    emit(provider, names)
    assert processor.force_flush(30_000)
    assert backend.names == names
    assert max(map(len, backend.batches)) <= 512
    assert all(backend.suppressed)  # an exporter's own requests are never traced
    assert drops.counts() == {}
    provider.shutdown()
    assert backend.closed == 1


def test_batches_are_cut_by_bytes_too() -> None:
    provider, processor, backend = make()
    emit(provider, [str(n) for n in range(8)], **{"gen_ai.input.messages": "x" * (1 << 20)})
    assert processor.force_flush(10_000)
    assert [len(batch) for batch in backend.batches] == [2, 2, 2, 2]
    provider.shutdown()


@pytest.mark.parametrize("mode", ["down", "raise"])
def test_a_backend_that_comes_back_gets_everything_once(mode: str) -> None:
    provider, processor, backend = make()
    backend.mode = mode
    emit(provider, ["a", "b"])
    assert not processor.force_flush(5_000)
    assert backend.names == []
    backend.mode = "up"
    emit(provider, ["c"])
    assert processor.force_flush(5_000)
    assert backend.names == ["a", "b", "c"]
    provider.shutdown()


def test_a_backend_that_stays_down_costs_bounded_memory_and_the_oldest_spans() -> None:
    told: list[tuple[str, int]] = []
    provider, processor, backend = make(
        20 * 1024, shutdown_timeout_s=0.5, delivered=lambda sink, ids: told.append((sink, len(ids)))
    )
    backend.mode = "down"
    emit(provider, [str(n) for n in range(1000)])
    assert not processor.force_flush(2_000)
    backend.mode = "up"
    assert processor.force_flush(5_000)
    dropped = drops.counts()["span", "otlp_queue_full"]
    assert dropped + len(backend.names) == 1000
    assert len(backend.names) <= 20
    assert backend.names[-1] == "999"
    assert sum(n for _, n in told) == len(backend.names)
    provider.shutdown()


def test_a_hanging_backend_holds_neither_the_program_nor_its_exit() -> None:
    provider, processor, backend = make(shutdown_timeout_s=0.3)
    backend.mode = "hang"
    emit(provider, ["a"])
    started = time.monotonic()
    assert not processor.force_flush(200)
    emit(provider, ["b", "c"])
    assert time.monotonic() - started < 1
    started = time.monotonic()
    provider.shutdown()
    assert time.monotonic() - started < 1.5
    assert drops.counts() == {("span", "otlp_unreachable"): 3}
    emit(provider, ["late"])
    assert drops.counts()["span", "otlp_shut_down"] == 1
    backend.release.set()


def test_the_standard_variables_keep_their_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    provider, processor, backend = make()
    backend.mode = "down"
    emit(provider, ["first"])
    processor.force_flush(1_000)
    emit(provider, [str(n) for n in range(30)])
    backend.mode = "up"
    assert processor.force_flush(5_000)
    assert [len(b) for b in backend.batches] == [4, 4, 2]
    assert drops.counts()["span", "otlp_queue_full"] == 21
    provider.shutdown()


def test_spans_that_were_not_sampled_are_not_sent() -> None:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    backend = Backend()
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(BoundedBatchProcessor(backend, "otlp", max_bytes=1 << 20))
    emit(provider, ["a"])
    assert provider.force_flush()
    assert backend.names == []
    provider.shutdown()


class Refusing(Backend):
    """A backend that takes no batch with a bad span in it, as an encoder or a server that answers 400."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if any(span.name.startswith("bad") for span in spans):
            return SpanExportResult.FAILURE
        return super().export(spans)


def refusing(**more: object) -> tuple[TracerProvider, BoundedBatchProcessor, Refusing]:
    provider, processor, _ = make(**more)
    processor._exporter = backend = Refusing()
    return provider, processor, backend


@pytest.mark.parametrize("bad", [[0], [3], [0, 1], [5, 200, 399], list(range(100, 110))])
def test_spans_that_nobody_takes_do_not_stop_the_others(bad: list[int]) -> None:
    provider, processor, backend = refusing()
    emit(provider, [f"bad {n}" if n in bad else str(n) for n in range(400)])
    for n in range(8):
        emit(provider, [f"later {n}"])
        if processor.force_flush(5_000):
            break
    assert sorted(backend.names) == sorted(
        [str(k) for k in range(400) if k not in bad] + [f"later {k}" for k in range(n + 1)]
    )
    assert drops.counts()["span", "otlp_refused"] == len(bad)
    assert processor._bytes == processor._in_flight == 0
    provider.shutdown()


@pytest.mark.parametrize("names", ["a bad b c", "bad a b c", "a b c bad"])
def test_a_span_that_nobody_takes_does_not_cost_the_others_at_the_end(names: str) -> None:
    provider, _, backend = refusing()
    emit(provider, names.split())
    provider.shutdown()
    assert sorted(backend.names) == ["a", "b", "c"]
    # Nothing came after the last one that could tell whether the backend was still there.
    reason = "otlp_unreachable" if names.endswith("bad") else "otlp_refused"
    assert drops.counts() == {("span", reason): 1}


def test_a_backend_that_is_down_refuses_nothing() -> None:
    provider, processor, backend = make()
    backend.mode = "down"
    for n in range(6):
        emit(provider, [f"{n}.{k}" for k in range(3)])
        assert not processor.force_flush(5_000)
    backend.mode = "up"
    assert processor.force_flush(5_000)
    assert sorted(backend.names) == sorted(f"{n}.{k}" for n in range(6) for k in range(3))
    assert drops.counts() == {}
    provider.shutdown()


@pytest.mark.parametrize("taken", [1, 2, 5])
def test_a_backend_that_goes_while_parts_are_tried_costs_nothing(taken: int) -> None:
    provider, processor, backend = make()
    backend.mode = "down"
    for n in range(3):
        emit(provider, [f"{n}.{k}" for k in range(40)])
        assert not processor.force_flush(5_000)

    class Flapping(Backend):
        left = taken

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            if len(spans) > 1 or not self.left:
                return SpanExportResult.FAILURE
            self.left -= 1
            return super().export(spans)

    processor._exporter = flapping = Flapping()
    assert not processor.force_flush(5_000)
    processor._exporter = backend
    backend.mode = "up"
    assert processor.force_flush(5_000)
    assert sorted(backend.names + flapping.names) == sorted(f"{n}.{k}" for n in range(3) for k in range(40))
    assert drops.counts() == {}
    provider.shutdown()


def test_where_no_thread_can_be_had_the_program_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    provider, processor, backend = make()

    def none_left(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        emit(provider, ["a"])
    emit(provider, ["b"])
    assert processor.force_flush(5_000)
    assert backend.names == ["a", "b"]
    provider.shutdown()
