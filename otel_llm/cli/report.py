"""`otel-llm report`: a game, or a range of time, as one HTML file."""

from __future__ import annotations

import re
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Final

from otel_llm.cli import figures, reading
from otel_llm.cli.errors import CliError
from otel_llm.cli.filters import when
from otel_llm.cli.games import find_game
from otel_llm.cli.text import one_line
from otel_llm.report import NothingToReportError, Report, write_games, write_report

_FILE: Final = "otel-llm-report"
_NOT_A_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME: Final = 80


def report(
    game_id: str | None,
    *,
    since: str | None,
    until: str | None,
    output: Path | None,
    content: bool,
    store: Path | None,
) -> int:
    """Write a report and say what is in it.

    Args:
        game_id: this game alone; its id, as it is or as it is printed, or the only one that begins so.
        since: only what began then or later; an age or a time.
        until: only what began before; likewise.
        output: the file; None for one in the working directory, named by what it is about.
        content: whether to show what was said.
        store: the store's directory, None for the configured one.

    Raises:
        CliError: there is no store or nothing to report, a value makes no sense, or the file cannot be written.
    """
    now_ns = time.time_ns()
    since_ns = None if since is None else when("--since", since, now_ns)
    until_ns = None if until is None else when("--until", until, now_ns)
    _refuse_directory(output)
    reader = reading.open_store(store)
    game = None if game_id is None else find_game(reader, game_id)
    output = output or default_output(None if game is None else game.game_id)
    try:
        if game is not None and since_ns is None and until_ns is None:
            made = write_games([game], output, content=content, problems=reader.problems)
        else:
            made = write_report(
                reader,
                output,
                game_id=None if game is None else game.game_id,
                since_ns=since_ns,
                until_ns=until_ns,
                content=content,
            )
    except NothingToReportError as error:
        reading.report(reader)
        raise CliError(str(error), code=1) from None
    except OSError as error:
        raise CliError(f"cannot write {one_line(output)}: {error.strerror or error}", code=1) from None
    sys.stdout.write(f"{one_line(made.path)}  {_said(made)}\n")
    reading.report(reader)
    return 0


def default_output(about: str | None) -> Path:
    """Return the file of a report that nobody named: each game and each run has its own.

    Args:
        about: the id of the game or the run; None for a range of time.
    """
    if about is None:
        return Path(f"{_FILE}.html")
    name = _NOT_A_NAME.sub("_", about)[:_MAX_NAME]
    if name != about:  # two ids must not become one name
        name += f"-{sha256(about.encode(errors='replace')).hexdigest()[:6]}"
    return Path(f"{_FILE}-{name}.html")


def _refuse_directory(output: Path | None) -> None:
    if output is not None and output.is_dir():
        raise CliError(f"--output is a directory: {one_line(output)}; name a file in it")


def _said(made: Report) -> str:
    parts = [figures.plural(made.games, "game")] if made.games else []
    if made.interactions:
        parts.append(figures.plural(made.interactions, "interaction"))
    parts.append(figures.plural(made.calls, "call"))
    said = f"{', '.join(parts)}; {figures.size(made.nbytes)}"
    if not made.with_content:
        return f"{said}; without what was said"
    return said if not made.left_out else f"{said}; what was said in {made.left_out} of them had no room"


def report_run(run_id: str, *, output: Path | None, content: bool, store: Path | None) -> int:
    """Write the report of a training run and say what is in it.

    Args:
        run_id: its id, as it is or as it is printed, or the only one that begins so.
        output: the file; None for one in the working directory, named by what it is about.
        content: whether to show what was said.
        store: the store's directory, None for the configured one.

    Raises:
        CliError: there is no store or no such run, or the file cannot be written.
    """
    _refuse_directory(output)
    from otel_llm.cli.training import find_run
    from otel_llm.report.training import write_run

    reader = reading.open_store(store)
    run = find_run(reader, run_id)
    output = output or default_output(run.run_id)
    try:
        made = write_run(reader, run.run_id, output, content=content)
    except OSError as error:
        raise CliError(f"cannot write {one_line(output)}: {error.strerror or error}", code=1) from None
    said = f"{figures.plural(made.steps, 'step')}, {figures.plural(made.rollouts, 'rollout')}; {figures.size(made.nbytes)}"
    if not made.with_content:
        said += "; without what was said"
    elif made.left_out:
        said += f"; what was said in {figures.count(made.left_out)} of them had no room"
    sys.stdout.write(f"{one_line(made.path)}  {said}\n")
    reading.report(reader)
    return 0
