"""The tables, each a list of columns: the one place that says what is in which.

    define_table("planning", of="interaction", columns={
        "power": "game.power.name",                              # text
        "centers": ("game.power.centers", "int"),
        "verbose": (lambda item: (item.get("otel_llm.output.length") or 0) > 2000, "bool"),
    })

Every table begins with `trace_id`, `span_id` and `time`. A row is made when a span ends, from the span and what ended
below it, and never changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, cast

from otel_llm import semconv as sc
from otel_llm.views import details
from otel_llm.views.items import Item
from otel_llm.views.model import Column, Type

LEADING: Final = (
    Column("trace_id", "text", lambda item: item.trace_id),
    Column("span_id", "text", lambda item: item.span_id),
    Column("time", "float", lambda item: item.time_ns / 1e9),
)
"""What every row begins with; `time` is when the span ended, in seconds since the epoch."""

CALL: Final = "call"
EVENT: Final = "event:"
_SCOPES: Final = frozenset(
    {
        "training_run",
        "step",
        "evaluation",
        "rollout",
        "turn",
        "game",
        "phase",
        "interaction",
        "tool",
        "reward",
    }
)
_CALLS: Final = frozenset({*sc.INFERENCE_OPERATIONS, sc.EMBEDDINGS, sc.FETCH_RESPONSE})


@dataclass(frozen=True, slots=True)
class TableView:
    """One table.

    Attributes:
        name: its name.
        of: what gets a row: `call`; the kind of a scope (`interaction`, `game`, `rollout` …); `event:` and the name of
            an event (`event:*` for any log record); else the name of a span, in which `*` and `?` stand for others.
        columns: those after the first three.
        more: columns that are known only when they come: a function to their headings and values.
        more_type: the type of these.
        where: whether an item gets a row; None: each does.
    """

    name: str
    of: str
    columns: tuple[Column, ...]
    more: Callable[[Item], Mapping[str, Any]] | None = None
    more_type: Type = "float"
    where: Callable[[Item], bool] | None = None

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The columns that are known beforehand, the first three included."""
        return (*LEADING, *self.columns)

    def is_of(self, item: Item) -> bool:
        """Say whether an item gets a row."""
        of = self.of
        if of.startswith(EVENT):
            wanted = of.removeprefix(EVENT)
            fits = item.log is not None and (wanted == "*" or fnmatchcase(item.name, wanted))
        elif item.log is not None:
            fits = False
        elif of == CALL:
            fits = item.attributes.get(sc.OPERATION_NAME) in _CALLS
        elif of in _SCOPES:
            fits = item.attributes.get(sc.SCOPE_KIND) == of
        else:
            fits = item.name == of or fnmatchcase(item.name, of)
        return fits and (self.where is None or self.where(item))


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

# --- tables of programs ---------------------------------------------------------------------------
RESERVED: Final = frozenset({*(view.name for view in BUILT_IN), "scalars", "histograms"})

_lock = threading.RLock()
_defined: tuple[TableView, ...] = ()

ColumnSpec = str | Column | Callable[[Item], Any] | tuple[str | Callable[[Item], Any], Any]


def define_table(
    name: str,
    *,
    of: str,
    columns: Mapping[str, ColumnSpec] | Sequence[str],
    where: Callable[[Item], bool] | None = None,
) -> Callable[[], None]:
    """Have every sink write one more table.

    May be called before and after `instrument()`; a table defined again replaces the one before. For `otel-llm
    replay`, put the definitions into a file and name it: `--tables FILE`.

    Args:
        name: the table's name: letters, digits, `_` and `-`.
        of: what gets a row: `call`; the kind of a scope (`interaction`, `game`, `rollout` …); `event:` and the name of
            an event; else the name of a span, in which `*` and `?` stand for others (`invoke_agent *`).
        columns: by heading the key of an attribute or a function from an `Item`, for text; with another type a pair of
            it and `text`, `int`, `float` or `bool` (or Python's own type). Or only keys, which are the headings too.
        where: says whether an item gets a row.

    Returns:
        A function that takes the table away.

    Raises:
        ValueError: the name is none, or one of ours; a heading is there twice; no such type.
        TypeError: a column is neither a key nor a function.
    """
    if (
        not name
        or not name.replace("_", "").replace("-", "").isalnum()
        or not name.isascii()
        or name in RESERVED
    ):
        raise ValueError(
            f"{name!r} cannot be a table's name: letters, digits, _ and -; not {', '.join(sorted(RESERVED))}"
        )
    given = columns.items() if isinstance(columns, Mapping) else [(key, key) for key in columns]
    made = tuple(_column(str(heading), spec) for heading, spec in given)
    headings = [column.name for column in (*LEADING, *made)]
    if twice := sorted({heading for heading in headings if headings.count(heading) > 1}):
        raise ValueError(
            f"the table {name} has {', '.join(twice)} twice; {', '.join(headings[:3])} are there anyway"
        )
    view = TableView(name, of, made, where=where)
    global _defined
    with _lock:
        _defined = (*(known for known in _defined if known.name != name), view)

    def remove() -> None:
        global _defined
        with _lock:
            _defined = tuple(known for known in _defined if known is not view)

    return remove


def _column(heading: str, spec: ColumnSpec) -> Column:
    if isinstance(spec, Column):
        return Column(heading, spec.type, spec.source)
    source, kind = spec if isinstance(spec, tuple) else (spec, "text")
    if not isinstance(source, str) and not callable(source):
        raise TypeError(
            f"the column {heading!r} is {source!r}; it accepts the key of an attribute or a function"
        )
    if kind not in _TYPES:
        raise ValueError(f"the column {heading!r} has the type {kind!r}; it accepts text, int, float or bool")
    return Column(heading, _TYPES[kind], source)


_TYPES: Final[dict[Any, Type]] = {
    "text": "text",
    "int": "int",
    "float": "float",
    "bool": "bool",
    str: "text",
    int: "int",
    float: "float",
    bool: "bool",
}


def views() -> tuple[TableView, ...]:
    """Return all tables, those of the program last."""
    return (*BUILT_IN, *_defined)
