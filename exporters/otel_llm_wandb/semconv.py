"""Names that Weave reads (W&B's own, beside `gen_ai.*`)."""

from typing import Final

WANDB_ENTITY: Final = "wandb.entity"
WANDB_PROJECT: Final = "wandb.project"
WANDB_DISPLAY_NAME: Final = "wandb.display_name"
WANDB_THREAD_ID: Final = "wandb.thread_id"
WANDB_IS_TURN: Final = "wandb.is_turn"
WANDB_RUN_STEP: Final = "wandb.wb_run_step"
