"""What a table is: which spans and events get a row in it, and what stands in its columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.views.items import Item
from otel_llm.views.model import Column, Type

LEADING: Final = (
    Column("trace_id", "text", lambda item: item.trace_id),
    Column("span_id", "text", lambda item: item.span_id),
    Column("time", "float", lambda item: item.time_ns / 1e9),
)
"""What every row begins with; `time` is when the span ended, in seconds since the epoch."""

CALL: Final = "call"
EVENT: Final = "event:"
_SCOPES: Final = frozenset(
    {
        "training_run",
        "step",
        "evaluation",
        "rollout",
        "turn",
        "game",
        "phase",
        "interaction",
        "tool",
        "reward",
    }
)
_CALLS: Final = frozenset({*sc.INFERENCE_OPERATIONS, sc.EMBEDDINGS, sc.FETCH_RESPONSE})


@dataclass(frozen=True, slots=True)
class TableView:
    """One table.

    Attributes:
        name: its name.
        of: what gets a row: `call`; the kind of a scope (`interaction`, `game`, `rollout` …); `event:` and the name of
            an event (`event:*` for any log record); else the name of a span, in which `*` and `?` stand for others.
        columns: those after the first three.
        more: columns that are known only when they come: a function to their headings and values.
        more_type: the type of these.
        where: whether an item gets a row; None: each does.
    """

    name: str
    of: str
    columns: tuple[Column, ...]
    more: Callable[[Item], Mapping[str, Any]] | None = None
    more_type: Type = "float"
    where: Callable[[Item], bool] | None = None

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The columns that are known beforehand, the first three included."""
        return (*LEADING, *self.columns)

    def is_of(self, item: Item) -> bool:
        """Say whether an item gets a row."""
        of = self.of
        if of.startswith(EVENT):
            wanted = of.removeprefix(EVENT)
            fits = item.log is not None and (wanted == "*" or fnmatchcase(item.name, wanted))
        elif item.log is not None:
            fits = False
        elif of == CALL:
            fits = item.attributes.get(sc.OPERATION_NAME) in _CALLS
        elif of in _SCOPES:
            fits = item.attributes.get(sc.SCOPE_KIND) == of
        else:
            fits = item.name == of or fnmatchcase(item.name, of)
        return fits and (self.where is None or self.where(item))
