"""The stage between the SDK and an exporter's queue, on a thread of its own.

On the program's threads a span costs an append when it starts and one when it ends; everything else happens a moment
later, in the order of those appends, so that a parent is always known before its children.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otel_llm import drops, threads
from otel_llm.batching import BoundedBatchProcessor, Delivered, estimated_bytes
from otel_llm.providers import is_sampled
from otel_llm.sampling.copies import SampledSpan
from otel_llm.sampling.strata import Sampler
from otel_llm.sampling.targets import Target
from otel_llm.sampling.units import Decided, Units

_LINGER_S: Final = 0.1
_LOOK_S: Final = 5.0  # how often what is held is checked against its bounds when nothing happens
_MANY: Final = 4096


class SamplingProcessor(SpanProcessor):
    """Thins out what one exporter gets.

    Args:
        inner: the exporter's queue; closed together with this.
        name: the exporter's name, for counts.
        target: how much it gets.
        max_bytes: what may be held back.
        settled: told of the spans that the exporter shall not get, so that a replay does not send them after all.
        shutdown_timeout_s: bound for `shutdown`.
        clock: seconds, never backwards.
    """

    def __init__(
        self,
        inner: BoundedBatchProcessor,
        name: str,
        target: Target,
        *,
        max_bytes: int,
        settled: Delivered | None = None,
        shutdown_timeout_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._name = name
        self._target = target
        self._max_bytes = max_bytes
        self._settled = settled
        self._shutdown_timeout_s = shutdown_timeout_s
        self._clock = clock
        self._sampler = Sampler(target, clock)
        self._stopping = False
        self._reset()

    def _reset(self) -> None:
        self._units = Units(self._sampler, max_bytes=self._max_bytes, clock=self._clock)
        # As in `finishing`: appends are safe inside a finalizer, where no lock may be taken. The sum of bytes may
        # lose an update, and is set right whenever the inbox runs empty.
        self._inbox: deque[tuple[ReadableSpan, int]] = deque()
        self._bytes = 0
        self._awake = False
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._processing = threading.RLock()
        self._start_lock = threading.Lock()
        self._thread: threads.Worker | None = None

    # --- on the program's threads ---------------------------------------------------------------------

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 (the interface)
        """Take a span that started."""
        self._inbox.append((span, 0))
        if len(self._inbox) > _MANY:
            self._wake()

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that ended."""
        if not is_sampled(span):
            return
        if self._stopping:
            drops.count("span", f"{self._name}_shut_down")
            return
        size = estimated_bytes(span)
        if self._bytes + size > self._max_bytes:
            drops.count("span", f"{self._name}_queue_full")
            return
        self._bytes += size
        self._inbox.append((span, size))
        self._wake()

    def _wake(self) -> None:
        if self._awake:
            return
        self._awake = True
        if self._thread is not None or self._start():
            self._tokens.put(None)

    def _start(self) -> bool:
        if not self._start_lock.acquire(blocking=False):
            return True  # somebody else does
        try:
            if self._thread is None and not self._stopping:
                self._thread = threads.start(self._work, f"otel_llm-sample-{self._name}")
        except RuntimeError:
            # No more threads to be had: the next one tries again. Or the interpreter is shutting down: `close` does
            # the work on its own thread.
            self._awake = False
        finally:
            self._start_lock.release()
        return self._thread is not None

    # --- on the thread of this stage ------------------------------------------------------------------

    def _work(self) -> None:
        tokens = self._tokens
        while True:
            try:
                tokens.get(timeout=_LOOK_S if self._units.held else None)
                tokens.get(timeout=_LINGER_S)  # only `close` puts a second one
            except Empty:
                pass
            if self._stopping:
                return
            self._awake = False  # before the inbox is read: what comes from now on wakes us again
            self._process()

    def _process(self, timeout_s: float | None = None, *, everything: bool = False) -> bool:
        """Decide on what can be decided, or on everything; say whether there was time to begin with it."""
        if not self._processing.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s)):
            return False
        try:
            units, inbox = self._units, self._inbox
            for _ in range(len(inbox)):
                span, size = inbox.popleft()
                try:
                    if size:
                        self._bytes -= size
                        units.ended(span, size)
                    elif is_sampled(span):
                        units.started(span)
                except Exception:
                    drops.internal_error("sampling")
            if not inbox:
                self._bytes = 0
            if everything:
                units.decide_all()
            else:
                units.keep_bounds()
            self._hand_on(units.take())
        except Exception:
            drops.internal_error("sampling")
        finally:
            self._processing.release()
        return True

    def _hand_on(self, decided: Sequence[Decided]) -> None:
        gone: list[tuple[bytes, bytes]] = []
        for span, verdict in decided:
            if verdict.keep:
                self._inner.on_end(SampledSpan(span, verdict.weight, verdict.reason))
            elif (context := span.get_span_context()) is not None:
                gone.append((context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big")))
        if gone:
            drops.count("span", f"{self._name}_sampled", len(gone))
            if self._settled is not None:
                self._settled(self._name, gone)

    # --- flush and stop -------------------------------------------------------------------------------

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Decide on everything that ended so far, and send what is kept, within `timeout_millis`."""
        deadline = time.monotonic() + timeout_millis / 1000
        done = self._process(timeout_millis / 1000, everything=True)
        return self._inner.force_flush(max(0, int((deadline - time.monotonic()) * 1000))) and done

    def shutdown(self) -> None:
        """Decide on everything, send what is kept within the bound, then stop."""
        self.close(self._shutdown_timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Decide on everything, send what is kept within `timeout_s` seconds, then stop; say whether all went."""
        deadline = time.monotonic() + timeout_s
        done = True
        if not self._stopping:
            done = self._process(timeout_s, everything=True)
            self._stopping = True
            self._tokens.put(None)
            self._tokens.put(None)
        return self._inner.close(max(0.0, deadline - time.monotonic())) and done

    def status(self) -> dict[str, Any]:
        """Return how it stands, as plain data."""
        return {
            "target": str(self._target),
            "kept": self._sampler.kept,
            "dropped": self._sampler.dropped,
            "strata": self._sampler.strata,
            "held": self._units.held,
        }

    def after_fork_in_child(self) -> None:
        """Start afresh: the parent still has, and will decide on, what waits here."""
        self._reset()
        self._inner.after_fork_in_child()
