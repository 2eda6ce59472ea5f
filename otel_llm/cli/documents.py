"""The JSON that `--json` prints: a stable form of spans and traces, documented in `show --help`.

Output is ASCII: whatever a model said, no byte of it can act upon a terminal, and any pipe can take it.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from otel_llm.cli import figures
from otel_llm.cli.facts import Facts, Totals
from otel_llm.cli.tree import build, walk

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan

SCHEMA: Final = "otel_llm.traces/1"
_MAX_DEPTH: Final = 100


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Return `value` as strict JSON in ASCII."""
    return json.dumps(plain(value), indent=indent, allow_nan=False)


def plain(value: Any, _depth: int = 0) -> Any:
    """Return `value` in what JSON can say: NaN and infinities become texts, bytes base64."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if _depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {str(key): plain(inner, _depth + 1) for key, inner in value.items()}
        if isinstance(value, Sequence):
            return [plain(inner, _depth + 1) for inner in value]
    return str(value)


def traces(found: Sequence[tuple[str, Sequence[StoredSpan]]]) -> dict[str, Any]:
    """Return the document for traces: `[(trace id, its spans), ...]`."""
    return {"schema": SCHEMA, "traces": [trace(trace_id, spans) for trace_id, spans in found]}


def trace(trace_id: str, spans: Sequence[StoredSpan]) -> dict[str, Any]:
    """Return one trace: its sums, and its spans with parents before children."""
    nodes = list(walk(build(spans)))
    totals = Totals.of((node.span, node.facts) for node in nodes)
    start_ns = min(node.span.start_ns for node in nodes)
    ends = [node.span.end_ns for node in nodes if node.span.end_ns is not None]
    return {
        "trace_id": trace_id,
        "name": nodes[0].span.name,
        "start": figures.iso(start_ns),
        "duration_s": (max(ends) - start_ns) / 1e9 if ends and not totals.open else None,
        "calls": totals.calls,
        "errors": totals.errors,
        "open": totals.open,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "cost_usd": totals.cost,
        "spans": [span_document(node.span, node.facts) for node in nodes],
    }


def span_document(span: StoredSpan, facts: Facts | None = None) -> dict[str, Any]:
    """Return one span: what a reader of calls asks for first, then everything as it was stored."""
    facts = Facts.of(span) if facts is None else facts
    error = {"type": facts.error_type, "message": facts.error_message, "status_code": facts.status_code}
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "name": span.name,
        "kind": span.kind,
        "open": span.end_ns is None,
        "start": figures.iso(span.start_ns),
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "duration_s": span.duration_s,
        "operation": facts.operation,
        "model": facts.model,
        "time_to_first_chunk_s": facts.ttft_s,
        "input_tokens": facts.input_tokens,
        "output_tokens": facts.output_tokens,
        "cached_tokens": facts.cache_read,
        "reasoning_tokens": facts.reasoning,
        "cost_usd": facts.cost,
        "finish_reasons": facts.finish_reasons,
        "tool_calls": facts.tool_calls,
        "retry": facts.attempt,
        "retry_of": None
        if facts.retry_of is None
        else dict(zip(("trace_id", "span_id"), facts.retry_of, strict=True)),
        "error": error if facts.failed else None,
        "status": span.status,
        "status_description": span.status_description,
        "attributes": span.attributes,
        "events": [
            {"name": e.name, "time": figures.iso(e.time_ns), "attributes": e.attributes} for e in span.events
        ],
        "links": [
            {"trace_id": link.trace_id, "span_id": link.span_id, "attributes": link.attributes}
            for link in span.links
        ],
        "resource": span.resource,
        "scope": {"name": span.scope.name, "version": span.scope.version},
    }
