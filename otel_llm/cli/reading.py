"""The store as commands see it: where it is, which traces are in it, and what could not be read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from otel_llm.cli.errors import CliError
from otel_llm.cli.text import one_line

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan, StoreReader


def directory(store: Path | None) -> Path:
    """Return the store's directory: the option, else `OTEL_LLM_STORE`, else `.otel_llm`.

    Raises:
        CliError: the store is switched off.
    """
    if store is not None:
        return store
    from otel_llm.settings import Settings

    configured = Settings.resolve({}).store
    if configured is None:
        raise CliError("OTEL_LLM_STORE switches the store off; name one with --store DIR")
    return configured


def open_store(store: Path | None) -> StoreReader:
    """Open the store for reading.

    Raises:
        CliError: there is none.
    """
    where = directory(store)
    if not where.is_dir():
        raise CliError(
            f"there is no store at {where}. Programs write one when they run under `otel-llm run script.py` "
            "or call otel_llm.instrument(); `otel-llm demo` makes one to look at; --store names another",
            code=1,
        )
    from otel_llm.store import StoreReader

    return StoreReader(where)


def find_trace(reader: StoreReader, trace_id: str) -> tuple[str, list[StoredSpan]]:
    """Return a trace by its id or the first digits of it.

    Raises:
        CliError: there is no such trace, or several.
    """
    from otel_llm.store import AmbiguousTraceError

    wanted = one_line(trace_id.strip(), 60)
    try:
        spans = reader.trace(trace_id)
    except AmbiguousTraceError as error:
        several = ", ".join(error.candidates)
        raise CliError(f"several traces begin with {wanted}, give more digits: {several}", code=1) from None
    except ValueError:
        raise CliError(
            f"{wanted!r} is no trace id: it has 32 hex digits, of which the first few are enough"
        ) from None
    if not spans:
        report(reader)
        raise CliError(
            f"there is no trace {wanted} in the store; `otel-llm show --last 20` lists the newest", code=1
        )
    return spans[0].trace_id, spans


def report(reader: StoreReader) -> None:
    """Say on standard error what could not be read."""
    sys.stdout.flush()
    for problem in reader.problems:
        sys.stderr.write(f"otel-llm: {one_line(problem)}\n")
