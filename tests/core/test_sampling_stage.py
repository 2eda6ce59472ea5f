"""Between the SDK and an exporter: whole units are sent or left out, and nothing is an orphan."""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Status, StatusCode

import otel_llm
from otel_llm import assembly, drops, runtime
from otel_llm.cli.doctor import doctor
from otel_llm.sampling.copies import SampledSpan
from otel_llm.sampling.processor import SamplingProcessor
from otel_llm.sampling.strata import Sampler, Verdict
from otel_llm.sampling.targets import Target
from otel_llm.sampling.units import Units
from otel_llm.store import StoreReader
from tests.core.test_hooks import client
from tests.core.test_sampling import Clock
from tests.http.payloads import URL, request

WEIGHT = "otel_llm.sampling.weight"
REASON = "otel_llm.sampling.reason"
ROOT = trace.set_span_in_context(trace.INVALID_SPAN)


Backends = dict[str, InMemorySpanExporter]


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> Backends:
    made: Backends = {}
    monkeypatch.setattr(
        assembly, "make_span_exporter", lambda name: made.setdefault(name, InMemorySpanExporter())
    )
    return made


# --- the stage between the SDK and an exporter's queue -------------------------------------------
class Queue:
    """What stands behind the stage: keeps what it gets."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.threads: set[str] = set()
        self.closed = 0

    def on_end(self, span: ReadableSpan) -> None:
        self.threads.add(threading.current_thread().name)
        self.spans.append(span)

    def force_flush(self, timeout_millis: int) -> bool:
        return True

    def close(self, timeout_s: float) -> bool:
        self.closed += 1
        return True

    def after_fork_in_child(self) -> None:
        self.spans.clear()


class Ids(IdGenerator):
    """The same ids in each run, so that the same units are kept."""

    def __init__(self) -> None:
        self._random = random.Random(0)

    def generate_span_id(self) -> int:
        return self._random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return self._random.getrandbits(128) or 1


class Stage:
    """A provider with the stage behind it, and everything that ended, for comparison."""

    def __init__(self, share: float = 0.3, **more: Any) -> None:
        self.queue = Queue()
        self.settled: list[tuple[str, int]] = []
        self.processor = SamplingProcessor(
            self.queue,  # type: ignore[arg-type]
            "otlp",
            Target(share=share, early=1),
            max_bytes=more.pop("max_bytes", 64 << 20),
            settled=lambda sink, ids: self.settled.append((sink, len(ids))),
            clock=more.pop("clock", Clock()),
            **more,
        )
        self.all = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, id_generator=Ids())
        self.provider.add_span_processor(SimpleSpanProcessor(self.all))
        self.provider.add_span_processor(self.processor)
        self.tracer = self.provider.get_tracer("t")

    def start(self, name: str, parent: trace.Span | None = None, **attributes: Any) -> trace.Span:
        context = ROOT if parent is None else trace.set_span_in_context(parent, context_api.Context())
        return self.tracer.start_span(
            name, context, attributes={k.replace("__", "."): v for k, v in attributes.items()}
        )

    def scope(self, kind: str, name: str, parent: trace.Span | None = None, **attributes: Any) -> trace.Span:
        return self.start(name, parent, otel_llm__scope=kind, **attributes)

    def interaction(
        self, parent: trace.Span | None = None, *, calls: int = 2, failing: bool = False
    ) -> trace.Span:
        turn = self.scope("interaction", "invoke_agent", parent, game__interaction__type="order")
        for n in range(calls):
            call = self.start("chat", turn, gen_ai__usage__input_tokens=10)
            if failing and n == 0:
                call.set_status(Status(StatusCode.ERROR))
            call.end()
        turn.end()
        return turn

    def warm(self) -> None:
        """Let the sampler know the kind, so that nothing is rare any more."""
        for _ in range(300):
            self.interaction()
        self.flush()
        self.queue.spans.clear()
        self.all.clear()
        self.settled.clear()
        drops.reset()

    def flush(self) -> list[ReadableSpan]:
        assert self.provider.force_flush()
        assert self.processor.status()["held"] == 0
        return self.queue.spans

    def names(self) -> list[str]:
        return sorted(span.name for span in self.flush())

    def check(self, *, late_errors: bool = False) -> None:
        """No orphan, a weight on everything, and what is not there was counted.

        Args:
            late_errors: what failed after what is above it had ended and been dropped may be an orphan.
        """
        kept = self.flush()
        ended = self.all.get_finished_spans()
        by_id = {span.context.span_id: span for span in kept if span.context}
        assert len(by_id) == len(kept)
        existed = {span.context.span_id for span in ended if span.context}
        for span in kept:
            assert (
                span.parent is None
                or span.parent.span_id in by_id
                or span.parent.span_id not in existed
                or (late_errors and span.status.status_code is StatusCode.ERROR)
            ), span.name
            assert span.attributes is not None
            assert span.attributes[WEIGHT] >= 1
        gone = drops.counts().get(("span", "otlp_sampled"), 0)
        assert len(kept) + gone == len(ended)
        assert not [what for what, _ in drops.counts() if what == "internal_error"]
        assert sum(n for _, n in self.settled) == gone


@pytest.fixture
def stage() -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(*args: Any, **more: Any) -> Stage:
        made.append(Stage(*args, **more))
        return made[-1]

    yield make
    for one in made:
        one.provider.shutdown()


def test_an_interaction_is_kept_or_dropped_with_everything_below_it(stage: Callable[..., Stage]) -> None:
    s = stage()
    s.warm()
    game = s.scope("game", "game")
    phase = s.scope("phase", "phase")
    for _ in range(200):
        s.interaction(phase, calls=3)
    phase.end()
    game.end()
    kept = s.flush()
    s.check()
    sizes = Counter(span.parent.span_id for span in kept if span.name == "chat" and span.parent)
    turns = [span for span in kept if span.name == "invoke_agent"]
    assert set(sizes.values()) == {3}
    assert len(sizes) == len(turns)
    assert 20 < len(turns) < 120
    weights = defaultdict(set)
    for span in kept:
        unit = span.parent.span_id if span.name == "chat" and span.parent else span.context.span_id
        weights[unit].add((span.attributes[WEIGHT], span.attributes[REASON]))
    assert all(len(found) == 1 for found in weights.values())
    assert {"phase", "game"} <= {span.name for span in kept if span.attributes[REASON] == "scope"}


def test_a_failed_attempt_below_an_interaction_keeps_all_of_it(stage: Callable[..., Stage]) -> None:
    s = stage(0.01)
    s.warm()
    for _ in range(50):
        s.interaction(failing=True)
    kept = s.flush()
    assert len(kept) == 150
    assert {(span.attributes[WEIGHT], span.attributes[REASON]) for span in kept} == {(1.0, "error")}


@pytest.mark.parametrize(
    "attributes",
    [
        {"game__interaction__success": False},
        {"game__orders__invalid_count": 2},
        {"game__orders__invalid": ("A PAR - LON",)},
        {"error__type": "timeout"},
        {"otel_llm__force_sample": True},
    ],
)
def test_what_went_wrong_in_other_words_is_kept_too(stage: Callable[..., Stage], attributes: Any) -> None:
    s = stage(0.01)
    s.warm()
    for _ in range(20):
        s.scope("interaction", "invoke_agent", game__interaction__type="order", **attributes).end()
    assert len(s.flush()) == 20


def test_calls_outside_of_interactions_are_units_of_their_own(stage: Callable[..., Stage]) -> None:
    s = stage(0.2)
    s.warm()
    phase = s.scope("phase", "phase")
    for _ in range(600):
        s.start("chat", phase, gen_ai__operation__name="chat").end()
    phase.end()
    s.check()
    assert 60 < len(s.names()) < 240


def test_a_span_of_another_library_is_a_unit_with_its_calls(stage: Callable[..., Stage]) -> None:
    s = stage(0.2)
    for _ in range(300):
        outer = s.start("handle request")
        s.start("chat", outer).end()
        outer.end()
    s.check()
    counts = Counter(s.names())
    assert counts["chat"] == counts["handle request"] < 150


def test_a_program_inside_of_one_long_span_is_thinned_out_and_nothing_is_orphaned(
    stage: Callable[..., Stage],
) -> None:
    clock = Clock()
    s = stage(0.2, clock=clock)
    main = s.start("main")
    for _ in range(100):
        clock.now += 10  # after ten minutes `main` must not wait any longer
        helper = s.start("helper", main)
        s.start("chat", helper).end()
        helper.end()
        s.processor._process()
    assert s.processor.status()["held"] == 0  # without a flush
    main.end()
    s.check()
    counts = Counter(s.names())
    assert counts["main"] == 1
    assert counts["chat"] == counts["helper"] < 150


def test_an_interaction_below_a_foreign_span_is_a_unit_and_the_foreign_span_stays(
    stage: Callable[..., Stage],
) -> None:
    s = stage(0.2)
    s.warm()
    main = s.start("main")
    inner = s.start("inner", main)
    for _ in range(200):
        s.interaction(inner)
    inner.end()
    main.end()
    s.check()
    counts = Counter(s.names())
    assert counts["main"] == counts["inner"] == 1
    assert 0 < counts["invoke_agent"] < 120


def test_a_rollout_with_its_interactions_is_one_unit(stage: Callable[..., Stage]) -> None:
    s = stage(0.2)
    for _ in range(200):
        rollout = s.scope("rollout", "rollout")
        s.interaction(rollout)
        s.interaction(rollout)
        rollout.end()
    s.check()
    counts = Counter(s.names())
    assert counts["invoke_agent"] == 2 * counts["rollout"]
    assert counts["chat"] == 4 * counts["rollout"]


def test_a_flush_decides_and_what_ends_later_in_the_same_unit_follows(stage: Callable[..., Stage]) -> None:
    s = stage(0.3)
    s.warm()
    for _ in range(100):
        turn = s.scope("interaction", "invoke_agent", game__interaction__type="order")
        s.start("chat", turn).end()
        s.flush()
        s.start("chat", turn).end()
        turn.end()
    s.check()
    counts = Counter(s.names())
    assert counts["chat"] == 2 * counts["invoke_agent"]
    assert 0 < counts["invoke_agent"] < 100


def test_an_error_after_an_early_decision_is_kept_with_what_is_above_it(stage: Callable[..., Stage]) -> None:
    s = stage(0.01)
    s.warm()
    for _ in range(50):
        turn = s.scope("interaction", "invoke_agent", game__interaction__type="order")
        s.start("chat", turn).end()
        s.flush()
        failed = s.start("failed", turn)
        failed.set_status(Status(StatusCode.ERROR))
        failed.end()
        turn.end()
    s.check()
    counts = Counter(s.names())
    assert counts["failed"] == counts["invoke_agent"] == 50


def test_what_ends_or_starts_after_its_unit_follows_the_unit(stage: Callable[..., Stage]) -> None:
    s = stage(0.3)
    s.warm()
    for _ in range(100):
        turn = s.scope("interaction", "invoke_agent", game__interaction__type="order")
        late = s.start("late", turn)
        turn.end()
        s.processor._process()
        later = s.start("later", turn)
        late.end()
        later.end()
    s.check()
    counts = Counter(s.names())
    assert counts["late"] == counts["later"] == counts["invoke_agent"]
    assert 0 < counts["late"] < 100


def test_what_is_held_is_bounded_in_bytes_and_in_time(stage: Callable[..., Stage]) -> None:
    clock = Clock()
    s = stage(0.3, clock=clock, max_bytes=100 * 1024)
    turn = s.scope("interaction", "invoke_agent", game__interaction__type="order")
    most = 0
    for _ in range(1000):
        s.start("chat", turn).end()
        s.processor._process()
        most = max(most, s.processor.status()["held"])
    assert 50 < most <= 101
    turn.end()
    s.check()
    s.queue.spans.clear()
    waiting = s.scope("interaction", "waiting", game__interaction__type="order")
    s.start("chat", waiting).end()
    s.processor._process()
    assert s.queue.spans == []
    clock.now += 601
    s.processor._process()
    assert [(span.name, span.attributes[REASON]) for span in s.queue.spans] == [("chat", "slow")]
    waiting.end()
    assert s.names() == ["chat", "waiting"]


def test_a_unit_that_was_decided_on_early_does_not_remember_what_ends_in_it(
    stage: Callable[..., Stage],
) -> None:
    s = stage(0.3)
    turn = s.scope("interaction", "invoke_agent")
    helper = s.start("helper", turn)
    s.start("chat", helper).end()
    s.flush()
    for _ in range(100):
        s.start("chat", turn).end()
        s.start("chat", helper).end()
    s.flush()
    assert [len(node.children) for node in s.processor._units._nodes.values()] == [0, 0]
    helper.end()
    turn.end()


def test_spans_that_never_end_cost_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_llm.sampling.units._MAX_OPEN", 100)
    monkeypatch.setattr("otel_llm.sampling.units._MAX_DECIDED", 100)
    units = Units(Sampler(Target(share=0.5)), max_bytes=1 << 30)
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    spans = [tracer.start_span(str(n), ROOT) for n in range(1000)]
    for span in spans:
        units.started(span)  # type: ignore[arg-type]
    assert len(units._nodes) <= 100
    for span in spans:
        units.ended(span, 1)  # type: ignore[arg-type]
    assert len(units._nodes) <= 100
    assert len(units._late) <= 100
    assert len(units.take()) == 1000
    assert (units.held, units.held_bytes) == (0, 0)


def program(s: Stage, clock: Clock, rng: random.Random, *, nested: bool) -> None:
    """Start and end spans in a random order, flush and wait in between.

    Args:
        nested: whether children end before their parents, as scopes do.
    """
    open_spans: list[trace.Span] = []
    parents: dict[int, trace.Span | None] = {}

    def end(span: trace.Span) -> None:
        for child in [c for c in open_spans if nested and parents[id(c)] is span]:
            end(child)
        open_spans.remove(span)
        span.end()

    for _ in range(80):
        what = rng.choice(["start"] * 6 + ["end"] * 4 + ["flush", "process", "wait"])
        if what == "start":
            kind = rng.choice(["", "", "interaction", "phase", "rollout", "game"])
            root = rng.random() < 0.2 or (not nested and kind in {"phase", "game"})  # as they are
            parent = rng.choice(open_spans) if open_spans and not root else None
            span = s.start(kind or "other", parent, **({"otel_llm__scope": kind} if kind else {}))
            if rng.random() < 0.1:
                span.set_status(Status(StatusCode.ERROR))
            open_spans.append(span)
            parents[id(span)] = parent
        elif what == "end" and open_spans:
            end(rng.choice(open_spans))
        elif what == "flush":
            s.flush()
        elif what == "process":
            s.processor._process()
        else:
            clock.now += 100
    while open_spans:
        end(open_spans[-1])


@pytest.mark.parametrize("nested", [True, False])
def test_whatever_happens_in_whatever_order_each_span_is_sent_or_counted_once_and_none_is_an_orphan(
    nested: bool,
) -> None:
    for seed in range(300):
        drops.reset()
        clock = Clock()
        s = Stage(clock=clock)
        # Without rare units, of which this would have nothing else.
        s.processor._sampler.judge = lambda unit: (  # type: ignore[method-assign]
            Verdict(True, 1.0, "error") if unit.failed else Verdict(unit.id % 2 == 0, 2.0, "share")
        )
        program(s, clock, random.Random(seed), nested=nested)
        s.check(late_errors=not nested)
        kept = {span.context.span_id for span in s.queue.spans}
        ended = s.all.get_finished_spans()
        assert {x.context.span_id for x in ended if x.name in {"phase", "game"}} <= kept, seed
        failed = {x.context.span_id for x in ended if x.status.status_code is StatusCode.ERROR}
        assert failed <= kept, seed
        assert s.processor.status()["held"] == 0
        assert s.processor._units._nodes == {}
        assert s.processor._units.held_bytes == 0
        s.provider.shutdown()


def test_20_000_interactions_through_the_sdk_add_up(stage: Callable[..., Stage]) -> None:
    s = stage(0.1)
    rng = random.Random(5)
    truth = Counter[str]()
    for n in range(20_000):
        turn = s.scope(
            "interaction", "turn", game__interaction__type=rng.choice(("order", "order", "order", "plan"))
        )
        tokens = int(rng.lognormvariate(6, 1))
        truth["tokens"] += tokens
        truth["spans"] += 2
        call = s.start("chat", turn, gen_ai__usage__input_tokens=tokens)
        if n % 100 == 0:
            call.set_status(Status(StatusCode.ERROR))
            truth["failed"] += 1
        call.end()
        turn.end()
    s.all.clear()
    kept = s.flush()
    calls = [span for span in kept if span.name == "chat"]
    assert sum(span.status.status_code is StatusCode.ERROR for span in calls) == truth["failed"]
    size = [span.attributes["gen_ai.usage.input_tokens"] for span in calls]
    weight = [span.attributes[WEIGHT] for span in calls]
    estimate = sum(w * x for w, x in zip(weight, size, strict=True))
    deviation = math.sqrt(sum(w * (w - 1) * x * x for w, x in zip(weight, size, strict=True)))
    assert abs(estimate - truth["tokens"]) < 4 * deviation
    assert deviation < 0.1 * truth["tokens"]
    assert len(kept) / truth["spans"] == pytest.approx(0.1, rel=0.3)
    assert len(kept) + drops.counts()["span", "otlp_sampled"] == truth["spans"]


def test_decisions_are_made_on_a_thread_of_the_stage_a_moment_later(stage: Callable[..., Stage]) -> None:
    s = stage(0.5)
    s.interaction()
    deadline = time.monotonic() + 5
    while not s.queue.spans and time.monotonic() < deadline:
        time.sleep(0.01)
    assert s.queue.threads == {"otel_llm-sample-otlp"}
    assert len(s.queue.spans) == 3


def test_shutdown_decides_on_what_is_held_closes_the_queue_once_and_counts_what_comes_later(
    stage: Callable[..., Stage],
) -> None:
    s = stage(0.5)
    turn = s.scope("interaction", "turn")
    s.start("chat", turn).end()
    s.provider.shutdown()
    assert [span.name for span in s.queue.spans] == ["chat"]
    assert s.queue.closed == 1
    turn.end()
    assert drops.counts() == {("span", "otlp_shut_down"): 1}


def test_a_forked_child_leaves_what_is_held_to_its_parent(stage: Callable[..., Stage]) -> None:
    s = stage(0.5)
    s.start("parent").end()
    turn = s.scope("interaction", "open at the fork")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        s.processor.after_fork_in_child()
        s.start("child").end()
        s.start("below", turn).end()
        os.write(write, ",".join(s.names()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 1000) == b"below,child"
    turn.end()
    assert s.names() == ["open at the fork", "parent"]
    os.close(read)
    os.close(write)


def test_what_sampling_left_out_is_no_trouble_to_the_doctor(
    backends: Backends, capsys: pytest.CaptureFixture[str]
) -> None:
    otel_llm.instrument(exporters=["otlp"], sampling="otlp=0.1", store="runs")
    for _ in range(100):
        client().post(URL, json=request())
    otel_llm.shutdown()
    doctor(Path("runs"), as_json=False)
    line = next(line for line in capsys.readouterr().out.splitlines() if "otlp_sampled" in line)
    assert line.split()[0] == "dropped"  # without the mark of what is bad
    assert line.split()[2:] == ["span:", "otlp_sampled"]


def test_spans_that_were_not_sampled_by_the_sdk_are_none_of_our_business() -> None:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    s = Stage()
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(s.processor)
    provider.get_tracer("t").start_span("a").end()
    assert provider.force_flush()
    assert s.queue.spans == []
    assert drops.counts() == {}


def test_the_exported_copy_is_the_span_itself_but_for_two_attributes() -> None:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    span = provider.get_tracer("t").start_span("a", links=[trace.Link(trace.INVALID_SPAN_CONTEXT)])
    for n in range(130):  # two more than the SDK keeps
        span.set_attribute(f"k{n}", n)
    span.add_event("e", {"x": 1})
    span.set_status(Status(StatusCode.ERROR, "why"))
    span.end()
    (ended,) = memory.get_finished_spans()
    before = ended.to_json()
    copy = SampledSpan(ended, 2.5, "share")
    assert isinstance(copy, ReadableSpan)
    for name in (
        "name", "context", "parent", "kind", "start_time", "end_time", "status", "events", "links", "resource",
        "instrumentation_scope", "dropped_attributes", "dropped_events", "dropped_links",
    ):  # fmt: skip
        assert getattr(copy, name) == getattr(ended, name), name
    assert copy.dropped_attributes == 2
    assert dict(copy.attributes) == {**ended.attributes, WEIGHT: 2.5, REASON: "share"}
    assert ended.to_json() == before
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    assert encode_spans([copy]).resource_spans


# --- put together ---------------------------------------------------------------------------------
def test_each_exporter_gets_its_own_share_and_the_store_everything(backends: Backends) -> None:
    otel_llm.instrument(
        exporters=["otlp", "wandb", "console"], sampling={"otlp": 0.1, "wandb": 0.3}, store="runs"
    )
    for _ in range(400):
        with otel_llm.interaction("order", power="FRANCE"):
            pass
    assert otel_llm.force_flush()
    status = otel_llm.status()
    sent = {
        name: {span.context.span_id for span in backend.get_finished_spans()}
        for name, backend in backends.items()
    }
    assert len(sent["console"]) == 400
    assert len(sent["otlp"]) < len(sent["wandb"]) < 250
    assert sent["otlp"] & sent["wandb"]
    assert status["sampling"]["otlp"]["target"] == "0.1"
    assert status["sampling"]["otlp"]["kept"] == len(sent["otlp"])
    assert status["dropped"]["span: otlp_sampled"] == 400 - len(sent["otlp"])
    assert status["dropped"]["span: wandb_sampled"] == 400 - len(sent["wandb"])
    otel_llm.shutdown()
    reader = StoreReader(Path("runs"))
    stored = list(reader.spans())
    assert len(stored) == 400
    assert not any(WEIGHT in span.attributes for span in stored)
    assert list(reader.undelivered("otlp")) == []  # a replay does not send what was left out on purpose


def test_sampling_for_an_exporter_that_is_not_there_is_said(
    backends: Backends, caplog: pytest.LogCaptureFixture
) -> None:
    otel_llm.instrument(exporters=["otlp"], sampling="oltp=0.1", store=None)
    assert "'oltp'" in caplog.text
    assert runtime.current() is not None
