"""The end of the interpreter, as W&B sees it: it ends all runs in an exit handler, before ours would be called.

Handlers are called in the reverse order of registration, and W&B registers its own when a core is started. The one here is
registered right after that, and brings everything to W&B while it can still be taken.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from otel_llm import drops

if TYPE_CHECKING:
    from otel_llm_wandb.sink import WandbSink

_SHARE: Final = 0.7
_DEFAULT_S: Final = 10.0


class AtExit:
    """Calls a sink at exit, on the sink's own thread.

    Args:
        sink: which.
    """

    def __init__(self, sink: WandbSink) -> None:
        self._sink: WandbSink | None = sink
        atexit.register(self._run)

    def cancel(self) -> None:
        """Do nothing at exit."""
        self._sink = None
        atexit.unregister(self._run)

    def _run(self) -> None:
        sink, self._sink = self._sink, None
        if sink is None:
            return
        try:
            from otel_llm.views import registry

            timeout_s = _flush_program()
            sink.leave_at_exit()
            for live in registry.active():
                if live.name == sink.name:
                    live.flush(timeout_s)
        except Exception:
            drops.internal_error("sink wandb: exit")


def _flush_program() -> float:
    """Have everything that ended so far on its way to the sink; returns the time that is left for the sink."""
    from otel_llm import runtime

    active = runtime.current()
    if active is not None:
        timeout_s = active.settings.shutdown_timeout * _SHARE
        _quietly(lambda: active.finisher.drain(timeout_s))
        _quietly(lambda: runtime.force_flush(timeout_s))
        return timeout_s
    from opentelemetry import metrics, trace

    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        flush = getattr(provider, "force_flush", None)
        if flush is not None:
            _quietly(lambda flush=flush: flush(int(_DEFAULT_S * 500)))  # type: ignore[misc]
    return _DEFAULT_S


def _quietly(do: Callable[[], object]) -> None:
    try:
        do()
    except Exception:
        drops.internal_error("sink wandb: exit")
