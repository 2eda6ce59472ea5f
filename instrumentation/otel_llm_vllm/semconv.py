"""Names of telemetry that only vLLM needs; the rest are the core's (`otel_llm.semconv`).

A sample's figures have names of their own, not `gen_ai.usage.*`: the call above it has these, for all samples
together, and whoever adds up usage over spans must not count them twice.
"""

from typing import Final

PROVIDER: Final = "vllm"
SPAN_SAMPLE: Final = "vllm sample"

# --- the call ---------------------------------------------------------------------------------------
PROMPTS: Final = "otel_llm.vllm.prompts"  # how many
SAMPLES: Final = "otel_llm.vllm.samples"  # how many: prompts x n
SAMPLES_WITHOUT_SPAN: Final = "otel_llm.vllm.samples_without_span"  # beyond the bound; counted all the same
FINISHED_PREFIX: Final = "otel_llm.vllm.finished."  # + finish reason: how many samples
OUTPUT_TOKENS_LEAST: Final = "otel_llm.vllm.output_tokens.least"  # of one sample
OUTPUT_TOKENS_MOST: Final = "otel_llm.vllm.output_tokens.most"
FIRST_TOKEN_MEAN: Final = "otel_llm.vllm.time_to_first_token.mean"  # noqa: S105 (seconds, over samples that vLLM timed)
FIRST_TOKEN_MOST: Final = "otel_llm.vllm.time_to_first_token.most"  # noqa: S105
WEIGHT_VERSIONS: Final = "otel_llm.vllm.weight_versions"  # more than one made the answers

# --- a sample ---------------------------------------------------------------------------------------
PROMPT_INDEX: Final = "otel_llm.vllm.sample.prompt_index"  # in the call, from 0
SAMPLE_INDEX: Final = "otel_llm.vllm.sample.index"  # of its prompt, from 0
REQUEST_ID: Final = "otel_llm.vllm.sample.request_id"  # vLLM's, one a prompt
INPUT_TOKENS: Final = "otel_llm.vllm.sample.input_tokens"
CACHED_TOKENS: Final = "otel_llm.vllm.sample.cached_tokens"  # of the input
OUTPUT_TOKENS: Final = "otel_llm.vllm.sample.output_tokens"
FINISH_REASON: Final = "otel_llm.vllm.sample.finish_reason"
STOP_REASON: Final = "otel_llm.vllm.sample.stop_reason"  # the stop text, or the id of the token
LOGPROB: Final = "otel_llm.vllm.sample.logprob"  # of all its tokens together
LORA: Final = "otel_llm.vllm.sample.lora"  # the adapter's name
PREEMPTIONS: Final = "otel_llm.vllm.sample.preemptions"
TIME_TO_FIRST_TOKEN: Final = "otel_llm.vllm.sample.time.to_first_token"  # noqa: S105 (seconds)
TIME_IN_QUEUE: Final = "otel_llm.vllm.sample.time.in_queue"  # seconds
TIME_IN_PREFILL: Final = "otel_llm.vllm.sample.time.in_prefill"  # seconds
TIME_IN_DECODE: Final = "otel_llm.vllm.sample.time.in_decode"  # seconds
SAMPLE_WEIGHT_VERSIONS: Final = "otel_llm.vllm.sample.weights.versions"  # where there was more than one
SAMPLE_WEIGHT_ENDS: Final = "otel_llm.vllm.sample.weights.ends"  # the output token before which each ended

# --- vLLM's own -------------------------------------------------------------------------------------
SCOPE_PREFIX: Final = "vllm"  # of the instrumentation scopes of its own spans
RESOURCE_MODULE: Final = "vllm.instrumenting_module_name"  # on the resource of a provider that it made
