"""Four ways to arrange several pipelines in W&B: what each makes of a run's project, group, job type, tags and names.

`docs/wandb.md` compares them. Each pipeline (training, inference, evaluation …) is a process with its own settings:

    pipelines   a run per pipeline, each in a project of its own: `rl-training-demo`, `rl-inference-demo`
    job_types   the project says what kind of job it is: `rl-agent`, `inference-only`
    hierarchy   one project; names say where a metric belongs: `training/loss`, `inference/e2e/speed`
    groups      one project; job type, group and tags tell runs apart and link them; artifacts hang on them
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from otel_llm_wandb.settings import WandbSettings

DEFAULT_PIPELINE: Final = "training"
PROJECT_OF_PIPELINE: Final = "rl-{pipeline}-demo"
PROJECT_OF_JOB_TYPE: Final = {"training": "rl-agent", "inference": "inference-only"}
EXPERIMENT: Final = "OTEL_LLM_WANDB_EXPERIMENT"
"""Variable that several processes share to be one group."""


def laid_out(settings: WandbSettings, environ: Mapping[str, str]) -> WandbSettings:
    """Return settings with what the layout says filled in; what was set explicitly stays."""
    layout = settings.layout
    pipeline = settings.pipeline or settings.job_type or DEFAULT_PIPELINE
    given = settings.project or environ.get("WANDB_PROJECT")
    if layout is None:
        return replace(settings, project=_filled(settings.project, pipeline, settings.job_type))
    job_type = settings.job_type or pipeline
    if layout == "pipelines":
        settings = replace(settings, project=given or PROJECT_OF_PIPELINE, job_type=job_type)
    elif layout == "job_types":
        projects = {**PROJECT_OF_JOB_TYPE, **settings.projects}
        settings = replace(settings, project=projects.get(job_type, given or job_type), job_type=job_type)
    elif layout == "hierarchy":
        settings = replace(
            settings, project=given or "rl-experiments", prefix=settings.prefix or f"{pipeline}/"
        )
    else:
        group = settings.group or environ.get(EXPERIMENT) or environ.get("WANDB_RUN_GROUP")
        settings = replace(
            settings,
            project=given or "rl-experiments",
            job_type=job_type,
            group=group or f"experiment-{uuid.uuid4().hex[:8]}",
            tags=tuple(dict.fromkeys((*settings.tags, pipeline))),
        )
    return replace(settings, project=_filled(settings.project, pipeline, job_type))


def _filled(project: str | None, pipeline: str, job_type: str | None) -> str | None:
    if project is None:
        return None
    return project.replace("{pipeline}", pipeline).replace("{job_type}", job_type or pipeline)
