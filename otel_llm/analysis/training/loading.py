"""From the store to runs, steps and rollouts: the files of all ranks as one.

Steps take memory in proportion to the run's parts; rollouts are streamed, so that reading a run of any length needs
no more than one of them at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_llm import semconv as sc
from otel_llm.analysis.collecting import without_collections
from otel_llm.analysis.training import making
from otel_llm.analysis.training.records import (
    AttemptRecord,
    PartRecord,
    RankRecord,
    RolloutRecord,
    RunRecord,
    ScalarRow,
    SpanRef,
    StepRecord,
    is_finite,
)
from otel_llm.analysis.training.roles import name_for
from otel_llm.analysis.training.tokens import LearnedTokens
from otel_llm.analysis.values import error_of, label, text, whole

if TYPE_CHECKING:
    from otel_llm.store import StoredSpan, StoreReader

_RUNS: Final = "training_run*"
_STEPS: Final = "training_step*"
_ROLLOUTS: Final = "rollout*"
"""Names of spans, so that the others need not be parsed."""
_AFTER_NS: Final = 60_000_000_000
"""Rollouts of a step begin at most so long after the last thing that is known of it."""


# --- runs -----------------------------------------------------------------------------------------
@dataclass(slots=True)
class _Attempt:
    """One attempt while it is put together."""

    spans: list[StoredSpan] = field(default_factory=list)
    steps: dict[int, int] = field(default_factory=dict)
    """Starts by number."""
    last_ns: int = 0
    open_files: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    ranks: set[int] = field(default_factory=set)
    world: int | None = None
    hosts: dict[str, None] = field(default_factory=dict)
    reward: tuple[int, float] | None = None
    """Step and reward of the last step that has one."""

    def see(self, span: StoredSpan) -> None:
        a = span.attributes
        self.files.add(span.file)
        if span.end_ns is None:
            self.open_files.add(span.file)
        self.last_ns = max(self.last_ns, span.start_ns if span.end_ns is None else span.end_ns)
        if (rank := whole(a, sc.RANK)) is not None:
            self.ranks.add(rank)
        self.world = max(self.world or 0, whole(a, sc.WORLD_SIZE) or 0) or None
        if (host := label(a, sc.HOST_NAME)) is not None:
            self.hosts[host] = None


def load_runs(reader: StoreReader, run_id: str | None = None) -> list[RunRecord]:
    """Return the runs of a store, by start time.

    Args:
        reader: the store.
        run_id: this run alone.
    """
    found: dict[str, dict[int, _Attempt]] = {}
    wanted = {} if run_id is None else {sc.RUN_ID: run_id}
    for name in (_RUNS, _STEPS):
        for span in reader.spans(name=name, attributes=wanted):
            if making.kind_of(span) not in {making.RUN, making.STEP}:
                continue
            identity = label(span.attributes, sc.RUN_ID)
            if identity is None:
                continue
            attempt = found.setdefault(identity, {}).setdefault(
                making.attempt_of(span.attributes), _Attempt()
            )
            attempt.see(span)
            if name == _RUNS:
                attempt.spans.append(span)
            else:
                _see_step(attempt, span)
    alive = {info.name: info.alive for info in reader.files()} if found else {}
    runs = [_run(identity, attempts, alive) for identity, attempts in found.items()]
    for run in runs:
        if run.last_reward is None and run.last_step is not None:
            run.last_reward = _last_reward(reader, run, found[run.run_id])
    return sorted(runs, key=lambda run: (run.start_ns, run.run_id))


def _see_step(attempt: _Attempt, span: StoredSpan) -> None:
    number = whole(span.attributes, sc.TRAIN_STEP)
    if number is None:
        return
    attempt.steps[number] = min(attempt.steps.get(number, span.start_ns), span.start_ns)
    if attempt.reward is None or number > attempt.reward[0]:
        scalars = making.numbers_below(span.attributes, sc.TRAIN_METRICS_PREFIX)
        name = name_for("reward", scalars)
        if name is not None and is_finite(scalars[name]):
            attempt.reward = number, scalars[name]


def _run(identity: str, attempts: dict[int, _Attempt], alive: dict[str, bool | None]) -> RunRecord:
    run = RunRecord(run_id=identity)
    steps: set[int] = set()
    for number, attempt in sorted(attempts.items()):
        spans = sorted(attempt.spans, key=lambda span: (whole(span.attributes, sc.RANK) or 0, span.start_ns))
        for span in spans:
            _describe(run, span)
        state = _state(attempt, alive)
        failed = next((error for error in map(error_of, spans) if error[0] is not None), (None, None))
        steps |= attempt.steps.keys()
        run.attempts.append(
            AttemptRecord(
                number=number,
                state="failed" if failed[0] is not None else state,
                start_ns=min([*(span.start_ns for span in spans), *attempt.steps.values()], default=0),
                end_ns=attempt.last_ns if state == "ended" else None,
                first_step=min(attempt.steps, default=None),
                last_step=max(attempt.steps, default=None),
                steps=len(attempt.steps),
                world_size=attempt.world,
                ranks=tuple(sorted(attempt.ranks)),
                hosts=tuple(attempt.hosts),
                error_type=failed[0],
                error_message=failed[1],
            )
        )
        if attempt.reward is not None:
            run.last_reward = attempt.reward[1]
    run.steps = len(steps)
    run.last_step = max(steps, default=None)
    return run


def _describe(run: RunRecord, span: StoredSpan) -> None:
    """Put into a run's record what a span of it says; later attempts have the last word on settings."""
    a = span.attributes
    run.name = run.name or label(a, sc.RUN_NAME)
    run.algorithm = run.algorithm or text(a, sc.RL_ALGORITHM)
    run.system = run.system or text(a, sc.RL_SYSTEM)
    run.model = run.model or label(a, sc.RL_MODEL)
    start = len(sc.TRAIN_CONFIG_PREFIX)
    run.config |= {key[start:]: value for key, value in a.items() if key.startswith(sc.TRAIN_CONFIG_PREFIX)}


