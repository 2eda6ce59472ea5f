"""Figures of one trajectory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from otel_llm.trajectory.formatting import joined
from otel_llm.trajectory.messages import Message, read_messages
from otel_llm.trajectory.tags import EXPECTED_TAGS, expected_of, tag_use_of


def extract_trajectory_stats(
    conversation: Any, completion: Any = None, *, tags: Iterable[str] = EXPECTED_TAGS
) -> dict[str, Any]:
    """Return figures of a trajectory.

    Args:
        conversation: as for `format_conversation`.
        completion: what follows it; as there.
        tags: XML tags that answers are expected to use, without brackets.

    Returns:
        Plain data, never raising: `messages`, `turns` (exchanges: each run of answers and tool results after a user's
        message), `user_turns`, `assistant_turns`, `tool_calls`, `tool_calls_by_name` (name -> count),
        `tool_responses`, `tool_errors`, `tool_errors_by_name`, lengths in characters (`total_length`,
        `user_length`, `assistant_length`, `reasoning_length`, `tool_length`), `tags` (tag -> well-formed pairs),
        `malformed_tags` and `tag_adherence` (0 to 1, None where no tag is expected).
    """
    messages = read_messages(conversation) if completion is None else joined(conversation, completion)
    return stats_of(messages, expected_of(tags))


def stats_of(messages: Sequence[Message], expected: tuple[str, ...]) -> dict[str, Any]:
    """Return the figures of `extract_trajectory_stats` for messages that were read."""
    calls = Counter(
        call.name for message in messages for call in (*message.tool_calls, *message.calls_in_text)
    )
    results = [message for message in messages if message.role == "tool"]
    failed = Counter(message.name or "?" for message in results if message.failed)
    used = tag_use_of(messages, expected)
    reasoning = sum(len(message.reasoning) for message in messages)
    return {
        "messages": len(messages),
        "turns": _turns(messages),
        "user_turns": _of("user", messages),
        "assistant_turns": _of("assistant", messages),
        "tool_calls": calls.total(),
        "tool_calls_by_name": dict(calls),
        "tool_responses": len(results),
        "tool_errors": failed.total(),
        "tool_errors_by_name": dict(failed),
        "total_length": reasoning + sum(len(message.text) for message in messages),
        "user_length": _length("user", messages),
        "assistant_length": _length("assistant", messages),
        "reasoning_length": reasoning,
        "tool_length": _length("tool", messages),
        "tags": dict(used.pairs),
        "malformed_tags": list(used.malformed),
        "tag_adherence": used.adherence,
    }


def _turns(messages: Iterable[Message]) -> int:
    """Count exchanges: an answer that follows a user's message or stands first begins one."""
    turns = 0
    answering = False
    for message in messages:
        if message.role == "assistant":
            turns += not answering
            answering = True
        elif message.role != "tool":
            answering = False
    return turns


def _of(role: str, messages: Iterable[Message]) -> int:
    return sum(message.role == role for message in messages)


def _length(role: str, messages: Iterable[Message]) -> int:
    return sum(len(message.text) for message in messages if message.role == role)
