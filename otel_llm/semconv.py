"""Every name the core uses: spans, attribute keys, metrics, units, buckets. Nothing else may spell one.

The `gen_ai.*` names are those of open-telemetry/semantic-conventions-genai (main, 2026-11), which
renamed some of v1.41's; `V1_41` maps back for backends that still read the older dialect
(`Settings.semconv`). Names of ours live under `otel_llm.*`. Together with the `semconv` modules of the
plug-ins they form a tree: no key is also a prefix segment of another.
"""

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/gen-ai/1.42.0"

# --- operations (gen_ai.operation.name) -----------------------------------------------------------
CHAT: Final = "chat"
GENERATE_CONTENT: Final = "generate_content"
TEXT_COMPLETION: Final = "text_completion"
EMBEDDINGS: Final = "embeddings"
FETCH_RESPONSE: Final = "fetch_response"
EXECUTE_TOOL: Final = "execute_tool"
INVOKE_AGENT: Final = "invoke_agent"
INVOKE_WORKFLOW: Final = "invoke_workflow"
INFERENCE_OPERATIONS: Final = frozenset({CHAT, GENERATE_CONTENT, TEXT_COMPLETION})

# --- span attributes: the call --------------------------------------------------------------------
OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
OUTPUT_TYPE: Final = "gen_ai.output.type"
AGENT_NAME: Final = "gen_ai.agent.name"

REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_TOP_K: Final = "gen_ai.request.top_k"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
REQUEST_PREVIOUS_RESPONSE_ID: Final = "gen_ai.request.previous_response.id"
REQUEST_REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
REQUEST_ENCODING_FORMATS: Final = "gen_ai.request.encoding_formats"

RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
EMBEDDINGS_DIMENSION_COUNT: Final = "gen_ai.embeddings.dimension.count"

USAGE_PREFIX: Final = "gen_ai.usage."
USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_WRITE: Final = "gen_ai.usage.cache_write.input_tokens"
USAGE_REASONING: Final = "gen_ai.usage.reasoning.output_tokens"

INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"

OPENAI_REQUEST_SERVICE_TIER: Final = "openai.request.service_tier"
OPENAI_RESPONSE_SERVICE_TIER: Final = "openai.response.service_tier"
OPENAI_RESPONSE_SYSTEM_FINGERPRINT: Final = "openai.response.system_fingerprint"

SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
CODE_FILE_PATH: Final = "code.file.path"
CODE_FUNCTION: Final = "code.function.name"
CODE_LINE: Final = "code.line.number"
HTTP_STATUS_CODE: Final = "http.response.status_code"
HTTP_RESEND_COUNT: Final = "http.request.resend_count"

# --- span attributes: ours ------------------------------------------------------------------------
REQUEST_ID: Final = "otel_llm.request_id"
RETRY_AFTER: Final = "otel_llm.retry_after"  # seconds
RATE_LIMIT_PREFIX: Final = "otel_llm.rate_limit."  # + limit/remaining/reset . requests/tokens …
ERROR_CODE: Final = "otel_llm.error.code"
ERROR_MESSAGE: Final = "otel_llm.error.message"
COST_INPUT: Final = "otel_llm.cost.input"  # USD
COST_OUTPUT: Final = "otel_llm.cost.output"  # USD
COST_TOTAL: Final = "otel_llm.cost.total"  # USD
STREAM_CHUNKS: Final = "otel_llm.stream.chunks"
STREAM_CHUNK_MEAN: Final = "otel_llm.stream.time_per_chunk.mean"  # seconds
STREAM_CHUNK_MAX: Final = "otel_llm.stream.time_per_chunk.max"  # seconds
INPUT_LENGTH: Final = "otel_llm.input.length"  # characters
INPUT_MESSAGE_COUNT: Final = "otel_llm.input.message_count"
OUTPUT_LENGTH: Final = "otel_llm.output.length"  # characters
OUTPUT_TOOL_CALLS: Final = "otel_llm.output.tool_calls"  # names, in order
TOOLS_OFFERED: Final = "otel_llm.input.tool_count"
BODY_TRUNCATED: Final = "otel_llm.body_truncated"
CONTENT_UNAVAILABLE: Final = "otel_llm.content_unavailable"
FORCE_SAMPLE: Final = "otel_llm.force_sample"

