"""How many answers were right: counted where reward functions are wrapped, else worked out from the trainer's logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_llm.numeric import as_number
from otel_llm_trl.rewards import Collector

_REWARDS: Final = "rewards/"
_MEAN: Final = "/mean"
_SPREAD: Final = "/std"


class Answers:
    """Right answers and all answers of one training.

    Args:
        collector: counts them, on this rank, where the reward function that judges is wrapped.
        reward: what a right answer is worth, for the trainer's logs, which have means alone.

    Attributes:
        from_logs: whether the figures come from the trainer's logs: over all ranks, and rounded.
    """

    def __init__(self, collector: Collector, reward: float) -> None:
        self._collector = collector
        self._reward = reward
        self._before = 0, 0
        self._resumed = 0, 0
        self._correct = 0
        self._total = 0
        self._logged_step = 0
        self.from_logs = False

    def begin(self, step: int, resumed: Mapping[str, Any] | None) -> None:
        """Begin at a step.

        Args:
            step: steps that were taken before.
            resumed: what `state` returned in an earlier process; None for a new training.
        """
        self._before = self._collector.correct, self._collector.total
        self._resumed = 0, 0
        if resumed is not None:
            self._resumed = int(resumed.get("correct_answers", 0)), int(resumed.get("total_answers", 0))
        self._correct = self._total = 0
        self._logged_step = step
        self.from_logs = False

    @property
    def correct(self) -> int:
        """How many answers were right."""
        counted = self._collector.correct - self._before[0]
        return self._resumed[0] + (self._correct if self.from_logs else counted)

    @property
    def total(self) -> int:
        """How many answers there were."""
        counted = self._collector.total - self._before[1]
        return self._resumed[1] + (self._total if self.from_logs else counted)

    @property
    def accuracy(self) -> float:
        """Right answers in percent; 0 where there were none."""
        return 100.0 * self.correct / self.total if self.total else 0.0

    def state(self) -> dict[str, int]:
        """Return what a later process goes on from."""
        return {"correct_answers": self.correct, "total_answers": self.total}

    def read(self, logs: Mapping[str, Any], step: int, answers_a_step: float) -> None:
        """Work answers out from the trainer's logs, unless reward functions count them.

        Args:
            logs: what the trainer logged: means since it logged last.
            step: the step at which it did.
            answers_a_step: completions of all ranks that are scored for one step.
        """
        steps, self._logged_step = step - self._logged_step, step
        if self._collector.total > self._before[1] or steps <= 0 or not self._reward:
            return
        for name, value in rewards_in(logs).items():
            if "correct" in name:
                examples = round(steps * answers_a_step)
                self.from_logs = True
                self._total += examples
                self._correct += min(examples, max(0, round(value / self._reward * examples)))
                return


def rewards_in(logs: Mapping[str, Any]) -> dict[str, float]:
    """Return the mean rewards by function in what a trainer logged: `rewards/NAME/mean`, of old `rewards/NAME`."""
    found: dict[str, float] = {}
    for key, value in logs.items():
        if (
            key.startswith(_REWARDS)
            and not key.endswith(_SPREAD)
            and (number := as_number(value)) is not None
        ):
            found[key.removeprefix(_REWARDS).removesuffix(_MEAN)] = number
    return found


def answers_a_step(args: Any) -> float:
    """Return how many completions of all ranks are scored for one optimisation step of GRPO, on average."""
    size = as_number(getattr(args, "train_batch_size", None)) or as_number(
        getattr(args, "per_device_train_batch_size", None)
    )
    ranks = as_number(getattr(args, "world_size", None)) or 1
    accumulated = as_number(getattr(args, "gradient_accumulation_steps", None)) or 1
    reused = as_number(getattr(args, "num_iterations", None)) or 1
    return (size or 0) * ranks * accumulated / reused
