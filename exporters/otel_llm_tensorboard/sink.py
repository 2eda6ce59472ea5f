"""The sink: what of a batch TensorBoard can show, appended to one event file a process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from otel_llm.views.appending import Appender
from otel_llm.views.files import FileSink
from otel_llm.views.model import Batch, Cell, Rows
from otel_llm_tensorboard import events
from otel_llm_tensorboard.settings import TensorBoardSettings

DRAWN: Final = frozenset({"interactions", "sessions", "full_trajectories"})
"""Tables whose figures are curves too: `interactions/response_time_ms` over the number of the row."""
SHOWN: Final = ("interactions", "completions", "full_trajectories", "model_outputs")
"""Tables of which a sample is shown as text."""

_NOT_DRAWN: Final = frozenset(
    {
        "phase_numeric",
        "season_numeric",
        "attempt",
        "start_time",
        "end_time",
        "grpo_episode",
        "grpo_step",
        "Step",
    }
)
"""Numbers that are no measurements."""
_STEP: Final = "Step"
_LEADING: Final = 3
_ONE_IN: Final = 100
_MAX_SHOWN: Final = 4000
"""Characters of a cell that is shown: TensorBoard's checksums are made in Python, byte by byte."""


class TensorBoardSink(FileSink):
    """Writes TensorBoard's event files.

    Args:
        settings: see there.
        directory: instead of the settings' one.
        alone: whether nobody else may write into it meanwhile, as a replay wants it.

    Raises:
        OSError: the directory cannot be used.
    """

    name = "tensorboard"

    def __init__(
        self,
        settings: TensorBoardSettings | None = None,
        directory: Path | None = None,
        *,
        alone: bool = False,
    ) -> None:
        self._settings = settings or TensorBoardSettings()
        super().__init__(directory or self._settings.directory, alone=alone)
        self._files = Appender(self.journal)

    def write(self, batch: Batch) -> bool:
        """Append what a batch has to show."""
        state = self.journal.state
        counts: dict[str, int] = dict(state.get("rows", {}))
        config: dict[str, Cell] = {**batch.config, **state.get("config", {})}
        before = {"rows": state.get("rows", {}), "config": state.get("config", {})}
        try:
            name = self._file(batch)
            made = [events.first(_time(batch))] if not self._files.length(name) else []
            if batch.config:
                made.append(events.hparams(config, _time(batch)))
            made += self._curves(batch)
            for rows in batch.tables:
                made += self._of_table(rows, counts)
            state.update(rows=counts, config=config)
            self._files.append({name: events.encoded(made)} if made else {}, batch.keys)
        except Exception as error:
            state.update(before)
            self.failed(error)
            return False
        self.worked()
        batch.settle()
        return True

    def _file(self, batch: Batch) -> str:
        """Return the event file; a process beside others has a run of its own, below."""
        state = self.journal.state
        name: str | None = state.get("file")
        if name is None or self._files.length(name) is None:
            host = socket.gethostname()
            name = f"events.out.tfevents.{int(_time(batch)):010d}.{host}.{os.getpid()}.{self.journal.slot}"
            if self.journal.slot > 1:
                name = f"s{self.journal.slot}/{name}"
            while (self.directory / name).exists():
                name += ".1"
            before = state.get("file")
            state["file"] = name
            self._files.begin([name], instead_of=[before] if before else [])
        return name

    def _curves(self, batch: Batch) -> Iterator[Any]:
        for scalar in batch.scalars:
            time_s = scalar.time_ns / 1e9
            step = int(time_s) if scalar.step is None else scalar.step
            yield events.scalars({scalar.name: scalar.value}, step, time_s)
        for one in batch.histograms:
            time_s = one.time_ns / 1e9
            yield events.histogram(one, int(time_s) if one.step is None else one.step, time_s)

    def _of_table(self, rows: Rows, counts: dict[str, int]) -> Iterator[Any]:
        names = rows.names
        figures = [
            (at, f"{rows.table}/{name}")
            for at, (name, kind) in enumerate(rows.columns)
            if rows.table in DRAWN and at >= _LEADING and kind != "text" and name not in _NOT_DRAWN
        ]
        own_step = names.index(_STEP) if _STEP in names else None
        for cells in rows.cells:
            number = counts.get(rows.table, 0)
            counts[rows.table] = number + 1
            time_s = cells[_LEADING - 1]
            assert isinstance(time_s, float)  # noqa: S101 (every row has a time)
            drawn = {
                tag: float(value)
                for at, tag in figures
                if (value := cells[at]) is not None and not isinstance(value, str)
            }
            if drawn:
                step = None if own_step is None else cells[own_step]
                yield events.scalars(drawn, step if isinstance(step, int) else number, time_s)
            if rows.table in SHOWN and self._is_shown(number):
                yield events.text(rows.table, _markdown(names, cells), number, time_s)

    def _is_shown(self, number: int) -> bool:
        texts = self._settings.texts
        return bool(texts) and (number < texts or number % _ONE_IN == 0)

    def close(self, timeout_s: float) -> bool:  # noqa: ARG002 (nothing takes long)
        """Close the files and let go of the directory."""
        self._files.close()
        self.journal.close()
        return True

    def forget(self) -> None:
        """Close the child's copies of the files; the parent's stay."""
        self._files.forget()
        self.journal.close()


def _time(batch: Batch) -> float:
    """Return a time of a batch, in seconds since the epoch: the same live and in a replay."""
    times = [cells[2] for rows in batch.tables for cells in rows.cells[:1]]
    times += [scalar.time_ns / 1e9 for scalar in batch.scalars[:1]]
    times += [one.time_ns / 1e9 for one in batch.histograms[:1]]
    return min((t for t in times if isinstance(t, float)), default=0.0)


def _markdown(names: tuple[str, ...], cells: tuple[Cell, ...]) -> str:
    """Return a row as a table, long texts below it as they are."""
    short, long = [], []
    for name, value in zip(names, cells, strict=True):
        if value is None:
            continue
        text = value if isinstance(value, str) else str(value)
        if "\n" in text or len(text) > _ONE_IN:
            # A fence longer than any in the text.
            fence = "`" * (3 + text.count("```"))
            long.append(f"**{name}**\n\n{fence}\n{text[:_MAX_SHOWN]}\n{fence}")
        else:
            short.append(f"| {name} | {text.replace('|', chr(0x2502))} |")
    return "\n".join(["| | |", "|---|---|", *short, "", *long])