# --- games ----------------------------------------------------------------------------------------
GAME_ID: Final = "game.id"
GAME_NAME: Final = "game.name"
GAME_PLAYERS: Final = "game.players"  # the powers' names
GAME_MODELS: Final = "game.models"  # the powers' models, in the order of the players
GAME_STATUS: Final = "game.status"  # completed, unfinished, or the engine's own word
GAME_OUTCOME: Final = "game.outcome"  # solo, draw, or the program's own word
GAME_WINNERS: Final = "game.winners"
GAME_IN_TRAINING: Final = "game.training.enabled"
GAME_EPISODE: Final = "game.training.episode"
GAME_TRAINING_STEP: Final = "game.training.step"
GAME_REWARD: Final = "game.training.reward"
GAME_BATCH_SIZE: Final = "game.training.batch.size"  # answers that were generated together with this one
GAME_BATCH_DURATION: Final = "game.training.batch.duration"  # seconds that all of them took together

PHASE_NAME: Final = "game.phase.name"
PHASE_YEAR: Final = "game.phase.year"
PHASE_SEASON: Final = "game.phase.season"  # 0 spring, 1 fall, 2 winter
PHASE_TYPE: Final = "game.phase.type"  # movement, retreats, adjustments, forming, completed, other
PHASE_OUT_OF_ORDER: Final = "game.phase.out_of_order"
PHASE_CENTERS_PREFIX: Final = "game.phase.centers."  # + power: supply centres when the phase ended
PHASE_UNITS_PREFIX: Final = "game.phase.units."  # + power

POWER_NAME: Final = "game.power.name"
POWER_UNKNOWN: Final = "game.power.unknown"  # none of the game's players
POWER_CENTERS: Final = "game.power.centers"  # how many
POWER_UNITS: Final = "game.power.units"  # how many

INTERACTION_TYPE: Final = "game.interaction.type"
INTERACTION_SUCCESS: Final = "game.interaction.success"
INTERACTION_OUTCOME: Final = "game.interaction.outcome"  # the program's own word for how it ended
INTERACTION_ATTEMPT: Final = "game.interaction.attempt"  # 2 for the first repetition
INTERACTION_ID: Final = "game.interaction.id"
INTERACTION_ACTIVE_POWERS: Final = "game.interaction.active_powers"
INTERACTION_RELATIONSHIPS: Final = "game.interaction.relationships"
INTERACTION_GOALS: Final = "game.interaction.goals"
INTERACTION_DIARY: Final = "game.interaction.diary"
INTERACTION_MODEL_PARAMETERS: Final = "game.interaction.model_parameters"
INTERACTION_PARSED: Final = "game.interaction.parsed"  # the parsed answer, as JSON
INTERACTION_DURATION: Final = "game.interaction.response_time"  # seconds, where the program gave it
INTERACTION_TOKENS_PREFIX: Final = (
    "game.interaction.tokens."  # + a kind the program gave beyond input and output
)

ORDERS_SUBMITTED: Final = "game.orders.submitted"
ORDERS_INVALID: Final = "game.orders.invalid"
ORDERS_VALID_COUNT: Final = "game.orders.valid_count"
ORDERS_INVALID_COUNT: Final = "game.orders.invalid_count"
ORDERS_RESULTS: Final = "game.orders.results"  # as JSON

