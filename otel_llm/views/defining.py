"""Tables of programs, beside those that are always there.

define_table("planning", of="interaction", columns={
    "power": "game.power.name",                              # text
    "centers": ("game.power.centers", "int"),
    "verbose": (lambda item: (item.get("otel_llm.output.length") or 0) > 2000, "bool"),
})
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from otel_llm.views.items import Item
from otel_llm.views.model import Column, Type
from otel_llm.views.table import LEADING, TableView
from otel_llm.views.tables import BUILT_IN, RESERVED

_lock = threading.RLock()
_defined: tuple[TableView, ...] = ()

ColumnSpec = str | Column | Callable[[Item], Any] | tuple[str | Callable[[Item], Any], Any]


def define_table(
    name: str,
    *,
    of: str,
    columns: Mapping[str, ColumnSpec] | Sequence[str],
    where: Callable[[Item], bool] | None = None,
) -> Callable[[], None]:
    """Have every sink write one more table.

    May be called before and after `instrument()`; a table defined again replaces the one before. For `otel-llm
    replay`, put the definitions into a file and name it: `--tables FILE`.

    Args:
        name: the table's name: letters, digits, `_` and `-`.
        of: what gets a row: `call`; the kind of a scope (`interaction`, `game`, `rollout` …); `event:` and the name of
            an event; else the name of a span, in which `*` and `?` stand for others (`invoke_agent *`).
        columns: by heading the key of an attribute or a function from an `Item`, for text; with another type a pair of
            it and `text`, `int`, `float` or `bool` (or Python's own type). Or only keys, which are the headings too.
        where: says whether an item gets a row.

    Returns:
        A function that takes the table away.

    Raises:
        ValueError: the name is none, or one of ours; a heading is there twice; no such type.
        TypeError: a column is neither a key nor a function.
    """
    if (
        not name
        or not name.replace("_", "").replace("-", "").isalnum()
        or not name.isascii()
        or name in RESERVED
    ):
        raise ValueError(
            f"{name!r} cannot be a table's name: letters, digits, _ and -; not {', '.join(sorted(RESERVED))}"
        )
    given = columns.items() if isinstance(columns, Mapping) else [(key, key) for key in columns]
    made = tuple(_column(str(heading), spec) for heading, spec in given)
    headings = [column.name for column in (*LEADING, *made)]
    if twice := sorted({heading for heading in headings if headings.count(heading) > 1}):
        raise ValueError(
            f"the table {name} has {', '.join(twice)} twice; {', '.join(headings[:3])} are there anyway"
        )
    view = TableView(name, of, made, where=where)
    global _defined
    with _lock:
        _defined = (*(known for known in _defined if known.name != name), view)

    def remove() -> None:
        global _defined
        with _lock:
            _defined = tuple(known for known in _defined if known is not view)

    return remove


def _column(heading: str, spec: ColumnSpec) -> Column:
    if isinstance(spec, Column):
        return Column(heading, spec.type, spec.source)
    source, kind = spec if isinstance(spec, tuple) else (spec, "text")
    if not isinstance(source, str) and not callable(source):
        raise TypeError(
            f"the column {heading!r} is {source!r}; it accepts the key of an attribute or a function"
        )
    if kind not in _TYPES:
        raise ValueError(f"the column {heading!r} has the type {kind!r}; it accepts text, int, float or bool")
    return Column(heading, _TYPES[kind], source)


_TYPES: Final[dict[Any, Type]] = {
    "text": "text",
    "int": "int",
    "float": "float",
    "bool": "bool",
    str: "text",
    int: "int",
    float: "float",
    bool: "bool",
}


def views() -> tuple[TableView, ...]:
    """Return all tables, those of the program last."""
    return (*BUILT_IN, *_defined)
