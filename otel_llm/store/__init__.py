"""The local store: what one program (and all its processes) did, in files under one run directory.

    writer = StoreWriter(".otel_llm")                 # one per process; a file of its own
    provider.add_span_processor(StoreSpanProcessor(writer))   # from otel_llm.store.processor
    StoreReader(".otel_llm").trace("4bf92f35")        # while it is being written, from any process

What the files hold and what they survive is in `schema`. Importing this costs nothing: SQLite, zstandard and
orjson are imported when something is written or read.
"""

from typing import TYPE_CHECKING, Any

from otel_llm.store.retention import Retention
from otel_llm.store.rows import (
    LogRow,
    PointRow,
    Scope,
    SeriesRow,
    StoredEvent,
    StoredLink,
    StoredSpan,
    TraceSummary,
)
from otel_llm.store.writer import StoreWriter

if TYPE_CHECKING:
    from otel_llm.store.reader import AmbiguousTraceError, Cursor, FileInfo, StoreReader

__all__ = [
    "AmbiguousTraceError",
    "Cursor",
    "FileInfo",
    "LogRow",
    "PointRow",
    "Retention",
    "Scope",
    "SeriesRow",
    "StoreReader",
    "StoreWriter",
    "StoredEvent",
    "StoredLink",
    "StoredSpan",
    "TraceSummary",
]

_OF_READER = frozenset({"AmbiguousTraceError", "Cursor", "FileInfo", "StoreReader"})


def __getattr__(name: str) -> Any:
    if name in _OF_READER:  # a program that only writes pays nothing for it
        from otel_llm.store import reader

        return getattr(reader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
