"""CSV and Parquet files read with other people's readers."""

from __future__ import annotations

import csv

import pyarrow.csv
import pyarrow.parquet


def csv_rows(directory, table):
    """Return the rows of all files of a table as dicts of typed values, by pyarrow's reader.

    Only a field that is not there at all is None: an empty text is quoted.
    """
    found = []
    for path in sorted(directory.glob(f"{table}.*csv")):
        with path.open(newline="") as file:
            header = next(csv.reader(file))
        types = {name: _type(table, name) for name in header}
        read = pyarrow.csv.read_csv(
            path,
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
                true_values=["true"],
                false_values=["false"],
            ),
        )
        found += read.to_pylist()
    return found


def _type(table, name):
    from otel_llm.views.defining import views
    from otel_llm.views.table import LEADING
    from otel_llm_tabular.flat import HISTOGRAMS, SCALARS

    kinds = {
        "text": pyarrow.string(),
        "int": pyarrow.int64(),
        "float": pyarrow.float64(),
        "bool": pyarrow.bool_(),
    }
    flat = {"scalars": dict(SCALARS), "histograms": dict(HISTOGRAMS)}
    if table in flat:
        return kinds[flat[table][name]]
    (view,) = [view for view in views() if view.name == table]
    known = {column.name: column.type for column in (*LEADING, *view.columns)}
    return kinds[known.get(name, view.more_type)]


def parquet_rows(directory, table):
    """Return the rows of all files of a table."""
    found = []
    for path in sorted((directory / table).glob("*.parquet")):
        found += pyarrow.parquet.ParquetFile(path).read().to_pylist()
    return found


def expected(store):
    """Return by table what the store's content comes to, mapped at once."""
    from otel_llm.store import StoreReader
    from otel_llm.views.mapping import Mapper, Taken
    from otel_llm.views.unfinished import unfinished_games
    from otel_llm_tabular.flat import tables_of

    reader = StoreReader(store)
    spans = [span for span in reader.spans() if span.end_ns is not None]
    spans += unfinished_games(reader)
    taken = Taken(spans, list(reader.points()), list(reader.series()), list(reader.logs()))
    batch = Mapper().map(taken)
    return {
        rows.table: [dict(zip(rows.names, cells, strict=True)) for cells in rows.cells]
        for rows in tables_of(batch, frozenset())
    }


def comparable(rows):
    """Return rows in an order of their own, NaN equal to itself, columns that are empty left out."""
    plain = [{name: _plain(value) for name, value in row.items() if value is not None} for row in rows]
    return sorted(plain, key=lambda row: sorted(row.items()))


def _plain(value):
    return repr(float(value) if type(value) is int else value)
