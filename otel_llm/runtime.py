"""`instrument()`, `force_flush()`, `shutdown()`: puts the parts together, once a process, and takes them apart.

Imports the core; finds plug-ins by entry point and imports none of them by name.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk.environment_variables import OTEL_SDK_DISABLED, OTEL_SERVICE_NAME
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor

from otel_llm import calls, drops
from otel_llm.attributes import Describer
from otel_llm.batching import BoundedBatchProcessor
from otel_llm.content import ContentPolicy
from otel_llm.context import ThreadContext
from otel_llm.exporting import OTEL_TRACES_EXPORTER, make_span_exporter, named_by_environment
from otel_llm.finishing import Finisher
from otel_llm.hosts import NearHosts
from otel_llm.instruments import Instruments, current_meter_provider
from otel_llm.lifecycle import Lifecycle
from otel_llm.llm import Limits
from otel_llm.providers import Seat, exporter_types
from otel_llm.redaction import Scrubber
from otel_llm.settings import Settings, SettingsError
from otel_llm.signals import OwnProvider, own_logs, own_metrics
from otel_llm.version import VERSION

GROUP: Final = "opentelemetry_instrumentor"
PREFIX: Final = "otel_llm"
_COMMIT_INTERVAL_S: Final = 0.025  # the finisher has gathered a batch already; both together stay below 200 ms
_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final[Any] = _Unset()
"""The value of an argument that was not given: the environment decides, then the default."""


@dataclass(slots=True)
class Handle:
    """What `instrument()` did, and the way back.

    Attributes:
        settings: the settings in force.
        instrumentations: per instrumentor what became of it: `installed`, `disabled` or `failed: …`.
        enabled: false where `OTEL_SDK_DISABLED` switched everything off.
    """

    settings: Settings
    instrumentations: dict[str, str] = field(default_factory=dict)
    enabled: bool = True

    def status(self) -> dict[str, Any]:
        """Return what is found, patched, configured and dropped, as plain data (`otel-llm doctor` prints it)."""
        return status()

    def uninstrument(self) -> None:
        """Flush, undo every patch, and take our processors and providers away."""
        shutdown()


class Runtime:
    """Everything that one `instrument()` set up."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.near = NearHosts(settings.propagate_hosts)
        self.scrubber = Scrubber(settings.redact_patterns, settings.redact)
        self.finisher = Finisher(settings.max_queue_bytes)
        self.seat = Seat(self.finisher, settings.shutdown_timeout)
        self.seat.processors_for = self._processors_for
        self.describer = Describer(settings, self.scrubber, self.near)
        self.threads = ThreadContext()
        self.processors: list[SpanProcessor] = []
        self.exporters: dict[str, str] = {}
        self.instrumentors: dict[str, Any] = {}
        self.handle = Handle(settings)
        self.store: Any = None
        self.metrics: OwnProvider | None = None
        self.logs: OwnProvider | None = None
        self.instruments: Instruments | None = None
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
        self.seat.take(lambda: self.resource)
        if settings.metrics:
            self._measure()
        self.logs = own_logs(lambda: self.resource, self.store)
        if settings.capture.events:
            from otel_llm.events import DetailEvents

            self.describer.emit = DetailEvents(self.describer)
        calls.activate(
            calls.Recorder(
                self.seat,
                self.finisher,
                self.describer,
                self.instruments,
                self.near,
                Limits(max_body=settings.max_body_bytes),
            )
        )
        self.threads.install()
        self._install()

    def _open_store(self, directory: Path) -> None:
        # Imported here: a program without a store pays for none.
        from otel_llm.store import Retention, StoreWriter
        from otel_llm.store.processor import StoreSpanProcessor

        settings = self.settings
        self.store = StoreWriter(
            directory,
            max_queue_bytes=settings.max_queue_bytes,
            commit_interval_s=_COMMIT_INTERVAL_S,
            retention=Retention(settings.store_max_age_days * 86_400, settings.store_max_bytes),
        )
        processor = StoreSpanProcessor(self.store)
        self._store_processor = processor
        if settings.kept_content is not settings.content:
            self.describer.keep = lambda span, extra: processor.attach_extra(
                span.get_span_context().trace_id, span.get_span_context().span_id, dict(extra)
            )

    def _measure(self) -> None:
        self.metrics = own_metrics(lambda: self.resource, self.store)
        self.instruments = Instruments(
            current_meter_provider,
            self.describer.scrub_name,
            lambda: self.finisher.waiting_bytes,
            v1_41=self.settings.semconv == "1.41",
        )
        self.finisher.on_batch.append(self.instruments.flush_counters)

    def _processors_for(self, own: bool) -> Sequence[SpanProcessor]:
        made: list[SpanProcessor] = []
        if self.store is not None:
            made.append(self._store_processor)
        names = list(self.settings.exporters)
        if own:
            names += named_by_environment(OTEL_TRACES_EXPORTER)
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
            made.append(
                BoundedBatchProcessor(
                    exporter,
                    name,
                    max_bytes=self.settings.max_queue_bytes,
                    delivered=None if self.store is None else self.store.delivered,
                    shutdown_timeout_s=self.settings.shutdown_timeout,
                )
            )
        self.processors += [p for p in made if p not in self.processors]
        return made

    def _install(self) -> None:
        wanted = self.settings.instrumentations
        disabled = {name.strip() for name in os.environ.get(_DISABLED, "").split(",")}
        for found in _instrumentors():
            name = found.name
            if (wanted is not None and name not in wanted) or name in disabled or "*" in disabled:
                self.handle.instrumentations[name] = "disabled"
                continue
            try:
                instrumentor = found.load()()
                if not instrumentor.is_instrumented_by_opentelemetry:
                    instrumentor.instrument(skip_dep_check=True)
                self.instrumentors[name] = instrumentor
                self.handle.instrumentations[name] = "installed"
            except Exception as error:
                drops.internal_error(f"instrumentor {name}")
                self.handle.instrumentations[name] = f"failed: {error}"

    def _places(self) -> list[OwnProvider]:
        return [place for place in (self.metrics, self.logs) if place is not None]

    def force_flush(self, timeout_s: float) -> bool:
        """Send and store everything handed over so far, within `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        done = self.finisher.drain(timeout_s)
        provider = self.seat.provider
        flush = getattr(provider, "force_flush", None)
        if flush is not None:
            done &= _bounded(lambda: flush(_left_ms(deadline)), deadline)
        for place in self._places():
            done &= place.force_flush(_left_s(deadline))
        if self.store is not None:
            done &= self.store.flush(_left_s(deadline))
        return done

    def stop(self, timeout_s: float) -> bool:
        """Flush and stop everything within `timeout_s` seconds. One part that fails does not keep the others."""
        deadline = time.monotonic() + timeout_s
        calls.activate(None)
        done = _safely("stopping the queue", lambda: self.finisher.close(timeout_s))
        for processor in self.processors:
            if isinstance(processor, BoundedBatchProcessor):
                done &= _safely("stopping an exporter", partial(_close, processor, deadline))
        for place in self._places():
            _safely("stopping metrics and logs", partial(_close, place, deadline))
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
        self.threads.remove()
        self.seat.leave()

    def after_fork_in_child(self) -> None:
        """Make a forked child fresh: its own queues, threads and store file, nothing of the parent's."""
        drops.reset()
        fresh = [self.finisher, self.seat, self.instruments, self.store, *self.processors]
        for part in fresh:
            if (restart := getattr(part, "after_fork_in_child", None)) is not None:
                _safely("a forked child", restart)


