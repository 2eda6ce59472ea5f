"""The end of the interpreter, as W&B sees it: it ends all runs in an exit handler, before ours would be called.

Handlers are called in the reverse order of their registration, and W&B registers its own when a core is started. So ours
is registered once more right after that: what is under way comes to W&B while it can still be taken.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from otel_llm import drops, runtime

if TYPE_CHECKING:
    from otel_llm_wandb.sink import WandbSink

_FLUSH_MS: Final = 5000


class AtExit:
    """Goes before W&B at exit, and tells a sink that the program logs nothing any more.

    Args:
        sink: which.
    """

    def __init__(self, sink: WandbSink) -> None:
        self._sink: WandbSink | None = sink
        atexit.register(self._run_alone)
        if runtime.current() is not None:
            runtime._lifecycle.start()  # registers its handler anew
        atexit.register(self._tell)

    def cancel(self) -> None:
        """Do nothing at exit."""
        self._sink = None
        atexit.unregister(self._tell)
        atexit.unregister(self._run_alone)

    def _tell(self) -> None:
        if self._sink is not None:
            self._sink.is_exiting = True

    def _run_alone(self) -> None:
        """Close the sink where no `instrument()` does: it is an exporter of the program's own providers."""
        sink = self._sink
        if sink is None or runtime.current() is not None:
            return
        from opentelemetry import metrics, trace

        from otel_llm.views import registry

        for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
            flush = getattr(provider, "force_flush", None)
            if flush is not None:
                _quietly(lambda flush=flush: flush(_FLUSH_MS))  # type: ignore[misc]
        for live in registry.active():
            if live.name == sink.name:
                _quietly(lambda live=live: live.close(live.close_timeout_s))  # type: ignore[misc]


def _quietly(do: Callable[[], object]) -> None:
    try:
        do()
    except Exception:
        drops.internal_error("sink wandb: exit")