EVENT_MESSAGE: Final = "game.message.sent"
MESSAGE_SENDER: Final = "game.message.sender"
MESSAGE_RECIPIENTS: Final = "game.message.recipients"
MESSAGE_PRIVATE: Final = "game.message.private"
MESSAGE_LENGTH: Final = "game.message.length"  # characters
MESSAGE_CONTENT: Final = "game.message.content"

TOTALS_PREFIX: Final = "game.totals."
"""Before the figures of `totals`: `game.totals.calls`, `game.totals.interactions_by_type.order` …"""

# --- training -------------------------------------------------------------------------------------
RUN_ID: Final = "rl.run.id"
RUN_NAME: Final = "rl.run.name"
RUN_ATTEMPT: Final = "rl.run.attempt"  # 0 at first, 1 when the run was resumed once
RL_ALGORITHM: Final = "rl.algorithm"
RL_SYSTEM: Final = "rl.system"  # trl, or the program's own word
RL_MODEL: Final = "rl.model.name"
RL_ENVIRONMENT: Final = "rl.environment.name"
RANK: Final = "rl.rank"
LOCAL_RANK: Final = "rl.local_rank"
WORLD_SIZE: Final = "rl.world_size"
DEVICE: Final = "rl.device"  # cpu, cuda:0 …
HOST_NAME: Final = "host.name"

TRAIN_STEP: Final = "rl.train.step"  # the first is 1
TRAIN_EPOCH: Final = "rl.train.epoch"
TRAIN_MODE: Final = "rl.train.mode"  # train, eval
TRAIN_MICRO_STEP: Final = "rl.train.micro_step"  # of gradient accumulation, from 0
TRAIN_UPDATE: Final = "rl.train.update"  # which update of the weights, counted over the run from 1
TRAIN_ITERATION: Final = "rl.train.iteration"  # how often the same rollouts were learned from before
TRAIN_LOSS: Final = "rl.train.loss"
TRAIN_GRAD_NORM: Final = "rl.train.grad_norm"
TRAIN_LEARNING_RATE: Final = "rl.train.learning_rate"
TRAIN_PART: Final = "rl.train.part"  # generation, loss, optimizer …, or the program's own word
TRAIN_CONSUMED: Final = "rl.train.consumed"  # how many rollouts it learned from
TRAIN_PROBLEMS: Final = "rl.train.problems"  # what went wrong, in single words: loss_not_finite …
TRAIN_METRICS_PREFIX: Final = "rl.train.metrics."  # + the trainer's own name of the metric
TRAIN_CONFIG_PREFIX: Final = "rl.train.config."  # + the name of a setting of the run
TRAIN_TIME_PREFIX: Final = "rl.train.time."  # + part: seconds of the step

SAMPLE_ID: Final = "rl.sample.id"
SAMPLE_GROUP: Final = "rl.sample.group"  # the samples that it is compared with
SAMPLE_INDEX: Final = "rl.sample.index"  # in its group, from 0
SAMPLE_TURN: Final = "rl.sample.turn"
SAMPLE_TURNS: Final = "rl.sample.turns"
SAMPLE_MODE: Final = "rl.sample.mode"  # train, eval
SAMPLE_STATUS: Final = "rl.sample.status"  # scored, unscored
SAMPLE_INPUT_TOKENS: Final = "rl.sample.input_tokens"
SAMPLE_OUTPUT_TOKENS: Final = "rl.sample.output_tokens"
SAMPLE_TRUNCATED: Final = "rl.sample.truncated"
SAMPLE_REWARD: Final = "rl.sample.reward"  # the total that was learned from
SAMPLE_REWARDS_PREFIX: Final = "rl.sample.rewards."  # + component: its score
SAMPLE_WEIGHTS_PREFIX: Final = "rl.sample.reward_weights."  # + component
SAMPLE_ADVANTAGE: Final = "rl.sample.advantage"
SAMPLE_POLICY_STEP: Final = "rl.sample.policy.step"  # the step whose weights made it
SAMPLE_POLICY_VERSION: Final = "rl.sample.policy.version"  # the inference server's own word for these
SAMPLE_STALENESS: Final = "rl.sample.staleness"  # steps between the weights and the learning
SAMPLE_PROBLEMS: Final = "rl.sample.problems"  # reward_missing, reward_not_finite, empty, no_spread …
SAMPLE_TASK: Final = "rl.sample.task"  # the rest of the dataset's row, as JSON
SAMPLE_TOKEN_IDS: Final = "rl.sample.tokens.ids"  # noqa: S105
SAMPLE_TOKEN_LOGPROBS: Final = "rl.sample.tokens.logprobs"  # noqa: S105
SAMPLE_TOKEN_RATIOS: Final = "rl.sample.tokens.ratios"  # noqa: S105 (of probabilities, new to old)
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_SCORE: Final = "gen_ai.evaluation.score.value"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"