_lock = threading.RLock()
_runtime: Runtime | None = None


def instrument(
    *,
    content: ContentPolicy | str = UNSET,
    store_content: ContentPolicy | str | None = UNSET,
    store: os.PathLike[str] | str | None = UNSET,
    exporters: Sequence[str] = UNSET,
    service_name: str | None = UNSET,
    redact: Callable[[str], str] | None = UNSET,
    propagate_hosts: Sequence[str] = UNSET,
    **more: Any,
) -> Handle:
    """See every model call of this process from now on.

    Patches the HTTP clients below every LLM SDK (when the program imports them; nothing is imported for it),
    joins the TracerProvider that is set up, now or later, or sets up one, and opens the local store. A second
    call changes nothing and returns the first one's handle.

    Args:
        content: what spans carry of prompts and answers: `none`, `length` (default), `preview`, `full`.
        store_content: what the local store keeps; default as `content`.
        store: directory of the local store, None for none; default `.otel_llm`.
        exporters: span exporters to add, such as `["otlp"]`, to those that `OTEL_TRACES_EXPORTER` names.
        service_name: `service.name` where `OTEL_SERVICE_NAME` is not set.
        redact: the program's own redaction, `(str) -> str`.
        propagate_hosts: hosts that get `traceparent` besides loopback and private networks.
        **more: any other field of `Settings`.

    Returns:
        A handle that says what was patched, and can undo it.

    Raises:
        SettingsError: a setting has a value it does not accept.
        TypeError: there is no such setting.
    """
    arguments = {
        "content": content,
        "store_content": store_content,
        "store": store,
        "exporters": exporters,
        "service_name": service_name,
        "redact": redact,
        "propagate_hosts": propagate_hosts,
        **more,
    }
    given = {name: value for name, value in arguments.items() if value is not UNSET}
    global _runtime
    with _lock:
        if _runtime is not None:
            if given:
                drops.warn_once("again", "otel_llm.instrument() was called before; this call changes nothing")
            return _runtime.handle
        settings = Settings.resolve(given)
        if os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true":
            return Handle(settings, enabled=False)
        runtime = Runtime(settings)
        try:
            runtime.start()
        except Exception:
            # Half a set-up is worse than none: take back what was done, and let the program run without us.
            drops.internal_error("instrument()")
            calls.activate(None)
            runtime.remove()
            return Handle(settings, enabled=False)
        _runtime = runtime
        _lifecycle.start()
        return runtime.handle


