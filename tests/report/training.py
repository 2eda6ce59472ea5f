"""Training runs that nobody trained, straight into a store: data for the tests, benchmarks and pictures of training.

    python -m tests.report.training DIR [--steps 40] [--ranks 2] [--groups 4] [--size 8] [--attempts 1] [--seed 7]

GRPO on sums: each rank samples groups of answers, scores them by three functions, and learns from them in shuffled
micro-batches; one trace a step over all ranks, one file a rank. The reward rises, groups lose their spread, answers
get longer and are cut off, and the faults that are asked for happen. The same seed gives the same run.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from otel_llm import semconv as sc
from otel_llm.store import StoreWriter
from otel_llm.store.rows import SeriesRow, StoredEvent, StoredLink, StoredSpan

T0 = 1_795_168_800_000_000_000
"""When runs begin: an arbitrary instant in 2026, in nanoseconds."""
S = 1_000_000_000
COMPONENTS = ("correctness", "format", "brevity")
WEIGHTS = {"correctness": 1.0, "format": 0.3, "brevity": 0.2}
MAX_TOKENS = 256
_THOUGHTS = (
    "First the tens, then the units.", "Let me check this once more.", "I split the larger number.",
    "Adding step by step keeps me from mistakes.", "The carry goes to the next place.", "That looks too small.",
    "I do it the other way round to be sure.", "So far so good.", "Now what is left has to be added.",
)  # fmt: skip


@dataclass
class Run:
    """Makes the spans and series of one run.

    Attributes:
        id: its id.
        steps: how many steps each attempt makes, the first one only `resumed_at` where there is a second.
        ranks: how many processes train.
        groups: groups of a rank in a step.
        size: samples of a group.
        micro: micro-batches of a step and rank.
        seed: what its dice are thrown with.
        content: whether what was said is kept.
        words: how many sentences an answer has, roughly.
        attempts: 2 for a run that was resumed once.
        resumed_at: the step after whose checkpoint the second attempt begins.
        faults: any of `nan_loss`, `unscored`, `no_spread`, `died` (rank 1 in the last step), `raised`.
        series: whether the trainer's scalars are kept as series; else as attributes of the steps alone.
    """

    id: str = "sums-7"
    steps: int = 12
    ranks: int = 2
    groups: int = 2
    size: int = 4
    micro: int = 2
    seed: int = 7
    content: bool = True
    words: int = 5
    attempts: int = 1
    resumed_at: int = 6
    faults: frozenset[str] = frozenset()
    series: bool = True
    name: str = "sums"
    start_ns: int = T0
    spans: dict[int, list[StoredSpan]] = field(default_factory=dict)
    rows: dict[int, list[SeriesRow]] = field(default_factory=dict)
    consumed: dict[str, set[str]] = field(default_factory=dict)
    """Span ids of the rollouts that a loss consumed, by the loss's span id."""

    def __post_init__(self) -> None:
        self.dice = random.Random(f"{self.seed}/{self.id}")
        self.now = self.start_ns
        self.spans = {rank: [] for rank in range(self.ranks)}
        self.rows = {rank: [] for rank in range(self.ranks)}

    def train(self) -> Run:
        """Train: all attempts."""
        for _ in self.each_step():
            pass
        return self

    def each_step(self) -> Iterator[int]:
        """Train, and yield each step's number after it, so that its spans can be written and let go of."""
        for attempt in range(self.attempts):
            first = 1 if attempt == 0 else self.resumed_at + 1
            # The first attempt goes on for two steps after its checkpoint; these are done again.
            last = self.resumed_at + 2 if attempt + 1 < self.attempts else self.steps
            run_trace = self._hash("run", attempt, digits=32)
            for rank in range(self.ranks):
                self._run(rank, attempt, run_trace)
            dies = False
            for number in range(first, last + 1):
                dies = "died" in self.faults and attempt + 1 == self.attempts and number == last
                self._step(number, attempt, dies=dies)
                yield number
            if not dies:
                for rank in range(self.ranks):
                    for span in self.spans[rank]:
                        if span.end_ns is None:
                            span.end_ns = self.now
            self.now += 30 * S

    def all_spans(self) -> list[StoredSpan]:
        """Return the spans of all ranks."""
        return [span for spans in self.spans.values() for span in spans]

    def write(self, directory: Path) -> Path:
        """Write everything to a store, a file a rank; return the directory."""
        for rank in range(self.ranks):
            write(directory, self.spans[rank], self.rows[rank])
        return directory

    # --- spans ----------------------------------------------------------------------------------------

    def _hash(self, *what: object, digits: int = 16) -> str:
        return sha256("/".join(map(str, (self.id, *what))).encode()).hexdigest()[:digits]

    def _span(
        self, rank: int, name: str, trace: str, parent: StoredSpan | str | None, kind: str, at: int, took: float | None,
        attributes: dict[str, Any] | None = None, span_id: str | None = None,
    ) -> StoredSpan:  # fmt: skip
        above = parent.span_id if isinstance(parent, StoredSpan) else parent
        span = StoredSpan(
            trace_id=trace,
            span_id=span_id or f"{self.dice.getrandbits(64) or 1:016x}",
            parent_id=above,
            name=name,
            kind="internal",
            start_ns=at,
            end_ns=None if took is None else at + int(took * S),
            status="unset",
            attributes={sc.SCOPE_KIND: kind, sc.RUN_ID: self.id, **(attributes or {})},
            resource={"service.name": "train"},
        )
        self.spans[rank].append(span)
        return span

    def _place(self, rank: int, attempt: int) -> dict[str, Any]:
        return {
            sc.RUN_ATTEMPT: attempt, sc.RANK: rank, sc.LOCAL_RANK: rank, sc.WORLD_SIZE: self.ranks,
            sc.HOST_NAME: f"node-{rank // 8}", sc.DEVICE: f"cuda:{rank % 8}",
        }  # fmt: skip

    def _run(self, rank: int, attempt: int, trace: str) -> None:
        attributes = {
            sc.RUN_NAME: self.name, sc.RL_ALGORITHM: "grpo", sc.RL_SYSTEM: "trl", sc.RL_MODEL: "tiny-qwen",
            sc.TRAIN_CONFIG_PREFIX + "learning_rate": 1e-5, sc.TRAIN_CONFIG_PREFIX + "num_generations": self.size,
            sc.TRAIN_CONFIG_PREFIX + "beta": 0.04, **self._place(rank, attempt),
        }  # fmt: skip
        root = self._hash("run", attempt)
        own, parent = (root, None) if rank == 0 else (None, root)
        self._span(
            rank, f"training_run {self.name}", trace, parent, "training_run", self.now, None, attributes, own
        )

    def _step(self, number: int, attempt: int, *, dies: bool) -> None:
        trace, root = self._hash("step", attempt, number, digits=32), self._hash("step", attempt, number)
        began, ends, scores = self.now, [], []
        for rank in range(self.ranks):
            here = {**self._place(rank, attempt), sc.TRAIN_STEP: number}
            own, parent = (root, None) if rank == 0 else (None, root)
            step = self._span(rank, "training_step", trace, parent, "step", began, None, here, own)
            step.attributes[sc.TRAIN_EPOCH] = round(number / 100, 4)
            end, own = self._rank(step, here, rank, number, attempt, dies=dies and rank == 1)
            ends.append(end)
            scores += own
        self.now = max(ends)
        for rank in range(self.ranks):
            step = next(s for s in reversed(self.spans[rank]) if s.name == "training_step")
            if not (dies and rank == 1):
                step.end_ns = self.now
            self._scalars(step, rank, number, attempt, sum(scores) / len(scores))
        self.now += int(0.02 * S)

    def _scalars(self, step: StoredSpan, rank: int, number: int, attempt: int, reward: float) -> None:
        way = number / max(self.steps, 1)
        shared = {
            "reward": reward, "kl": 0.002 + 0.05 * way + self.dice.random() * 0.004, "entropy": 1.4 - 0.8 * way,
            "frac_reward_zero_std": min(1.0, way / 2), "learning_rate": 1e-5 * (1 - way),
            "grad_norm": 0.4 + 0.3 * self.dice.random() + (3.0 if number == self.steps // 2 else 0.0),
        }  # fmt: skip
        loss = 0.02 * math.sin(number / 3) + 0.01 * self.dice.random()
        if "nan_loss" in self.faults and number == self.steps - 1:
            loss = math.nan
        shared["loss"] = loss
        step.attributes |= {
            sc.TRAIN_LOSS: loss, sc.TRAIN_GRAD_NORM: shared["grad_norm"], sc.TRAIN_LEARNING_RATE: shared["learning_rate"]
        }  # fmt: skip
        values = shared | {"gpu/memory": 30.0 + 2 * rank + way}
        for name, value in values.items():
            step.attributes[sc.TRAIN_METRICS_PREFIX + name] = value
            if self.series:
                told = {sc.SERIES_SOURCE: "trl", sc.RUN_ID: self.id, sc.RANK: rank, sc.RUN_ATTEMPT: attempt}
                self.rows[rank].append(SeriesRow(name, number, value, self.now, told))

    def _rank(
        self, step: StoredSpan, here: dict[str, Any], rank: int, number: int, attempt: int, *, dies: bool
    ) -> tuple[int, list[float]]:
        """Make what one rank does in a step; return when it ended and its rewards."""
        at, trace, slow = step.start_ns, step.trace_id, 1.0 + 0.25 * rank + 0.3 * self.dice.random()
        seconds = {
            "weight_sync": 0.05,
            "generation": 0.9 * slow,
            "rewards": 0.12 * slow,
            "logprobs": 0.2,
            "advantages": 0.01,
        }
        sampling = self._span(rank, "sampling", trace, step, "sampling", at, sum(seconds.values()), here)
        rollouts: list[StoredSpan] = []
        for part, took in seconds.items():
            if part == "rewards":
                for name in COMPONENTS:
                    attributes = {**here, sc.EVALUATION_NAME: name}
                    self._span(rank, f"reward {name}", trace, sampling, "reward", at, took / 3, attributes)
                    at += int(took / 3 * S)
                continue
            span = self._span(
                rank, part, trace, sampling, part, at, None if dies and part == "logprobs" else took, here
            )
            if part == "generation":
                rollouts = self._rollouts(span, here, rank, number)
                if "raised" in self.faults and number == 2 and rank == 0:
                    span.status, span.status_description = "error", "CUDA out of memory"
                    span.attributes |= {
                        sc.ERROR_TYPE: "OutOfMemoryError",
                        sc.ERROR_MESSAGE: "CUDA out of memory",
                    }
            at += int(took * S)
            if dies and part == "logprobs":
                return at, []
        at = self._learn(step, here, rank, number, attempt, rollouts, at, seconds)
        scores = [s.attributes[sc.SAMPLE_REWARD] for s in rollouts if sc.SAMPLE_REWARD in s.attributes]
        return at, scores

    def _learn(
        self, step: StoredSpan, here: dict[str, Any], rank: int, number: int, attempt: int, rollouts: list[StoredSpan],
        at: int, seconds: dict[str, float],
    ) -> int:  # fmt: skip
        shuffled = rollouts[:]
        self.dice.shuffle(shuffled)
        each = max(1, len(shuffled) // self.micro)
        times = seconds | {"loss": 0.0, "backward": 0.0, "optimizer": 0.06, "other": 0.03}
        for micro in range(self.micro):
            batch = shuffled[micro * each : (micro + 1) * each]
            attributes = {
                **here,
                sc.TRAIN_MICRO_STEP: micro,
                sc.TRAIN_CONSUMED: len(batch),
                sc.TRAIN_LOSS: 0.01 * (micro + 1),
            }
            loss = self._span(rank, "loss", step.trace_id, step, "loss", at, 0.15, attributes)
            loss.links = [
                StoredLink(one.trace_id, one.span_id, {sc.LINK_KIND: sc.LINK_CONSUMED}) for one in batch
            ]
            self.consumed[loss.span_id] = {one.span_id for one in batch}
            at += int(0.15 * S)
            self._span(
                rank,
                "backward",
                step.trace_id,
                step,
                "backward",
                at,
                0.2,
                {**here, sc.TRAIN_MICRO_STEP: micro},
            )
            at += int(0.2 * S)
            times["loss"] += 0.15
            times["backward"] += 0.2
            step.links += loss.links
        self._span(rank, "optimizer", step.trace_id, step, "optimizer", at, 0.06, here)
        at += int(0.09 * S)
        if number == self.resumed_at and rank == 0:
            self._span(rank, "checkpoint", step.trace_id, step, "checkpoint", at, 0.5, here)
            at += int(0.5 * S)
            times["checkpoint"] = 0.5
        for part, took in times.items():
            step.attributes[sc.TRAIN_TIME_PREFIX + part] = round(took, 4)
        return at

    # --- rollouts -------------------------------------------------------------------------------------

    def _rollouts(
        self, generation: StoredSpan, here: dict[str, Any], rank: int, number: int
    ) -> list[StoredSpan]:
        made: list[StoredSpan] = []
        for group in range(self.groups):
            a, b = self.dice.randrange(10, 99), self.dice.randrange(10, 99)
            members = [
                self._rollout(generation, here, rank, number, group, i, a, b) for i in range(self.size)
            ]
            if "no_spread" in self.faults and group == 0:
                for one in members:
                    one.attributes[sc.SAMPLE_REWARD] = 1.5
            scores = [one.attributes.get(sc.SAMPLE_REWARD) for one in members]
            known = [score for score in scores if score is not None]
            mean = sum(known) / max(1, len(known))
            std = math.sqrt(sum((score - mean) ** 2 for score in known) / max(1, len(known)))
            for one, score in zip(members, scores, strict=True):
                if score is not None:
                    one.attributes[sc.SAMPLE_ADVANTAGE] = round((score - mean) / (std + 1e-4), 5)
                if std == 0:
                    one.attributes[sc.SAMPLE_PROBLEMS] = ("no_spread",)
            made += members
        return made

    def _rollout(
        self, generation: StoredSpan, here: dict[str, Any], rank: int, number: int, group: int, index: int, a: int, b: int
    ) -> StoredSpan:  # fmt: skip
        way = number / max(self.steps, 1)
        right = self.dice.random() < 0.15 + 0.8 * way
        said = [
            self.dice.choice(_THOUGHTS) for _ in range(max(1, int(self.words * (0.6 + self.dice.random()))))
        ]
        answer = a + b if right else a + b + self.dice.choice((-10, -1, 1, 10))
        formatted = self.dice.random() < 0.4 + 0.6 * way
        text = (
            f"{' '.join(said)}\n<answer>{answer}</answer>"
            if formatted
            else f"{' '.join(said)} It is {answer}."
        )
        tokens = min(MAX_TOKENS, len(text) // 4 + int(60 * way))
        scores = {
            "correctness": float(right),
            "format": float(formatted),
            "brevity": round(1 - tokens / MAX_TOKENS, 4),
        }
        place = rank * self.groups * self.size + group * self.size + index
        attributes: dict[str, Any] = {
            **here, sc.SAMPLE_ID: f"{number}-{rank}-{group * self.size + index}", sc.SAMPLE_GROUP: f"{number}-{rank}-g{group}",
            sc.SAMPLE_INDEX: index, sc.SAMPLE_INPUT_TOKENS: 24, sc.SAMPLE_OUTPUT_TOKENS: tokens,
            sc.SAMPLE_TRUNCATED: tokens == MAX_TOKENS, sc.SAMPLE_POLICY_STEP: number - 1, sc.SAMPLE_STALENESS: 0,
            sc.SAMPLE_POLICY_VERSION: f"v{number - 1}", sc.SAMPLE_TURNS: 1, sc.SAMPLE_MODE: "train", sc.SAMPLE_STATUS: "scored",
        }  # fmt: skip
        if "unscored" in self.faults and place == self.size:
            attributes[sc.SAMPLE_STATUS] = "unscored"
            attributes[sc.SAMPLE_PROBLEMS] = ("reward_missing",)
        else:
            for name, score in scores.items():
                attributes[sc.SAMPLE_REWARDS_PREFIX + name] = score
            attributes[sc.SAMPLE_REWARD] = round(
                sum(WEIGHTS[name] * score for name, score in scores.items()), 5
            )
        if self.content:
            attributes[sc.INPUT_MESSAGES] = _messages(
                ("system", "Think, then give the sum in <answer>.</answer>"), ("user", f"What is {a} + {b}?")
            )
            attributes[sc.OUTPUT_MESSAGES] = _messages(("assistant", text))
        took = 0.3 + 0.5 * self.dice.random()
        span = self._span(
            rank, "rollout", generation.trace_id, generation, "rollout", generation.start_ns, took, attributes
        )
        if attributes[sc.SAMPLE_STATUS] == "scored":
            for name, score in scores.items():
                told = {sc.EVALUATION_NAME: name, sc.EVALUATION_SCORE: score}
                if name == "correctness":
                    told[sc.EVALUATION_EXPLANATION] = f"{a} + {b} is {a + b}, the answer was {answer}"
                span.events.append(StoredEvent(sc.EVENT_EVALUATION_RESULT, span.end_ns or 0, told))
        return span


def _messages(*said: tuple[str, str]) -> str:
    return json.dumps(
        [{"role": role, "parts": [{"type": "text", "content": text}]} for role, text in said],
        separators=(",", ":"),
    )


def write(directory: Path, spans: Iterable[StoredSpan], rows: Iterable[SeriesRow] = ()) -> None:
    """Write spans and series to a store, as one process's file."""
    writer = StoreWriter(directory, commit_interval_s=0.0, open_after_s=0.0)
    opened = [span for span in spans if span.end_ns is None]
    for span in opened:
        writer.started(span.to_readable())
    for span in spans:
        if span.end_ns is not None:
            writer.ended(span.to_readable())
    writer.series(list(rows))
    if not writer.flush(60) or not writer.close(60):
        raise RuntimeError("the store could not be written")


def main() -> None:
    """Make a run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    for name, default in (
        ("steps", 40),
        ("ranks", 2),
        ("groups", 4),
        ("size", 8),
        ("attempts", 1),
        ("seed", 7),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--faults", nargs="*", default=[])
    options = parser.parse_args()
    made = Run(
        steps=options.steps, ranks=options.ranks, groups=options.groups, size=options.size, seed=options.seed,
        attempts=options.attempts, resumed_at=options.steps // 2, faults=frozenset(options.faults),
    )  # fmt: skip
    made.train().write(options.directory)


if __name__ == "__main__":
    main()
