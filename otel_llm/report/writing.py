"""From a store to a file."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_llm.analysis import GameRecord, load_games
from otel_llm.report.details import Details
from otel_llm.report.document import Document, build
from otel_llm.report.page import page

if TYPE_CHECKING:
    from otel_llm.store import StoreReader

MAX_CHARACTERS: Final = 200_000_000
"""Characters of texts that a report holds; a game of ten thousand interactions has about 60 million."""
_TRACES: Final = 500


class NothingToReportError(LookupError):
    """The store holds nothing of what was asked for."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was written.

    Attributes:
        path: the file.
        nbytes: its size.
        games: games in it.
        interactions: interactions in it.
        calls: model calls in it.
        with_content: interactions, and calls outside any, of which it shows what was said.
        left_out: those of which it does not, because there was too much.
    """

    path: Path
    nbytes: int
    games: int
    interactions: int
    calls: int
    with_content: int
    left_out: int


def write_report(
    reader: StoreReader,
    output: str | os.PathLike[str],
    *,
    game_id: str | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
    content: bool = True,
    max_characters: int = MAX_CHARACTERS,
    now_ns: int | None = None,
) -> Report:
    """Write the report of a game, or of all that happened in a time, as one HTML file.

    Args:
        reader: the store.
        output: the file; one that is there is replaced when the new one is whole.
        game_id: this game alone; None for all games, and for calls outside any.
        since_ns: only what began then or later, in nanoseconds since the epoch.
        until_ns: only what began before.
        content: whether to show what was said, where the store has it.
        max_characters: how many characters of it at most.
        now_ns: what time it is; None for the clock's.

    Raises:
        NothingToReportError: there is nothing of the kind in the store.
        OSError: the file cannot be written.
    """
    games = load_games(reader, game_id=game_id, since_ns=since_ns, until_ns=until_ns)
    traces = None if any(game.game_id for game in games) else _traces(reader, since_ns, until_ns)
    return write_games(
        games,
        output,
        content=content,
        max_characters=max_characters,
        now_ns=now_ns,
        problems=reader.problems,
        filters={"game": game_id, "since": _ms(since_ns), "until": _ms(until_ns)},
        traces=traces,
    )


def write_games(
    games: Sequence[GameRecord],
    output: str | os.PathLike[str],
    *,
    content: bool = True,
    max_characters: int = MAX_CHARACTERS,
    now_ns: int | None = None,
    problems: Sequence[str] = (),
    filters: Mapping[str, Any] | None = None,
    traces: Sequence[Mapping[str, Any]] | None = None,
) -> Report:
    """Write the report of games that were read before.

    Args:
        games: as `otel_llm.analysis.load_games` returns them.
        output: see `write_report`, as are `content`, `max_characters` and `now_ns`.
        content: …
        max_characters: …
        now_ns: …
        problems: what the page says could not be read; a line each.
        filters: what was asked for: `game` (an id), `since` and `until` (milliseconds since the epoch).
        traces: where there is no game: the traces to find calls by.

    Raises:
        NothingToReportError: there is nothing in them.
        OSError: the file cannot be written.
    """
    path = Path(output)
    document = build(
        games,
        made_ns=time.time_ns() if now_ns is None else now_ns,
        content=content,
        filters=dict(filters or {}),
        problems=list(problems),
        **({} if traces is None else {"runs": list(traces)}),
    )
    if not document.items and not any(game.phases or game.spans for game in games):
        raise NothingToReportError("nothing in the store matches")
    details = Details(document.t0_ns, max_characters=max_characters, content=content)
    return Report(
        path=path,
        nbytes=_write(path, document, details),
        games=sum(bool(game.game_id) for game in games),
        interactions=sum(game.totals.interactions for game in games),
        calls=sum(game.totals.calls for game in games),
        with_content=details.kept,
        left_out=details.left_out,
    )


def _write(output: Path, document: Document, details: Details) -> int:
    """Write the page; return its size."""
    chunks = details.chunks(document.items)
    document.data["kept"], document.data["left_out"] = details.kept, details.left_out
    return write_whole(output, page(document.title, document.data, chunks))


def write_whole(output: Path, pieces: Iterable[bytes]) -> int:
    """Write pieces beside a file's place and move them there when they are whole; return their size.

    Raises:
        OSError: the file cannot be written.
    """
    descriptor, partial = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    try:
        nbytes = 0
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                nbytes += file.write(piece)
        os.chmod(partial, 0o666 & ~_umask())  # noqa: PTH101 (mkstemp gives it to its owner alone)
        os.replace(partial, output)  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)  # noqa: PTH108
        raise
    return nbytes


def _traces(reader: StoreReader, since_ns: int | None, until_ns: int | None) -> list[dict[str, Any]]:
    """Return the latest traces: what calls outside any game are found by."""
    return [
        {
            "trace": trace.trace_id, "name": trace.name, "spans": trace.spans, "errors": trace.errors,
            "start": _ms(trace.start_ns), "took": trace.duration_s, "models": trace.models,
            "given": trace.input_tokens, "got": trace.output_tokens, "cost": trace.cost_usd,
            "services": trace.services,
        }
        for trace in reader.traces(limit=_TRACES, since_ns=since_ns, until_ns=until_ns)
    ]  # fmt: skip


def _ms(time_ns: int | None) -> int | None:
    return None if time_ns is None else round(time_ns / 1e6)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
