"""What external monitors are told, and that they can neither slow nor break the program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import otel_llm
from otel_llm import Record, assembly, dispatch, drops, hooks, scopes, testing
from otel_llm.training import rollouts
from otel_llm.training import scopes as training_scopes
from tests.http.payloads import ANSWER, URL, request


def client(status: int = 200) -> httpx2.Client:
    answer = httpx2.Response(status, json=ANSWER if status == 200 else {"error": {"message": "no"}})
    return httpx2.Client(transport=httpx2.MockTransport(lambda _request: answer))


Told = list[Record]
PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture(autouse=True)
def _nobody_listens_afterwards() -> Iterator[None]:
    yield
    assert not hooks.active, "a test left a hook behind"
    assert not hooks.starts


@pytest.fixture
def listen() -> Iterator[Callable[..., Told]]:
    removes: list[Callable[[], None]] = []

    def start(hook: Callable[..., Callable[[], None]] = otel_llm.on_end, **more: object) -> Told:
        told: Told = []
        removes.append(hook(told.append, **more))
        return told

    yield start
    for remove in removes:
        remove()


def test_a_monitor_is_told_of_calls_and_scopes_with_everything_their_spans_say(
    listen: Callable[..., Told],
) -> None:
    told = listen()
    with testing.capture() as captured:
        with (
            otel_llm.game("g1"),
            otel_llm.phase("S1901M"),
            otel_llm.interaction("order", power="FRANCE") as turn,
        ):
            client().post(URL, json=request())
            turn.set(orders=["A PAR - BUR"])
        spans = {span.name: span for span in captured.spans()}
    assert [record.kind for record in told] == ["call", "interaction", "phase", "game"]
    for record in told:
        span = spans[record.name]
        assert record.attributes == dict(span.attributes)
        assert (record.start_ns, record.end_ns) == (span.start_time, span.end_time)
        assert int(record.trace_id, 16) == span.context.trace_id
        assert int(record.span_id, 16) == span.context.span_id
        assert (record.parent_id is None) == (span.parent is None)
    call, turn_record = told[:2]
    assert call.parent_id == turn_record.span_id
    assert call.attributes["game.phase.name"] == "S1901M"
    assert call.duration_s is not None
    assert not call.failed
    with pytest.raises(FrozenInstanceError):
        call.name = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        call.attributes["x"] = 1  # type: ignore[index]


def test_failures_say_what_they_are(listen: Callable[..., Told]) -> None:
    told = listen()
    with testing.capture() as captured:
        client(429).post(URL, json=request())
        with pytest.raises(KeyError), otel_llm.interaction("plan"):
            raise KeyError("x")
        captured.spans()
    assert [(record.kind, record.error_type) for record in told] == [
        ("call", "rate_limit"),
        ("interaction", "KeyError"),
    ]
    assert all(record.failed for record in told)


def test_only_the_kinds_that_were_asked_for_are_told_and_a_hook_can_be_taken_away(
    listen: Callable[..., Told],
) -> None:
    one, several = listen(kinds="call"), listen(kinds=("phase", "interaction"))
    gone: Told = []
    remove = otel_llm.on_end(gone.append)
    with testing.capture() as captured:
        remove()
        remove()
        with otel_llm.phase("S1901M"), otel_llm.interaction("order"):
            client().post(URL, json=request())
        captured.spans()
    assert [record.kind for record in one] == ["call"]
    assert [record.kind for record in several] == ["interaction", "phase"]
    assert gone == []


def test_a_monitor_can_be_told_when_something_starts(listen: Callable[..., Told]) -> None:
    told = listen(otel_llm.on_start, kinds=("call", "interaction"))
    with testing.capture() as captured:
        with otel_llm.interaction("order", power="FRANCE"):
            client().post(URL, json=request())
            assert dispatch.flush(5)
            names = [(record.kind, record.name, record.end_ns, record.duration_s) for record in told]
        captured.spans()
    assert names == [
        ("interaction", "invoke_agent FRANCE", None, None),
        ("call", "chat gpt-4.1-mini", None, None),
    ]
    assert told[1].attributes["game.power.name"] == "FRANCE"
    assert told[1].parent_id == told[0].span_id


def test_callbacks_run_in_order_on_a_thread_that_is_neither_the_programs_nor_the_workers() -> None:
    threads: set[str] = set()
    order: list[str] = []

    def callback(record: Record) -> None:
        threads.add(threading.current_thread().name)
        order.append(record.name)

    remove = otel_llm.on_end(callback)
    with testing.capture() as captured:
        for n in range(100):
            with otel_llm.tool(f"t{n}"):
                pass
        captured.spans()
    remove()
    assert threads == {"otel_llm-hooks"}
    assert order == [f"execute_tool t{n}" for n in range(100)]


def test_a_callback_that_fails_is_counted_said_once_and_called_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []

    def broken(record: Record) -> None:
        calls.append(record.name)
        raise ValueError("broken on purpose")

    healthy: Told = []
    removes = [otel_llm.on_end(broken), otel_llm.on_end(healthy.append)]
    with testing.capture() as captured:
        for _ in range(3):
            with otel_llm.tool("t"):
                pass
        captured.spans()
    for remove in removes:
        remove()
    assert len(calls) == len(healthy) == 3
    assert drops.counts() == {("hook", "failed"): 3}
    assert caplog.text.count("broken on purpose") == 1


def test_a_hanging_callback_holds_up_neither_the_program_nor_its_telemetry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "MAX_WAITING", 10)
    monkeypatch.setattr(assembly, "_HOOKS_S", 0.2)
    release = threading.Event()
    remove = otel_llm.on_end(lambda _record: release.wait(20))
    with testing.capture() as captured:
        started = time.monotonic()
        for _ in range(50):
            with otel_llm.tool("t"):
                pass
        assert time.monotonic() - started < 1
        assert len(captured.spans()) == 50
        assert time.monotonic() - started < 4
    remove()
    assert 30 <= drops.counts()["hook", "queue_full"] <= 40
    release.set()
    assert dispatch.flush(5)


def test_a_slow_callback_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dispatch, "SLOW_S", 0.05)
    remove = otel_llm.on_end(lambda _record: time.sleep(0.02))
    with testing.capture() as captured:
        for _ in range(10):
            with otel_llm.tool("t"):
                pass
        captured.spans()
    remove()
    assert caplog.text.count("is slow") == 1


def test_a_callback_may_use_the_api_and_flush(listen: Callable[..., Told]) -> None:
    done: list[bool] = []
    remove = otel_llm.on_end(lambda _record: done.append(otel_llm.force_flush(1)), kinds="tool")
    with testing.capture() as captured:
        with otel_llm.tool("t"):
            pass
        captured.spans()
        assert dispatch.flush(5)
    remove()
    assert len(done) == 1


def test_hooks_registered_before_instrument_outlive_it(listen: Callable[..., Told]) -> None:
    told = listen()
    for _ in range(2):
        with testing.capture() as captured:
            with otel_llm.tool("t"):
                pass
            captured.spans()
    assert len(told) == 2


def test_what_the_sampler_of_the_program_leaves_out_is_told_all_the_same(listen: Callable[..., Told]) -> None:
    trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    told = listen(kinds=("call", "interaction"))
    otel_llm.instrument(store=None)
    with otel_llm.interaction("order", power="FRANCE"):
        client().post(URL, json=request())
    otel_llm.force_flush()
    call, turn = told
    assert call.name == "chat gpt-4.1-mini"
    assert call.attributes["gen_ai.usage.input_tokens"] == 9
    assert call.attributes["gen_ai.request.model"] == "gpt-4.1-mini"
    assert call.attributes["game.power.name"] == turn.attributes["game.power.name"] == "FRANCE"


@pytest.mark.parametrize("kinds", ["calls", (), ("call", "x"), [3]])
def test_a_kind_that_does_not_exist_is_refused_with_those_that_do(kinds: object) -> None:
    with pytest.raises(ValueError, match=r"there is no kind .*; there are .*call, .*game, .*interaction"):
        otel_llm.on_end(print, kinds=kinds)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cannot be called"):
        otel_llm.on_start(3)  # type: ignore[arg-type]


def test_every_kind_of_scope_is_a_kind_of_hook() -> None:
    modules = scopes, rollouts, training_scopes
    made = {value.name for m in modules for value in vars(m).values() if type(value).__name__ == "Kind"}
    assert made | {hooks.CALL} | hooks.PARTS == hooks.KINDS


def test_without_hooks_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_more: object) -> None:
        raise AssertionError("a record was made for nobody")

    monkeypatch.setattr(hooks, "_record", refuse)
    with testing.capture() as captured:
        with otel_llm.tool("t"):
            client().post(URL, json=request())
        assert len(captured.spans()) == 2
    assert drops.counts() == {}


def test_a_forked_child_has_its_own_thread_for_callbacks(listen: Callable[..., Told]) -> None:
    told = listen()
    otel_llm.instrument(store=None)
    with otel_llm.tool("parent"):
        pass
    otel_llm.force_flush()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with otel_llm.tool("child"):
            pass
        otel_llm.force_flush()
        os.write(write, ",".join(record.name for record in told).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 1000) == b"execute_tool parent,execute_tool child"
    assert [record.name for record in told] == ["execute_tool parent"]
    os.close(read)
    os.close(write)


USE = """
import httpx2
from otel_llm.store import StoreReader
from tests.http.payloads import ANSWER, URL, request

client = httpx2.Client(transport=httpx2.MockTransport(lambda _request: httpx2.Response(200, json=ANSWER)))
with otel_llm.interaction("order", power="FRANCE") as turn:
    client.post(URL, json=request())
    turn.set(orders=["A PAR - LON"], invalid_orders=["A PAR - LON"], success=False)
otel_llm.shutdown()
reader = StoreReader(".otel_llm")
for name in ("my_game.orders.invalid", "my_game.tokens_per_second"):
    for point in list(reader.points(name))[-1:]:
        print(name, dict(point.attributes))
for span in sorted(reader.spans(), key=lambda span: span.name):
    print(span.name, span.attributes.get("otel_llm.text.output.words"), span.attributes.get("otel_llm.text.output.threat"))
"""


def test_the_code_in_the_documentation_runs() -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code + USE],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PAGE.parents[1]), *sys.path])},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "interaction invoke_agent FRANCE failure FRANCE",
        "my_game.orders.invalid {'game.power.name': 'FRANCE'}",
        "my_game.tokens_per_second {'gen_ai.request.model': 'gpt-4.1-mini'}",
        "chat gpt-4.1-mini 2 False",
        "invoke_agent FRANCE None None",
    ]
