"""Batches into a W&B run, from the first row to the last; what is lost on the way is sent again.

A batch is in the journal before anything of it goes to W&B, and settled when W&B's own file has all of it (see `outbox`,
`journal`, `datafile`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from otel_llm import drops
from otel_llm.views.model import Batch, Histogram, Scalar
from otel_llm_wandb import aggregates, artifacts
from otel_llm_wandb.datafile import DataFile, read_all
from otel_llm_wandb.errors import BrokenError, FullError, OverError
from otel_llm_wandb.journal import Left, SafeJournal
from otel_llm_wandb.outbox import ROW, Entry, Outbox, TableRows
from otel_llm_wandb.parking import Parking
from otel_llm_wandb.rows import Rower, is_from
from otel_llm_wandb.run import Run
from otel_llm_wandb.settings import WandbSettings
from otel_llm_wandb.tables import Tables, bounded
from otel_llm_wandb.trouble import Trouble
from otel_llm_wandb.waiting import Waiting

_MAX_UNACKNOWLEDGED: Final = 50_000
_SILENT_S: Final = 60.0
"""W&B's file has not grown for so long, though rows were logged: the core has lost them."""

_LOOK_S: Final = 0.02


class Writer:
    """Writes one run.

    Args:
        run: the run; it need not have begun.
        settings: what was set.
        store: the store's directory, for the journal and for trace trees; None for none.

    Attributes:
        run: the run.
        outbox: what is not known to be in the run's file.
        trouble: what went wrong last.
        directories: the run's directories, in order.
        tables: rows of tables that wait.
        is_begun: whether the run has begun.
        is_over: whether nothing goes to the run any more.
    """

    def __init__(self, run: Run, settings: WandbSettings, store: Path | None) -> None:
        self.run = run
        self.outbox = Outbox()
        self.trouble = Trouble()
        self.directories: list[Path] = []
        self.tables = Waiting(settings, store)
        self.is_begun = False
        self.is_over = False
        self._is_ended = False
        self._settings = settings
        self._unsent: deque[Entry] = deque()
        self._rower = Rower(settings.prefix)
        self._made = Tables(incremental=settings.tables == "incremental")
        self._config: dict[str, Any] = {}
        self._parked = Parking()
        self._journal = SafeJournal(store)
        self._data: DataFile | None = None
        self._batches = 0
        self._grew = time.monotonic()

    def begin(self, programs: Any, left: Left | None) -> bool:
        """Join the program's run, or start one; go on where a killed writer stopped.

        Args:
            programs: the program's run, None to start one.
            left: what the killed writer left.

        Returns:
            Whether there is a run now; if not, `trouble` says why.
        """
        try:
            if programs is not None:
                self.run.join(programs)
            else:
                self.run.start()
        except (Exception, SystemExit) as error:  # W&B ends "the program" where its core dies while it starts
            self.trouble.happened(f"cannot start a run: {type(error).__name__}: {error}"[:300])
            return False
        self.is_begun = True
        self.trouble.passed()
        if self.run.how == "disabled":
            return True
        self._open()
        if left is not None and left.run_id != self.run.id:
            left = None
        if left is not None and left.config:
            self._config = dict(left.config)  # the directory that has it may be gone
            self._journal.config(self._config)
        self.safely(self._introduce)
        if left is not None:
            self._recover(left)
        return True

    def _open(self) -> None:
        run = self.run
        if run.directory is not None and run.id is not None:
            self.directories.append(run.directory)
            self._journal.started(run.id, run.started_with, run.directory)
        self._data = None if run.data_file is None else DataFile(run.data_file)
        self._grew = time.monotonic()

    def _introduce(self) -> None:
        """Tell a run that has just begun what W&B has to know before the first row."""
        self.run.hide(ROW)
        self.run.define([(f"{table}/*", step) for table, step in aggregates.STEPS.items()])
        self.run.define(self._rower.told())
        if self._config:
            self.run.configure(self._config)

    def _recover(self, left: Left) -> None:
        """Send what the journal of a killed writer has beyond the run's file."""
        there = read_all(left.directories, left.run_id)
        self.directories[:0] = [d for d in left.directories if d not in self.directories]
        self._parked.there |= there.artifacts
        self.run.go_on_after(there.last_step)
        self.tables.totals = {table: dict(totals) for table, totals in left.totals.items()}
        self.outbox.next_number = max(left.next_number, there.last_row + 1)
        scalars, tables = left.beyond(there.last_row)
        for row in scalars:
            self._unsent.append(self.outbox.add(row, ()))
        for rows in tables.values():
            self.tables.add(rows, None)
        self._journal.carry(self.outbox.unacknowledged(), self.tables.rows, self.tables.totals)

    def take(self, batch: Batch) -> bool:
        """Take a batch; False if nothing of it was taken, and it is to be given again later."""
        if self.is_over:
            self.lose(batch)
            return True
        if self.trouble.is_pausing or not self._has_room():
            return False
        if not batch.artifacts:
            self._take(batch)
        elif not self.safely(partial(self._parked.write, batch, self.run, self.trouble)):
            return False
        else:
            self._journal.batch({}, self.outbox.next_number, [{}], [])
            entry = self.outbox.add({}, ())
            self._unsent.append(entry)
            self._parked.add(entry.number, batch)
        self.pump()
        return True

    def _unpark(self, number: int) -> None:
        for batch in self._parked.leave(number):
            self._take(batch)

    def _take(self, batch: Batch) -> None:
        self._batches += 1
        number = self._batches
        own = self.run.id or ""
        points: list[Scalar | Histogram] = [p for p in batch.scalars if not is_from(p, own)]
        points += [p for p in batch.histograms if not is_from(p, own)]
        definitions = self._rower.definitions(points)
        scalars = self._rower.rows(points)
        tables = [
            TableRows(rows.table, rows.columns, bounded(rows, self._settings.max_cell_length))
            for rows in batch.tables
            if rows.table not in self._settings.exclude_tables
        ]
        self.outbox.open(number, batch.receipt.settle)
        self._journal.batch(batch.keys, self.outbox.next_number, scalars, tables)
        for row in scalars:
            self.outbox.hold(number)
            self._unsent.append(self.outbox.add(row, (number,)))
        for rows in tables:
            self.outbox.hold(number)
            self.tables.add(rows, number)
        self.outbox.release(number)
        new = {key: value for key, value in batch.config.items() if key not in self._config}
        self._config |= new
        if new:
            self._journal.config(new)
            self.safely(partial(self.run.configure, new))
        if definitions:
            self.safely(partial(self.run.define, definitions))

    def _has_room(self) -> bool:
        if len(self.outbox) > _MAX_UNACKNOWLEDGED:
            self.safely(self.acknowledge)
            if len(self.outbox) > _MAX_UNACKNOWLEDGED:
                self.trouble.happened("its core is slower than what comes")
                return False
        return True

    def lose(self, batch: Batch) -> None:
        """Let go of a batch without settling it: the store has it, and `replay` sends it."""
        if self.run.how != "disabled":
            lost = sum(len(rows.cells) for rows in batch.tables) + len(batch.scalars) + len(batch.histograms)
            drops.count("row", "wandb_run_over", lost)

    # --- to W&B ---------------------------------------------------------------------------------------

    @property
    def is_all_sent(self) -> bool:
        """Whether W&B was given everything that was taken."""
        return not self._unsent and not self._parked.batches and not self.tables.has_waiting

    @property
    def is_settled(self) -> bool:
        """Whether the run's file has everything that was taken."""
        return not self.outbox.open_batches and not self._parked.batches

    def due_at(self) -> float | None:
        """Return when (`time.monotonic()`) rows of a table have waited long enough; None if none wait."""
        return self.tables.due_at()

    def pump(self, *, everything: bool = False, last: bool = False) -> bool:
        """Write what is due.

        Args:
            everything: also rows of tables that could wait.
            last: the program logs nothing more (see `Run.log`), and a pause does not count.

        Returns:
            Whether W&B took it.
        """
        if self.is_over or not self.is_begun or (self.trouble.is_pausing and not last):
            return False
        self._flush_tables(everything=everything)
        done = self.safely(partial(self._send, last=last))
        if last and done and self._parked.batches:  # there is no time to wait for the file: the core has them
            if self.safely(self.run.barrier):
                self._unpark(self.outbox.next_number)
            return self.pump(everything=everything, last=last)
        return done

    def _flush_tables(self, *, everything: bool) -> None:
        for rows, batches, beside in self.tables.due(everything=everything):
            self._journal.table(
                self.outbox.next_number, rows.name, len(rows.cells), self.tables.totals[rows.name]
            )
            self._unsent.append(self.outbox.add(beside, batches, rows))
        self._journal.rotate(self.outbox.unacknowledged, self.tables.rows, self.tables.totals)

    def _send(self, *, last: bool) -> None:
        artifacts.write_handed(self.run)
        while self._unsent:
            entry = self._unsent[0]
            names = (*entry.row, entry.table.name) if entry.table is not None else tuple(entry.row)
            if not last and not self.run.can_log(names):
                break
            try:
                values = self._made.values(entry, self.run.histogram)
                self.run.log(values, last=last)
                self._made.logged(entry, values)
            except (BrokenError, OverError, FullError):
                raise
            except Exception as error:
                if not self.trouble.is_hopeless(entry.number, error):
                    raise
            self._unsent.popleft()
        self.acknowledge()
        self.trouble.passed()

    def acknowledge(self) -> None:
        """Look how far the run's file has come, and settle what it has.

        Raises:
            BrokenError: W&B's core has lost what it was given, or is gone.
        """
        if self._data is None:
            self.run.barrier()  # no file: what the core has taken is all that can be known
            done = self.outbox.acknowledge(self.outbox.next_number - 1 - len(self._unsent))
        else:
            done = self.outbox.acknowledge(self._data.read().last_row)
        self._unpark(self.outbox.acknowledged)
        now = time.monotonic()
        if done or len(self.outbox) == len(self._unsent):
            self._grew = now
        elif now - self._grew > _SILENT_S and self.run.how == "own":
            raise BrokenError("its file does not grow")

    # --- trouble --------------------------------------------------------------------------------------

    def safely(self, do: Callable[[], object]) -> bool:
        """Call W&B; what goes wrong decides what becomes of the run. Says whether it went well."""
        try:
            do()
            return True
        except OverError as error:
            self._end_early(str(error))
        except BrokenError as error:
            self.trouble.happened(str(error))
            self._begin_again()
        except FullError as error:
            self.trouble.happened(str(error))
        except (Exception, SystemExit) as error:
            drops.internal_error("sink wandb")
            self.trouble.happened(f"{type(error).__name__}: {error}"[:300])
        return False

    def _begin_again(self) -> None:
        """Start the run again after its core was lost: what its file does not have goes to a new one, in the new core."""
        if self._data is not None:
            self.outbox.acknowledge(self._data.read().last_row)
            self._unpark(self.outbox.acknowledged)
        there = read_all(self.directories, self.run.id or "")
        self._parked.there = there.artifacts
        try:
            self.run.abandon()
            self.run.start()
            self.run.go_on_after(there.last_step)
        except OverError as error:
            self._end_early(str(error))
            return
        except (Exception, SystemExit) as error:
            drops.warn_once("wandb:again", "W&B cannot be started again: %r", error)
            return  # the next call finds the core gone, and comes here again
        self._made.begin_anew()
        self._unsent = deque(self.outbox.unacknowledged())
        self._open()
        try:
            self._introduce()
            for batch in self._parked.batches:
                self._parked.write(batch, self.run, self.trouble)
        except Exception:
            drops.internal_error("sink wandb: beginning again")

    def _end_early(self, problem: str) -> None:
        """Stop: nothing goes to the run any more; the store has everything."""
        self.is_over = True
        self.trouble.problem = problem
        if self._data is not None:
            self.outbox.acknowledge(self._data.read().last_row)
        lost = self.outbox.abandon() + sum(len(rows.cells) for rows in self.tables.rows)
        self._unsent.clear()
        for batch in self._parked.leave(self.outbox.next_number):
            self.lose(batch)
        drops.count("row", "wandb_run_over", lost)
        drops.warn_once(
            "wandb:over", "W&B: %s; `otel-llm replay --to wandb` completes it from the store", problem
        )

    def trust_core(self) -> None:
        """Settle what the core of the program's run has, without waiting for its file.

        It writes every 15 s, and nobody is to wait for that. The journal has it too: should the core lose it, `replay`
        sends it again.
        """
        if self._data is not None and not (self.run.how == "joined" and self._journal.is_kept):
            return
        if not self.is_over and self.safely(self.run.barrier):
            self.outbox.acknowledge(self.outbox.next_number - 1 - len(self._unsent))
            self._unpark(self.outbox.acknowledged)

    def end(self, timeout_s: float) -> bool:
        """End a run of our own, and leave the program's to the program. Says whether everything is settled."""
        deadline = time.monotonic() + timeout_s
        ended = self.run.finish(timeout_s)
        if ended:
            self.trust_core()
        while self._data is not None:
            self.outbox.acknowledge(self._data.read().last_row)
            # W&B says that the run has ended a moment before its core has closed the file. What it was never given
            # does not come.
            is_all = len(self.outbox) <= len(self._unsent)
            if is_all or not ended or self.run.how == "joined" or time.monotonic() >= deadline:
                break
            time.sleep(_LOOK_S)
        self._is_ended = ended and self.is_settled and not len(self.outbox)
        return self._is_ended

    def close(self) -> None:
        """Let go of the journal, and count what is not known to be in the run's file."""
        if self._is_ended:
            self._journal.end(self.outbox.next_number)
        self._journal.close()
        if lost := self.outbox.abandon():
            drops.count("row", "wandb_not_in_file", lost)

    def forget(self) -> None:
        """In a forked child: nothing here is the child's."""
        self.is_over = True
        self.run.forget()
        self._journal.close()
        self._unsent.clear()
        self.tables.clear()

    def write_artifact(
        self, name: str, kind: str, metadata: Mapping[str, Any], files: Mapping[str, bytes]
    ) -> None:
        """Write files as an artifact, unless the run has the very same."""
        self.safely(partial(artifacts.write_files, self.run, name, kind, metadata, files, self._parked.there))
