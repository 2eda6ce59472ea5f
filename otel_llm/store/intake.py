"""What was handed over and not yet written: a queue bounded by bytes, and the spans that are open.

Callers only append; one thread takes out. No locks: appends to a deque and changes of a dict are atomic, and the
sum of bytes, which is not, is set right whenever the queue runs empty.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from otel_llm.store.rows import LogRow, PointRow, SeriesRow

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_llm.store.database import Batch

_SPAN_BYTES: Final = 1024
"""What a span keeps alive besides its texts, about."""

_VALUE_BYTES: Final = 64
_ROW_BYTES: Final = 512
_BATCH_SPANS: Final = 2048
_BATCH_BYTES: Final = 16 << 20
_MAX_OPEN: Final = 1 << 20

_Span = tuple["ReadableSpan", Mapping[str, Any] | None, int]
_Rows = tuple[str, Any, int, int]
Taken = tuple[list[_Span], list[_Rows]]


class Intake:
    """The waiting spans and rows of one writer.

    Attributes:
        limit: bytes that may wait; may be changed at any time.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nbytes = 0
        self._spans: deque[_Span] = deque()
        self._rows: deque[_Rows] = deque()
        self._open: dict[int, None] = {}
        self._started: deque[tuple[float, ReadableSpan]] = deque()

    def __bool__(self) -> bool:
        return bool(self._spans or self._rows or self._started)

    # --- any thread -----------------------------------------------------------------------------------

    def started(self, span: ReadableSpan) -> None:
        """Remember a span that started."""
        if len(self._open) < _MAX_OPEN:  # else a program that never ends its spans
            self._open[span.context.span_id] = None
            self._started.append((time.monotonic(), span))

    def ended(self, span: ReadableSpan, extra: Mapping[str, Any] | None) -> bool:
        """Take a span that ended; False if it does not fit any more."""
        # The private names spare a mapping proxy and a lock for each of some twenty looks.
        attributes = getattr(span, "_attributes", None)
        attributes = getattr(attributes, "_dict", attributes)
        values = (span.attributes or {}).values() if attributes is None else attributes.values()
        size = _SPAN_BYTES + _VALUE_BYTES * len(values)
        for value in values:
            if type(value) is str:
                size += len(value)
        if extra:
            size += sum(len(value) if type(value) is str else _VALUE_BYTES for value in extra.values())
        self._open.pop(span.context.span_id, None)
        if self.nbytes + size > self.limit:
            return False
        self.nbytes += size
        self._spans.append((span, extra, size))
        return True

    def rows(self, what: str, rows: Any, count: int, size: int) -> bool:
        """Take rows; False if they do not fit any more.

        Args:
            what: `point`, `log`, `series` or `delivered`.
            rows: the rows.
            count: how many.
            size: bytes that they keep alive, about.
        """
        if self.nbytes + size > self.limit:
            return False
        self.nbytes += size
        self._rows.append((what, rows, count, size))
        return True

    # --- the writer's thread --------------------------------------------------------------------------

    def waiting(self) -> tuple[int, int]:
        """Return how many spans and how many bundles of rows wait."""
        return len(self._spans), len(self._rows)

    def oldest_start(self) -> float | None:
        """Return when the oldest span started that was neither written as open nor seen to end (monotonic)."""
        return self._started[0][0] if self._started else None

    def take_open(self, age_s: float) -> list[ReadableSpan]:
        """Take the spans that started `age_s` seconds ago or earlier and have not ended; each only once."""
        before = time.monotonic() - age_s
        found = []
        while self._started:
            since, span = self._started[0]
            context = span.get_span_context()
            is_open = context is not None and context.span_id in self._open
            if is_open and since > before:
                break
            self._started.popleft()
            if is_open:
                found.append(span)
        return found

    def take(self, spans: int, rows: int) -> Taken:
        """Take the first of what waits, up to so many and up to a batch's size."""
        taken: Taken = ([], [])
        size = 0
        for _ in range(min(spans, _BATCH_SPANS)):
            item = self._spans.popleft()
            taken[0].append(item)
            size += item[2]
            if size > _BATCH_BYTES:
                return taken
        for _ in range(rows):
            bundle = self._rows.popleft()
            taken[1].append(bundle)
            size += bundle[3]
            if size > _BATCH_BYTES:
                break
        return taken

    def give_back(self, taken: Taken, opened: list[ReadableSpan]) -> None:
        """Put back what could not be written, to be taken first next time."""
        self._spans.extendleft(reversed(taken[0]))
        self._rows.extendleft(reversed(taken[1]))
        now = time.monotonic()
        self._started.extendleft((now, span) for span in reversed(opened))

    def clear(self) -> list[tuple[str, int]]:
        """Let go of everything; returns kinds and counts."""
        gone = [("span", len(self._spans))] if self._spans else []
        gone += [(what, count) for what, _, count, _ in self._rows]
        self._spans.clear()
        self._rows.clear()
        self._started.clear()
        self.nbytes = 0
        return gone

    def settle(self, taken: Taken) -> None:
        """Note that what was taken is done with."""
        self.nbytes -= sum(item[2] for item in taken[0]) + sum(bundle[3] for bundle in taken[1])
        if not self._spans and not self._rows:
            self.nbytes = 0


def fill(batch: Batch, taken: Taken) -> None:
    """Put what was taken into a batch."""
    batch.ended = [(span, extra) for span, extra, _ in taken[0]]
    into: dict[str, list[Any]] = {"point": batch.points, "log": batch.logs, "series": batch.series}
    for what, rows, _, _ in taken[1]:
        if what == "delivered":
            batch.delivered.append(rows)
        else:
            into[what].extend(rows)


def packed_keys(spans: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return 8 bytes a span that tell it from all others of its process: trace id and span id, folded."""
    fold = int.from_bytes
    return b"".join(
        [(fold(trace[-8:], "big") ^ fold(span, "big")).to_bytes(8, "big") for trace, span in spans]
    )


def row_bytes(row: PointRow | LogRow | SeriesRow) -> int:
    """Return about how many bytes a row keeps alive."""
    body = getattr(row, "body", None)
    return _ROW_BYTES + (len(body) if isinstance(body, str | bytes) else 0)
