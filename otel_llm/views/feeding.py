"""What live export and replay share: from rows to batches, to one sink, to the store's book of what the sink has.

Used on one thread. A batch is noted as delivered only after its sink has settled it; a batch that was written but whose
note is not yet on disk goes along in the keys of the next, so that a sink which keeps those never doubles a row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from otel_llm import drops
from otel_llm.views.keys import book_of
from otel_llm.views.mapping import Mapper, Taken
from otel_llm.views.model import KINDS, Batch, Receipt, Sink

Key = tuple[bytes, bytes]


class Book(Protocol):
    """The part of a store's writer that a feed needs."""

    def delivered(self, sink: str, spans: Sequence[Key]) -> None:
        """Note keys under a name."""

    def flush(self, timeout_s: float) -> bool:
        """Put what was noted on disk."""


class _Pending(NamedTuple):
    """A batch that was written, without what was in it."""

    keys: dict[str, list[int]]
    receipt: Receipt


_NOTE_S: Final = 2.0
_MAX_UNSURE: Final = 1 << 20
"""Keys to carry along while notes cannot be put on disk."""


class Feed:
    """Feeds one sink.

    Args:
        sink: the sink.
        mapper: makes batches for it.
        book: where to note what the sink has; None: nowhere.
    """

    def __init__(self, sink: Sink, mapper: Mapper, book: Book | None) -> None:
        self.sink = sink
        self.delivered = 0
        """How many spans and rows were settled."""
        self._mapper = mapper
        self._book = book
        self._pending: deque[_Pending] = deque()
        self._unsure: dict[str, list[int]] = {}
        self._waiting: Batch | None = None
        self._has: dict[str, frozenset[int]] = {}
        try:
            self._has = {kind: frozenset(keys) for kind, keys in sink.settled().items() if keys}
        except Exception:
            drops.internal_error(f"sink {sink.name}: what it has")
        for kind, keys in self._has.items():
            self._note({kind: list(keys)})

    @property
    def unsettled(self) -> int:
        """How many spans and rows were taken and not settled."""
        waiting = self._waiting
        return sum(_size(one.keys) for one in list(self._pending)) + (
            0 if waiting is None else _size(waiting.keys)
        )

    def has(self, kind: str, key: int) -> bool:
        """Say whether the sink had something before this feed began."""
        return key in self._has.get(kind, ())

    def take(self, taken: Taken) -> bool:
        """Make a batch and write it.

        Returns:
            Whether the sink took it. If not, it waits: `retry` writes it again, and `take` must not be called before.

        Raises:
            RuntimeError: a batch waits.
        """
        if self._waiting is not None:
            raise RuntimeError("a batch waits")
        self._waiting = self._mapper.map(taken)
        return self.retry()

    def retry(self) -> bool:
        """Write the batch that waits, if there is one; returns whether the sink took it."""
        batch = self._waiting
        if batch is None:
            return True
        self._confirm()
        own = batch.keys
        batch.keys = _joined(self._unsure, own)
        try:
            taken = self.sink.write(batch)
        except (Exception, SystemExit):
            drops.internal_error(f"sink {self.sink.name}")
            taken = False
        batch.keys = own
        if taken:
            self._waiting = None
            self._pending.append(_Pending(own, batch.receipt))
            self._settle()
        return taken

    def give_up(self) -> int:
        """Let go of the batch that waits; returns how many spans and rows were in it."""
        batch, self._waiting = self._waiting, None
        return 0 if batch is None else _size(batch.keys)

    def settled_elsewhere(self, keys: dict[str, list[int]]) -> None:
        """Note what the sink is never to get: what sampling has left out."""
        self._note(keys)

    def flush(self, timeout_s: float) -> bool:
        """Have the sink settle what it took, and note it."""
        done = self._ask(lambda: self.sink.flush(timeout_s))
        return done and self._waiting is None

    def close(self, timeout_s: float) -> bool:
        """Have the sink settle what it took, note it, and let go of the sink."""
        done = self._ask(lambda: self.sink.close(timeout_s))
        if self._book is not None:
            done &= self._book.flush(min(_NOTE_S, timeout_s))
        return done and self._waiting is None

    def _ask(self, do: Callable[[], bool]) -> bool:
        try:
            done = do()
        except (Exception, SystemExit):
            drops.internal_error(f"sink {self.sink.name}: flush")
            done = False
        self._settle()
        return done and not self._pending

    def _settle(self) -> None:
        """Note the batches that were settled since, whatever their order."""
        if self.sink.is_off:
            self._pending.clear()
        left: deque[_Pending] = deque()
        for one in self._pending:
            if one.receipt.is_settled:
                self._note(one.keys)
                self.delivered += _size(one.keys)
            else:
                left.append(one)
        self._pending = left

    def _note(self, keys: dict[str, list[int]]) -> None:
        if self._book is None:
            return
        for kind in KINDS:
            if found := keys.get(kind):
                noted = [(b"", key.to_bytes(8, "big")) for key in found]
                self._book.delivered(book_of(self.sink.book, kind), noted)
        self._unsure = _joined(self._unsure, keys)
        if _size(self._unsure) > _MAX_UNSURE:
            drops.count("key", "book_unwritable", _size(self._unsure))
            self._unsure = {}

    def _confirm(self) -> None:
        """Put notes on disk before the sink forgets the keys that they are about."""
        if self._unsure and (self._book is None or self._book.flush(_NOTE_S)):
            self._unsure = {}


def _joined(one: dict[str, list[int]], other: dict[str, list[int]]) -> dict[str, list[int]]:
    if not one:
        return dict(other)
    return {
        kind: one.get(kind, []) + other.get(kind, []) for kind in KINDS if one.get(kind) or other.get(kind)
    }


def _size(keys: dict[str, list[int]]) -> int:
    return sum(map(len, keys.values()))
