"""A batch as tables alone: curves and distributions become the tables `scalars` and `histograms`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_llm.views.cells import MisfitError, json_text
from otel_llm.views.model import Batch, Rows, Type

SCALARS: Final[tuple[tuple[str, Type], ...]] = (
    ("name", "text"),
    ("step_field", "text"),
    ("step", "int"),
    ("value", "float"),
    ("time", "float"),
    ("attributes", "text"),
)
HISTOGRAMS: Final[tuple[tuple[str, Type], ...]] = (
    ("name", "text"),
    ("step_field", "text"),
    ("step", "int"),
    ("count", "int"),
    ("sum", "float"),
    ("counts", "text"),
    ("edges", "text"),
    ("time", "float"),
    ("attributes", "text"),
)


def tables_of(batch: Batch, chosen: frozenset[str]) -> Iterator[Rows]:
    """Yield the tables of a batch that have rows. The value of a scalar is the number as it was, integers included.

    Args:
        batch: the batch.
        chosen: names of the tables that are wanted; empty for all.
    """
    for rows in batch.tables:
        if rows.cells and (not chosen or rows.table in chosen):
            yield rows
    if batch.scalars and (not chosen or "scalars" in chosen):
        cells = [
            (s.name, s.step_field, s.step, s.value, s.time_ns / 1e9, _json(s.attributes))
            for s in batch.scalars
        ]
        yield Rows("scalars", SCALARS, list(cells))
    if batch.histograms and (not chosen or "histograms" in chosen):
        yield Rows(
            "histograms",
            HISTOGRAMS,
            [
                (
                    h.name,
                    h.step_field,
                    h.step,
                    h.count,
                    h.sum,
                    json_text(h.counts),
                    json_text(h.edges),
                    h.time_ns / 1e9,
                    _json(h.attributes),
                )
                for h in batch.histograms
            ],
        )


def _json(attributes: Mapping[str, Any]) -> str | None:
    try:
        return json_text(dict(attributes)) if attributes else None
    except MisfitError:
        return None
