"""The W&B run: found, started, written, started again, finished; with `starting` all that calls `wandb`, on one thread.

A run of our own is invisible to the program: `wandb.run` stays what it is, and a `wandb.init()` of the program starts the
program's run. A run of the program's is only written: its settings, its step and its end stay the program's.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from otel_llm import drops
from otel_llm.bridges import ignoring
from otel_llm_wandb.environment import has_secret_headers, rank_here, silence_own_telemetry, staging_in
from otel_llm_wandb.errors import BrokenError, FullError, OverError, classified, is_unreachable
from otel_llm_wandb.outbox import ROW
from otel_llm_wandb.settings import WandbSettings
from otel_llm_wandb.starting import init, start_core, step_back

_MIN_FREE_BYTES: Final = 64 << 20
_PAUSE_S: Final = 0.05
_STEPS_APART: Final = 2
"""So many steps of the program's lie between two values of one name: W&B counts a step a moment after its row began."""


How = Literal["own", "joined", "disabled"]


def programs_run() -> Any:
    """Return the run that the program has started and not finished; None for none. Does not import W&B."""
    wandb = sys.modules.get("wandb")
    run = getattr(wandb, "run", None)
    return None if run is None or getattr(run, "_is_finished", False) else run


class Run:
    """One W&B run.

    Args:
        settings: what was set.
        run_id: the run to start or resume; None for a new one. A joined run has an id of its own.
        live: whether the program's run may be joined, and the machine's figures are of interest.
    """

    def __init__(self, settings: WandbSettings, run_id: str | None, *, live: bool) -> None:
        self._settings = settings
        self._live = live
        self._offline = False
        self._wandb: Any = None
        self._run: Any = None
        self._before: frozenset[str] = frozenset()
        self._step_before = 0
        self._merged: set[str] = set()
        self._seen_step = self._steps_since = 0
        self.next_step: int | None = None
        """Where W&B's count of rows goes on, for an offline run with an earlier directory: its core begins at 0 again."""
        self.id = run_id
        self.how: How | None = None
        self.directory: Path | None = None
        self.problem: str | None = None

    # --- beginning ------------------------------------------------------------------------------------

    def join(self, run: Any) -> None:
        """Write into the program's run from now on."""
        import wandb

        self._wandb, self._run = wandb, run
        self.how = "disabled" if getattr(run, "disabled", False) else "joined"
        self.id = str(run.id)
        if self.how == "disabled":
            return
        if has_secret_headers():
            drops.warn_once(
                "wandb:headers",
                "OTEL_EXPORTER_OTLP_HEADERS is set, and W&B's core, which the program started, may send it to the W&B "
                "server: set OTEL_EXPORTER_OTLP_TRACES_HEADERS instead, or WANDB_ERROR_REPORTING=false",
            )
        silence_own_telemetry()
        self._step_before = int(getattr(run, "_local_step", 0) or 0)
        self._find_directory()

    def start(self) -> None:
        """Start a run of our own, or start it again under the same id.

        Without a login or a network it becomes an offline run, which `wandb sync` uploads later.

        Raises:
            ImportError: W&B is not installed.
            Exception: W&B cannot start a run here at all.
        """
        import wandb

        self._wandb = wandb
        if self._settings.mode == "disabled" or os.environ.get("WANDB_MODE") == "disabled":
            self.how = "disabled"
            return
        if self._live and not self._settings.all_ranks and (rank := rank_here()):
            drops.logger.info(
                "rank %d starts no W&B run of its own; `otel-llm replay --to wandb` adds it to that of rank 0",
                rank,
            )
            self.how = "disabled"
            return
        silence_own_telemetry()
        hooks = sys.exit, sys.excepthook
        try:
            start_core()
            self._run = self._init_or_offline()
        finally:
            # W&B wraps these to learn the exit code; the program's stay as they were.
            sys.exit, sys.excepthook = hooks
        self.how = "own"
        self.id = str(self._run.id)
        self._find_directory()
        step_back(self._run)
        url = None if self._is_offline else getattr(self._run, "url", None)
        drops.logger.info("W&B run %s: %s", self.id, url or self.directory)

    def _init_or_offline(self) -> Any:
        try:
            return self._init()
        except Exception as error:
            if self._offline or not is_unreachable(error):
                raise
            self.problem = f"W&B cannot be reached ({_first_line(error)}); the run is written offline"
            drops.warn_once("wandb:offline", "%s; `wandb sync` uploads it", self.problem)
            self._offline = True
            return self._init()

    def _init(self) -> Any:
        mode = "offline" if self._offline else self._settings.mode
        return init(self._settings, self.id, mode=mode, is_offline=self._is_offline, live=self._live)

    @property
    def _is_offline(self) -> bool:
        mode = self._settings.mode or os.environ.get("WANDB_MODE")
        return self._offline or mode in {"offline", "dryrun"}

    def go_on_after(self, step: int) -> None:
        """Continue W&B's count of rows after `step`; a run that is resumed online knows it from the server."""
        if self.how == "own" and self._is_offline and step >= 0:
            self.next_step = step + 1

    def _find_directory(self) -> None:
        settings = self._run.settings
        try:
            self.directory = Path(settings.sync_file).resolve().parent
        except (AttributeError, TypeError):
            self.directory = None

    @property
    def data_file(self) -> Path | None:
        """The file that W&B's core writes; None where it writes none."""
        if self.directory is None or self.id is None:
            return None
        if getattr(self._run.settings, "x_skip_transaction_log", False):
            return None
        return self.directory / f"run-{self.id}.wandb"

    @property
    def files(self) -> Path | None:
        """The directory of the run's files: tables are in `media/table`."""
        return None if self.directory is None else self.directory / "files"

    @property
    def started_with(self) -> dict[str, Any]:
        """What the run belongs to, for whoever resumes it: an offline run knows it only from its beginning."""
        run = self._run
        told = {name: getattr(run, name, None) for name in ("project", "entity", "group", "job_type", "name")}
        made = {name: str(value) for name, value in told.items() if value}
        tags = getattr(run, "tags", None)
        return {**made, "tags": [str(tag) for tag in tags]} if tags else made

    @property
    def is_over(self) -> bool:
        """Whether somebody has finished the run."""
        return bool(getattr(self._run, "_is_finished", False))

    # --- writing --------------------------------------------------------------------------------------

    def can_log(self, names: Iterable[str]) -> bool:
        """Say whether a row with these names can be written now.

        Always into a run of our own. The program may number the rows of its run (`log(step=…)`), and W&B drops, with
        no more than a printed warning, each row whose number the run has passed; a row of ours must not take it there.
        So until the program has shown that it does not, ours are merged into its next row: one value a name.
        """
        if self.how != "joined" or self._is_counting():
            return True
        step = self._step()
        if step != self._seen_step:
            self._seen_step = step
            self._steps_since += 1
        if self._steps_since >= _STEPS_APART:
            self._merged.clear()
        return self._merged.isdisjoint(set(names) - {ROW})

    def log(self, row: Mapping[str, Any], *, last: bool = False) -> None:
        """Write a row.

        Args:
            row: its values.
            last: the program logs nothing after it: the row is its own, whatever the program does.

        Raises:
            BrokenError: W&B's core is gone.
            OverError: the run was finished.
            FullError: the disk has no room.
        """
        self._check_room()
        merge = self.how == "joined" and not last and not self._is_counting()
        try:
            with staging_in(self._staging()), ignoring():  # what the bridge takes up is the program's
                if merge:
                    self._run.log(dict(row), commit=False)
                    self._merged.update(row)
                    self._seen_step, self._steps_since = self._step(), 0
                else:
                    self._run.log(dict(row), step=self.next_step, commit=True)
                    self.next_step = None
        except Exception as error:
            raise classified(error, self._run) from error

    def _is_counting(self) -> bool:
        """Say whether W&B numbers the rows of the program's run: it has logged some, and none with a number."""
        telemetry = getattr(getattr(self._run, "_telemetry_obj", None), "feature", None)
        numbered = getattr(telemetry, "set_step_log", None)
        return numbered is False and self._step() > self._step_before

    def _step(self) -> int:
        return int(getattr(self._run, "_local_step", 0) or 0)

    def histogram(self, counts: Sequence[int], edges: Sequence[float]) -> Any:
        """Return a distribution as W&B takes it."""
        return self._wandb.Histogram(np_histogram=(list(counts), list(edges)))

    def define(self, definitions: Iterable[tuple[str, str]]) -> None:
        """Tell W&B which step metrics are drawn over: `(name or glob, step)` pairs."""
        try:
            with ignoring():
                for name, over in definitions:
                    # step_sync would give rows that lack the step the one that was logged last.
                    self._run.define_metric(name, step_metric=over, step_sync=False)
        except Exception as error:
            raise classified(error, self._run) from error

    def hide(self, name: str) -> None:
        """Keep a metric out of W&B's automatic charts."""
        try:
            with ignoring():
                self._run.define_metric(name, hidden=True)
        except Exception as error:
            raise classified(error, self._run) from error

    def configure(self, config: Mapping[str, Any]) -> None:
        """Add to the run's config; what the program has set there stays."""
        try:
            there = {key for key in config if key in self._run.config}
            self._run.config.update(
                {k: v for k, v in config.items() if k not in there}, allow_val_change=True
            )
        except Exception as error:
            raise classified(error, self._run) from error

    def log_artifact(self, artifact: Any, aliases: list[str] | None = None) -> None:
        """Write an artifact."""
        self._check_room()
        try:
            with staging_in(self._staging()):
                self._run.log_artifact(artifact, aliases=aliases)
        except Exception as error:
            raise classified(error, self._run) from error

    def new_artifact(self, name: str, kind: str, metadata: Mapping[str, Any]) -> Any:
        """Return an artifact to fill; to be used within `staging`."""
        return self._wandb.Artifact(name, type=kind, metadata=dict(metadata))

    def staging(self) -> Any:
        """Return a context in which artifacts are staged where they survive."""
        return staging_in(self._staging())

    def _staging(self) -> Path | None:
        directory = self.directory
        if directory is None or (self.how == "joined" and not directory.name.startswith("offline-")):
            return None
        return directory / "data"

    def _check_room(self) -> None:
        """Look for room first: on a full disk W&B's core loses rows of scalars without a word."""
        if self.how == "joined" and self._run is not None and self.is_over:
            raise OverError("the W&B run was finished by the program")
        if self.directory is None:
            return
        try:
            free = shutil.disk_usage(self.directory).free
        except OSError:
            return
        if free < _MIN_FREE_BYTES:
            raise FullError(f"the disk of {self.directory} is nearly full ({free >> 20} MiB left)")

    def barrier(self) -> None:
        """Wait until W&B's core has everything that was logged: `log` only queues.

        Raises:
            BrokenError: it is gone.
        """
        if getattr(self._run.settings, "_shared", False):
            return  # there it is an error
        try:
            _ = self._run.step
        except Exception as error:
            raise classified(error, self._run) from error

    # --- ending ---------------------------------------------------------------------------------------

    def finish(self, timeout_s: float) -> bool:
        """End a run of our own, within a bounded time; leave the program's to the program.

        Returns:
            Whether W&B has ended it.
        """
        run = self._run
        if self.how != "own" or run is None:
            return True
        if self.is_over:
            return True
        done: list[bool] = []

        def finish() -> None:
            try:
                run.finish()
                done.append(True)
            except (Exception, SystemExit) as error:
                if isinstance(classified(error, None), BrokenError):
                    self._tear_down()  # else W&B's exit handler prints a traceback into the program's last words
                self.problem = f"finishing the W&B run: {type(error).__name__} {_first_line(error)}".strip()

        # On a thread: with no network, and in versions without `finish_timeout`, it takes as long as it likes.
        thread = threading.Thread(target=finish, name="otel_llm-wandb-finish", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is going: W&B ends its runs at exit by itself
            return False
        thread.join(max(0.1, min(timeout_s, self._settings.finish_timeout)))
        return bool(done)

    def abandon(self) -> None:
        """Let go of a run whose core is gone, so that it can be started again.

        Raises:
            OverError: the program has runs of its own with that core; they are not ours to end.
        """
        if self.how == "joined":
            raise OverError("W&B's core is gone, and the run is the program's")
        from wandb.sdk import wandb_setup

        library = wandb_setup.singleton()
        if getattr(library, "most_recent_active_run", None) is not None:
            raise OverError("W&B's core is gone, and the program has runs of its own with it")
        self._run = None
        self._tear_down()

    def _tear_down(self) -> None:
        for _ in range(2):  # raises the first time
            try:
                self._wandb.teardown()
                return
            except Exception:
                time.sleep(_PAUSE_S)

    def forget(self) -> None:
        """In a forked child: touch nothing of the parent's, above all never finish its run."""
        self._run = None


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200]
