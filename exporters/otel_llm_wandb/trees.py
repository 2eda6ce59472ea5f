"""W&B's own (old) trace tables for small traces: a viewer of span trees without Weave. Off by default, few, small.

A tree is one value of a row, inline (no file), and W&B advises less than 1 MB a value: a phase of a game fits, a game does
not. For all traces there is Weave (`docs/wandb.md`). Spans come from the local store.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.store.rows import StoredSpan
from otel_llm_wandb.outbox import TableRows

TRACES: Final = "traces"
_FROM: Final = frozenset({"interactions", "full_trajectories"})
_MAX_BYTES: Final = 900_000
_MAX_TEXT: Final = 4000
_KINDS: Final = {
    sc.EXECUTE_TOOL: "TOOL",
    sc.INVOKE_AGENT: "AGENT",
    sc.INVOKE_WORKFLOW: "CHAIN",
    **dict.fromkeys(sc.INFERENCE_OPERATIONS, "LLM"),
}


class Trees:
    """Makes trees of the traces that rows of tables belong to, each once.

    Args:
        limit: how many.
        max_spans: spans of the largest.
        store: where spans are read.
    """

    def __init__(self, limit: int, max_spans: int, store: Path | None) -> None:
        self._left = limit
        self._max_spans = max_spans
        self._store = store
        self._seen: set[str] = set()

    def of(self, rows: TableRows) -> dict[str, Any]:
        """Return `{traces: value}` for the first trace of these rows that has no tree yet and has ended; else nothing."""
        if not self._left or self._store is None or rows.name not in _FROM:
            return {}
        for cells in rows.cells:
            trace_id = cells[0]
            if trace_id in self._seen:
                continue
            try:
                made = self._tree(str(trace_id))
            except Exception:
                drops.internal_error("sink wandb: trace tree")
                made = None
            if made is not None:
                self._seen.add(trace_id)
                self._left -= 1
                return {TRACES: made}
        return {}

    def _tree(self, trace_id: str) -> dict[str, Any] | None:
        from otel_llm.store.reader import StoreReader, deduplicated

        assert self._store is not None  # noqa: S101 (the caller has looked)
        spans = deduplicated(StoreReader(self._store).trace(trace_id))
        roots = [span for span in spans if span.parent_id is None]
        if len(roots) != 1 or len(spans) > self._max_spans or any(span.end_ns is None for span in spans):
            return None
        text = json.dumps(_span(roots[0], spans))
        return None if len(text) > _MAX_BYTES else {"_type": "wb_trace_tree", "root_span_dumps": text}


def _span(span: StoredSpan, spans: Sequence[StoredSpan]) -> dict[str, Any]:
    """Return a span as `wandb.sdk.data_types.trace_tree.Span` is dumped."""
    told = {
        key: value if isinstance(value, int | float | bool) else str(value)[:_MAX_TEXT]
        for key, value in span.attributes.items()
    }
    inputs = {"input": told.pop(sc.INPUT_MESSAGES, "")}
    outputs = {"output": told.pop(sc.OUTPUT_MESSAGES, "")}
    return {
        "span_id": span.span_id,
        "name": span.name,
        "start_time_ms": span.start_ns // 1_000_000,
        "end_time_ms": (span.end_ns or span.start_ns) // 1_000_000,
        "status_code": "ERROR" if span.status == "error" else "SUCCESS",
        "status_message": span.status_description,
        "attributes": told,
        "results": [{"inputs": inputs, "outputs": outputs}],
        "child_spans": [_span(one, spans) for one in spans if one.parent_id == span.span_id],
        "span_kind": _KINDS.get(str(span.attributes.get(sc.OPERATION_NAME)), "CHAIN"),
    }
