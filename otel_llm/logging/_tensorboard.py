"""Scalars of log records as a TensorBoard event file, written by a thread of its own.

Uses the record writer and messages of the `tensorboard` package, imported when the first scalar is written. TensorFlow
and PyTorch are not needed.
"""

from __future__ import annotations

import io
import itertools
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from otel_llm import drops
from otel_llm.logging._background import Background
from otel_llm.step_series import scalars_of, step_of

MAX_BYTES: Final = 64 << 20
_CLOSE_S: Final = 10.0
_SCALAR_BYTES: Final = 128
_number: Final = itertools.count()

_Item = tuple[float, list[tuple[str, int | float, int]]]


class TensorBoardHandler(logging.Handler):
    """Writes the `scalars` of records (name -> number) at their `step`; other records are nothing to it.

    The `log_*` functions give both; a program may too: `logger.info("…", extra={"scalars": {"loss": 1.2}, "step": 3})`.

    Args:
        log_dir: the directory that TensorBoard is pointed at; made.
        flush_secs: seconds after which scalars are written in any case.
        max_queue: so many records are written at once without waiting for more.
        max_queue_bytes: what may wait; when it is full, records are dropped and counted.
        level: as for any handler.

    Raises:
        ModuleNotFoundError: the `tensorboard` package is not installed.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        flush_secs: float = 30.0,
        max_queue: int = 100,
        max_queue_bytes: int = MAX_BYTES,
        level: int | str = logging.NOTSET,
    ) -> None:
        super().__init__(level)
        if find_spec("tensorboard") is None:
            raise ModuleNotFoundError("it needs the tensorboard package: pip install 'otel-llm[tensorboard]'")
        if max_queue < 1 or flush_secs <= 0:
            raise ValueError("max_queue accepts a whole number of at least 1, flush_secs seconds above 0")
        self.directory = Path(log_dir).expanduser().absolute()  # the program may change its directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self._file: io.FileIO | None = None
        self._steps: Counter[str] = Counter()
        self._background = Background(
            self._write,
            what="tensorboard_scalar",
            size=max_queue,
            interval_s=flush_secs,
            max_bytes=max_queue_bytes,
            forget=self._forget,
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; never raises."""
        try:
            scalars = scalars_of(getattr(record, "scalars", None))
            if not scalars:
                return
            step = step_of(getattr(record, "step", None))
            rows = [(name, value, self._step(name) if step is None else step) for name, value in scalars]
            self._background.put((record.created, rows), _SCALAR_BYTES * len(rows))
        except Exception:
            drops.internal_error("logging: a TensorBoard scalar")

    def _step(self, name: str) -> int:
        """Count the values of a scalar that has no step."""
        self._steps[name] += 1
        return self._steps[name] - 1

    def _write(self, items: Sequence[_Item]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        out = io.BytesIO()
        writer = RecordWriter(out)
        if self._file is None:
            self._file = self._open()
            writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        for seconds, rows in items:
            for step, scalars in itertools.groupby(rows, key=lambda row: row[2]):
                values = [Summary.Value(tag=name, simple_value=value) for name, value, _ in scalars]
                event = Event(wall_time=seconds, step=step, summary=Summary(value=values))
                writer.write(event.SerializeToString())
        try:
            data = out.getvalue()
            while data:
                data = data[self._file.write(data) or 0 :]
        except OSError:
            self._forget()  # it may end in the middle of a record: the next try makes another file
            raise

    def _open(self) -> io.FileIO:
        self.directory.mkdir(parents=True, exist_ok=True)
        where = f"{socket.gethostname()}.{os.getpid()}.{next(_number)}"
        return io.FileIO(self.directory / f"events.out.tfevents.{int(time.time()):010d}.{where}", "wb")

    def _forget(self) -> None:
        """Leave the file; also in a forked child, where the parent goes on to write to it."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def flush(self) -> None:
        """Write what waits."""
        self._background.flush(_CLOSE_S)

    def close(self) -> None:
        """Write what waits, stop the thread and close the file; a record that comes later makes another."""
        self._background.close(_CLOSE_S)
        self._forget()
        super().close()