def _state(attempt: _Attempt, alive: dict[str, bool | None]) -> str:
    """Return how an attempt stands, by the processes whose spans of it are open."""
    if not attempt.open_files:
        return "ended" if attempt.spans else "unknown"
    lives = {alive.get(name) for name in attempt.open_files}
    # A rank that died takes the others with it, sooner or later: as long as one lives, the run goes on.
    return "running" if True in lives else "killed" if lives == {False} else "unknown"


def _last_reward(reader: StoreReader, run: RunRecord, attempts: dict[int, _Attempt]) -> float | None:
    """Return the mean reward of the last step's rollouts, where the trainer told none."""
    number = max(attempts)
    attempt = attempts[number]
    if not attempt.steps:
        return None
    last = max(attempt.steps)
    rollouts = reader.spans(
        name=_ROLLOUTS,
        since_ns=attempt.steps[last],
        attributes={sc.RUN_ID: run.run_id, sc.TRAIN_STEP: str(last)},
    )
    found = [making.any_number(span.attributes, sc.SAMPLE_REWARD) for span in rollouts]
    known = [reward for reward in found if reward is not None and is_finite(reward)]
    return sum(known) / len(known) if known else None


# --- steps ----------------------------------------------------------------------------------------
def load_steps(reader: StoreReader, run_id: str, *, step: int | None = None) -> list[StepRecord]:
    """Return the steps of a run with what each rank did in them; by attempt and number.

    Args:
        reader: the store.
        run_id: the run.
        step: this step alone, of every attempt that made it.
    """
    books = _Books(run_id)
    wanted = {sc.RUN_ID: run_id} if step is None else {sc.RUN_ID: run_id, sc.TRAIN_STEP: str(step)}
    with without_collections():
        for span in _structure(reader, wanted, step):
            books.enter(span)
    steps = books.close({info.name: info.alive for info in reader.files()})
    if steps:
        _add_series(reader, run_id, steps)
    return steps


def _structure(reader: StoreReader, wanted: dict[str, str], step: int | None) -> Iterable[StoredSpan]:
    if step is None:
        return reader.spans(attributes=wanted)
    # The steps' own spans are few; they say which traces, and which time, the rest is in.
    own = [
        span for span in reader.spans(name=_STEPS, attributes=wanted) if making.kind_of(span) == making.STEP
    ]
    if not own:
        return reader.spans(attributes=wanted)
    since = min(span.start_ns for span in own)
    until = max(span.end_ns or span.start_ns for span in own)
    until = until + _AFTER_NS if all(span.end_ns for span in own) else None  # type: ignore[assignment]
    return reader.spans(attributes=wanted, since_ns=since, until_ns=until)