SERIES_SOURCE: Final = "otel_llm.series.source"  # who told of a scalar: wandb, tensorboard, logging
SERIES_RUN: Final = "otel_llm.series.run"  # a W&B run's id, the name of a log directory
SERIES_STEP: Final = "otel_llm.series.step"  # of scalars that travel as an event
SERIES_NAME: Final = "otel_llm.series.name"  # of a text that a program logs by a name, as it logs scalars
SERIES_TEXT: Final = "otel_llm.series.text"

# --- what programs bring --------------------------------------------------------------------------
CUSTOM_PREFIX: Final = "otel_llm.custom."  # + the program's own name
LENGTH_SUFFIX: Final = "_length"  # after the name of an attribute whose text is not kept: its characters
LEFT_OPEN: Final = "otel_llm.left_open"  # nobody ended the scope; its parent's end, or its loss, did
REPORTED: Final = "otel_llm.reported"  # told by the program after the fact, not seen on the wire
UNTIMED: Final = "otel_llm.untimed"  # its start and end are no latency: unknown, or those of a whole batch
PROJECT_NAME: Final = "otel_llm.project.name"  # where the program wants its figures shown
PROJECT_ENTITY: Final = "otel_llm.project.entity"
INVALID_FIELDS: Final = "otel_llm.invalid_fields"  # names of fields whose values could not be used
SCOPE_KIND: Final = "otel_llm.scope"  # game, phase, interaction, step …
SAMPLING_WEIGHT: Final = "otel_llm.sampling.weight"  # how many spans this one stands for
SAMPLING_REASON: Final = "otel_llm.sampling.reason"  # error, forced, slow, rare, scope (never thinned), share
TEXT_PREFIX: Final = "otel_llm.text."  # + input or output, + a feature that an analyser found

# --- other people's -------------------------------------------------------------------------------
# By these, instrumentations with conventions of their own mark the span of a model call.
OPENINFERENCE_SPAN_KIND: Final = "openinference.span.kind"
OPENLLMETRY_REQUEST_TYPE: Final = "llm.request.type"
OVERFLOW: Final = "otel.metric.overflow"  # OpenTelemetry's label for what exceeds a metric's cardinality

# --- resource -------------------------------------------------------------------------------------
DISTRO_NAME: Final = "telemetry.distro.name"
DISTRO_VERSION: Final = "telemetry.distro.version"

# --- links ----------------------------------------------------------------------------------------
LINK_KIND: Final = "otel_llm.link"
LINK_RETRY_OF: Final = "retry_of"
LINK_GAME: Final = "game"
LINK_PREVIOUS_PHASE: Final = "previous_phase"
LINK_STARTED_IN: Final = "started_in"
LINK_CONSUMED: Final = "consumed"  # from a loss or a step to a rollout that it learned from
LINK_CONSUMED_GROUP: Final = "consumed_group"  # the same for all of a group, where links are few
LINK_RUN: Final = "run"
LINK_STEP: Final = "step"

