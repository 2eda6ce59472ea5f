"""Spans, metric points, step series and log records as rows and curves: the one mapping that every sink writes from.

    model     what a sink gets (`Batch`: rows, scalars, histograms, artifacts, config) and what it is (`Sink`)
    table     what a table is
    tables    the tables, each a list of columns: read it
    defining  `otel_llm.define_table`: tables of the program beside them
    mapping   from the store's plain data to a `Batch`
    live      the same inside the process, on one thread a sink
    feeding   what both ways share: batches, the sink, and the store's book of what the sink has

Imports no backend; sinks are found by the entry point group `otel_llm_sink`.
"""

from otel_llm.views.model import (
    Artifact,
    Batch,
    Cell,
    Column,
    Histogram,
    Receipt,
    Rows,
    Scalar,
    Sink,
    SinkOptions,
)

__all__ = [
    "Artifact",
    "Batch",
    "Cell",
    "Column",
    "Histogram",
    "Receipt",
    "Rows",
    "Scalar",
    "Sink",
    "SinkOptions",
]
