"""Game, phase, power … on every span below a scope, whoever makes the span.

Spans of our own start with these attributes; this processor gives them to other people's. What came as baggage
from another process counts like a scope.
"""

from __future__ import annotations

from typing import Final

from opentelemetry import baggage
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.context import SCOPE_KEY

HANDED_DOWN: Final = frozenset(
    {
        sc.GAME_ID,
        sc.GAME_NAME,
        sc.GAME_IN_TRAINING,
        sc.GAME_EPISODE,
        sc.GAME_TRAINING_STEP,
        sc.PHASE_NAME,
        sc.PHASE_YEAR,
        sc.PHASE_SEASON,
        sc.PHASE_TYPE,
        sc.POWER_NAME,
        sc.INTERACTION_TYPE,
        sc.RUN_ID,
        sc.RUN_ATTEMPT,
        sc.TRAIN_STEP,
        sc.SAMPLE_ID,
        sc.SAMPLE_GROUP,
        sc.SAMPLE_TURN,
    }
)
"""What may come from another process; other baggage is not ours to copy."""

_WHOLE: Final = frozenset(
    {
        sc.GAME_EPISODE,
        sc.GAME_TRAINING_STEP,
        sc.PHASE_YEAR,
        sc.PHASE_SEASON,
        sc.RUN_ATTEMPT,
        sc.TRAIN_STEP,
        sc.SAMPLE_TURN,
    }
)
_MAX_VALUE: Final = 256


class HandDown(SpanProcessor):
    """Gives each new span what the scope around it hands down.

    Args:
        own_scope: name of our instrumentation scope, whose spans have it already.
    """

    def __init__(self, own_scope: str) -> None:
        self._own_scope = own_scope

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Set the attributes on a span that started."""
        try:
            context = context_api.get_current() if parent_context is None else parent_context
            scope = context.get(SCOPE_KEY)
            if scope is None:
                if carried := baggage.get_all(context):
                    span.set_attributes(from_baggage(carried))
                return
            made_by = span.instrumentation_scope
            if made_by is None or made_by.name != self._own_scope:  # ours have it already
                span.set_attributes(scope.inherited)  # type: ignore[attr-defined]
        except Exception:
            drops.internal_error("handing down")

    def on_end(self, span: ReadableSpan) -> None:
        """Do nothing."""


def from_baggage(carried: object) -> dict[str, str | int | bool]:
    """Return those entries of baggage that a scope hands down, as attributes."""
    found: dict[str, str | int | bool] = {}
    for key in HANDED_DOWN & carried.keys():  # type: ignore[attr-defined]
        value = str(carried[key])[:_MAX_VALUE]  # type: ignore[index]
        if key in _WHOLE:
            if value.isdigit():
                found[key] = int(value)
        elif key == sc.GAME_IN_TRAINING:
            found[key] = value == "True"
        else:
            found[key] = value
    return found