def post_instrument() -> None:
    """Join `opentelemetry-instrument`; the entry point `opentelemetry_post_instrument`. Never raises."""
    try:
        instrument()
    except SettingsError as error:
        drops.logger.error("otel_llm is off: %s", error)
    except Exception:
        drops.internal_error("opentelemetry_post_instrument")


def force_flush(timeout: float = 10.0) -> bool:
    """Send and store everything that was handed over so far.

    Args:
        timeout: seconds it may take.

    Returns:
        Whether everything went in time; True where nothing is instrumented.
    """
    runtime = _runtime
    return True if runtime is None else runtime.force_flush(timeout)


def shutdown(timeout: float | None = None) -> bool:
    """Flush, stop, and undo every patch; `instrument()` works again afterwards.

    Args:
        timeout: seconds it may take; default `Settings.shutdown_timeout`.

    Returns:
        Whether everything went in time; True where nothing is instrumented.
    """
    global _runtime
    with _lock:
        runtime, _runtime = _runtime, None
        if runtime is None:
            return True
        _lifecycle.stop()
        done = runtime.stop(runtime.settings.shutdown_timeout if timeout is None else timeout)
        runtime.remove()
        return done


def status() -> dict[str, Any]:
    """Return what is found, patched, configured and dropped in this process, as plain data."""
    runtime = _runtime
    report: dict[str, Any] = {
        "version": VERSION,
        "instrumented": runtime is not None,
        "found": {found.name: found.value for found in _instrumentors()},
        "dropped": {f"{what}: {reason}": n for (what, reason), n in sorted(drops.counts().items())},
    }
    if runtime is None:
        return report
    provider = runtime.seat.provider
    report |= {
        "instrumentations": dict(runtime.handle.instrumentations),
        "seams": {
            name: instrumentor.seams()
            for name, instrumentor in runtime.instrumentors.items()
            if hasattr(instrumentor, "seams")
        },
        "provider": {"class": type(provider).__qualname__, "own": runtime.seat.is_own},
        "exporters": dict(runtime.exporters),
        "store": None if runtime.store is None else str(runtime.settings.store),
        "waiting": {"items": runtime.finisher.waiting, "bytes": runtime.finisher.waiting_bytes},
    }
    return report


def current() -> Runtime | None:
    """Return what `instrument()` set up, None before it and after `shutdown()`."""
    return _runtime


def _on_exit() -> None:
    runtime = _runtime
    if runtime is not None:
        runtime.stop(runtime.settings.shutdown_timeout)


def _on_fork() -> None:
    global _lock
    _lock = threading.RLock()
    if _runtime is not None:
        _runtime.after_fork_in_child()


_lifecycle = Lifecycle(_on_exit, _on_fork)


def _instrumentors() -> list[EntryPoint]:
    return sorted(
        (ep for ep in entry_points(group=GROUP) if ep.name.startswith(PREFIX)), key=lambda ep: ep.name
    )


def _resource(settings: Settings) -> Resource:
    attributes: dict[str, str] = {"telemetry.distro.name": "otel-llm", "telemetry.distro.version": VERSION}
    detected: Mapping[str, Any] = OTELResourceDetector().detect().attributes
    if "service.name" not in detected and not os.environ.get(OTEL_SERVICE_NAME):
        script = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] not in {"", "-c", "-m"} else ""
        attributes["service.name"] = settings.service_name or script or "python"
    return Resource.create(attributes)


def _left_s(deadline: float, at_least: float = 0.0) -> float:
    return max(at_least, deadline - time.monotonic())


def _left_ms(deadline: float) -> int:
    return int(_left_s(deadline) * 1000)


def _close(part: Any, deadline: float) -> Any:
    return part.close(_left_s(deadline))


def _in_background(do: Callable[[], object]) -> threading.Thread | None:
    """Run `do` on a daemon thread; None where the interpreter starts no threads any more."""
    thread = threading.Thread(target=_safely, args=("shutdown", do), name="otel_llm-stop", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


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
