"""Training runs read back from the store of all ranks: what `show --run`, the training report and notebooks are made of.

    import otel_llm
    for run in otel_llm.read_runs(".otel_llm"):
        for step in otel_llm.read_steps(".otel_llm", run.run_id):
            print(step.number, step.scalar("reward"), [rank.times for rank in step.ranks])
        for rollout in otel_llm.read_rollouts(".otel_llm", run.run_id, step=3):
            print(rollout.sample_id, rollout.reward, rollout.advantage, rollout.conversation)

`records` say what is known, `loading` reads it, `groups` puts rollouts beside each other, `consuming` finds the losses
that learned from them, `trouble` what went wrong. Reads only; imports no trainer, no tensor library and no terminal.
"""

from otel_llm.analysis.training.consuming import Consumer, Consumption
from otel_llm.analysis.training.groups import (
    Group,
    group_of,
    groups_of,
    mean_and_std,
    surprises,
    surprises_of,
)
from otel_llm.analysis.training.loading import each_rollout, load_runs, load_steps
from otel_llm.analysis.training.reading import read_rollouts, read_runs, read_steps
from otel_llm.analysis.training.records import (
    AttemptRecord,
    PartRecord,
    RankRecord,
    RolloutRecord,
    RunRecord,
    SpanRef,
    StepRecord,
    is_finite,
)
from otel_llm.analysis.training.roles import ROLES, name_for
from otel_llm.analysis.training.trouble import Problem, Trouble

__all__ = [
    "ROLES",
    "AttemptRecord",
    "Consumer",
    "Consumption",
    "Group",
    "PartRecord",
    "Problem",
    "RankRecord",
    "RolloutRecord",
    "RunRecord",
    "SpanRef",
    "StepRecord",
    "Trouble",
    "each_rollout",
    "group_of",
    "groups_of",
    "is_finite",
    "load_runs",
    "load_steps",
    "mean_and_std",
    "name_for",
    "read_rollouts",
    "read_runs",
    "read_steps",
    "surprises",
    "surprises_of",
]
