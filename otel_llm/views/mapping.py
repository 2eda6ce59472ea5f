"""From spans, metric points, step series and log records to a batch. Knows no sink and no program: plain data in and out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from otel_llm import drops
from otel_llm.store.rows import LogRow, PointRow, SeriesRow, StoredSpan
from otel_llm.views import curves, model
from otel_llm.views.artifacts import SpansOfGame, game_artifact
from otel_llm.views.cells import MisfitError, cell
from otel_llm.views.defining import views
from otel_llm.views.items import Item, Kin
from otel_llm.views.keys import key_of
from otel_llm.views.model import Batch, Cell, Column, Rows, Scalar, Sink, Type
from otel_llm.views.table import TableView

MAX_MORE: Final = 512
"""Columns that a table may get beyond those that are known beforehand."""


@dataclass(slots=True)
class Taken:
    """What becomes a batch: rows of the store, or of the program before they are stored."""

    spans: list[StoredSpan] = field(default_factory=list)
    points: list[PointRow] = field(default_factory=list)
    series: list[SeriesRow] = field(default_factory=list)
    logs: list[LogRow] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.spans or self.points or self.series or self.logs)

    def __len__(self) -> int:
        return len(self.spans) + len(self.points) + len(self.series) + len(self.logs)

    def of(self, kind: str) -> list[Any]:
        """Return the rows of a kind (`model.KINDS`)."""
        found: list[Any] = getattr(self, kind)
        return found


class Mapper:
    """Makes batches; remembers what later rows need: spans below open ones, columns that came late, what was said.

    Args:
        wants: what the sink writes; the rest is not made.
        look_up: returns the stored spans of a trace, where not all of them come by (a replay of the rest).
        spans_of_game: finds the spans of a game, for artifacts; without it there are none.
        max_text: characters of a text cell.
    """

    def __init__(
        self,
        wants: frozenset[str] = model.EVERYTHING,
        *,
        look_up: Callable[[str], list[StoredSpan]] | None = None,
        spans_of_game: SpansOfGame | None = None,
        max_text: int = Sink.max_text,
    ) -> None:
        self._wants = wants
        self._kin = Kin(look_up)
        self._spans_of_game = spans_of_game if model.ARTIFACTS in wants else None
        self._max_text = max_text
        self._columns: dict[str, tuple[TableView, tuple[Column, ...]]] = {}
        self._more: dict[str, dict[str, None]] = {}
        self._said: dict[str, Cell] = {}
        self._resources: dict[int, Mapping[str, Any]] = {}

    def map(self, taken: Taken) -> Batch:
        """Return what a sink gets of what was taken. Never raises for what a row holds."""
        batch = Batch(keys={k: [key_of(k, row) for row in taken.of(k)] for k in model.KINDS if taken.of(k)})
        tables: dict[str, Rows] = {}
        for span in taken.spans:
            self._describe(span.resource, batch)
            self._of_span(span, tables, batch)
        if model.ROWS in self._wants:
            for log in taken.logs:
                self._of_item(Item(log), tables)
        for row in taken.series if model.SCALARS in self._wants else ():
            batch.scalars.append(curves.of_series(row))
        for point in taken.points:
            self._describe(point.resource, batch)
            self._of_point(point, batch)
        batch.tables = [_even(rows) for rows in tables.values()]
        return batch

    def _of_span(self, span: StoredSpan, tables: dict[str, Rows], batch: Batch) -> None:
        item = Item(span, lambda: self._kin.below(span))
        if model.ROWS in self._wants:
            self._of_item(item, tables)
        if self._spans_of_game is not None and (made := game_artifact(item, self._spans_of_game)) is not None:
            batch.artifacts.append(made)
        self._kin.ended(span)

    def _of_item(self, item: Item, tables: dict[str, Rows]) -> None:
        for view in views():
            try:
                if not view.is_of(item):
                    continue
            except Exception as error:  # a function of the program's
                _failed(view.name, "where", error)
                continue
            self._add_row(view, item, tables)

    def _add_row(self, view: TableView, item: Item, tables: dict[str, Rows]) -> None:
        of_view = self._columns.get(view.name)
        if of_view is None or of_view[0] is not view:
            of_view = self._columns[view.name] = view, view.all_columns
        columns = of_view[1]
        made: list[Cell] = [self._cell(view.name, column, item) for column in columns]
        known = self._more.setdefault(view.name, {})
        rows = tables.get(view.name)
        if view.more is not None:
            values = self._more_cells(view, item)
            for heading in values:
                if heading not in known:
                    if len(known) >= MAX_MORE:
                        drops.count("cell", "too_many_columns")
                        continue
                    known[heading] = None
            made += [values.get(heading) for heading in known]
        if rows is None or len(rows.columns) != len(made):
            headings: tuple[tuple[str, Type], ...] = (
                *((column.name, column.type) for column in columns),
                *((heading, view.more_type) for heading in known),
            )
            if rows is None:
                rows = tables[view.name] = Rows(view.name, headings)
            rows.columns = headings
        rows.cells.append(tuple(made))

    def _cell(self, table: str, column: Column, item: Item) -> Cell:
        source = column.source
        try:
            value = item.attributes.get(source) if isinstance(source, str) else source(item)
            return None if value is None else cell(value, column.type, self._max_text)
        except MisfitError:
            _misfit(table, column.name)
        except Exception as error:
            _failed(table, column.name, error)
        return None

    def _more_cells(self, view: TableView, item: Item) -> dict[str, Cell]:
        assert view.more is not None  # noqa: S101 (the caller has looked)
        found: dict[str, Cell] = {}
        try:
            for heading, value in view.more(item).items():
                try:
                    found[heading] = cell(value, view.more_type, self._max_text)
                except MisfitError:
                    _misfit(view.name, heading)
        except Exception as error:
            _failed(view.name, "more", error)
        return found

    def _of_point(self, point: PointRow, batch: Batch) -> None:
        try:
            for made in curves.of_point(point):
                if isinstance(made, Scalar):
                    if model.SCALARS in self._wants:
                        batch.scalars.append(made)
                elif model.HISTOGRAMS in self._wants:
                    batch.histograms.append(made)
        except Exception as error:  # a point that is none of ours
            drops.count("point", "unreadable")
            drops.warn_once(
                "views:point", "a point of the metric %s cannot be drawn: %s", point.metric, drops.said(error)
            )

    def _describe(self, resource: Mapping[str, Any] | None, batch: Batch) -> None:
        """Put into the batch what a resource says that was not said before; the first that says it counts."""
        if not resource or self._resources.get(id(resource)) is resource or model.CONFIG not in self._wants:
            return
        if len(self._resources) >= _MAX_RESOURCES:
            self._resources.clear()
        self._resources[id(resource)] = resource
        for key, value in resource.items():
            if key not in self._said:
                batch.config[key] = self._said[key] = _config_value(value, self._max_text)


_MAX_RESOURCES: Final = 64


def _config_value(value: Any, limit: int) -> Cell:
    if isinstance(value, bool | float) or value is None:
        return value
    try:
        return cell(value, "int" if isinstance(value, int) else "text", limit)
    except MisfitError:
        return None


def _even(rows: Rows) -> Rows:
    """Give rows that were made before a column came an empty cell in it."""
    width = len(rows.columns)
    rows.cells = [row if len(row) == width else (*row, *(None,) * (width - len(row))) for row in rows.cells]
    return rows


def _misfit(table: str, column: str) -> None:
    drops.count("cell", "wrong_type")
    drops.warn_once(
        f"views:misfit:{table}:{column}",
        "values of the column %s of the table %s are not of its type; they are left empty and counted",
        column,
        table,
    )


def _failed(table: str, column: str, error: Exception) -> None:
    drops.count("cell", "failed")
    drops.warn_once(
        f"views:failed:{table}:{column}",
        "the column %s of the table %s failed: %s",
        column,
        table,
        drops.said(error),
    )


def batches(taken: Iterable[tuple[str, Any]], size: int) -> Iterable[Taken]:
    """Yield `(kind, row)` pairs in bundles of at most `size`, in order."""
    bundle = Taken()
    n = 0
    for kind, row in taken:
        bundle.of(kind).append(row)
        n += 1
        if n >= size:
            yield bundle
            bundle, n = Taken(), 0
    if bundle:
        yield bundle
