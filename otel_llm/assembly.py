"""Everything that one `instrument()` sets up, put together and taken apart: the parts and their order.

Imports the core; finds plug-ins by entry point and imports none of them by name. What happens once a process
(the public functions, locks, exit, fork) is in `runtime`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final, cast

from opentelemetry.sdk.environment_variables import OTEL_SERVICE_NAME
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor

from otel_llm import dispatch, drops, recording, threads
from otel_llm import semconv as sc
from otel_llm.attributes import Describer
from otel_llm.batching import BoundedBatchProcessor, Delivered
from otel_llm.context import ThreadContext, unseen
from otel_llm.exporting import (
    OTEL_TRACES_EXPORTER,
    make_span_exporter,
    named_by_environment,
    plain_name,
)
from otel_llm.finishing import Finisher
from otel_llm.hosts import NearHosts
from otel_llm.instruments import Instruments, current_meter_provider
from otel_llm.llm import Limits
from otel_llm.providers import Seat, exporter_types
from otel_llm.redaction import Scrubber
from otel_llm.scope_instruments import ScopeInstruments
from otel_llm.settings import Settings
from otel_llm.signals import OwnProvider, own_logs, own_metrics
from otel_llm.training import holding
from otel_llm.version import VERSION

GROUP: Final = "opentelemetry_instrumentor"
PREFIX: Final = "otel_llm"
_COMMIT_INTERVAL_S: Final = (
    0.025  # the finisher has gathered a batch already; both together stay below 200 ms
)
_OPEN_AFTER_S: Final = (
    0.2  # a call that takes longer is in the store before it ends; a shorter one costs one write
)
_HOOKS_S: Final = 2.0  # how long a flush waits for the program's own callbacks, which may be slow
_CORRELATION: Final = "setting"
_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


class Runtime:
    """Everything that one `instrument()` set up."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.near = NearHosts(settings.propagate_hosts)
        self.scrubber = Scrubber(settings.redact_patterns, unseen(settings.redact))
        self.finisher = Finisher(settings.max_queue_bytes)
        self.seat = Seat(self.finisher, settings.shutdown_timeout)
        self.seat.processors_for = self._processors_for
        self.describer = Describer(settings, self.scrubber, self.near)
        self.threads = ThreadContext()
        self.processors: list[SpanProcessor] = []
        self.exporters: dict[str, str] = {}
        self.samplers: dict[str, Any] = {}
        self.instrumentors: dict[str, Any] = {}
        self.instrumentations: dict[str, str] = {}
        self.store: Any = None
        self.rows: Any = None
        """Takes metric points, step series and log records: the store, and the sinks that are fed live."""
        self.metrics: OwnProvider | None = None
        self.logs: OwnProvider | None = None
        self.instruments: Instruments | None = None
        self.scope_instruments: ScopeInstruments | None = None
        self.on_stop: list[Callable[[], object]] = []
        """Called first when everything stops, while what they hand over is still recorded."""
        self._resource: Resource | None = None

    @property
    def resource(self) -> Resource:
        """What describes this process on a provider of ours."""
        if self._resource is None:
            self._resource = _resource(self.settings)
        return self._resource

    def start(self) -> None:
        """Set everything up; on the way out the first call is already seen."""
        settings = self.settings
        drops.debug = settings.debug
        if settings.store is not None:
            self._open_store(settings.store)
        self.rows = self.store
        self.seat.take(lambda: self.resource)
        self.finisher.on_batch.append(holding.expire)
        if settings.metrics:
            self._measure()
        self.logs = own_logs(lambda: self.resource, self._taker)
        if settings.capture.events:
            from otel_llm.events import DetailEvents

            self.describer.emit = DetailEvents(self.describer)
        recording.activate(
            recording.Recorder(
                self.seat,
                self.finisher,
                self.describer,
                self.instruments,
                self.near,
                Limits(max_body=settings.max_body_bytes),
                scope_instruments=self.scope_instruments,
                one_trace_a_game=settings.game_traces == "game",
            )
        )
        self.threads.install()
        self._install()
        if settings.bridges:
            from otel_llm import bridges

            bridges.install(settings.bridges)
        if settings.log_correlation:
            from otel_llm import correlation

            correlation.install(_CORRELATION)

    def _open_store(self, directory: Path) -> None:
        # Imported here: a program without a store pays for none.
        from otel_llm.store import Retention, StoreWriter
        from otel_llm.store.processor import StoreSpanProcessor

        settings = self.settings
        self.store = StoreWriter(
            directory,
            max_queue_bytes=settings.max_queue_bytes,
            commit_interval_s=_COMMIT_INTERVAL_S,
            open_after_s=_OPEN_AFTER_S,
            meta={"otel_llm": VERSION, "program": sys.argv[0] if sys.argv else ""},
            retention=Retention(settings.store_max_age_days * 86_400, settings.store_max_bytes),
        )
        processor = StoreSpanProcessor(self.store)
        self._store_processor = processor
        self.describer.keep = self._keep

    def _keep(self, span: Any, extra: Mapping[str, Any]) -> None:
        """Give the store, and the views of it that are written live, what other exporters do not get."""
        context, kept = span.get_span_context(), dict(extra)
        self._store_processor.attach_extra(context.trace_id, context.span_id, kept)
        if self.rows is not self.store:
            self.rows.attach_extra(context.trace_id, context.span_id, kept)

    def _feed_live(self, exporter: Any) -> None:
        """Connect a sink that is fed live with the store: it gets the same rows, and the store notes what it has."""
        from otel_llm.views.registry import Tap, keep_book

        keep_book(self.store, self.settings.store if self.store is not None else None)
        if not isinstance(self.rows, Tap):
            self.rows = Tap(self.store)
        self.rows.hold(exporter.live)

    @property
    def _taker(self) -> Any:
        """What takes metric points and logs: the store, and sinks that are fed live."""
        return self.rows if self.rows is self.store else self.rows.taker

    def _live_names(self) -> list[str]:
        return [] if self.rows is self.store else self.rows.names

    def _measure(self) -> None:
        self.metrics = own_metrics(lambda: self.resource, self._taker, self._live_names())
        self.instruments = Instruments(
            current_meter_provider,
            self.describer.scrub_name,
            lambda: self.finisher.waiting_bytes,
            v1_41=self.settings.semconv == "1.41",
        )
        self.scope_instruments = ScopeInstruments(current_meter_provider)
        self.finisher.on_batch.append(self.instruments.flush_counters)

    def _processors_for(self, own: bool) -> Sequence[SpanProcessor]:
        made: list[SpanProcessor] = []
        if self.store is not None:
            made.append(self._store_processor)
        names = [plain_name(name) for name in self.settings.exporters]
        if own:
            names += [plain_name(name) for name in named_by_environment(OTEL_TRACES_EXPORTER)]
        there = () if own else exporter_types(self.seat.joining)
        for name in dict.fromkeys(names):
            exporter = make_span_exporter(name)
            if exporter is None:
                self.exporters[name] = "failed"
                continue
            if type(exporter) in there:  # the program's provider already has one: nothing is exported twice
                self.exporters[name] = "the program's own"
                exporter.shutdown()
                continue
            self.exporters[name] = "ours"
            live: Any = getattr(exporter, "live", None)
            if live is not None:
                self._feed_live(exporter)
            noted = None if self.store is None else self.store.delivered
            queue = BoundedBatchProcessor(
                exporter,
                name,
                max_bytes=self.settings.max_queue_bytes,
                delivered=noted
                if live is None
                else None,  # a sink that is fed live notes what it has settled
                shutdown_timeout_s=self.settings.shutdown_timeout,
            )
            made.append(self._sampled(queue, name, noted if live is None else live.settled_elsewhere))
        if self.settings.sampling is not None:
            for name in self.settings.sampling.named - set(self.exporters):
                drops.warn_once(
                    f"sampling:{name}", "sampling is set for %r, but there is no such exporter", name
                )
        self.processors += [p for p in made if p not in self.processors]
        return made

    def _sampled(self, queue: BoundedBatchProcessor, name: str, settled: Delivered | None) -> SpanProcessor:
        """Return an exporter's queue, behind what thins it out where that was asked for."""
        target = None if self.settings.sampling is None else self.settings.sampling.of(name)
        if target is None:
            return queue
        from otel_llm.sampling.processor import SamplingProcessor

        self.samplers[name] = SamplingProcessor(
            queue,
            name,
            target,
            max_bytes=self.settings.max_queue_bytes,
            settled=settled,
            shutdown_timeout_s=self.settings.shutdown_timeout,
        )
        return cast("SpanProcessor", self.samplers[name])

    def _install(self) -> None:
        wanted = self.settings.instrumentations
        disabled = {name.strip() for name in os.environ.get(_DISABLED, "").split(",")}
        for found in instrumentors():
            name = found.name
            if (wanted is not None and name not in wanted) or name in disabled or "*" in disabled:
                self.instrumentations[name] = "disabled"
                continue
            try:
                instrumentor = found.load()()
                if not instrumentor.is_instrumented_by_opentelemetry:
                    instrumentor.instrument(skip_dep_check=True)
                self.instrumentors[name] = instrumentor
                self.instrumentations[name] = "installed"
            except Exception as error:
                drops.internal_error(f"instrumentor {name}")
                self.instrumentations[name] = f"failed: {error}"

    def _places(self) -> list[OwnProvider]:
        return [place for place in (self.metrics, self.logs) if place is not None]

    def force_flush(self, timeout_s: float) -> bool:
        """Send and store everything handed over so far, within `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        holding.release()
        done = self.finisher.drain(timeout_s)
        provider = self.seat.provider
        flush = getattr(provider, "force_flush", None)
        if flush is not None:
            done &= _bounded(lambda: flush(_left_ms(deadline)), deadline)
        for place in self._places():
            done &= place.force_flush(_left_s(deadline))
        if self.rows is not None:
            done &= self.rows.flush(_left_s(deadline))
        dispatch.flush(min(_HOOKS_S, _left_s(deadline)))
        return done

    def stop(self, timeout_s: float) -> bool:
        """Flush and stop everything within `timeout_s` seconds. One part that fails does not keep the others."""
        deadline = time.monotonic() + timeout_s
        for callback in self.on_stop:
            _safely("stopping", callback)
        _safely("ending rollouts that waited", holding.release)
        recording.activate(None)
        done = _safely("stopping the queue", lambda: self.finisher.close(timeout_s))
        _safely("telling hooks", lambda: dispatch.flush(min(_HOOKS_S, _left_s(deadline))))
        for processor in self.processors:
            if hasattr(processor, "close"):  # the store's has none: others may use the store
                done &= _safely("stopping an exporter", partial(_close, processor, deadline))
        for place in self._places():
            _safely("stopping metrics and logs", partial(_close, place, deadline))
        if self.rows is not self.store:  # before the store, which notes what they have
            done &= _safely("closing sinks", partial(_close, self.rows, deadline))
        if self.store is not None:
            done &= _safely("closing the store", lambda: self.store.close(_left_s(deadline, at_least=0.5)))
        if self.seat.own is not None:
            done &= _bounded(self.seat.own.shutdown, deadline)
        return done

    def remove(self) -> None:
        """Undo every patch and leave every provider."""
        for name, instrumentor in self.instrumentors.items():
            try:
                instrumentor.uninstrument()
            except Exception:
                drops.internal_error(f"uninstrumenting {name}")
        if self.settings.bridges:
            from otel_llm import bridges

            _safely("taking bridges away", bridges.remove)
        if self.settings.log_correlation:
            from otel_llm import correlation

            correlation.remove(_CORRELATION)
        self.threads.remove()
        self.seat.leave()

    def after_fork_in_child(self) -> None:
        """Make a forked child fresh: its own queues, threads and store file, nothing of the parent's."""
        drops.reset()
        holding.after_fork_in_child()
        dispatch.after_fork_in_child()
        fresh = [
            recording.active,
            self.finisher,
            self.seat,
            self.instruments,
            self.scope_instruments,
            self.store,
            *self.processors,
        ]
        for part in fresh:
            if (restart := getattr(part, "after_fork_in_child", None)) is not None:
                _safely("a forked child", restart)


