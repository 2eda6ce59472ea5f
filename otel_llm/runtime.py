"""`instrument()`, `force_flush()`, `shutdown()`: the public functions, once a process, through fork and exit."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.sdk.environment_variables import OTEL_SDK_DISABLED

from otel_llm import drops, recording
from otel_llm.assembly import Runtime, instrumentors
from otel_llm.content import ContentPolicy
from otel_llm.lifecycle import Lifecycle
from otel_llm.settings import Settings, SettingsError
from otel_llm.version import VERSION


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


_lock = threading.RLock()
_runtime: Runtime | None = None
_handle: Handle | None = None


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
    global _handle, _runtime
    with _lock:
        if _runtime is not None:
            if given:
                drops.warn_once("again", "otel_llm.instrument() was called before; this call changes nothing")
            assert _handle is not None  # noqa: S101 (set together with the runtime)
            return _handle
        settings = Settings.resolve(given)
        if os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true":
            return Handle(settings, enabled=False)
        runtime = Runtime(settings)
        try:
            runtime.start()
        except Exception:
            # Half a set-up is worse than none: take back what was done, and let the program run without us.
            drops.internal_error("instrument()")
            recording.activate(None)
            runtime.stop(settings.shutdown_timeout)
            runtime.remove()
            return Handle(settings, enabled=False)
        _runtime = runtime
        _lifecycle.start()
        _handle = Handle(settings, runtime.instrumentations)
        return _handle


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
        "found": {found.name: found.value for found in instrumentors()},
        "dropped": {f"{what}: {reason}": n for (what, reason), n in sorted(drops.counts().items())},
    }
    if runtime is None:
        return report
    provider = runtime.seat.provider
    report |= {
        "instrumentations": dict(runtime.instrumentations),
        "seams": {
            name: instrumentor.seams()
            for name, instrumentor in runtime.instrumentors.items()
            if hasattr(instrumentor, "seams")
        },
        "provider": {"class": type(provider).__qualname__, "own": runtime.seat.is_own},
        "exporters": dict(runtime.exporters),
        "sampling": {name: sampler.status() for name, sampler in runtime.samplers.items()},
        "store": None if runtime.store is None else str(runtime.settings.store),
        "waiting": {"items": runtime.finisher.waiting, "bytes": runtime.finisher.waiting_bytes},
    }
    if runtime.settings.bridges:
        from otel_llm import bridges

        report["bridges"] = bridges.report()
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
