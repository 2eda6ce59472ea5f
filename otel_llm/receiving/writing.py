"""The one thread that reads requests and commits them. Several that wait are one transaction.

One thread, because threads of Python share one core anyway, and because SQLite lets go of the interpreter at each
row: a second busy thread would take it for milliseconds each time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from otel_llm.receiving import bodies, seen
from otel_llm.receiving.answers import (
    BROKEN,
    CROWDED,
    FAILED,
    FULL,
    GOING,
    TOO_LARGE,
    Answer,
    Kind,
    accepted,
)
from otel_llm.receiving.bodies import Coding
from otel_llm.receiving.decoding import CrowdedError, Decoded, Decoder, Form, MalformedError, Signal
from otel_llm.receiving.pressure import FullError, Lease
from otel_llm.receiving.scrubbing import Cleaner
from otel_llm.store.committer import Committer
from otel_llm.store.database import Batch
from otel_llm.store.retention import Retention
from otel_llm.store.trouble import Trouble
from otel_llm.version import VERSION

logger: Final = logging.getLogger("otel_llm.receiving")

_GROUP_BYTES: Final = 8 << 20
"""Requests of so many bytes together are one transaction; they become some ten times as much when they are read."""
_KNOWN_SPANS: Final = 1 << 18
_KNOWN_BODIES: Final = 1 << 15
_MAX_WAIT_S: Final = 5.0
"""So long at most a store that could not be written is let be."""


@dataclass(slots=True)
class Parcel:
    """One request on its way to the store.

    Attributes:
        signal: what it brings.
        form: how it is written.
        coding: how it is compressed.
        body: its bytes.
        lease: its part of the budget; ended when it is answered.
        answer: called once, on the writing thread.
    """

    signal: Signal
    form: Form
    coding: Coding
    body: bytes
    lease: Lease
    answer: Callable[[Answer], None]


@dataclass(slots=True)
class _Opened:
    parcel: Parcel
    digest: bytes
    decoded: Decoded
    nbytes: int = 0
    repeated: int = 0


class _Trouble(Trouble):
    """As the store's, but told in the receiver's words: nothing waits here, senders come again."""

    def _tell(self) -> None:
        if not self._is_told:
            self._is_told = True
            logger.warning("cannot write the store: %s; senders are told to come again", self.message)

    _is_told = False

    def gone(self) -> None:
        if self._is_told:
            self._is_told = False
            logger.warning("the store can be written again")
        super().gone()


@dataclass(slots=True)
class Counts:
    """What happened so far.

    Attributes:
        requests: by how they were answered.
        spans: that were committed.
        points: metric points, likewise.
        logs: log records, likewise.
        series: scalars, likewise.
        repeated: spans that were there already.
        rejected: spans that cannot be kept.
    """

    requests: dict[str, int] = field(default_factory=dict)
    spans: int = 0
    points: int = 0
    logs: int = 0
    series: int = 0
    repeated: int = 0
    rejected: int = 0


class Writing:
    """Takes parcels from any thread, commits them on its own.

    Args:
        store: the store's directory.
        cleaner: takes secrets out.
        max_body: bytes of a request, opened.
        retention: which old files to remove.
    """

    def __init__(
        self, store: Path, cleaner: Cleaner, max_body: int, retention: Retention | None = None
    ) -> None:
        self._store = store
        self._max_body = max_body
        self._decoder = Decoder(cleaner)
        self._queue: SimpleQueue[Parcel | None] = SimpleQueue()
        self._bodies = seen.Seen(_KNOWN_BODIES)
        self._spans = seen.Seen(_KNOWN_SPANS)
        self._lost: dict[str, int] = {}
        meta: Mapping[str, str] = {"otel_llm": VERSION, "program": seen.PROGRAM}
        self._committer = Committer(store, retention or Retention(), {}, meta, self._on_lost)
        self._committer.trouble = self._trouble = _Trouble(store)
        self._retry_at = 0.0
        self._closing = False
        self.counts = Counts()
        self._thread = threading.Thread(target=self._work, name="otel_llm-receive", daemon=True)

    def start(self) -> None:
        """Begin."""
        for key in seen.last_spans(self._store, _KNOWN_SPANS):
            self._spans.add(key)
        self._thread.start()

    def put(self, parcel: Parcel) -> None:
        """Hand a parcel over; it is answered in a while."""
        self._queue.put(parcel)

    def refusal(self) -> Answer | None:
        """Return what to say right away, before a body is read; None where one may come."""
        if self._closing:
            return Answer(Kind.UNAVAILABLE, GOING, retry_after_s=1.0)
        message = self._trouble.message
        if message is not None and (left := self._retry_at - time.monotonic()) > 0:
            return Answer(Kind.UNAVAILABLE, f"the store cannot be written: {message}", retry_after_s=left)
        return None

    def close(self, timeout_s: float) -> bool:
        """Commit what was handed over, then close the file.

        Returns:
            Whether that was done within `timeout_s` seconds.
        """
        self._closing = True
        self._queue.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # --- the writing thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        going = True
        while going:
            group, going = self._next()
            try:
                if group:
                    self._serve(group)
                else:
                    self._committer.checkpoint_if_due(time.monotonic())
            except Exception:
                # A bug of ours, or no memory: the senders keep what they have, and the next request is another one.
                logger.exception("a request failed")
                for parcel in group:
                    self._tell(parcel, Answer(Kind.UNAVAILABLE, BROKEN, retry_after_s=_MAX_WAIT_S))
        self._committer.close()

    def _next(self) -> tuple[list[Parcel], bool]:
        """Return the parcels of the next transaction, and whether there will be more."""
        due = self._committer.checkpoint_at
        try:
            first = self._queue.get(timeout=None if due is None else max(0.0, due - time.monotonic()))
        except Empty:
            return [], True
        group: list[Parcel] = []
        size = 0
        parcel = first
        while parcel is not None:
            group.append(parcel)
            size += len(parcel.body)
            if size >= _GROUP_BYTES:
                return group, True
            try:
                parcel = self._queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _serve(self, group: list[Parcel]) -> None:
        digests: set[bytes] = set()
        read: list[_Opened] = []
        nbytes = 0
        for parcel in group:
            if (one := self._open(parcel, digests)) is None:
                continue
            read.append(one)
            nbytes += one.nbytes
            if nbytes >= _GROUP_BYTES:  # compressed they were less
                self._commit(read)
                digests, read, nbytes = set(), [], 0
        if read:
            self._commit(read)

    def _commit(self, read: list[_Opened]) -> None:
        batch = self._batch(read)
        self._lost.clear()
        if not self._committer.write(batch):
            self._refuse(read)
        elif self._lost and len(read) > 1:  # something in it cannot be written: find out in which
            for one in read:
                self._write_alone(one)
        else:
            self._settle(read)

    def _write_alone(self, one: _Opened) -> None:
        self._lost.clear()
        if self._committer.write(self._batch([one])):
            self._settle([one])
        else:
            self._refuse([one])

    def _open(self, parcel: Parcel, digests: set[bytes]) -> _Opened | None:
        """Read a parcel; None if it is answered with that.

        Args:
            parcel: the parcel.
            digests: of the bodies of this transaction; one that comes again brings nothing, and shares its fate.
        """
        try:
            body = bodies.opened(parcel.body, parcel.coding, self._max_body, parcel.lease.grow)
            parcel.body = b""
            digest = blake2b(body, digest_size=16, person=parcel.signal.encode()).digest()
            if digest in self._bodies:
                self._tell(parcel, accepted(), repeated=True)
                return None
            if digest in digests:
                return _Opened(parcel, digest, Decoded())
            decoded = self._decoder.decode(parcel.signal, parcel.form, body)
            digests.add(digest)
            return _Opened(parcel, digest, decoded, len(body))
        except FullError:
            self._tell(parcel, Answer(Kind.BUSY, FULL, retry_after_s=1.0))
        except bodies.TooLargeError:
            self._tell(parcel, Answer(Kind.TOO_LARGE, TOO_LARGE))
        except CrowdedError:
            self._tell(parcel, Answer(Kind.TOO_LARGE, CROWDED))
        except (bodies.DamagedError, MalformedError) as error:
            self._tell(parcel, Answer(Kind.MALFORMED, str(error)))
        except MemoryError:
            raise
        except Exception:
            # A bug of ours, and the same bytes would meet it again: its sender is not to come back with them, and
            # what waits beside it is not to fail for it.
            logger.exception("a request failed")
            self._tell(parcel, Answer(Kind.FAILED, FAILED))
        return None

    def _batch(self, read: list[_Opened]) -> Batch:
        batch = Batch()
        within: set[bytes] = set()
        for one in read:
            decoded = one.decoded
            one.repeated = 0
            for key, span in decoded.spans:
                if key is not None:
                    if key in within or key in self._spans:
                        one.repeated += 1
                        continue
                    within.add(key)
                batch.encoded.append(span)
            batch.points += decoded.points
            batch.logs += decoded.logs
            batch.series += decoded.series
        if rejected := sum(one.decoded.rejected for one in read):
            batch.meta["dropped.rejected"] = str(self.counts.rejected + rejected)
        return batch

    def _settle(self, read: list[_Opened]) -> None:
        """Answer what is committed, and remember it."""
        if lost := sum(self._lost.values()):
            logger.error("%d things could not be written and are lost: %s", lost, dict(self._lost))
        counts = self.counts
        for one in read:
            decoded = one.decoded
            self._bodies.add(one.digest)
            for key, _ in decoded.spans:
                if key is not None and key not in self._spans:
                    self._spans.add(key)
            counts.spans += len(decoded.spans) - one.repeated
            counts.points += len(decoded.points)
            counts.logs += len(decoded.logs)
            counts.series += len(decoded.series)
            counts.repeated += one.repeated
            counts.rejected += decoded.rejected
            problem = decoded.problem
            if lost and problem is None:
                problem = "something in the request cannot be stored"
            rejected = decoded.rejected + lost
            lost = 0
            self._tell(one.parcel, accepted(rejected, problem))

    def _refuse(self, read: list[_Opened]) -> None:
        """Have senders come again: nothing of this is in the store."""
        now = time.monotonic()
        self._trouble.retry_at = self._retry_at = min(self._trouble.retry_at, now + _MAX_WAIT_S)
        why = f"the store cannot be written: {self._trouble.message}"
        for one in read:
            self._tell(
                one.parcel, Answer(Kind.UNAVAILABLE, why, retry_after_s=max(0.1, self._retry_at - now))
            )

    def _tell(self, parcel: Parcel, answer: Answer, *, repeated: bool = False) -> None:
        parcel.lease.end()
        self.count("repeated" if repeated else answer.kind.value)
        try:
            parcel.answer(answer)
        except RuntimeError:  # the loop of the endpoint has gone
            pass

    def count(self, outcome: str) -> None:
        """Count a request by how it was answered."""
        requests = self.counts.requests
        requests[outcome] = requests.get(outcome, 0) + 1

    def _on_lost(self, what: str, reason: str, n: int) -> None:
        self._lost[f"{what}: {reason}"] = self._lost.get(f"{what}: {reason}", 0) + n
