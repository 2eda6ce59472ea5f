"""Starting a W&B run that is none of the program's business."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from otel_llm_wandb.environment import has_secret_headers, replaced
from otel_llm_wandb.settings import WandbSettings

_SERVICE: Final = "WANDB_SERVICE"
_ERROR_REPORTING: Final = "WANDB_ERROR_REPORTING"


def start_core() -> None:
    """Start W&B's core, if the program has not: with its own telemetry off where that would carry our headers."""
    from wandb.sdk import wandb_setup

    before = os.environ.get(_SERVICE)
    library = wandb_setup.singleton()
    if hasattr(library, "ensure_service"):
        _ = library.settings  # read before the environment is changed for a moment
        with replaced(_ERROR_REPORTING, "false") if has_secret_headers() else replaced(None, None):
            library.ensure_service()
    if before is None:
        # For children that attach to the program's run. This run is none of theirs: a forked child that ended it
        # would leave the parent waiting for ever.
        os.environ.pop(_SERVICE, None)


def init(
    settings: WandbSettings, run_id: str | None, *, mode: str | None, is_offline: bool, live: bool
) -> Any:
    """Start a run.

    Args:
        settings: what was set.
        run_id: the run to start or resume; None for a new one.
        mode: as `wandb.init` takes it.
        is_offline: whether it will be an offline run, which cannot be resumed but by its id.
        live: whether the machine's figures are of interest.

    Returns:
        A `wandb.Run`.

    Raises:
        Exception: whatever `wandb.init` raises.
    """
    import wandb

    own: dict[str, Any] = {
        "console": "off",
        "silent": True,
        "init_timeout": settings.init_timeout,
        "finish_timeout": settings.finish_timeout,
        "finish_timeout_raises": True,
        "x_transaction_log_flush_interval": settings.flush_interval_s,
        "x_disable_stats": not live,
        "x_disable_meta": not live,
    }
    known = getattr(wandb.Settings, "model_fields", {})
    directory = settings.dir or (Path(d) if (d := os.environ.get("WANDB_DIR")) else None)
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)  # W&B would silently go elsewhere
    given: Any = {
        "project": settings.project,
        "entity": settings.entity,
        "name": settings.name,
        "notes": settings.notes,
        "id": run_id,
        "group": settings.group,
        "job_type": settings.job_type,
        "tags": list(settings.tags) or None,
        "config": dict(settings.config) or None,
        "dir": None if directory is None else str(directory),
        "mode": mode,
        "resume": None if is_offline else "allow",
        "reinit": "create_new",
        "settings": wandb.Settings(**{name: value for name, value in own.items() if name in known}),
    }
    return wandb.init(**given)


def step_back(run: Any) -> None:
    """Take a run from W&B's list of active ones: the program's `wandb.init()` would return it."""
    try:
        from wandb.sdk import wandb_setup

        wandb_setup.singleton().remove_active_run(run)
    except (ImportError, AttributeError):
        return
