"""A program's own `logging` calls gain trace ids, and lose nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

import otel_llm
from otel_llm.logging import initialize, shutdown


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    logger = logging.getLogger("program")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


LOGGER = logging.getLogger("program")


def ids(record: logging.LogRecord) -> tuple[Any, Any]:
    return getattr(record, "trace_id", None), getattr(record, "span_id", None)


def test_records_get_the_ids_of_the_current_span(kept: Kept) -> None:
    otel_llm.instrument(log_correlation=True)
    LOGGER.warning("outside")
    with otel_llm.interaction("order") as scope:
        LOGGER.warning("inside")
    context = scope.span.get_span_context()
    assert [ids(record) for record in kept.records] == [
        ("", ""),
        (f"{context.trace_id:032x}", f"{context.span_id:016x}"),
    ]


def test_a_plan_turns_it_on_unless_it_is_told_not_to(kept: Kept) -> None:
    initialize({})
    LOGGER.warning("x")
    shutdown()
    LOGGER.warning("x")
    initialize({}, log_correlation=False)
    LOGGER.warning("x")
    assert [ids(record) for record in kept.records] == [("", ""), (None, None), (None, None)]


def test_it_is_off_by_default_and_undone_by_uninstrument(kept: Kept) -> None:
    handle = logging.Logger.handle
    otel_llm.instrument()
    assert logging.Logger.handle is handle
    otel_llm.shutdown()
    instrumented = otel_llm.instrument(log_correlation=True)
    initialize({})
    instrumented.uninstrument()
    LOGGER.warning("x")
    assert ids(kept.records[0]) == ("", ""), "the plan still wants it"
    shutdown()
    assert logging.Logger.handle is handle


def test_a_variable_turns_it_on(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_LLM_LOG_CORRELATION", "true")
    otel_llm.instrument()
    LOGGER.warning("x")
    assert ids(kept.records[0]) == ("", "")


def test_a_program_that_gives_ids_itself_keeps_its_own(kept: Kept) -> None:
    otel_llm.instrument(log_correlation=True)
    with otel_llm.interaction("order"):
        LOGGER.warning("x", extra={"trace_id": "mine"})
        LOGGER.warning("x", extra={"trace_id": "mine", "span_id": 7})
    assert [ids(record) for record in kept.records] == [("mine", ""), ("mine", 7)]


def test_the_programs_own_record_factory_is_respected(kept: Kept) -> None:
    before = logging.getLogRecordFactory()

    class Own(logging.LogRecord):
        pass

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = Own(*args, **kwargs)
        record.rank = 3
        return record

    otel_llm.instrument(log_correlation=True)
    logging.setLogRecordFactory(factory)
    try:
        LOGGER.warning("x")
    finally:
        logging.setLogRecordFactory(before)
    (record,) = kept.records
    assert isinstance(record, Own)
    assert (record.rank, ids(record)) == (3, ("", ""))


def test_what_others_wrapped_since_stays(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    before = logging.Logger.handle
    otel_llm.instrument(log_correlation=True)
    ours = logging.Logger.handle
    seen = []

    def theirs(self: logging.Logger, record: logging.LogRecord) -> None:
        seen.append(record)
        ours(self, record)

    logging.Logger.handle = theirs  # type: ignore[method-assign]
    try:
        otel_llm.shutdown()
        LOGGER.warning("x")
        assert len(seen) == 1
        assert ids(kept.records[0]) == (None, None)
        otel_llm.instrument(log_correlation=True)
        LOGGER.warning("x")
        assert ids(kept.records[1]) == ("", "")
    finally:
        logging.Logger.handle = ours  # type: ignore[method-assign]
        otel_llm.shutdown()
    assert logging.Logger.handle is before


def test_a_broken_context_hurts_no_log_call(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    otel_llm.instrument(log_correlation=True)

    def broken() -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr("otel_llm.correlation.trace.get_current_span", broken)
    LOGGER.warning("x")
    assert kept.records[0].getMessage() == "x"
