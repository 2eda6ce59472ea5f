"""Tables as they lie in a run's directory: what was written is read back for whole tables and files of trajectories.

So that the end of a run has all rows without anybody having kept them in memory. Imports nothing of W&B.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

_NAME: Final = re.compile(r"(?P<key>.+)_(?P<step>\d+)_[0-9a-f]{20}\.table\.json")


def rows_of(
    directories: Iterable[Path], table: str, at_most: int
) -> tuple[list[str], list[list[Any]]] | None:
    """Return the headings and all rows of a table, in the order in which they were written.

    Args:
        directories: the run's directories, in order.
        table: the table's name.
        at_most: rows; None is returned where there are more.
    """
    columns: list[str] = []
    rows: list[list[Any]] = []
    for directory in directories:
        media = directory / "files" / "media" / "table"
        found = []
        for path in media.glob(f"{table}_*.table.json") if media.is_dir() else ():
            match = _NAME.fullmatch(path.name)
            if match is not None and match["key"] == table:
                found.append((int(match["step"]), path))
        for _, path in sorted(found):
            try:
                one = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                return None
            rows += one["data"]
            if len(rows) > at_most:
                return None
            if len(one["columns"]) > len(columns):
                columns = one["columns"]
    if not rows:
        return None
    return columns, [row + [None] * (len(columns) - len(row)) for row in rows]