class _Books:
    """All steps while they are put together. Enter every span, then close."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._steps: dict[tuple[int, int], StepRecord] = {}
        self._ranks: dict[tuple[int, int, int], RankRecord] = {}
        self._open: dict[tuple[int, int, int], str] = {}
        self._traces: dict[tuple[int, int], dict[str, None]] = {}
        self._parts: dict[SpanRef, PartRecord] = {}
        self._rollouts: set[str] = set()
        """Traces of rollouts that have one of their own."""

    def enter(self, span: StoredSpan) -> None:
        """Take in a span of the run, if it is a step or a part of one."""
        a = span.attributes
        kind, number = making.kind_of(span), whole(a, sc.TRAIN_STEP)
        if kind == making.ROLLOUT and span.parent_id is None:
            self._rollouts.add(span.trace_id)
        is_step = kind == making.STEP
        if number is None or not (is_step or making.is_part(span)):
            return
        key = making.attempt_of(a), number
        step = self._steps.get(key)
        if step is None:
            step = self._steps[key] = StepRecord(run_id=self._run_id, attempt=key[0], number=number)
        step.world_size = max(step.world_size or 0, whole(a, sc.WORLD_SIZE) or 0) or None
        rank = whole(a, sc.RANK) or 0
        record = self._ranks.get((*key, rank))
        if record is None:
            record = self._ranks[*key, rank] = RankRecord(rank=rank)
            step.ranks.append(record)
        if is_step:
            if record.span is not None and record.end_ns is not None:
                return  # the same span, open; it was committed before it ended
            making.describe_rank(record, span)
            step.epoch = making.any_number(a, sc.TRAIN_EPOCH) if step.epoch is None else step.epoch
            self._traces.setdefault(key, {})[span.trace_id] = None
            if span.end_ns is None:
                self._open[*key, rank] = span.file
            else:
                self._open.pop((*key, rank), None)
            return
        making.place(record, a)
        part = making.part(span)
        known = self._parts.get(part.span)
        if known is None:
            self._parts[part.span] = part
            record.parts.append(part)
        elif known.end_ns is None and part.end_ns is not None:
            known.end_ns = part.end_ns

    def close(self, alive: dict[str, bool | None]) -> list[StepRecord]:
        """Return the steps in order."""
        for key, step in self._steps.items():
            step.ranks.sort(key=lambda record: record.rank)
            for record in step.ranks:
                # What scored one rollout is the rollout's, and shown with it: a step may have thousands.
                record.parts = [part for part in record.parts if not self._is_of_a_rollout(part)]
                record.parts.sort(key=lambda part: part.start_ns)
                if record.span is None and record.parts:
                    record.start_ns = record.parts[0].start_ns
                file = self._open.get((*key, record.rank))
                record.died = record.end_ns is None and file is not None and alive.get(file) is False
                if not record.times:
                    record.times = _times(record)
            traces = self._traces.get(key, {})
            for record in step.ranks:
                traces |= {part.span.trace_id: None for part in record.parts}
            step.trace_ids = tuple(traces)
        return [self._steps[key] for key in sorted(self._steps)]

    def _is_of_a_rollout(self, part: PartRecord) -> bool:
        return part.kind == making.REWARD and part.span.trace_id in self._rollouts


def _times(record: RankRecord) -> dict[str, float]:
    """Return the time split of a rank's step by its parts: what lies inside of another part is not counted twice."""
    found: dict[str, float] = {}
    counted = {part.span.span_id for part in record.parts if part.kind not in making.ENCLOSING}
    parents = {part.span.span_id: part.parent_id for part in record.parts}
    for part in record.parts:
        if part.duration_s is None or part.span.span_id not in counted:
            continue
        above, met = part.parent_id, {part.span.span_id}
        while above is not None and above not in counted and above not in met:
            met.add(above)
            above = parents.get(above)
        if above is None or above in met:
            name = making.TIME_OF_KIND.get(part.kind, part.kind)
            found[name] = found.get(name, 0.0) + part.duration_s
    return found


# --- numbers --------------------------------------------------------------------------------------
def load_scalars(
    reader: StoreReader, run_id: str, attempts: Iterable[tuple[int, int]]
) -> Iterator[ScalarRow]:
    """Iterate over the series of a run, in the order in which they were written.

    Args:
        reader: the store.
        run_id: the run.
        attempts: (start time, number) of its attempts: a row that does not name its attempt is of the last one that
            had begun.
    """
    starts = sorted(attempts)
    for row in reader.series():
        a = row.attributes
        if row.step is None or (label(a, sc.RUN_ID) or label(a, sc.SERIES_RUN)) != run_id:
            continue
        attempt = whole(a, sc.RUN_ATTEMPT)
        if attempt is None:
            attempt = next(
                (n for at, n in reversed(starts) if at <= row.time_ns), starts[0][1] if starts else 0
            )
        yield ScalarRow(
            name=row.name, attempt=attempt, step=row.step, rank=whole(a, sc.RANK) or 0, value=float(row.value)
        )


def _add_series(reader: StoreReader, run_id: str, steps: list[StepRecord]) -> None:
    """Put series into the steps' records; what a span of a step says of the same name gives way."""
    ranks = {(step.attempt, step.number, rank.rank): rank for step in steps for rank in step.ranks}
    starts: dict[int, int] = {}
    for step in steps:
        starts[step.attempt] = min(starts.get(step.attempt, step.start_ns), step.start_ns)
    for row in load_scalars(reader, run_id, ((at, number) for number, at in starts.items())):
        record = ranks.get((row.attempt, row.step, row.rank))
        if record is not None:
            record.scalars[row.name] = row.value


# --- rollouts -------------------------------------------------------------------------------------
def each_rollout(
    reader: StoreReader, run_id: str, *, step: int | None = None, since_ns: int | None = None
) -> Iterator[RolloutRecord]:
    """Iterate over the rollouts of a run, file by file in the order in which they ended; none is held in memory.

    Args:
        reader: the store.
        run_id: the run.
        step: those of this step alone, of every attempt.
        since_ns: only those that began then or later: with it, one step is found without reading the others.
    """
    wanted: dict[str, str] = {sc.RUN_ID: run_id}
    if step is not None:
        wanted[sc.TRAIN_STEP] = str(step)
    tokens = LearnedTokens(reader)
    for span in reader.spans(name=_ROLLOUTS, attributes=wanted, since_ns=since_ns):
        if making.kind_of(span) == making.ROLLOUT:
            record = making.rollout(span)
            tokens.add_to(record)
            yield record
