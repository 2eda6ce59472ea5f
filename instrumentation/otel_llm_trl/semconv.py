"""Names that only this plug-in uses; the rest is in `otel_llm.semconv`."""

from typing import Final

TRAINER: Final = "rl.train.trainer"  # the trainer's class
TRL_VERSION: Final = "rl.train.library.trl"
TRANSFORMERS_VERSION: Final = "rl.train.library.transformers"
BACKEND: Final = "rl.train.backend"  # of generation: transformers, vllm, rollout_func
LOGPROBS_OF: Final = "rl.train.logprobs"  # whose: policy, reference
SEAMS_MISSING: Final = "rl.train.seams_missing"  # what of this run cannot be recorded
RESUMED: Final = "rl.train.resumed"  # the run goes on from a checkpoint
REWARD_KIND: Final = "rl.reward.kind"  # function, coroutine, model

# --- series: what the trainer does not measure itself ---------------------------------------------
SERIES_TOKENS_PER_SECOND: Final = "perf/tokens_per_second"
SERIES_GENERATED_PER_SECOND: Final = "perf/generated_tokens_per_second"
SERIES_MFU: Final = "perf/mfu"
SERIES_STEP_SECONDS: Final = "perf/step_seconds"
SERIES_TIME_PREFIX: Final = "perf/time/"  # + part: seconds of the step
SERIES_STALENESS_MEAN: Final = "rollouts/staleness_mean"
SERIES_STALENESS_MAX: Final = "rollouts/staleness_max"
SERIES_GPU_ALLOCATED: Final = "system/gpu_memory_allocated_gb"
SERIES_GPU_RESERVED: Final = "system/gpu_memory_reserved_gb"
SERIES_GPU_PEAK: Final = "system/gpu_memory_peak_gb"
SERIES_GPU_UTILIZATION: Final = "system/gpu_utilization"  # percent, by NVML
SERIES_GPU_USED: Final = "system/gpu_memory_used_gb"  # of the whole device, by NVML
