"""In a worker: everything on, by the driver's settings; nothing lost when the worker is killed."""

from __future__ import annotations

import json
import os
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanKind

from otel_llm import drops, runtime
from otel_llm_ray import semconv as sc
from otel_llm_ray.joining import CONFIGURATION, carry_scopes
from otel_llm_ray.settings import Flush, RaySettings

_STORE_S: Final = 2.0
_EXPORT_S: Final = 2.0
_RAY: Final = "ray.util.tracing"


def start() -> None:
    """Instrument this worker as the driver is. Never raises; a worker that is instrumented already stays so."""
    try:
        told: dict[str, Any] = json.loads(os.environ.get(CONFIGURATION) or "{}")
        settings = RaySettings.from_environment()
        if runtime.current() is None:
            runtime.instrument(**told)
        active = runtime.current()
        if active is not None and hasattr(active.seat.provider, "add_span_processor"):
            active.seat.provider.add_span_processor(WhereAndSafe(settings.flush))  # type: ignore[union-attr]
        if settings.tracing:
            from ray.util.tracing import tracing_helper

            tracing_helper._enable_tracing()
            carry_scopes(tracing_helper)
    except Exception:
        drops.internal_error("starting in a Ray worker")


class WhereAndSafe(SpanProcessor):
    """Says on every span where in the cluster it was, and brings a call's spans to safety before it returns.

    Args:
        flush: what is brought to safety; see `RaySettings.flush`.
    """

    def __init__(self, flush: Flush) -> None:
        self._flush = flush
        self._where: dict[str, str] | None = None

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 (the interface)
        """Set job, node, worker and actor."""
        try:
            if self._where is None:
                self._where = _where()
            span.set_attributes(self._where)
        except Exception:
            drops.internal_error("where a Ray worker is")

    def on_end(self, span: ReadableSpan) -> None:
        """After a remote call, wait until its spans are stored, or sent."""
        try:
            scope = span.instrumentation_scope
            if (
                self._flush == "none"
                or span.kind is not SpanKind.CONSUMER
                or scope is None
                or not scope.name.startswith(_RAY)
            ):
                return
            active = runtime.current()
            if active is None:
                return
            active.finisher.drain(_STORE_S)
            if active.store is not None:
                active.store.flush(_STORE_S)
            if self._flush == "all" or active.store is None:
                for processor in active.processors:
                    processor.force_flush(int(_EXPORT_S * 1000))
        except Exception:
            drops.internal_error("flushing after a Ray call")


def _where() -> dict[str, str]:
    """Return what Ray knows of this worker. An actor's process is its own: what was found once stays true."""
    import ray

    context = ray.get_runtime_context()
    found = {
        sc.JOB_ID: context.get_job_id(),
        sc.NODE_ID: context.get_node_id(),
        sc.WORKER_ID: context.get_worker_id(),
        sc.ACTOR_ID: context.get_actor_id(),
    }
    return {key: str(value) for key, value in found.items() if value}
