"""CSV, TensorBoard, JSON and OpenTelemetry: what they write, and what happens when they cannot."""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

import otel_llm
from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.logging import (
    CSVHandler,
    JSONFormatter,
    OpenTelemetryHandler,
    TensorBoardHandler,
    log_model_output,
)
from otel_llm.store import StoreReader
from tests.logging_plan.event_files import scalars

LOGGER = logging.getLogger("test.handlers")


@pytest.fixture
def attach() -> Iterator[Any]:
    made: list[logging.Handler] = []

    def add(handler: logging.Handler) -> Any:
        LOGGER.addHandler(handler)
        LOGGER.setLevel(logging.DEBUG)
        made.append(handler)
        return handler

    yield add
    for handler in made:
        LOGGER.removeHandler(handler)
        handler.close()


def rows(path: Path | str) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def wait_for(what: Any, seconds: float = 5.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


# --- CSV ------------------------------------------------------------------------------------------
def test_a_column_comes_from_the_row_from_extra_or_from_the_record(attach: Any) -> None:
    handler = attach(CSVHandler("logs/a.csv", ["level", "question", "score", "message"]))
    LOGGER.info("one", extra={"row": {"question": 'He said "hi",\nthen left', "score": 0.5}})
    LOGGER.warning("two", extra={"question": "q", "score": [1, None]})
    LOGGER.info("three")
    handler.flush()
    assert rows("logs/a.csv") == [
        ["level", "question", "score", "message"],
        ["INFO", 'He said "hi",\nthen left', "0.5", ""],
        ["WARNING", "q", "[1,null]", "two"],
        ["INFO", "", "", "three"],
    ]


def test_a_record_that_has_nothing_for_the_columns_is_no_row(attach: Any) -> None:
    handler = attach(CSVHandler("a.csv", ["timestamp", "name", "question"]))
    LOGGER.info("just a message")
    handler.flush()
    assert not Path("a.csv").exists()


def test_a_full_buffer_is_written_at_once_and_any_row_after_the_interval(attach: Any) -> None:
    attach(CSVHandler("size.csv", ["a"], buffer_size=3, flush_interval=60))
    for i in range(3):
        LOGGER.info("x", extra={"a": i})
    assert wait_for(lambda: Path("size.csv").exists() and len(rows("size.csv")) == 4)
    attach(CSVHandler("time.csv", ["a"], buffer_size=1000, flush_interval=0.05))
    LOGGER.info("x", extra={"a": 1})
    assert wait_for(lambda: Path("time.csv").exists() and len(rows("time.csv")) == 2)


def test_rows_are_appended_under_the_same_header_and_beside_another_one(attach: Any) -> None:
    for columns in (["a"], ["a"], ["b"], ["b"]):
        handler = CSVHandler("x.csv", columns)
        handler.emit(logging.makeLogRecord({columns[0]: "1"}))
        handler.close()
    assert rows("x.csv") == [["a"], ["1"], ["1"]]
    assert rows("x.2.csv") == [["b"], ["1"], ["1"]]


def test_a_line_that_a_killed_process_left_unfinished_does_not_swallow_the_next(attach: Any) -> None:
    Path("x.csv").write_text("a,b\n1,2\n3,")
    handler = attach(CSVHandler("x.csv", ["a", "b"]))
    LOGGER.info("x", extra={"a": 5, "b": 6})
    handler.flush()
    assert rows("x.csv") == [["a", "b"], ["1", "2"], ["3", ""], ["5", "6"]]


def test_secrets_do_not_reach_the_file(attach: Any) -> None:
    handler = attach(CSVHandler("x.csv", ["a"]))
    LOGGER.info("x", extra={"a": "my key is sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"})
    handler.flush()
    assert rows("x.csv")[1] == ["my key is [redacted]"]


def test_rows_that_cannot_be_written_are_kept_and_written_later(
    attach: Any, caplog: pytest.LogCaptureFixture
) -> None:
    handler = attach(CSVHandler("d/x.csv", ["a"], flush_interval=0.05))
    os.rmdir("d")
    Path("d").write_text("in the way")
    LOGGER.info("x", extra={"a": 1})
    handler.flush()
    assert "cannot be written" in caplog.text
    os.remove("d")
    assert wait_for(lambda: Path("d/x.csv").exists()), "it is tried again by itself"
    assert wait_for(lambda: rows("d/x.csv") == [["a"], ["1"]])


def test_a_full_disk_leaves_no_half_row_and_no_double(attach: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = attach(CSVHandler("x.csv", ["a"], flush_interval=60))
    LOGGER.info("x", extra={"a": "first"})
    handler.flush()
    real = Path.open

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file
            self.left = 10

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def fileno(self) -> int:
            return self.file.fileno()

        def write(self, data: bytes) -> int:
            if not self.left:
                raise OSError(28, "No space left on device")
            part, self.left = data[: self.left], 0
            return self.file.write(part)

    def opened(self: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        file = real(self, mode, *rest, **more)
        return Full(file) if mode == "ab" else file

    with monkeypatch.context() as full:
        full.setattr(Path, "open", opened)
        for i in range(5):
            LOGGER.info("x", extra={"a": f"row {i}, quoted"})
        handler.flush()
        assert rows("x.csv") == [["a"], ["first"]]
    handler.flush()
    assert rows("x.csv") == [["a"], ["first"], *([f"row {i}, quoted"] for i in range(5))]


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted(attach: Any) -> None:
    handler = attach(
        CSVHandler("x.csv", ["a"], buffer_size=10_000, flush_interval=60, max_queue_bytes=10_000)
    )
    for _ in range(10):
        LOGGER.info("x", extra={"a": "x" * 2000})
    handler.flush()
    assert len(rows("x.csv")) == 1 + 4
    assert drops.counts()["csv_row", "queue_full"] == 6


def test_a_handler_that_was_closed_writes_again(attach: Any) -> None:
    handler = attach(CSVHandler("x.csv", ["a"]))
    for i in range(2):
        LOGGER.info("x", extra={"a": i})
        handler.close()
    assert rows("x.csv") == [["a"], ["0"], ["1"]]


FORKS = """
import logging, os, sys
from otel_llm.logging import initialize
initialize({
    "root": {"handlers": ["rows", "board"], "level": "INFO"},
    "handlers": {
        "rows": {"class": "logging.custom.CSVHandler", "filename": "x.csv", "columns": ["who", "n"], "flush_interval": 60},
        "board": {"class": "logging.custom.TensorBoardHandler", "log_dir": "tb"},
    },
})
def log(who, n):
    for i in range(n):
        logging.getLogger().info("x", extra={"row": {"who": who, "n": i}, "scalars": {who: i}, "step": i})
log("parent", 50)
children = []
for k in range(3):
    pid = os.fork()
    if pid == 0:
        log(f"child{k}", 500)
        sys.exit()
    children.append(pid)
log("parent2", 50)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""


def test_forked_children_write_their_own_rows_and_not_the_parents() -> None:
    pytest.importorskip("tensorboard")
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    header, *written = rows("x.csv")
    assert header == ["who", "n"]
    expected = [("parent", 50), ("parent2", 50), *((f"child{k}", 500) for k in range(3))]
    assert sorted(written) == sorted([who, str(i)] for who, n in expected for i in range(n))
    board = scalars(Path("tb"))
    assert {who: len(values) for who, values in board.items()} == dict(expected)


def test_ten_thousand_rows_a_second_are_written(attach: Any) -> None:
    handler = attach(CSVHandler("x.csv", ["timestamp", "question", "answer", "llm_reasoning", "llm_answer"]))
    LOGGER.propagate = False
    row = {"question": "q" * 100, "answer": "42", "llm_reasoning": "because " * 40, "llm_answer": "42"}
    try:
        begun = time.perf_counter()
        for _ in range(5000):
            LOGGER.info("x", extra={"row": row})
        handler.close()
        took = time.perf_counter() - begun
    finally:
        LOGGER.propagate = True
    assert len(rows("x.csv")) == 5001
    assert took < 2.0, (
        f"{5000 / took:.0f} rows a second"
    )  # an idle machine writes some 30,000; a busy one is let off


# --- TensorBoard ----------------------------------------------------------------------------------
def test_scalars_are_written_at_their_step_and_without_one_are_counted(attach: Any) -> None:
    pytest.importorskip("tensorboard")
    handler = attach(TensorBoardHandler("tb", flush_secs=60))
    LOGGER.info("x", extra={"scalars": {"loss": 0.5, "text": "no", "nan": float("nan")}, "step": 7})
    LOGGER.info("x", extra={"scalars": {"reward": 1.0}})
    LOGGER.info("x", extra={"scalars": {"reward": 0.25}})
    LOGGER.info("not for it")
    handler.flush()
    found = scalars(Path("tb"))
    assert found["loss"] == [(7, 0.5)]
    assert found["nan"][0][1] != found["nan"][0][1]
    assert found["reward"] == [(0, 1.0), (1, 0.25)]
    assert set(found) == {"loss", "nan", "reward"}


def test_a_disk_that_was_full_gets_the_scalars_later(attach: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    handler = attach(TensorBoardHandler("tb", flush_secs=60))
    import io

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("otel_llm.logging._tensorboard.io.FileIO", Full)
        LOGGER.info("x", extra={"scalars": {"loss": 0.5}, "step": 1})
        handler.flush()
    handler.flush()
    assert scalars(Path("tb")) == {"loss": [(1, 0.5)]}


# --- JSON -----------------------------------------------------------------------------------------
def test_a_json_line_has_the_fields_that_the_plan_names_in_their_order() -> None:
    record = logging.makeLogRecord(
        {"name": "n", "levelname": "INFO", "msg": "a %s", "args": ("b",), "created": 1_700_000_000.5, "step": 3, "odd": {1}}
    )  # fmt: skip
    fields = ["timestamp", "level", "name", "message", "step", "missing", "odd"]
    assert JSONFormatter(fields).format(record) == (
        '{"timestamp":"2023-11-14T22:13:20.500+00:00","level":"INFO","name":"n","message":"a b","step":3,"odd":"{1}"}'
    )
    assert json.loads(JSONFormatter(["timestamp"], "%Y").format(record)) == {"timestamp": "2023"}


def test_an_exception_is_told_in_json() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})
    told = json.loads(JSONFormatter(["message"]).format(record))
    assert told["message"] == "failed"
    assert told["exception"].endswith("ValueError: no")


# --- OpenTelemetry --------------------------------------------------------------------------------
def stored() -> list[Any]:
    otel_llm.force_flush()
    return list(StoreReader(Path(".otel_llm")).logs())


def test_a_record_reaches_the_store_with_the_current_span(attach: Any) -> None:
    otel_llm.instrument()
    attach(OpenTelemetryHandler())
    with otel_llm.interaction("order", power="FRANCE") as scope:
        LOGGER.warning("bad %s", "order", extra={"unit": "A PAR", "scalars": {"loss": 0.5}, "step": 3})
    (log,) = stored()
    context = scope.span.get_span_context()
    assert (log.trace_id, log.span_id) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert (log.body, log.severity_text, log.severity_number) == ("bad order", "WARNING", 13)
    assert log.scope.name == LOGGER.name
    told = dict(log.attributes)
    assert told.pop(sc.CODE_FILE_PATH) == __file__
    assert told.pop(sc.CODE_LINE) > 0
    assert told == {
        sc.CODE_FUNCTION: "test_a_record_reaches_the_store_with_the_current_span",
        sc.TRAIN_STEP: 3,
        "loss": 0.5,
        "unit": "A PAR",
    }


def test_an_exception_and_a_secret_in_a_record(attach: Any) -> None:
    otel_llm.instrument()
    attach(OpenTelemetryHandler())
    try:
        raise ValueError("key sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD refused")
    except ValueError:
        LOGGER.exception("call failed")
    (log,) = stored()
    assert log.attributes[sc.EXCEPTION_TYPE] == "ValueError"
    assert log.attributes[sc.EXCEPTION_MESSAGE] == "key [redacted] refused"
    assert "abcdefghij" not in log.attributes[sc.EXCEPTION_STACKTRACE]
    assert "in test_an_exception_and_a_secret" in log.attributes[sc.EXCEPTION_STACKTRACE]


@pytest.mark.parametrize("content", ["length", "full"])
def test_what_models_say_is_sent_only_where_content_is_asked_for(attach: Any, content: str) -> None:
    otel_llm.instrument(content=content)
    handler = OpenTelemetryHandler()
    logger = logging.getLogger("logging.model")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        log_model_output("2 + 2?", "4", "<think>sum</think><answer>4</answer>", step=1)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    (log,) = [one for one in stored() if one.event_name is None]
    question = sc.CUSTOM_PREFIX + "question"
    if content == "full":
        assert log.attributes[question] == "2 + 2?"
    else:
        assert log.attributes[question + sc.LENGTH_SUFFIX] == 6
        assert "2 + 2?" not in str(log)
        assert "sum" not in str(log)


def test_an_exporter_that_logs_its_failure_does_not_feed_itself(attach: Any) -> None:
    otel_llm.instrument()
    attach(OpenTelemetryHandler())
    for name in ("opentelemetry.exporter", "otel_llm"):
        record = logging.makeLogRecord({"name": name, "msg": "export failed", "levelno": logging.ERROR})
        LOGGER.handle(record)
    assert stored() == []


def test_without_a_provider_a_record_goes_nowhere_and_nothing_is_said(attach: Any) -> None:
    attach(OpenTelemetryHandler())
    LOGGER.info("x")
    assert drops.counts() == {}
