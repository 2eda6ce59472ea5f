"""Logged answers on their way to the table `model_outputs`: to the local store and to live sinks, and nowhere else.

What other exporters get of them is the plan's to say (`OpenTelemetryHandler`). The caller hands over texts; secrets are
scrubbed from them on the worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry._logs import SeverityNumber

from otel_llm import drops, runtime
from otel_llm import semconv as sc
from otel_llm.content import ContentPolicy, dumps, marker
from otel_llm.numeric import as_text, is_on_device
from otel_llm.version import VERSION

if TYPE_CHECKING:
    from otel_llm.assembly import Runtime

KEYS: Final = {
    sc.MODEL_OUTPUT_QUESTION: "question",
    sc.MODEL_OUTPUT_TRUE_ANSWER: "true_answer",
    sc.MODEL_OUTPUT_REASONING: "llm_reasoning",
    sc.MODEL_OUTPUT_ANSWER: "llm_answer",
}
"""Which part of a row is which attribute of the event."""


def record_output(row: Mapping[str, Any], step: int | None) -> None:
    """Hand a logged answer over; does nothing where nothing is instrumented, or there is neither store nor sink.

    Args:
        row: its parts, by the names that are values of `KEYS`; what else it has is left out.
        step: the training step.
    """
    active = runtime.current()
    if active is None or active.rows is None or active.settings.kept_content is ContentPolicy.NONE:
        return
    texts = {key: _text(row[name]) for key, name in KEYS.items() if row.get(name) is not None}
    active.finisher.put(TextEvent(active, texts, step))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return as_text(value) if is_on_device(value) else dumps(value)


class TextEvent:
    """An event with texts of a program, an answer by default, waiting for the worker.

    Args:
        active: what is instrumented; has somewhere to write rows.
        texts: by attribute; the content policy says what is kept of them.
        step: the training step.
        event_name: the event's name.
        told: other attributes.
    """

    __slots__ = (
        "_at_ns",
        "_event_name",
        "_lengths",
        "_place",
        "_runtime",
        "_step",
        "_texts",
        "_told",
        "nbytes",
    )

    def __init__(
        self,
        active: Runtime,
        texts: dict[str, str],
        step: int | None,
        *,
        event_name: str = sc.EVENT_MODEL_OUTPUT,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        self._runtime = active
        self._event_name = event_name
        self._told = told or {}
        self._texts = texts
        self._lengths = {key + sc.LENGTH_SUFFIX: len(text) for key, text in texts.items()}
        self._step = step
        self._at_ns = time_ns()
        self._place = trace.get_current_span().get_span_context()
        self.nbytes = 512 + sum(map(len, texts.values()))

    def finish(self) -> None:
        """Write it to the store and to live sinks; on the worker."""
        from otel_llm.store.rows import LogRow, Scope

        place = self._place
        self._runtime.rows.logs(
            [
                LogRow(
                    self._at_ns,
                    observed_ns=self._at_ns,
                    severity_number=SeverityNumber.INFO.value,
                    event_name=self._event_name,
                    attributes=self._attributes(),
                    trace_id=f"{place.trace_id:032x}" if place.is_valid else None,
                    span_id=f"{place.span_id:016x}" if place.is_valid else None,
                    flags=int(place.trace_flags),
                    scope=Scope("otel_llm", VERSION, sc.SCHEMA_URL),
                )
            ]
        )

    def _attributes(self) -> dict[str, Any]:
        told: dict[str, Any] = (
            dict(self._told) if self._step is None else {**self._told, sc.TRAIN_STEP: self._step}
        )
        policy = self._runtime.settings.kept_content
        if policy is ContentPolicy.LENGTH or not self._texts:
            return told | self._lengths
        longest = self._runtime.describer.longest(policy)
        return told | {key: self._kept(text, longest) for key, text in self._texts.items()}

    def _kept(self, text: str, longest: int) -> str:
        # Scrubbed before it is cut, so that no half of a secret is left.
        scrub = self._runtime.describer.scrub
        if len(text) <= longest:
            return scrub(text)
        return scrub(text[: longest + _AHEAD])[:longest] + marker(len(text))

    def shed(self) -> None:
        """Let the texts go; their lengths stay."""
        self._texts = {}
        self.nbytes = 512

    def abandon(self) -> None:
        """Count what is lost."""
        self.shed()
        drops.count("event", "queue_full")


_AHEAD: Final = 512
"""A text is scrubbed so far beyond its cut, in characters."""
