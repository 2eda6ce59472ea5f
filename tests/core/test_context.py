"""The context follows into threads and executors, and nothing else does."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import context as context_api
from opentelemetry import trace

import otel_llm
from otel_llm import drops


@pytest.fixture(autouse=True)
def _instrumented() -> Iterator[None]:
    before = threading.Thread.start, ThreadPoolExecutor.submit
    otel_llm.instrument(store=None, metrics=False)
    yield
    otel_llm.shutdown()
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == before


def current() -> int:
    return trace.get_current_span().get_span_context().span_id


def in_thread(make) -> int:
    seen: list[int] = []
    thread = make(lambda: seen.append(current()))
    thread.start()
    thread.join()
    return seen[0]


class Sub(threading.Thread):
    def __init__(self, do) -> None:
        super().__init__()
        self.do = do

    def run(self) -> None:
        self.do()


@pytest.mark.parametrize(
    "make",
    [lambda do: threading.Thread(target=do), lambda do: threading.Timer(0, do), Sub],
    ids=["Thread", "Timer", "subclass"],
)
def test_a_thread_starts_in_the_context_of_whoever_started_it(make) -> None:
    with trace.get_tracer("t").start_as_current_span("parent"):
        assert in_thread(make) == current() != 0
    assert in_thread(make) == 0


def test_what_an_executor_runs_has_the_context_of_whoever_submitted_it() -> None:
    tracer = trace.get_tracer("t")
    with ThreadPoolExecutor(1) as pool:
        with tracer.start_as_current_span("first"):
            assert pool.submit(current).result() == current() != 0
        with tracer.start_as_current_span("second"):
            assert list(pool.map(lambda _: current(), range(3))) == [current()] * 3
        # Nothing of the first, although its submit has started the thread.
        assert pool.submit(current).result() == 0
        assert pool.submit(dict, a=1).result() == {"a": 1}


async def test_run_in_executor_and_to_thread_keep_the_parent() -> None:
    loop = asyncio.get_running_loop()
    with trace.get_tracer("t").start_as_current_span("parent"):
        assert await loop.run_in_executor(None, current) == current()
        assert await asyncio.to_thread(current) == current()
    assert await loop.run_in_executor(None, current) == 0


def test_the_programs_own_context_variables_do_not_travel() -> None:
    mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="unset")
    mine.set("set")
    with trace.get_tracer("t").start_as_current_span("parent"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(mine.get).result() == "unset"


def test_a_thread_is_as_it_was_once_it_runs() -> None:
    seen: list[dict] = []
    with trace.get_tracer("t").start_as_current_span("parent"):
        thread = threading.Thread(target=lambda: seen.append(dict(thread.__dict__)))
        thread.start()
        thread.join()
    assert "run" not in seen[0]
    with pytest.raises(RuntimeError, match="only be started once"):
        thread.start()


def test_a_hook_that_breaks_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    token = context_api.attach(context_api.set_value("k", "v"))
    try:
        monkeypatch.setattr("otel_llm.context._carry", broken)
        done: list[int] = []
        thread = threading.Thread(target=lambda: done.append(1))
        thread.start()
        thread.join()
    finally:
        context_api.detach(token)
    assert done == [1]
    assert ("internal_error", "carrying the context into a thread") in drops.counts()
