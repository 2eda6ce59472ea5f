"""Whole conversations of agents: as text, as figures, and side by side.

    from otel_llm.trajectory import extract_trajectory_stats, format_conversation

Everything takes what the program has (mappings, objects, JSON text), changes none of it, and never raises.
"""

from otel_llm.trajectory.comparison import (
    Comparison,
    Summary,
    ToolUse,
    Trajectory,
    compare_evaluation,
    compare_success,
    tool_use_over_steps,
)
from otel_llm.trajectory.formatting import format_conversation, format_input_data, format_reward_components
from otel_llm.trajectory.messages import Message, ToolCall, read_messages
from otel_llm.trajectory.statistics import extract_trajectory_stats
from otel_llm.trajectory.tags import EXPECTED_TAGS, TagUse, tag_adherence_rate, tag_use

__all__ = [
    "EXPECTED_TAGS",
    "Comparison",
    "Message",
    "Summary",
    "TagUse",
    "ToolCall",
    "ToolUse",
    "Trajectory",
    "compare_evaluation",
    "compare_success",
    "extract_trajectory_stats",
    "format_conversation",
    "format_input_data",
    "format_reward_components",
    "read_messages",
    "tag_adherence_rate",
    "tag_use",
    "tool_use_over_steps",
]