def instrumentors() -> list[EntryPoint]:
    """Return the entry points of our instrumentors, and of those that others made for us."""
    return sorted(
        (ep for ep in entry_points(group=GROUP) if ep.name.startswith(PREFIX)), key=lambda ep: ep.name
    )


def _resource(settings: Settings) -> Resource:
    attributes: dict[str, str] = {sc.DISTRO_NAME: "otel-llm", sc.DISTRO_VERSION: VERSION}
    detected: Mapping[str, Any] = OTELResourceDetector().detect().attributes
    if SERVICE_NAME not in detected and not os.environ.get(OTEL_SERVICE_NAME):
        script = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] not in {"", "-c", "-m"} else ""
        attributes[SERVICE_NAME] = settings.service_name or script or "python"
    return Resource.create(attributes)


def _left_s(deadline: float, at_least: float = 0.0) -> float:
    return max(at_least, deadline - time.monotonic())


def _left_ms(deadline: float) -> int:
    return int(_left_s(deadline) * 1000)


def _close(part: Any, deadline: float) -> Any:
    return part.close(_left_s(deadline))


def _in_background(do: Callable[[], object]) -> threads.Worker | None:
    """Run `do` on a daemon thread; None where the interpreter starts no threads any more."""
    try:
        return threads.start(_safely, "otel_llm-stop", ("shutdown", do))
    except RuntimeError:
        return None


def _safely(where: str, do: Callable[[], object]) -> bool:
    """Run `do`; say whether it neither failed nor returned False."""
    try:
        return do() is not False
    except Exception:
        drops.internal_error(where)
        return False


def _bounded(do: Callable[[], object], deadline: float) -> bool:
    """Run `do`, but wait for it until `deadline` only; say whether it ended and did not return False."""
    results: list[bool] = []
    thread = _in_background(lambda: results.append(do() is not False))
    if thread is None:
        return _safely("shutdown", do)
    thread.join(_left_s(deadline))
    return bool(results and results[0])
