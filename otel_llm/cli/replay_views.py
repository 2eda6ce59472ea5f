"""`otel-llm replay --to csv|parquet|tensorboard|wandb …`: rows and curves of a store, to a sink of views."""

from __future__ import annotations

import contextlib
import runpy
import sys
from pathlib import Path
from typing import Final

from otel_llm.cli import figures
from otel_llm.cli.errors import CliError
from otel_llm.cli.facts import Facts
from otel_llm.cli.filters import Filters
from otel_llm.cli.sinks import make_view_sink
from otel_llm.cli.text import one_line
from otel_llm.store import StoreWriter
from otel_llm.views.model import KINDS, SinkOptions
from otel_llm.views.replaying import Replay, Sent, Wanted

_FLUSH_S: Final = 10.0
_NAMES: Final = {"spans": "span", "points": "metric point", "series": "scalar", "logs": "log record"}


def replay_views(
    store: Path,
    filters: Filters,
    *,
    to: str,
    options: SinkOptions,
    everything: bool,
    file: str | None,
    follow: bool,
    tables: Path | None,
) -> int:
    """Send what a sink of views does not have, and mark it as delivered.

    Args:
        store: the store's directory.
        filters: which spans; with any but a time, rows that are no spans are left out.
        to: the sink.
        options: what its factory gets.
        everything: what was delivered before as well.
        file: of this file of the store alone.
        follow: go on for as long as the run does.
        tables: a Python file that defines tables.

    Returns:
        The exit code: 1 where something could not be sent.

    Raises:
        CliError: no such sink, or definitions that fail.
    """
    if tables is not None:
        _define(tables)
    sink = make_view_sink(to, options)
    book = StoreWriter(store)  # makes its file with the first note
    wanted = Wanted(
        everything=everything,
        since_ns=filters.since_ns,
        file=file,
        span=(lambda span: filters.matches(span, Facts.of(span))) if _chooses(filters) else None,
    )
    try:
        replay = Replay(store, sink, book, wanted)
        with contextlib.suppress(KeyboardInterrupt):
            replay.follow() if follow else replay.once()
    finally:
        book.close(_FLUSH_S)
    _tell(replay.sent, to)
    return 1 if replay.sent.left else 0


def _chooses(filters: Filters) -> bool:
    """Say whether the filters choose among spans by more than their time."""
    return bool(
        filters.any and (filters.model or filters.errors or filters.min_duration_s or filters.attributes)
    )


def _define(path: Path) -> None:
    try:
        runpy.run_path(str(path))
    except Exception as error:
        raise CliError(
            f"--tables {path} fails: {one_line(f'{type(error).__name__}: {error}', 300)}"
        ) from None


def _tell(sent: Sent, to: str) -> None:
    if not sent.given and not sent.left:
        sys.stdout.write(f"nothing to send: {to} has everything that matches\n")
        return
    counted = [figures.plural(sent.given[kind], _NAMES[kind]) for kind in KINDS if kind in sent.given]
    if counted:
        sys.stdout.write(f"{', '.join(counted)} sent to {to}\n")
    if sent.left:
        sys.stdout.flush()
        why = f": {one_line(sent.problem, 300)}" if sent.problem else ""
        sys.stderr.write(
            f"otel-llm: {figures.plural(sent.left, 'item')} could not be sent{why}\n"
            "otel-llm: run the same command again to send the rest\n"
        )
