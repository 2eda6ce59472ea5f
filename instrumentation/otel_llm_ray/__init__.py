"""Ray: one trace through driver, tasks and actors; workers instrumented as the driver is.

`otel_llm.instrument()` in the driver is enough. It wraps `ray.init`, so that every worker of the job starts with
the driver's settings, and turns on Ray's own tracing, which carries the context (also run, step and game) into tasks
and actors, and makes the spans `… ray.remote` and `… ray.remote_worker`. Before a remote call returns, its spans are
in the local store: a worker that is killed right after it loses nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from typing import Any, Final

import wrapt
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otel_llm import drops

MODULE: Final = "ray"
_HELPER: Final = "ray.util.tracing.tracing_helper"


class RayInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Wraps `ray.init` when Ray is imported; never raises, and does not import Ray."""

    _enabled = False
    _hooked = False
    _original: Any = None
    _replacement: Any = None
    _report = "not imported"

    def instrumentation_dependencies(self) -> Collection[str]:
        """Nothing has to be installed: Ray that is never imported is never patched."""
        return ()

    def _instrument(self, **_: Any) -> None:
        self._enabled = True
        if self._hooked:
            if MODULE in sys.modules:
                self._patch(sys.modules[MODULE])
            return
        self._hooked = True
        wrapt.when_imported(MODULE)(self._patch)

    def _patch(self, module: Any) -> None:
        if not self._enabled or self._original is not None:
            return
        try:
            from otel_llm_ray.joining import CONFIGURATION, wrapped_init

            if CONFIGURATION in os.environ:
                self._report = "a worker"
                return
            if module.is_initialized():
                drops.warn_once(
                    "ray-late", "ray.init() was called before otel_llm.instrument(): its workers are not seen"
                )
                self._report = "too late: ray.init() was called before"
                return
            self._original = module.init
            self._replacement = module.init = wrapped_init(module.init)
            self._report = "patched"
        except Exception as error:
            self._report = f"failed: {error!r}"
            drops.internal_error("patching Ray")

    def _uninstrument(self, **_: Any) -> None:
        self._enabled = False
        module = sys.modules.get(MODULE)
        if self._original is not None and module is not None:
            if getattr(module, "init", None) is self._replacement:
                module.init = self._original  # type: ignore[attr-defined]
            from otel_llm_ray.joining import disable

            disable()
        self._original = self._replacement = None
        self._report = "not patched"

    def seams(self) -> dict[str, str]:
        """Return what became of `ray.init`: `patched`, `not imported` or `failed: …`."""
        return {"init": self._report}
