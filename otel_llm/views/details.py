"""What columns need more than one attribute for: texts out of messages, rewards of a rollout, figures by type and power.

Functions take an `Item`. They may raise: the cell is then empty, and that is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from otel_llm import semconv as sc
from otel_llm.analysis.values import CALL_OPERATIONS, number
from otel_llm.store.rows import StoredSpan
from otel_llm.trajectory import (
    extract_trajectory_stats,
    format_conversation,
    format_input_data,
    format_reward_components,
    read_messages,
)
from otel_llm.views.conversations import Said, conversation, last_text, parts_of_answer, said
from otel_llm.views.items import Item

_KNOWN_TOKENS: Final = frozenset({"input", "output", "cached", "reasoning"})


def timestamp(item: Item) -> str:
    """Return when it happened, in ISO 8601, UTC."""
    return datetime.fromtimestamp(item.time_ns / 1e9, UTC).isoformat(timespec="milliseconds")


# --- interactions and games -----------------------------------------------------------------------
def other_tokens(item: Item) -> dict[str, int]:
    """Return counts of tokens of kinds that a program brought: `tokens_{kind}`."""
    found = item.interaction.tokens
    return {f"tokens_{kind}": n for kind, n in sorted(found.items()) if kind not in _KNOWN_TOKENS}


def interactions_by(item: Item) -> dict[str, Any]:
    """Return a game's interactions by type and by power."""
    wanted = ("interactions_by_type", "interactions_by_power")
    found = {}
    for key, value in item.attributes.items():
        by, dot, what = key.removeprefix(sc.TOTALS_PREFIX).partition(".")
        if dot and by in wanted and key.startswith(sc.TOTALS_PREFIX):
            found[f"{by}/{what}"] = value
    return dict(sorted(found.items()))


# --- texts of a model call ------------------------------------------------------------------------
def _asked(item: Item) -> Said:
    return said(item.attributes, sc.INPUT_MESSAGES)


def _answered(item: Item) -> Said:
    return said(item.attributes, sc.OUTPUT_MESSAGES)


def question(item: Item) -> str | None:
    """Return what the user said last."""
    return last_text(read_messages(item.once(_asked)), "user")


def prompt(item: Item) -> str | None:
    """Return all that a call was given, as text."""
    asked = item.once(_asked)
    return _written(asked) if asked else item.get(sc.INPUT_MESSAGES)  # cut off: as it is


def completion(item: Item) -> str | None:
    """Return all that came back, as text."""
    answered = item.once(_answered)
    return _written(answered) if answered else item.get(sc.OUTPUT_MESSAGES)


def reasoning_and_answer(item: Item) -> tuple[str | None, str | None]:
    """Return what a model thought, and its answer."""
    return item.once(_reasoning_and_answer)


def _reasoning_and_answer(item: Item) -> tuple[str | None, str | None]:
    return parts_of_answer(read_messages(item.once(_answered)))


def _written(messages: Said) -> str | None:
    return format_conversation(messages) or None


# --- rollouts -------------------------------------------------------------------------------------
STATISTICS: Final = (
    ("Messages", "messages", "int"),
    ("Turns", "turns", "int"),
    ("Assistant_Turns", "assistant_turns", "int"),
    ("Tool_Calls", "tool_calls", "int"),
    ("Tool_Calls_By_Name", "tool_calls_by_name", "text"),
    ("Tool_Responses", "tool_responses", "int"),
    ("Tool_Errors", "tool_errors", "int"),
    ("Total_Length", "total_length", "int"),
    ("Assistant_Length", "assistant_length", "int"),
    ("Reasoning_Length", "reasoning_length", "int"),
    ("Tags", "tags", "text"),
    ("Malformed_Tags", "malformed_tags", "text"),
    ("Tag_Adherence", "tag_adherence", "float"),
)
"""Heading, name in `otel_llm.trajectory.extract_trajectory_stats`, and type of a trajectory's figures."""


@dataclass(frozen=True, slots=True)
class TrajectoryCells:
    """A rollout, put together.

    Attributes:
        prompt: what it was given, as text; None where that was not kept.
        text: all that was said, as text; likewise.
        statistics: of `extract_trajectory_stats`; empty where no text was kept.
        rewards: by component.
        total_reward: as the program told it, else the sum of the components.
        rewards_text: the rewards as people read them; None for none.
    """

    prompt: str | None
    text: str | None
    statistics: Mapping[str, Any]
    rewards: Mapping[str, float]
    total_reward: float | None
    rewards_text: str | None

    @property
    def reward_columns(self) -> dict[str, float]:
        """The components under their headings."""
        return {f"Reward/{name}": value for name, value in self.rewards.items()}


def trajectory(item: Item) -> TrajectoryCells:
    """Return a rollout, put together from its span and what ended below it; made once an item."""
    return item.once(_trajectory)


def _trajectory(item: Item) -> TrajectoryCells:
    span, below = item.span, item.below()
    assert span is not None  # noqa: S101 (rollouts are spans)
    calls = [one for one in below if one.attributes.get(sc.OPERATION_NAME) in CALL_OPERATIONS]
    given, followed = conversation(span, sorted(calls, key=lambda call: call.start_ns))
    rewards, total = rewards_of(span, below)
    is_known = bool(given or followed)
    return TrajectoryCells(
        prompt=_written(given),
        text=format_conversation([*given, *followed]) or None if is_known else None,
        statistics=extract_trajectory_stats([*given, *followed]) if is_known else {},
        rewards=rewards,
        total_reward=total,
        rewards_text=format_reward_components(rewards, total) if rewards or total is not None else None,
    )


def rewards_of(span: StoredSpan, below: list[StoredSpan]) -> tuple[dict[str, float], float | None]:
    """Return the rewards of a rollout by component, and in all.

    They are its own events `gen_ai.evaluation.result`, and the reward spans below it; the last of a name counts.
    """
    components: dict[str, float] = {}
    told = [event.attributes for event in span.events if event.name == sc.EVENT_EVALUATION_RESULT]
    told += [one.attributes for one in below if sc.EVALUATION_SCORE in one.attributes]
    for attributes in told:
        score = number(attributes, sc.EVALUATION_SCORE)
        if score is not None:
            components[str(attributes.get(sc.EVALUATION_NAME) or "reward")] = score
    total = number(span.attributes, sc.SAMPLE_REWARD)
    if total is None:
        total = number(span.attributes, sc.GAME_REWARD)
    if total is None:
        total = number(span.attributes, sc.EVALUATION_SCORE)
    if total is None and components:
        total = sum(components.values())
    return dict(sorted(components.items())), total


def statistic(key: str) -> Callable[[Item], Any]:
    """Return the function of a column of `STATISTICS`."""
    return lambda item: trajectory(item).statistics.get(key)


def sample_input(item: Item) -> str | None:
    """Return what a sample was made from: the program's own fields of the rollout."""
    fields = {
        key.removeprefix(sc.CUSTOM_PREFIX): value
        for key, value in item.attributes.items()
        if key.startswith(sc.CUSTOM_PREFIX)
    }
    return format_input_data(fields) or None if fields else None


def success(item: Item) -> bool:
    """Say whether a span succeeded, by the program's word, else by its not having failed."""
    told = item.attributes.get(sc.INTERACTION_SUCCESS)
    if isinstance(told, bool):
        return told
    span = item.span
    return span is not None and span.status != "error" and sc.ERROR_TYPE not in item.attributes
