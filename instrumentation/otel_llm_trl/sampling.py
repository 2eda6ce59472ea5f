"""Generating and scoring a batch of completions: the part `sampling`, and the rollouts that come of it.

What the trainer computes on the way (texts, token ids, the rewards of all ranks, advantages) is taken by reference;
the worker makes rollouts of it. The batch that the trainer goes on with gets one more column, the numbers of its
rollouts: it is shuffled and split with the others, and tells each loss what it learns from (`losses`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from time import time_ns
from typing import Any, Final

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm.training.batches import RolloutBatch
from otel_llm.training.loops import part
from otel_llm.training.rollouts import RolloutScope
from otel_llm_trl import completions, scores, sessions, tokens
from otel_llm_trl.parts import Named, Part, around_of
from otel_llm_trl.sessions import Known, Session

KEY: Final = "_otel_llm_rollouts"
"""The column with the numbers of rollouts, in what `_generate_and_score_completions` returns."""


def sampling(trainer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Part | Inner | None:  # noqa: ARG001
    """Record the generation and scoring of a batch."""
    session = sessions.of(trainer)
    if session is None or around_of(session) is None:
        return None
    if session.sampling is not None:
        return Inner(session.sampling)
    return Sampling(session, trainer)


class Inner:
    """The method of a base class that a subclass calls: its result is the one to look at."""

    def __init__(self, outer: Sampling) -> None:
        self._outer = outer

    def done(self, result: Any) -> None:
        """Make rollouts of it."""
        self._outer.make(result)

    def failed(self, error: BaseException) -> None:
        """Leave it to the outer one."""


class Sampling(Named):
    """One batch while it is generated and scored.

    Attributes:
        batch_opened: rollouts that began before the batch was complete, by their index: they have calls of their own.
        generated_ns: when the last generation ended, None before.
    """

    def __init__(self, session: Session, trainer: Any) -> None:
        self.trainer = trainer
        self.began_ns = time_ns()
        self.generating_ns: int | None = None
        self.generated_ns: int | None = None
        self.scored_ns: int | None = None
        self.made = 0
        self.opened: dict[int, RolloutScope] = {}
        self._forget()
        super().__init__(session, "sampling", **{sc.TRAIN_MODE: session.mode})
        session.sampling = self
        self._around = around_of(session)
        if getattr(trainer, "rollout_func", None) is not None and self._around is not None:
            self._around.collecting = []

    def _forget(self) -> None:
        self.rows: Sequence[Any] = ()
        self.prompts: Sequence[Any] = ()
        self.completions: Sequence[Any] = ()
        self.completion_ids: Sequence[Any] = ()
        self.prompt_lengths: Sequence[int] | None = None
        self.rewards: Any = None

    # --- what the trainer computes on the way ---------------------------------------------------------

    def generates(self) -> None:
        """Note that generation begins."""
        if self.generating_ns is None:
            self.generating_ns = time_ns()

    def generated(self) -> None:
        """Note that generation has ended, for now."""
        self.generated_ns = time_ns()

    def tokenized(self, prompt_ids: Any) -> None:
        """Take the lengths of the prompts, where the trainer has them as lists."""
        if isinstance(prompt_ids, list) and prompt_ids and isinstance(prompt_ids[0], list):
            self.prompt_lengths = [len(ids) for ids in prompt_ids]

    def scoring(self, rows: Any, prompts: Any, answers: Any, completion_ids: Any) -> None:
        """Take what is scored: a list each, one item a rollout of this rank."""
        self.rows, self.prompts, self.completions = rows or (), prompts or (), answers or ()
        self.completion_ids = completion_ids or ()

    def scored(self, rewards: Any) -> None:
        """Take the rewards: one row a rollout of any rank, one column a component."""
        self.rewards = rewards
        self.scored_ns = time_ns()

    # --- its end --------------------------------------------------------------------------------------

    def done(self, result: Any) -> None:
        """Make rollouts, unless a base class's method has seen them already."""
        try:
            if not self.made:
                self.make(result)
        finally:
            self._over()
            super().done(result)

    def failed(self, error: BaseException) -> None:
        """Keep what was generated: it has no scores, or no advantages."""
        try:
            if self.completions or self.opened:
                self.make(None)
        finally:
            self._over()
            super().failed(error)

    def _over(self) -> None:
        self.session.sampling = None
        if self._around is not None:
            self._around.collecting = None

    def _collected(self, size: int) -> dict[int, RolloutScope]:
        """Return the rollouts that the program opened itself, by their index: the n-th is that of the n-th sample."""
        found = None if self._around is None else self._around.collecting
        if not found:
            return self.opened
        self._around.collecting = []
        if len(found) != size:
            drops.count("rollout", "not_joined", len(found))
            drops.warn_once(
                "trl:rollouts",
                "otel_llm: rollout_func opened %d rollouts for %d samples; they are not joined. Open one a sample, in "
                "their order",
                len(found),
                size,
            )
            return self.opened
        return {**dict(enumerate(found)), **self.opened}

    def make(self, result: Any) -> None:
        """Make rollouts of a batch, and number them in it.

        Args:
            result: what the trainer goes on with; None where it failed.
        """
        session, trainer = self.session, self.trainer
        size = _size(self.completions, result)
        around = around_of(session)
        if not size or around is None:
            return
        if self.scored_ns is not None and result is not None:
            with part("advantages").start(at_ns=self.scored_ns):
                pass
        began = self.generating_ns or self.began_ns
        batch = RolloutBatch(
            size,
            parent=around.span,
            inherited=around.inherited,
            start_ns=began,
            end_ns=self.generated_ns or self.scored_ns or time_ns(),
        )
        policy_step = int(trainer.state.global_step)
        self._describe(batch, size, result, policy_step)
        if self.rewards is not None:
            scores.give(batch, trainer, self.rewards, size)
        if isinstance(result, dict):
            advantages = result.get("advantages")
            if advantages is not None and getattr(advantages, "ndim", 1) == 1:
                batch.advantages(advantages)
        for index, scope in self._collected(size).items():
            if index < size:
                batch.adopt(index, scope)
        completions.give(batch, session.settings, self)
        if session.settings.log_token_details and len(self.completion_ids) == size:
            tokens.give(batch, self.completion_ids, result)
        batch.submit()
        self.made += 1
        session.samples_of_step += size
        if session.mode == "train":
            session.generated += sum(map(len, self.completion_ids))
        if isinstance(result, dict) and session.mode == "train" and KEY not in result:
            first = session.number_batch(size)
            session.keep(Known(first, size, batch, policy_step, self._tokens(size)))
            numbers = _numbers(first, size)
            if numbers is not None:
                result[KEY] = numbers
        self.opened = {}
        self._forget()

    def _tokens(self, size: int) -> list[int]:
        """Return how many tokens each rollout has; nothing where the host does not know."""
        prompts, ids = self.prompt_lengths, self.completion_ids
        if prompts is None or len(prompts) != size or len(ids) != size:
            return []
        return [length + len(one) for length, one in zip(prompts, ids, strict=True)]

    def _describe(self, batch: RolloutBatch, size: int, result: Any, policy_step: int) -> None:
        session, trainer = self.session, self.trainer
        mode = session.mode
        names = self.names(size)
        batch.column(sc.SAMPLE_ID, [name for name, _, _ in names])
        batch.column(sc.SAMPLE_GROUP, [group for _, group, _ in names])
        batch.column(sc.SAMPLE_INDEX, [index for _, _, index in names])
        batch.column(sc.SAMPLE_MODE, mode)
        batch.column(sc.SAMPLE_POLICY_STEP, policy_step)
        ids = self.completion_ids
        if len(ids) == size:
            batch.column(sc.SAMPLE_OUTPUT_TOKENS, [len(one) for one in ids])
            ends = completions.ends_of(trainer)
            if ends:
                batch.column(sc.SAMPLE_TRUNCATED, [not one or one[-1] not in ends for one in ids])
        elif isinstance(result, dict) and result.get("completion_mask") is not None:
            batch.column(sc.SAMPLE_OUTPUT_TOKENS, result["completion_mask"].sum(dim=1))
        if self.prompt_lengths is not None and len(self.prompt_lengths) == size:
            batch.column(sc.SAMPLE_INPUT_TOKENS, self.prompt_lengths)
        elif isinstance(result, dict) and result.get("prompt_mask") is not None:
            batch.column(sc.SAMPLE_INPUT_TOKENS, result["prompt_mask"].sum(dim=1))
        turns = completions.turns_of(self.completions)
        if turns is not None:
            batch.column(sc.SAMPLE_TURNS, turns)

    def names(self, size: int) -> list[tuple[str, str, int]]:
        """Return id, group and index in its group of each rollout: ranks lie behind each other, groups too."""
        session, trainer = self.session, self.trainer
        rank, world = sessions.world_of(trainer)
        is_training = session.mode == "train"
        per_group = int(getattr(trainer, "num_generations", 1) or 1)
        if not is_training:
            per_group = int(getattr(trainer, "num_generations_eval", per_group) or per_group)
        step = int(trainer.state.global_step) + (1 if is_training else 0)
        label = str(step) if is_training else f"eval-{step}"
        before = session.samples_of_step
        first = before * world + rank * size
        found: list[tuple[str, str, int]] = []
        for number in range(first, first + size):
            group, index = f"{label}-{number // per_group}", number % per_group
            found.append((f"{group}-{index}", group, index))
        return found


def _size(answers: Sequence[Any], result: Any) -> int:
    if answers:
        return len(answers)
    found = result.get("completion_ids") if isinstance(result, dict) else None
    return 0 if found is None else len(found)


def _numbers(first: int, size: int) -> Any:
    """Return the numbers of a batch's rollouts, on the host: reading them waits for no device."""
    torch = sys.modules.get("torch")
    return None if torch is None else torch.arange(first, first + size, device="cpu")
