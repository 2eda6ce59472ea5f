"""Between spans that ended and an exporter that may be slow, down or hanging: a queue bounded by bytes.

OpenTelemetry's BatchSpanProcessor holds 2,048 spans and drops what comes on top: 22 % of a burst of 4,096, and
one span with a large prompt weighs as much as a thousand without. Here the bound is in bytes, batches are cut
by bytes too (gRPC refuses messages above 4 MiB), a failed batch is tried again, and what had to be dropped is
counted by reason. The standard `OTEL_BSP_*` variables keep their meaning.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry import context as context_api
from opentelemetry.sdk.environment_variables import (
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
    OTEL_BSP_MAX_QUEUE_SIZE,
    OTEL_BSP_SCHEDULE_DELAY,
)
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_llm import drops, threads
from otel_llm import semconv as sc
from otel_llm.providers import attributes_of, is_sampled

MAX_BATCH_BYTES: Final = 3 << 20
_SPAN_BYTES: Final = 1024
_FIRST_BACKOFF_S: Final = 1.0
_LAST_BACKOFF_S: Final = 60.0
_SUSPECT_AFTER: Final = 2
"""A batch that has failed so often may be at fault itself."""
_MAX_MISSES: Final = 16
"""So many failures in a row are more than one bad span among many: the backend has gone."""
_LARGE: Final = (sc.INPUT_MESSAGES, sc.OUTPUT_MESSAGES, sc.SYSTEM_INSTRUCTIONS, sc.TOOL_DEFINITIONS)

Delivered = Callable[[str, Sequence[tuple[bytes, bytes]]], None]
"""Told `(sink, [(trace id, span id), ...])` when an exporter has taken spans."""


def estimated_bytes(span: ReadableSpan) -> int:
    """Return about how many bytes `span` keeps alive; cheap, since it runs where spans end."""
    attributes = attributes_of(span)
    size = _SPAN_BYTES
    for key in _LARGE:
        value = attributes.get(key)
        if type(value) is str:
            size += len(value)
    return size


class BoundedBatchProcessor(SpanProcessor):
    """Hands spans to one exporter, in batches, on a thread of its own.

    Args:
        exporter: gets the batches, one call at a time.
        name: the exporter's name, for counts and for the store's book of what was delivered.
        max_bytes: what may wait; the oldest spans go first when it is full.
        delivered: told which spans the exporter took.
        shutdown_timeout_s: bound for `shutdown`.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        name: str,
        *,
        max_bytes: int,
        delivered: Delivered | None = None,
        shutdown_timeout_s: float = 10.0,
    ) -> None:
        self._exporter = exporter
        self._name = name
        self._max_bytes = max_bytes
        self._max_spans = _environment_int(OTEL_BSP_MAX_QUEUE_SIZE)
        self._batch_spans = _environment_int(OTEL_BSP_MAX_EXPORT_BATCH_SIZE) or 512
        self._linger_s = (_environment_int(OTEL_BSP_SCHEDULE_DELAY) or 1000) / 1000
        self._delivered = delivered
        self._shutdown_timeout_s = shutdown_timeout_s
        self._reset()

    def _reset(self) -> None:
        self._queue: deque[tuple[ReadableSpan, int]] = deque()
        self._bytes = 0
        self._condition = threading.Condition()
        self._thread: threads.Worker | None = None
        self._stopping = False
        self._deadline = float("inf")
        self._wanted = 0  # flush requests so far
        self._answered = 0  # flush requests that are done
        self._added = 0  # spans taken in so far
        self._settled = 0  # spans that were sent or dropped
        self._failing = False
        self._failed = 0  # attempts since the exporter last took a batch
        self._in_flight = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that ended."""
        if not is_sampled(span):
            return
        size = estimated_bytes(span)
        with self._condition:
            if self._stopping:
                drops.count("span", f"{self._name}_shut_down")
                return
            self._queue.append((span, size))
            self._bytes += size
            self._added += 1
            while len(self._queue) > 1 and (
                self._bytes > self._max_bytes or (self._max_spans and len(self._queue) > self._max_spans)
            ):
                _, gone = self._queue.popleft()
                self._bytes -= gone
                self._settled += 1
                drops.count("span", f"{self._name}_queue_full")
            if self._thread is None:
                self._start()
            # Wake the worker for the first span (it then lingers for company) and for a full batch.
            if len(self._queue) in {1, self._batch_spans}:
                self._condition.notify_all()

    def _start(self) -> None:
        try:
            self._thread = threads.start(self._work, f"otel_llm-export-{self._name}")
        except RuntimeError as error:  # no more threads to be had, or the interpreter is shutting down
            drops.warn_once(f"thread:{self._name}", "the exporter %r has no thread: %s", self._name, error)

    def _work(self) -> None:
        backoff = 0.0
        while True:
            with self._condition:
                while not self._queue and not self._stopping and self._wanted == self._answered:
                    self._condition.wait()
                self._condition.wait_for(self._urgent, backoff or self._linger_s)
                flushing = self._wanted
                if self._stopping and (not self._queue or time.monotonic() >= self._deadline):
                    self._answered = self._wanted
                    self._condition.notify_all()
                    return
            sent = self._send_all()
            with self._condition:
                backoff = 0.0 if sent else min(max(_FIRST_BACKOFF_S, backoff * 2), _LAST_BACKOFF_S)
                self._failing = not sent
                self._answered = flushing
                self._condition.notify_all()
                if self._stopping and not sent:
                    return

    def _urgent(self) -> bool:
        return (
            self._stopping
            or self._wanted != self._answered
            or (len(self._queue) >= self._batch_spans and not self._failing)
        )

    def _send_all(self) -> bool:
        """Send batch after batch until the queue is empty or a batch fails; say whether none failed."""
        with self._condition:
            todo = len(self._queue)
        while todo > 0:
            batch = self._take()
            if not batch:
                return True
            todo -= len(batch)
            if not self._hand_over(batch):
                self._failed += 1
                left = self._sort_out(batch) if self._is_suspect() else batch
                if left:
                    self._put_back(left)
                    return False
            self._failed = 0
        return True

    def _hand_over(self, batch: list[ReadableSpan]) -> bool:
        """Send a batch, and note it where the exporter took it."""
        if not self._send(batch):
            return False
        self._settle(len(batch))
        if self._delivered is not None:
            self._tell(batch)
        return True

    def _settle(self, n: int) -> None:
        with self._condition:
            self._settled += n
            self._in_flight -= n

    def _put_back(self, batch: list[ReadableSpan]) -> None:
        """The oldest again in front, to be tried later."""
        sizes = [estimated_bytes(span) for span in batch]
        with self._condition:
            self._queue.extendleft(reversed(list(zip(batch, sizes, strict=True))))
            self._bytes += sum(sizes)
            self._in_flight = 0

    def _is_suspect(self) -> bool:
        """Say whether a batch has failed so often, or for the last time, that it may be at fault itself."""
        return self._failed >= _SUSPECT_AFTER or (self._stopping and not self._is_late())

    def _is_late(self) -> bool:
        return self._stopping and time.monotonic() >= self._deadline

    def _sort_out(self, batch: list[ReadableSpan]) -> list[ReadableSpan]:
        """Send a batch in parts, so that one span which nobody can encode or take does not stop all that follow.

        Only where something else is taken, which tells that the backend is up. What is refused alone is dropped,
        once something after it is taken: else the backend may have gone meanwhile.

        Returns:
            What is to be tried again later.
        """
        parts = self._probed(batch)
        if parts is None:
            return batch
        refused: list[ReadableSpan] = []
        suspects: list[ReadableSpan] = []
        misses = 0
        while parts and not self._is_late():
            if misses >= _MAX_MISSES:
                if not self._is_up(parts):
                    break
                refused += suspects
                suspects, misses = [], 0
                continue
            part = parts.pop()
            if self._hand_over(part):
                misses = 0
                refused += suspects
                suspects = []
                continue
            misses += 1
            if len(part) > 1:
                parts += _halves(part)
            else:
                suspects += part
        if suspects and not self._is_late() and self._is_up(parts):
            refused += suspects
            suspects = []
        if refused:
            self._settle(len(refused))
            drops.count("span", f"{self._name}_refused", len(refused))
            drops.warn_once(
                f"refused:{self._name}", "the exporter %r refuses some spans, which are dropped", self._name
            )
        return suspects + [span for part in reversed(parts) for span in part]

    def _probed(self, batch: list[ReadableSpan]) -> list[list[ReadableSpan]] | None:
        """Return the parts of a batch that are to be tried, the last first; None where the backend seems down."""
        if (is_up := self._waiting_is_taken()) is not None:
            return _halves(batch) if is_up else None
        # Then two of its own: the first, and each time another one.
        for at in {0, -self._failed % len(batch)} if len(batch) > 1 else ():
            if self._hand_over([batch[at]]):
                return _halves(batch[:at] + batch[at + 1 :])
        return None

    def _is_up(self, parts: list[list[ReadableSpan]]) -> bool:
        """Say whether something else is still taken: one that waits, else one of the parts, which then lose it."""
        if (is_up := self._waiting_is_taken()) is not None or not parts:
            return bool(is_up)
        at = -self._failed % len(parts[0])
        if not self._hand_over([parts[0][at]]):
            return False
        del parts[0][at]
        if not parts[0]:
            del parts[0]
        return True

    def _waiting_is_taken(self) -> bool | None:
        """Send one of those that wait, and say whether it was taken; None where none waits."""
        with self._condition:
            if not self._queue:
                return None
            other = self._queue.pop()
            self._bytes -= other[1]
            self._in_flight += 1
        if self._hand_over([other[0]]):
            return True
        with self._condition:  # not in the same place: next time another one tells
            self._queue.insert(len(self._queue) // 2, other)
            self._bytes += other[1]
            self._in_flight -= 1
        return False

    def _take(self) -> list[ReadableSpan]:
        batch: list[ReadableSpan] = []
        total = 0
        with self._condition:
            while self._queue and len(batch) < self._batch_spans:
                span, size = self._queue[0]
                if batch and total + size > MAX_BATCH_BYTES:
                    break
                self._queue.popleft()
                batch.append(span)
                total += size
            self._bytes -= total
            self._in_flight = len(batch)
        return batch

    def _send(self, batch: list[ReadableSpan]) -> bool:
        token = context_api.attach(context_api.set_value(context_api._SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            return self._exporter.export(batch) is SpanExportResult.SUCCESS
        except BaseException:  # this thread is ours: nobody else could be told
            drops.internal_error(f"exporter {self._name}")
            return False
        finally:
            context_api.detach(token)

    def _tell(self, batch: list[ReadableSpan]) -> None:
        assert self._delivered is not None  # noqa: S101 (the caller has looked)
        try:
            contexts = [context for span in batch if (context := span.get_span_context()) is not None]
            self._delivered(
                self._name,
                [(c.trace_id.to_bytes(16, "big"), c.span_id.to_bytes(8, "big")) for c in contexts],
            )
        except Exception:
            drops.internal_error("book of delivered spans")

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits; wait for it `timeout_millis` at most.

        Returns:
            Whether everything that had ended before was taken by the exporter, in time.
        """
        deadline = time.monotonic() + timeout_millis / 1000
        with self._condition:
            if self._thread is None:
                return True
            mark = self._added
            self._wanted += 1
            mine = self._wanted
            self._condition.notify_all()
            while self._answered < mine and self._settled < mark and self._thread.is_alive():
                if not self._condition.wait(max(0.0, deadline - time.monotonic())):
                    return False
            return self._settled >= mark

    def shutdown(self) -> None:
        """Send what waits within the bound, then stop; what did not go is counted."""
        self.close(self._shutdown_timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Send what waits within `timeout_s` seconds, then stop. Returns whether all of it went."""
        with self._condition:
            if self._stopping:
                return not self._queue
            self._stopping = True
            self._deadline = time.monotonic() + timeout_s
            thread = self._thread
            self._condition.notify_all()
        if thread is not None and not threads.is_current(thread):
            thread.join(timeout_s)
        with self._condition:
            left = len(self._queue) + self._in_flight
            self._queue.clear()
            self._bytes = 0
        if left:
            drops.count("span", f"{self._name}_unreachable", left)
        # An exporter that hangs in its own shutdown must not hold the program: bounded by a thread.
        closer = threads.start(self._close_exporter, "otel_llm-export-close")
        closer.join(max(0.1, self._deadline - time.monotonic()))
        return left == 0

    def _close_exporter(self) -> None:
        try:
            self._exporter.shutdown()
        except Exception:
            drops.internal_error(f"shutdown of exporter {self._name}")

    def after_fork_in_child(self) -> None:
        """Start afresh: the parent still has, and will send, what waits in the copied queue."""
        self._reset()


def _halves(batch: list[ReadableSpan]) -> list[list[ReadableSpan]]:
    """Return the second half and the first, each with something in it."""
    middle = len(batch) // 2
    return [half for half in (batch[middle:], batch[:middle]) if half]


def _environment_int(name: str) -> int | None:
    text = os.environ.get(name, "").strip()
    return int(text) if text.isdigit() and int(text) > 0 else None