# --- events ---------------------------------------------------------------------------------------
EVENT_OPERATION_DETAILS: Final = "gen_ai.client.inference.operation.details"
EVENT_MODEL_OUTPUT: Final = (
    "otel_llm.model_output"  # an answer that a training program logged beside the true one
)
EVENT_TRAINING_TOKENS: Final = "otel_llm.training.tokens"  # what one loss made of a rollout's tokens
EVENT_TEXT: Final = "otel_llm.training.text"  # a text of a training program, by a name: examples/completion …
MODEL_OUTPUT_QUESTION: Final = "otel_llm.output.question"
MODEL_OUTPUT_TRUE_ANSWER: Final = "otel_llm.output.true_answer"
MODEL_OUTPUT_REASONING: Final = "otel_llm.output.reasoning"
MODEL_OUTPUT_ANSWER: Final = "otel_llm.output.answer"
EVENT_SERIES: Final = "otel_llm.series.recorded"  # scalars of one step over OTLP; the body: value by name
EVENT_EVALUATION_RESULT: Final = "gen_ai.evaluation.result"
EVENT_EXCEPTION_RECORDED: Final = "exception"  # OpenTelemetry's own, on a span
EVENT_EXCEPTION: Final = "gen_ai.client.operation.exception"

# --- metrics --------------------------------------------------------------------------------------
METRIC_DURATION: Final = "gen_ai.client.inference.duration"
METRIC_OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
METRIC_TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.inference.time_to_first_chunk"
METRIC_TIME_PER_CHUNK: Final = "gen_ai.client.inference.time_per_output_chunk"
METRIC_INPUT_TOKENS: Final = "gen_ai.client.inference.operation.input_tokens"
METRIC_OUTPUT_TOKENS: Final = "gen_ai.client.inference.operation.output_tokens"
METRIC_USAGE_PREFIX: Final = "gen_ai.client.inference.usage."
METRIC_TOKEN_USAGE_V1_41: Final = "gen_ai.client.token.usage"  # noqa: S105 (a metric name)
METRIC_COST: Final = "otel_llm.client.cost"
METRIC_DROPPED: Final = "otel_llm.dropped"
METRIC_QUEUE_BYTES: Final = "otel_llm.queue.size"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105
DROP_WHAT: Final = "otel_llm.drop.what"
DROP_REASON: Final = "otel_llm.drop.reason"

METRIC_GAMES_ACTIVE: Final = "game.active"
METRIC_GAME_DURATION: Final = "game.duration"
METRIC_PHASE_DURATION: Final = "game.phase.duration"
METRIC_INTERACTION_DURATION: Final = "game.interaction.duration"
METRIC_INTERACTION_TOKENS: Final = "game.interaction.tokens"
METRIC_INTERACTION_COST: Final = "game.interaction.cost"
METRIC_ORDERS: Final = "game.orders"
ORDER_VALID: Final = "game.order.valid"

UNIT_SECONDS: Final = "s"
UNIT_TOKENS: Final = "{token}"
UNIT_USD: Final = "{USD}"
UNIT_BYTES: Final = "By"
UNIT_ITEMS: Final = "{item}"
UNIT_GAMES: Final = "{game}"
UNIT_ORDERS: Final = "{order}"

# The conventions' duration buckets end at 82 s; reasoning models and rollouts take longer.
DURATION_BUCKETS: Final = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
    163.84, 327.68, 655.36, 1310.72,
)  # fmt: skip
TOKEN_BUCKETS: Final = (
    1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
)  # fmt: skip

V1_41: Final[dict[str, str]] = {
    USAGE_CACHE_WRITE: "gen_ai.usage.cache_creation.input_tokens",
    METRIC_DURATION: METRIC_OPERATION_DURATION,
    METRIC_TIME_TO_FIRST_CHUNK: "gen_ai.client.operation.time_to_first_chunk",
    METRIC_TIME_PER_CHUNK: "gen_ai.client.operation.time_per_output_chunk",
}
"""Names of today -> names of semantic conventions v1.41, where they differ."""
