"""`otel-llm replay`: sends what is stored to a backend that does not have it yet.

OTLP gets spans as they are. Every other sink gets views of spans, metric points, step series and log records (see
`otel_llm.views`), and is followed up as the run goes on if that is asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_llm.cli import figures, reading
from otel_llm.cli.errors import CliError
from otel_llm.cli.facts import Facts
from otel_llm.cli.filters import Filters
from otel_llm.cli.sinks import OTLP, OtlpSink, SpanSink, batches
from otel_llm.cli.text import one_line
from otel_llm.views.model import SinkOptions

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan, StoreReader

MAX_BATCH_BYTES: Final = 3 << 20
"""gRPC refuses messages above 4 MiB."""
MAX_BATCH_SPANS: Final = 512
_GIVE_UP_AFTER: Final = 2
_SAMPLED: Final = 1
_FLUSH_S: Final = 10.0


@dataclass(slots=True)
class Counts:
    """What became of the spans."""

    sent: int = 0
    failed: int = 0
    not_tried: int = 0


def replay(
    run_or_dir: Path | None,
    filters: Filters,
    *,
    to: str,
    endpoint: str | None,
    everything: bool,
    follow: bool = False,
    output: Path | None = None,
    tables: Path | None = None,
) -> int:
    """Send what a sink does not have, and mark it as delivered.

    Args:
        run_or_dir: a store's directory or one of its files; None for the configured one.
        filters: which spans.
        to: the sink.
        endpoint: the backend's, instead of the configured one.
        everything: what was delivered before as well.
        follow: go on for as long as the run does.
        output: where a sink that writes files shall write.
        tables: a Python file that defines tables.

    Returns:
        The exit code: 1 where something could not be sent.

    Raises:
        CliError: no such store or sink, or options that do not go together.
    """
    file: str | None = None
    if run_or_dir is not None and run_or_dir.is_file():
        run_or_dir, file = run_or_dir.parent, run_or_dir.name
    elif run_or_dir is not None and run_or_dir.suffix == ".db":
        raise CliError(f"there is no file {run_or_dir}", code=1)
    where = reading.directory(run_or_dir)
    if to == OTLP:
        for option, given in (("--follow", follow), ("--output", output), ("--tables", tables)):
            if given:
                raise CliError(f"{option} does not go with --to {OTLP}")
        return _replay_spans(run_or_dir, where, filters, endpoint=endpoint, everything=everything, file=file)
    from otel_llm.cli.replay_views import replay_views

    reader = reading.open_store(run_or_dir)
    code = replay_views(
        where,
        filters,
        to=to,
        options=SinkOptions(live=False, output=output, endpoint=endpoint, store=where),
        everything=everything,
        file=file,
        follow=follow,
        tables=tables,
    )
    reading.report(reader)
    return code


def _replay_spans(
    run_or_dir: Path | None,
    where: Path,
    filters: Filters,
    *,
    endpoint: str | None,
    everything: bool,
    file: str | None,
) -> int:
    reader = reading.open_store(run_or_dir)
    sink = OtlpSink(endpoint)
    try:
        spans = _wanted(reader, filters, OTLP, everything=everything, file=file)
        counts, problem = send(spans, sink, OTLP, where)
    finally:
        sink.close()
    _tell(counts, problem, OTLP)
    reading.report(reader)
    return 1 if counts.failed or counts.not_tried else 0


def _wanted(
    reader: StoreReader, filters: Filters, to: str, *, everything: bool, file: str | None
) -> Iterator[StoredSpan]:
    since_ns = filters.since_ns
    spans = reader.spans(since_ns=since_ns) if everything else reader.undelivered(to, since_ns=since_ns)
    for span in spans:
        if span.end_ns is None or not span.flags & _SAMPLED or (file is not None and span.file != file):
            continue
        if not filters.any or filters.matches(span, Facts.of(span)):
            yield span


def send(spans: Iterator[StoredSpan], sink: SpanSink, name: str, store: Path) -> tuple[Counts, str | None]:
    """Send spans in batches and book what was taken, batch by batch, so that an interruption repeats little.

    Args:
        spans: what to send.
        sink: where to.
        name: the sink's name in the book.
        store: the directory of the book.

    Returns:
        The counts, and why a batch was not taken.
    """
    counts = Counts()
    problem: str | None = None
    in_a_row = 0
    book = _Book(store, name)
    try:
        for batch in batches(spans, MAX_BATCH_BYTES, MAX_BATCH_SPANS):
            if in_a_row >= _GIVE_UP_AFTER:  # the backend is down, rather than a batch bad
                counts.not_tried += len(batch)
                continue
            if sink.send(batch):
                counts.sent += len(batch)
                in_a_row = 0
                book.note(batch)
            else:
                counts.failed += len(batch)
                in_a_row += 1
                problem = sink.problem() or problem
    except KeyboardInterrupt:
        problem = "interrupted"
        counts.not_tried += sum(1 for _ in spans)
    finally:
        book.close()
    return counts, problem


class _Book:
    """Notes in the store what a sink has taken; a file of this process's own, made with the first note."""

    def __init__(self, store: Path, sink: str) -> None:
        self._store = store
        self._sink = sink
        self._writer: Any = None

    def note(self, batch: Sequence[StoredSpan]) -> None:
        """Note a batch; it is committed when this returns."""
        if self._writer is None:
            from otel_llm.store import StoreWriter

            self._writer = StoreWriter(self._store)
        keys = [(bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id)) for span in batch]
        self._writer.delivered(self._sink, keys)
        if not self._writer.flush(_FLUSH_S):
            sys.stderr.write(
                "otel-llm: what was sent could not be noted in the store; replay would send it again\n"
            )

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close(_FLUSH_S)


def _tell(counts: Counts, problem: str | None, to: str) -> None:
    if not (counts.sent or counts.failed or counts.not_tried):
        sys.stdout.write(f"nothing to send: {to} has every span that matches\n")
        return
    sys.stdout.write(f"{figures.plural(counts.sent, 'span')} sent to {to}\n")
    left = counts.failed + counts.not_tried
    if left:
        sys.stdout.flush()
        why = f": {one_line(problem, 300)}" if problem else ""
        tried = f" ({figures.count(counts.not_tried)} not tried)" if counts.not_tried else ""
        sys.stderr.write(
            f"otel-llm: {figures.plural(left, 'span')} could not be sent{tried}{why}\n"
            "otel-llm: run the same command again to send the rest\n"
        )
