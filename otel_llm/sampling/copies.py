"""What is exported of a span that sampling has let through: the same span, and how many it stands for."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan

from otel_llm import semconv as sc
from otel_llm.providers import attributes_of


class SampledSpan(ReadableSpan):
    """A shallow copy of an ended span, which nobody may change, with two attributes more.

    Args:
        span: the span; everything but its attributes is shared with it.
        weight: how many spans it stands for.
        reason: why it was kept.
    """

    def __init__(self, span: ReadableSpan, weight: float, reason: str) -> None:  # (not super's: all is there)
        self.__dict__.update(span.__dict__)
        self._dropped_attributes = span.dropped_attributes
        self._attributes = {
            **attributes_of(span),
            sc.SAMPLING_WEIGHT: weight,
            sc.SAMPLING_REASON: reason,
        }

    @property
    def dropped_attributes(self) -> int:
        """How many attributes the original had to let go."""
        return self._dropped_attributes
