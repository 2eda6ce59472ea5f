"""The names of training metrics, spelled once, and how the values of several ranks become one."""

from __future__ import annotations

from typing import Final, Literal

Combine = Literal["moments", "mean", "sum", "max", "best"]

# Families: a name, and the figures of its numbers that are told, each as NAME_FIGURE.
RETURNS: Final = "rollouts/returns"
KL: Final = "rollouts/kl"
ADVANTAGES: Final = "rollouts/advantages"
DR_ADVANTAGES: Final = "dr_grpo/advantages"
EPOCH_LOSS: Final = "training_epoch/loss"
EPOCH_KL: Final = "training_epoch/kl"
EPOCH_GRAD_NORM: Final = "training_epoch/grad_norm"
BATCH_RETURNS: Final = "batch_returns"  # here as NAME/FIGURE

FIGURES: Final[dict[str, tuple[str, ...]]] = {
    RETURNS: ("sum", "mean", "std", "max", "min"),
    KL: ("mean", "std", "max"),
    ADVANTAGES: ("mean", "std"),
    DR_ADVANTAGES: ("variance", "skewness"),
    EPOCH_LOSS: ("mean", "std"),
    EPOCH_KL: ("mean", "std"),
    EPOCH_GRAD_NORM: ("mean", "max"),
    BATCH_RETURNS: ("sum", "mean", "std", "max", "min"),
}
COUNT: Final = "count"
NON_FINITE: Final = "non_finite"

BEST_MEAN: Final = "rollouts/returns_best_mean"
TOTAL_ROLLOUTS: Final = "rollouts/total_rollouts"
BATCH_STEP: Final = "rollouts/batch_step"

STEP_LOSS: Final = "training_step/loss"
STEP_KL: Final = "training_step/kl"
STEP_GRAD_NORM: Final = "training_step/grad_norm"
STEP_LEARNING_RATE: Final = "training_step/learning_rate"
STEP_COMPONENT: Final = "training_step/dr_component_"  # + the component's name
INVALID_LOSSES: Final = "training/invalid_loss_count"

CORRECT_ANSWERS: Final = "training/correct_answers"  # of callbacks for Hugging Face trainers
TOTAL_ANSWERS: Final = "training/total_answers"

GPU_ALLOCATED: Final = "system/gpu_memory_allocated_gb"
GPU_RESERVED: Final = "system/gpu_memory_reserved_gb"
REPLAY_BUFFER: Final = "system/replay_buffer_size"

CHECKPOINT_SAVED: Final = "checkpoint/saved"
CHECKPOINT_STEP: Final = "checkpoint/step"

FINAL_STEPS: Final = "final/total_steps"
FINAL_BATCHES: Final = "final/total_batches"
FINAL_ROLLOUTS: Final = "final/total_rollouts"
FINAL_BEST_MEAN: Final = "final/best_mean_return"

CRITIC_TYPE: Final = "dr_grpo/critic_type"
ACCELERATE_DEVICE: Final = "accelerate/device"
ACCELERATE_SYNC: Final = "accelerate/sync_gradients"
DDP_PROCESSES: Final = "ddp/num_processes"
DDP_INDEX: Final = "ddp/process_index"
DDP_LOCAL_INDEX: Final = "ddp/local_process_index"
DDP_SYNC: Final = "ddp/sync_gradients"
EXAMPLE: Final = "examples/completion"


def figure_name(family: str, figure: str) -> str:
    """Return the name under which a figure of a family is told."""
    return f"{family}{'/' if family == BATCH_RETURNS else '_'}{figure}"


FAMILY_OF: Final[dict[str, tuple[str, str]]] = {
    figure_name(family, figure): (family, figure)
    for family, figures in FIGURES.items()
    for figure in (*figures, COUNT, NON_FINITE)
}
"""By name the family and the figure."""

_COMBINED: Final[dict[str, Combine]] = {
    STEP_LOSS: "mean",
    STEP_KL: "mean",
    STEP_GRAD_NORM: "mean",
    STEP_LEARNING_RATE: "mean",
    TOTAL_ROLLOUTS: "sum",
    INVALID_LOSSES: "sum",
    FINAL_ROLLOUTS: "sum",
    REPLAY_BUFFER: "sum",
    GPU_ALLOCATED: "max",
    GPU_RESERVED: "max",
    BATCH_STEP: "max",
    CHECKPOINT_SAVED: "max",
    CHECKPOINT_STEP: "max",
    FINAL_STEPS: "max",
    FINAL_BATCHES: "max",
    DDP_PROCESSES: "max",
    CORRECT_ANSWERS: "sum",
    TOTAL_ANSWERS: "sum",
    BEST_MEAN: "best",
    FINAL_BEST_MEAN: "best",
}


def combined_by(name: str) -> Combine | None:
    """Return how values of several ranks become one; None where each rank's stand for themselves."""
    if name in FAMILY_OF:
        return "moments"
    if name.startswith(STEP_COMPONENT):
        return "mean"
    return _COMBINED.get(name)
