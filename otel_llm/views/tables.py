"""The tables, each a list of columns: the one place that says what is in which. A program adds its own, see `defining`.

Every table begins with `trace_id`, `span_id` and `time`. A row is made when a span ends, from the span and what ended
below it, and never changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from otel_llm import semconv as sc
from otel_llm.views import details
from otel_llm.views.items import Item
from otel_llm.views.model import Column, Type
from otel_llm.views.table import CALL, EVENT, TableView


def _of(name: str) -> Callable[[Item], Any]:
    """Return a field of an interaction as `otel_llm.read_interactions` gives it."""
    return lambda item: getattr(item.interaction, name)


def _below(key: str) -> str:
    return sc.TOTALS_PREFIX + key


def _tokens(kind: str) -> Callable[[Item], Any]:
    return lambda item: item.interaction.tokens.get(kind)


_PLACE: Final = (
    Column("game_id", "text", sc.GAME_ID),
    Column("phase", "text", sc.PHASE_NAME),
    Column("power_name", "text", sc.POWER_NAME),
    Column("interaction_type", "text", sc.INTERACTION_TYPE),
    Column("run_id", "text", sc.RUN_ID),
    Column("step", "int", lambda item: item.get(sc.TRAIN_STEP, sc.GAME_TRAINING_STEP)),
    Column("sample", "text", sc.SAMPLE_ID),
)
"""Where in a game or a training run it happened."""

INTERACTIONS: Final = TableView(
    "interactions",
    of="interaction",
    columns=(
        Column("interaction_id", "text", _of("interaction_id")),
        Column("game_id", "text", _of("game_id")),
        Column("phase", "text", _of("phase")),
        Column("phase_numeric", "int", _of("phase_numeric")),
        Column("season_numeric", "int", _of("season_numeric")),
        Column("power_name", "text", _of("power_name")),
        Column("interaction_type", "text", _of("interaction_type")),
        Column("attempt", "int", lambda item: item.get(sc.INTERACTION_ATTEMPT) or 1),
        Column("model_name", "text", _of("model_name")),
        Column("success", "bool", _of("success")),
        Column("outcome", "text", sc.INTERACTION_OUTCOME),
        Column("error_type", "text", _of("error_type")),
        Column("response_time_ms", "float", _of("response_time_ms")),
        Column("input_length", "int", _of("input_length")),
        Column("response_length", "int", _of("response_length")),
        Column("supply_center_count", "int", _of("supply_center_count")),
        Column("unit_count", "int", _of("unit_count")),
        Column("valid_orders", "int", sc.ORDERS_VALID_COUNT),
        Column("invalid_orders", "int", sc.ORDERS_INVALID_COUNT),
        Column("calls", "int", _below("calls")),
        Column("failed_calls", "int", _below("failed_calls")),
        Column("tokens_input", "int", _tokens("input")),
        Column("tokens_output", "int", _tokens("output")),
        Column("tokens_cached", "int", _tokens("cached")),
        Column("tokens_reasoning", "int", _tokens("reasoning")),
        Column("cost_estimate", "float", _of("cost_estimate")),
        Column("grpo_episode", "int", _of("grpo_episode")),
        Column("grpo_step", "int", _of("grpo_step")),
        Column("grpo_reward", "float", _of("grpo_reward")),
    ),
    more=details.other_tokens,
    more_type="int",
)
"""One row an interaction: lengths and figures, no texts."""

SESSIONS: Final = TableView(
    "sessions",
    of="game",
    columns=(
        Column("game_id", "text", sc.GAME_ID),
        Column("name", "text", sc.GAME_NAME),
        Column("start_time", "float", lambda item: item.span.start_ns / 1e9),
        Column("end_time", "float", lambda item: item.time_ns / 1e9),
        Column("duration_seconds", "float", lambda item: item.duration_s),
        Column("status", "text", sc.GAME_STATUS),
        Column("outcome", "text", sc.GAME_OUTCOME),
        Column("winners", "text", sc.GAME_WINNERS),
        Column("players", "text", sc.GAME_PLAYERS),
        Column("models", "text", sc.GAME_MODELS),
        Column("error_type", "text", sc.ERROR_TYPE),
        Column("is_grpo_training", "bool", sc.GAME_IN_TRAINING),
        Column("grpo_episode", "int", sc.GAME_EPISODE),
        Column("grpo_step", "int", sc.GAME_TRAINING_STEP),
        Column("grpo_reward", "float", sc.GAME_REWARD),
        Column("total_interactions", "int", lambda item: item.get(_below("interactions")) or 0),
        Column("failed_interactions", "int", lambda item: item.get(_below("failed_interactions")) or 0),
        Column("success_rate", "float", _below("success_rate")),
        Column("phases", "int", _below("phases")),
        Column("calls", "int", _below("calls")),
        Column("failed_calls", "int", _below("failed_calls")),
        Column("tokens_input", "int", _below("input_tokens")),
        Column("tokens_output", "int", _below("output_tokens")),
        Column("cost", "float", _below("cost")),
        Column("valid_orders", "int", _below("valid_orders")),
        Column("invalid_orders", "int", _below("invalid_orders")),
    ),
    more=details.interactions_by,
    more_type="int",
)
"""One row a game that ended, with columns `interactions_by_type/{type}` and `interactions_by_power/{power}`."""

CALLS: Final = TableView(
    "calls",
    of=CALL,
    columns=(
        *_PLACE,
        Column("operation", "text", sc.OPERATION_NAME),
        Column("provider", "text", sc.PROVIDER_NAME),
        Column("model", "text", lambda item: item.get(sc.REQUEST_MODEL, sc.RESPONSE_MODEL)),
        Column("response_model", "text", sc.RESPONSE_MODEL),
        Column("duration_s", "float", lambda item: item.duration_s),
        Column("time_to_first_token_s", "float", sc.RESPONSE_TIME_TO_FIRST_CHUNK),
        Column("input_tokens", "int", sc.USAGE_INPUT_TOKENS),
        Column("output_tokens", "int", sc.USAGE_OUTPUT_TOKENS),
        Column("cached_tokens", "int", sc.USAGE_CACHE_READ),
        Column("reasoning_tokens", "int", sc.USAGE_REASONING),
        Column("cost_usd", "float", sc.COST_TOTAL),
        Column("finish_reasons", "text", sc.RESPONSE_FINISH_REASONS),
        Column("tool_calls", "text", sc.OUTPUT_TOOL_CALLS),
        Column("input_length", "int", sc.INPUT_LENGTH),
        Column("output_length", "int", sc.OUTPUT_LENGTH),
        Column("attempt", "int", lambda item: item.call.attempt),
        Column("error_type", "text", lambda item: item.call.error_type),
        Column("error_message", "text", lambda item: item.call.error_message),
        Column("status_code", "int", sc.HTTP_STATUS_CODE),
        Column("request_id", "text", sc.REQUEST_ID),
    ),
)
"""One row a model call, each attempt counted: figures, no texts."""

COMPLETIONS: Final = TableView(
    "completions",
    of=CALL,
    where=lambda item: sc.OUTPUT_MESSAGES in item.attributes,
    columns=(
        *_PLACE,
        Column("model", "text", lambda item: item.get(sc.REQUEST_MODEL, sc.RESPONSE_MODEL)),
        Column("question", "text", details.question),
        Column("prompt", "text", details.prompt),
        Column("completion", "text", details.completion),
        Column("reasoning", "text", lambda item: details.reasoning_and_answer(item)[0]),
        Column("answer", "text", lambda item: details.reasoning_and_answer(item)[1]),
        Column("output_tokens", "int", sc.USAGE_OUTPUT_TOKENS),
        Column("finish_reasons", "text", sc.RESPONSE_FINISH_REASONS),
        Column("duration_s", "float", lambda item: item.duration_s),
    ),
)
"""One row a model call whose texts are kept (`content` or `store_content`: `full`, or `preview`)."""

FULL_TRAJECTORIES: Final = TableView(
    "full_trajectories",
    of="rollout",
    columns=(
        Column("Step", "int", lambda item: item.get(sc.TRAIN_STEP, sc.GAME_TRAINING_STEP)),
        Column("Sample", "text", sc.SAMPLE_ID),
        Column("Group", "text", sc.SAMPLE_GROUP),
        Column("Input", "text", details.sample_input),
        Column("Prompt", "text", lambda item: details.trajectory(item).prompt),
        Column("Full_Trajectory", "text", lambda item: details.trajectory(item).text),
        Column("Rewards", "text", lambda item: details.trajectory(item).rewards_text),
        Column("Total_Reward", "float", lambda item: details.trajectory(item).total_reward),
        *(
            Column(heading, cast("Type", kind), details.statistic(key))
            for heading, key, kind in details.STATISTICS
        ),
        Column("Success", "bool", details.success),
        Column("Duration", "float", lambda item: item.duration_s),
    ),
    more=lambda item: details.trajectory(item).reward_columns,
)
"""One row a rollout, with a column `Reward/{component}` a reward component. Texts as far as they are kept."""

MODEL_OUTPUTS: Final = TableView(
    "model_outputs",
    of=f"{EVENT}{sc.EVENT_MODEL_OUTPUT}",
    where=lambda item: sc.MODEL_OUTPUT_ANSWER in item.attributes,
    columns=(
        Column("timestamp", "text", details.timestamp),
        Column("question", "text", sc.MODEL_OUTPUT_QUESTION),
        Column("answer", "text", sc.MODEL_OUTPUT_TRUE_ANSWER),
        Column("llm_reasoning", "text", sc.MODEL_OUTPUT_REASONING),
        Column("llm_answer", "text", sc.MODEL_OUTPUT_ANSWER),
    ),
)
"""One row an answer that a training program logged beside the true one, and whose text is kept."""

EVALUATIONS: Final = TableView(
    "evaluations",
    of=f"{EVENT}{sc.EVENT_EVALUATION_RESULT}",
    columns=(
        *_PLACE,
        Column("name", "text", sc.EVALUATION_NAME),
        Column("score", "float", sc.EVALUATION_SCORE),
        Column("label", "text", sc.EVALUATION_LABEL),
        Column("explanation", "text", sc.EVALUATION_EXPLANATION),
    ),
)
"""One row a score that came after the span it is about had ended; `span_id` is that span's."""

