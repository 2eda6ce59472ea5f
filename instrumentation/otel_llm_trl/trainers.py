"""`EnhancedGRPOTrainer`: TRL's GRPO trainer with three more arguments. This module imports TRL."""

from __future__ import annotations

from typing import Any

from trl import GRPOTrainer

from otel_llm_trl import settings


class EnhancedGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's `GRPOTrainer`, with what is kept of rollouts as arguments. It trains exactly as that does.

    Args:
        *args: as of `GRPOTrainer`.
        log_full_trajectories: whether rollouts have their prompts and completions, as far as the content policy goes;
            default: as configured, else true.
        log_trajectory_samples: of how many rollouts a step and rank; default: as configured, else 5.
        log_token_details: whether these have their tokens too; default: as configured, else false.
        **kwargs: as of `GRPOTrainer`.

    Raises:
        SettingsError: one of the three has a value that is not accepted.
    """

    def __init__(
        self,
        *args: Any,
        log_full_trajectories: bool | None = None,
        log_trajectory_samples: int | None = None,
        log_token_details: bool | None = None,
        **kwargs: Any,
    ) -> None:
        self._otel_llm_settings = settings.current().but(
            log_full_trajectories=log_full_trajectories,
            log_trajectory_samples=log_trajectory_samples,
            log_token_details=log_token_details,
        )
        super().__init__(*args, **kwargs)
