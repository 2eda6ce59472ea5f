"""What a CSV file looks like."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.views.model import Batch, Rows
from otel_llm_tabular import CsvSettings, CsvSink, csv_text
from otel_llm_tabular.settings import ParquetSettings, TabularSettingsError

COLUMNS = (("trace_id", "text"), ("span_id", "text"), ("time", "float"), ("said", "text"))


def batch(*said, columns=COLUMNS, key=0):
    cells = [("t", "s", 1.5, *([text] if isinstance(text, str | None) else text)) for text in said]
    return Batch(tables=[Rows("answers", columns, cells)], keys={"spans": [key]})


@pytest.fixture
def sink(tmp_path):
    made = []

    def make(**settings):
        made.append(CsvSink(CsvSettings(**settings), tmp_path / "out"))
        return made[-1]

    yield make
    for one in made:
        one.close(1)


cells = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
)


@given(st.lists(st.tuples(cells, cells, cells), max_size=5))
def test_any_cell_is_read_back_by_pythons_own_reader(rows):
    text = csv_text.header(["a", "b", "c"]) + csv_text.lines(rows, safe=False)
    read = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert read[0] == ["a", "b", "c"]
    assert read[1:] == [[_written(cell) for cell in row] for row in rows]


def _written(cell):
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    return cell if isinstance(cell, str) else repr(cell)


def test_an_empty_text_differs_from_none(sink, tmp_path):
    sink().write(batch("", None, "a,b"))
    lines = (tmp_path / "out" / "answers.csv").read_bytes().split(b"\r\n")
    assert lines == [b"trace_id,span_id,time,said", b't,s,1.5,""', b"t,s,1.5,", b't,s,1.5,"a,b"', b""]


def test_a_restart_goes_on_in_the_same_file_with_one_header(sink, tmp_path):
    one = sink()
    one.write(batch("first"))
    one.close(1)
    sink().write(batch("second"))
    assert [
        line.rpartition(",")[2] for line in (tmp_path / "out" / "answers.csv").read_text().splitlines()
    ] == [
        "said",
        "first",
        "second",
    ]


def test_a_new_column_begins_a_new_file(sink, tmp_path):
    one = sink()
    one.write(batch("first"))
    one.write(batch(("second", 0.5), columns=(*COLUMNS, ("reward", "float"))))
    one.write(batch(("third", None), columns=(*COLUMNS, ("reward", "float"))))
    assert (tmp_path / "out" / "answers.csv").read_text().count("\n") == 2
    assert (tmp_path / "out" / "answers.0002.csv").read_text().splitlines() == [
        "trace_id,span_id,time,said,reward",
        "t,s,1.5,second,0.5",
        "t,s,1.5,third,",
    ]


def test_a_full_file_is_left_alone(sink, tmp_path):
    one = sink(max_bytes=100)
    for n in range(20):
        one.write(batch(f"row {n}", key=n))
    files = sorted((tmp_path / "out").glob("answers*.csv"))
    assert len(files) > 3
    assert max(path.stat().st_size for path in files) < 130
    said = [line.rpartition(",")[2] for path in files for line in path.read_text().splitlines()[1:]]
    assert sorted(said, key=lambda text: int(text.split()[1])) == [f"row {n}" for n in range(20)]


def test_somebody_elses_file_is_not_touched(sink, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "answers.csv").write_text("mine")
    sink().write(batch("first"))
    assert (tmp_path / "out" / "answers.csv").read_text() == "mine"
    assert (tmp_path / "out" / "answers.0002.csv").exists()


def test_after_a_file_was_removed_the_next_one_is_begun(sink, tmp_path):
    one = sink()
    one.write(batch("first"))
    (tmp_path / "out" / "answers.csv").unlink()
    one.write(batch("second"))
    (path,) = (tmp_path / "out").glob("*.csv")
    assert path.read_text().splitlines()[1] == "t,s,1.5,second"


def test_only_chosen_tables_are_written(sink, tmp_path):
    one = sink(tables=frozenset({"calls"}))
    assert one.write(batch("first"))
    assert not list((tmp_path / "out").glob("*.csv"))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"])
def test_formulas_are_made_text_where_that_is_asked_for(sink, tmp_path, text):
    sink(safe=True).write(batch(text, "plain"))
    with (tmp_path / "out" / "answers.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert [row[3] for row in rows] == ["said", f"'{text}", "plain"]


def test_settings_come_from_variables(tmp_path):
    found = CsvSettings.resolve({"OTEL_LLM_CSV_DIR": "/data", "OTEL_LLM_CSV_TABLES": "calls, logs"})
    assert (str(found.directory), found.tables, found.max_bytes) == ("/data", {"calls", "logs"}, 256 << 20)
    assert CsvSettings.resolve({}) == CsvSettings()
    assert ParquetSettings.resolve({"OTEL_LLM_PARQUET_ROW_GROUP": "7"}).row_group == 7
    for bad in (
        {"OTEL_LLM_CSV_SAFE": "maybe"},
        {"OTEL_LLM_CSV_MAX_BYTES": "0"},
        {"OTEL_LLM_CSV_FLUSH_INTERVAL": "x"},
    ):
        with pytest.raises(TabularSettingsError, match="it accepts"):
            CsvSettings.resolve(bad)
