"""The sink: what feeds it, when it does what, and its end. On one thread; nothing of it runs in the program's threads."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Final

from otel_llm.views import model
from otel_llm.views.model import Batch, Sink, SinkOptions
from otel_llm_wandb import artifacts, written
from otel_llm_wandb.exit import AtExit
from otel_llm_wandb.outbox import TableRows
from otel_llm_wandb.run import Run, programs_run
from otel_llm_wandb.settings import MAX_ROWS, WandbSettings
from otel_llm_wandb.tables import Tables
from otel_llm_wandb.target import Target
from otel_llm_wandb.writer import Writer

_MAX_HELD: Final = 64
_MAX_HELD_ROWS: Final = 20_000
"""Batches, and rows of tables in them, that wait for the program to start its run; then one of our own is started."""

_POLL_S: Final = 0.5
_WAIT_S: Final = 0.05
_GIVE_UP_S: Final = 2.0
_WHOLE: Final = "_all"


class WandbSink(Sink):
    """Writes one W&B run.

    Args:
        settings: what was set.
        options: what the feeder says.

    Raises:
        RuntimeError: another process writes the run, or it is not clear which run is meant.
    """

    name = "wandb"

    def __init__(self, settings: WandbSettings, options: SinkOptions) -> None:
        target = self._target = Target.find(settings, options)
        self.settings = settings = target.completed(settings)
        self.book = target.book
        self.wants = model.EVERYTHING if settings.artifacts else model.EVERYTHING - {model.ARTIFACTS}
        self._had = {} if target.left is None else target.left.keys
        self._left = target.left if target.has_rest else None
        self._joins = options.live and settings.join
        self._live = options.live
        self._writer = Writer(Run(settings, target.run_id, live=options.live), settings, options.store)
        self._held: list[Batch] = []
        self._join_until = time.monotonic() + (settings.join_wait_s if self._joins else 0.0)
        self._polled = 0.0
        self._is_due = False
        self._at_exit: AtExit | None = None
        self.is_exiting = False
        """The interpreter exits: the program logs nothing more."""

    @property
    def run_id(self) -> str | None:
        """The run's id, once it is known."""
        return self._writer.run.id

    def settled(self) -> Mapping[str, frozenset[int]]:
        """Return the keys of what the run's killed writer had taken; what the run lacks of it comes from the journal."""
        return {kind: frozenset(keys) for kind, keys in self._had.items()}

    def problem(self) -> str | None:
        """Return what went wrong last."""
        return self._writer.trouble.problem or self._writer.run.problem

    # --- taking ---------------------------------------------------------------------------------------

    def write(self, batch: Batch) -> bool:
        """Take a batch: its scalars go to W&B at once, rows of tables many together."""
        writer = self._writer
        if writer.is_over or self.is_off:
            writer.lose(batch)
            return True
        if not self._begin(now_or_never=self._holds_enough):
            if self._holds_enough:
                return False
            self._held.append(batch)
            return True
        if writer.run.how == "disabled":  # as it turns out only now
            return True
        return self._take_held() and writer.take(batch)

    def _begin(self, *, now_or_never: bool = False) -> bool:
        """Join the program's run, or start one once the program has had its time; says whether there is one."""
        writer = self._writer
        if writer.is_begun:
            return True
        if writer.trouble.is_pausing and not now_or_never:
            return False
        run = programs_run() if self._joins else None
        if run is None and time.monotonic() < self._join_until and not now_or_never:
            return False
        if not writer.begin(run, self._target.left):
            return False
        self._left = None
        self.is_off = writer.run.how == "disabled"
        if self.is_off:
            self._held.clear()
        elif self._live:
            # After W&B's own, so that it is called before: W&B ends all runs when the interpreter exits.
            self._at_exit = AtExit(self)
        return True

    @property
    def _holds_enough(self) -> bool:
        rows = sum(len(rows.cells) for batch in self._held for rows in batch.tables)
        return len(self._held) >= _MAX_HELD or rows >= _MAX_HELD_ROWS

    def _take_held(self) -> bool:
        """Take what came before there was a run; says whether nothing is left."""
        while self._held:
            if not self._writer.take(self._held[0]):
                return False
            self._held.pop(0)
        return True

    # --- settling -------------------------------------------------------------------------------------

    def due_s(self) -> float | None:
        """Return when rows of tables have waited long enough, or W&B is to be looked at again."""
        writer, now = self._writer, time.monotonic()
        if writer.is_over:
            return None
        times = [writer.due_at()]
        if self._held or self._left is not None or len(writer.outbox) or artifacts.waiting():
            times.append(max(writer.trouble.retry_at, self._polled + _POLL_S))
        due = min((at for at in times if at is not None), default=None)
        self._is_due = due is not None and due <= now
        return None if due is None else max(0.0, due - now)

    def flush(self, timeout_s: float) -> bool:
        """Write everything and wait until W&B's file has it; or, where only something is due, do that."""
        if self._is_due:
            self._is_due = False
            self._polled = time.monotonic()
            if self._begin() and self._take_held():
                self._writer.pump()
            return self._is_settled
        return self._settle(timeout_s, last=False)

    @property
    def _is_settled(self) -> bool:
        return self._writer.is_settled and not self._held

    def _settle(self, timeout_s: float, *, last: bool) -> bool:
        """Write everything and wait, within the time, until W&B's file has it.

        Args:
            timeout_s: the time, in seconds.
            last: nothing comes after it; the end of the run then brings the rest to the file, sooner than waiting.
        """
        deadline = time.monotonic() + timeout_s
        writer = self._writer
        if writer.is_over or self.is_off:
            return not writer.is_over
        if not self._held and self._left is None and not writer.is_begun and not artifacts.waiting():
            return True
        if not self._begin(now_or_never=True):
            return False
        if writer.run.how == "disabled":
            return True
        # Only a run of our own, or one that the program cannot log to any more, may be written regardless of it.
        regardless = last and (writer.run.how == "own" or self.is_exiting)
        give_up_at = time.monotonic() + _GIVE_UP_S
        while not writer.is_over:
            self._take_held()
            writer.pump(everything=True, last=regardless)
            if writer.run.how == "joined":  # its row and its file are not ours to wait for
                writer.trust_core()
                writer.pump(everything=True, last=regardless)
                break
            if self._is_settled and not len(writer.outbox) and not artifacts.waiting():
                return True
            left = deadline - time.monotonic()
            if left <= 0 or (last and writer.is_all_sent and not self._held):
                break
            if last and writer.trouble.problem is not None and time.monotonic() >= give_up_at:
                break  # a full disk, say: the program is not to wait for it at its end
            time.sleep(min(_WAIT_S, left))
        return self._is_settled

    # --- ending ---------------------------------------------------------------------------------------

    def close(self, timeout_s: float) -> bool:
        """Write everything, end a run of our own within the time, and let go."""
        deadline = time.monotonic() + timeout_s
        writer = self._writer
        done = self._settle(timeout_s, last=True)
        if writer.is_begun and not writer.is_over and not self.is_off:
            if writer.run.how == "own":
                self._write_whole()
            done = writer.end(max(0.1, deadline - time.monotonic())) and self._is_settled
        writer.close()
        if self._at_exit is not None:
            self._at_exit.cancel()
        return done

    def forget(self) -> None:
        """In a forked child: nothing here is the child's."""
        self._writer.forget()
        if self._at_exit is not None:
            self._at_exit.cancel()

    def _write_whole(self) -> None:
        """Write what only the end of a run has: each table in one, and files of trajectories."""
        writer = self._writer
        if writer.run.how != "own" or writer.is_over:
            return
        tables = {}
        columns_of = {rows.name: dict(rows.columns) for rows in writer.tables.rows}
        for name in columns_of:
            whole = written.rows_of(writer.directories, name, MAX_ROWS)
            if whole is not None:
                tables[name] = whole
        wanted = {name: tables[name] for name in self.settings.trajectories if name in tables}
        if wanted:
            metadata = {name: len(rows) for name, (_, rows) in wanted.items()}
            name = f"{artifacts.TRAJECTORIES}-{writer.run.id}"
            writer.write_artifact(name, artifacts.TRAJECTORIES, metadata, artifacts.trajectory_files(wanted))
        for name, (columns, rows) in tables.items() if self.settings.whole_tables else ():
            typed = tuple((column, columns_of[name].get(column, "text")) for column in columns)
            made = Tables(incremental=False).make(TableRows(name, typed, [tuple(row) for row in rows]))
            writer.safely(partial(writer.run.log, {f"{name}{_WHOLE}": made}, last=True))