TEXTS: Final = TableView(
    "texts",
    of=f"{EVENT}{sc.EVENT_TEXT}",
    columns=(
        Column("run_id", "text", sc.RUN_ID),
        Column("step", "int", sc.TRAIN_STEP),
        Column("name", "text", sc.SERIES_NAME),
        Column("text", "text", sc.SERIES_TEXT),
        Column("length", "int", sc.SERIES_TEXT + sc.LENGTH_SUFFIX),
    ),
)
"""One row a text that a training program logs by a name: `examples/completion`, `accelerate/device` …"""

_TABLED: Final = frozenset({sc.EVENT_MODEL_OUTPUT, sc.EVENT_EVALUATION_RESULT, sc.EVENT_TEXT})

LOGS: Final = TableView(
    "logs",
    of=f"{EVENT}*",
    where=lambda item: item.name not in _TABLED,
    columns=(
        Column("severity", "text", lambda item: item.log.severity_text),
        Column("severity_number", "int", lambda item: item.log.severity_number),
        Column("event", "text", lambda item: item.name or None),
        Column("body", "text", lambda item: item.log.body),
        Column("attributes", "text", lambda item: dict(item.attributes) or None),
    ),
)
"""One row a log record or event that has no table of its own."""

BUILT_IN: Final = (
    INTERACTIONS,
    SESSIONS,
    CALLS,
    COMPLETIONS,
    FULL_TRAJECTORIES,
    MODEL_OUTPUTS,
    EVALUATIONS,
    TEXTS,
    LOGS,
)

RESERVED: Final = frozenset({*(view.name for view in BUILT_IN), "scalars", "histograms"})
"""Names that a program cannot give its tables."""
