"""From a store to the file of a training run's report."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_llm.analysis.collecting import without_collections
from otel_llm.report.page import TRAINING, page
from otel_llm.report.training.choosing import choose
from otel_llm.report.training.details import Details
from otel_llm.report.training.document import beginning, build
from otel_llm.report.training.gathering import Gathered, gather
from otel_llm.report.writing import NothingToReportError, write_whole

if TYPE_CHECKING:
    from otel_llm.store import StoreReader

MAX_CHARACTERS: Final = 60_000_000
"""Characters of conversations that a report holds, as they are in the store; packed, some 12 MB."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What was written.

    Attributes:
        path: the file.
        nbytes: its size.
        steps: steps in it, one that was done again once an attempt.
        rollouts: rollouts in it.
        with_content: those of which it shows what was said.
        left_out: those of which it does not, because there was too much.
    """

    path: Path
    nbytes: int
    steps: int
    rollouts: int
    with_content: int
    left_out: int


def write_run(
    reader: StoreReader,
    run_id: str,
    output: str | os.PathLike[str],
    *,
    content: bool = True,
    max_characters: int = MAX_CHARACTERS,
    now_ns: int | None = None,
) -> RunReport:
    """Write the report of a training run as one HTML file.

    Args:
        reader: the store; it holds the files of all ranks.
        run_id: the run.
        output: the file; one that is there is replaced when the new one is whole.
        content: whether to show what was said, where the store has it.
        max_characters: how many characters of it at most: the best, worst and most surprising rollouts of every step
            come first.
        now_ns: what time it is; None for the clock's.

    Raises:
        NothingToReportError: there is no such run in the store.
        OSError: the file cannot be written.
    """
    with without_collections():
        gathered = gather(reader, run_id)
        if gathered is None:
            raise NothingToReportError("the store holds no such training run")
        return _write(reader, gathered, Path(output), content, max_characters, now_ns)


def _write(
    reader: StoreReader,
    gathered: Gathered,
    path: Path,
    content: bool,
    max_characters: int,
    now_ns: int | None,
) -> RunReport:
    made_ns = time.time_ns() if now_ns is None else now_ns
    chosen, left_out = choose(gathered.samples, gathered.of_row, max_characters) if content else (set(), 0)
    details = Details(reader, gathered, beginning(gathered, made_ns), chosen)
    chunks = details.chunks()
    document = build(
        gathered,
        made_ns=made_ns,
        content=content,
        problems=list(reader.problems),
        kept=len(details.kept),
        left_out=left_out,
    )
    return RunReport(
        path=path,
        nbytes=write_whole(path, page(document["title"], document, chunks, TRAINING)),
        steps=len(gathered.steps),
        rollouts=len(gathered.samples),
        with_content=len(details.kept),
        left_out=left_out,
    )
