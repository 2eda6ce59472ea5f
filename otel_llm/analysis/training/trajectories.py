"""What was said in a rollout: by its own content, else by the model calls below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from otel_llm import semconv as sc
from otel_llm.analysis.conversation import turns
from otel_llm.analysis.training.records import RolloutRecord
from otel_llm.analysis.values import CALL_OPERATIONS

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan


def below(spans: Iterable[StoredSpan], span_id: str) -> list[StoredSpan]:
    """Return a span of a trace and all that is below it, by start time; spans that are their own ancestors end it."""
    children: dict[str | None, list[StoredSpan]] = {}
    own: list[StoredSpan] = []
    for span in spans:
        if span.span_id == span_id:
            own.append(span)
        else:
            children.setdefault(span.parent_id, []).append(span)
    found, waiting = own[:1], [span_id] if own else []
    met = set(waiting)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child.span_id not in met:
                met.add(child.span_id)
                found.append(child)
                waiting.append(child.span_id)
    return sorted(found, key=lambda span: span.start_ns)


def conversation_of(one: RolloutRecord, spans: Sequence[StoredSpan]) -> list[tuple[str, str]]:
    """Return what was said in a rollout as (role, text); empty where nobody kept it.

    Args:
        one: the rollout.
        spans: it and what is below it.
    """
    said = one.conversation
    calls = [span for span in spans if span.attributes.get(sc.OPERATION_NAME) in CALL_OPERATIONS]
    own = next((span for span in spans if span.span_id == one.span.span_id), None)
    if one.output_messages or own is None or not calls:
        return said
    from otel_llm.views.conversations import conversation

    # The program told the prompt alone, if anything: the calls have it, and what followed.
    silent = replace(own, attributes={k: v for k, v in own.attributes.items() if k != sc.INPUT_MESSAGES})
    given, followed = conversation(silent, calls)
    return [*turns(given), *turns(followed)] or said
