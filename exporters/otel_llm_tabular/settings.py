"""What can be set for CSV and Parquet: variables only, since sinks are made by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final


class TabularSettingsError(ValueError):
    """A variable has a value that is not accepted; the text says which, and what is."""


_ON: Final = frozenset({"true", "on", "1", "yes"})
_OFF: Final = frozenset({"false", "off", "0", "no", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvSettings:
    """Settings of the CSV sink.

    Attributes:
        directory: where the files go; made if it is not there. Default `otel_llm_csv`. `OTEL_LLM_CSV_DIR`.
        tables: which tables are written; empty (default) for all. `OTEL_LLM_CSV_TABLES`, comma separated.
        max_bytes: a file that is longer is left alone and the next one begun; default 256 MiB.
            `OTEL_LLM_CSV_MAX_BYTES`.
        flush_interval: rows wait at most so many seconds; default 0.5. `OTEL_LLM_CSV_FLUSH_INTERVAL`.
        buffer_rows: so many spans and rows are written without waiting; default 2,000. `OTEL_LLM_CSV_BUFFER_ROWS`.
        safe: put an apostrophe before a text that a spreadsheet would run as a formula (one that begins with `=`, `+`,
            `-`, `@`, a tab or a carriage return); default false, since it changes the text. `OTEL_LLM_CSV_SAFE`.
    """

    directory: Path = Path("otel_llm_csv")
    tables: frozenset[str] = frozenset()
    max_bytes: int = 256 << 20
    flush_interval: float = 0.5
    buffer_rows: int = 2000
    safe: bool = False

    @classmethod
    def resolve(cls, environ: Mapping[str, str] | None = None) -> CsvSettings:
        """Read the variables.

        Raises:
            TabularSettingsError: a value is not accepted.
        """
        read = _Reader("OTEL_LLM_CSV_", os.environ if environ is None else environ)
        default = cls()
        return cls(
            directory=read.path("DIR", default.directory),
            tables=read.names("TABLES"),
            max_bytes=read.whole("MAX_BYTES", default.max_bytes),
            flush_interval=read.seconds("FLUSH_INTERVAL", default.flush_interval),
            buffer_rows=read.whole("BUFFER_ROWS", default.buffer_rows),
            safe=read.flag("SAFE"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetSettings:
    """Settings of the Parquet sink.

    Attributes:
        directory: where the files go; made if it is not there. Default `otel_llm_parquet`. `OTEL_LLM_PARQUET_DIR`.
        tables: which tables are written; empty (default) for all. `OTEL_LLM_PARQUET_TABLES`, comma separated.
        max_rows: all open files are closed when they have so many rows together; default 1,000,000.
            `OTEL_LLM_PARQUET_MAX_ROWS`.
        flush_interval: and after so many seconds, since a Parquet file can be read only when it is closed; default 300.
            `OTEL_LLM_PARQUET_FLUSH_INTERVAL`.
        row_group: rows of a row group; default 20,000, fewer where texts are long. `OTEL_LLM_PARQUET_ROW_GROUP`.
        compression: as pyarrow names it; default `zstd`. `OTEL_LLM_PARQUET_COMPRESSION`.
    """

    directory: Path = Path("otel_llm_parquet")
    tables: frozenset[str] = frozenset()
    max_rows: int = 1_000_000
    flush_interval: float = 300.0
    row_group: int = 20_000
    compression: str = "zstd"

    @classmethod
    def resolve(cls, environ: Mapping[str, str] | None = None) -> ParquetSettings:
        """Read the variables.

        Raises:
            TabularSettingsError: a value is not accepted.
        """
        read = _Reader("OTEL_LLM_PARQUET_", os.environ if environ is None else environ)
        default = cls()
        return cls(
            directory=read.path("DIR", default.directory),
            tables=read.names("TABLES"),
            max_rows=read.whole("MAX_ROWS", default.max_rows),
            flush_interval=read.seconds("FLUSH_INTERVAL", default.flush_interval),
            row_group=read.whole("ROW_GROUP", default.row_group),
            compression=read.text("COMPRESSION") or default.compression,
        )


class _Reader:
    """Reads variables with a prefix; an empty one counts as not set."""

    def __init__(self, prefix: str, environ: Mapping[str, str]) -> None:
        self._prefix = prefix
        self._environ = environ

    def text(self, name: str) -> str:
        return self._environ.get(self._prefix + name, "").strip()

    def path(self, name: str, default: Path) -> Path:
        text = self.text(name)
        return Path(text) if text else default

    def names(self, name: str) -> frozenset[str]:
        return frozenset(part.strip() for part in self.text(name).split(",") if part.strip())

    def whole(self, name: str, default: int) -> int:
        text = self.text(name)
        if not text:
            return default
        if not text.isdecimal() or int(text) < 1:
            raise self._refused(name, "a whole number of at least 1")
        return int(text)

    def seconds(self, name: str, default: float) -> float:
        text = self.text(name)
        try:
            value = float(text) if text else default
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise self._refused(name, "a number of seconds, 0 or more")
        return value

    def flag(self, name: str) -> bool:
        text = self.text(name).lower()
        if text not in _ON | _OFF:
            raise self._refused(name, "true or false")
        return text in _ON

    def _refused(self, name: str, accepted: str) -> TabularSettingsError:
        value = self.text(name)
        return TabularSettingsError(f"{self._prefix}{name} is {value!r}; it accepts {accepted}")
