"""The names that a training loop uses.

    with otel_llm.training_run("exp-7", algorithm="grpo", model="Qwen/Qwen3-4B"):
        for batch in otel_llm.steps(loader):
            with otel_llm.part("generation"):
                for prompt in batch:
                    with otel_llm.rollout(group=prompt.id) as one:
                        one.content(prompt=prompt.text, response=sample(prompt))
                    rollouts.append(one.reward("correct", grade(one)))
            for one, advantage in zip(rollouts, advantages(rollouts)):
                one.advantage(advantage)
            with otel_llm.loss(rollouts) as loss:
                loss.set(loss=learn(rollouts))             # a tensor is read later, on the worker

Each is a `with` block, an `async with` block, or a decorator. Without `otel_llm.instrument()` it does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from otel_llm import drops, fields, hooks, runtime
from otel_llm import semconv as sc
from otel_llm.ids import SystemIdGenerator
from otel_llm.llm import AttributeValue
from otel_llm.scoping import Kind, Scope, current_scope
from otel_llm.training.parts import GENERATING, Generation, Loss
from otel_llm.training.place import find_place
from otel_llm.training.rollouts import ROLLOUT, RolloutScope
from otel_llm.training.runs import RunIdentity, identify
from otel_llm.training.scopes import (
    EVALUATION,
    RUN,
    STEP,
    EvaluationScope,
    JointScope,
    LossPart,
    PartScope,
    RunScope,
    StepScope,
)
from otel_llm.training.stepping import Steps

T = TypeVar("T")

_ids = SystemIdGenerator()


def training_run(
    run_id: object = None,
    *,
    name: str | None = None,
    algorithm: str | None = None,
    model: str | None = None,
    system: str | None = None,
    environment: str | None = None,
    attempt: int | None = None,
    config: Mapping[str, Any] | None = None,
    device: object = None,
    attributes: Mapping[str, Any] | None = None,
    **more: Any,
) -> RunScope:
    """Train: a trace of its own over all ranks; run, attempt, rank, host and device are on everything below.

    Args:
        run_id: default: `OTEL_LLM_RUN_ID`, what the ranks agree on (see `otel_llm.training.runs`), or a new id.
            Started again under its id, a run is a new attempt.
        name: what the run is called; part of the span's name.
        algorithm: `grpo`, `rloo`, `sft` …
        model: the model that is trained.
        system: what trains it: `trl`, or the program's own word.
        environment: what it is trained in.
        attempt: default: `OTEL_LLM_RUN_ATTEMPT`, else counted.
        config: settings of the run; numbers, texts and truth values are kept.
        device: what this rank computes on; default: what torch uses.
        attributes: more attributes, under exactly these names.
        **more: the program's own fields.

    Returns:
        The scope; it starts when it is entered, or by `start()`.
    """
    given = None if run_id is None else fields.text_of(run_id)
    identity = _identified(given, attempt, device)
    title = f"training_run {fields.text_of(name)[: fields.MAX_KEY]}" if name else "training_run"
    own: dict[str, AttributeValue] = {}
    for key, value in (
        (sc.RUN_NAME, name),
        (sc.RL_ALGORITHM, algorithm),
        (sc.RL_MODEL, model),
        (sc.RL_SYSTEM, system),
        (sc.RL_ENVIRONMENT, environment),
    ):
        if value is not None:
            own[key] = fields.text_of(value)
    handed: dict[str, AttributeValue] = {
        sc.RUN_ID: identity.run_id,
        sc.RUN_ATTEMPT: identity.attempt,
        **identity.place.attributes(),
    }
    scope = _made(RunScope, RUN, title, handed, own, None, attributes, more, identity, ("run", 0))
    if config:
        scope.set(
            {sc.TRAIN_CONFIG_PREFIX + str(key): value for key, value in config.items() if _is_plain(value)}
        )
    return scope


def step(
    number: int, *, parent: Scope | None = None, attributes: Mapping[str, Any] | None = None, **more: Any
) -> StepScope:
    """Take one optimisation step: a trace of its own over all ranks, linked to the run.

    Args:
        number: the step; the first is usually 1.
        parent: the run; default: the current one.
        attributes: more attributes, under exactly these names.
        **more: `loss`, `grad_norm`, `learning_rate`, `epoch`, and the program's own fields.
    """
    handed, unusable = _numbered(number)
    found = _identity_of(parent)
    joint = ("step", int(handed[sc.TRAIN_STEP])) if sc.TRAIN_STEP in handed else None  # type: ignore[arg-type]
    made = _made(StepScope, STEP, "training_step", handed, {}, parent, attributes, more, found, joint)
    if unusable:
        made.not_usable(unusable)
    return made


def evaluation(
    number: int | None = None,
    *,
    parent: Scope | None = None,
    attributes: Mapping[str, Any] | None = None,
    **more: Any,
) -> EvaluationScope:
    """Evaluate: a trace of its own over all ranks, linked to the step or the run.

    Args:
        number: the step after which it happens; default: the current one.
        parent: the step or the run; default: the current one.
        attributes: more attributes, under exactly these names.
        **more: the program's own fields.
    """
    handed: dict[str, AttributeValue] = {}
    if number is not None:
        handed, _ = _numbered(number)
    else:
        around = parent if parent is not None else current_scope()
        if around is not None and (known := around.inherited.get(sc.TRAIN_STEP)) is not None:
            handed = {sc.TRAIN_STEP: known}
    own: dict[str, AttributeValue] = {sc.TRAIN_MODE: "eval"}
    at: Any = handed.get(sc.TRAIN_STEP, 0)
    identity = _identity_of(parent)
    return _made(
        EvaluationScope,
        EVALUATION,
        "evaluation",
        handed,
        own,
        parent,
        attributes,
        more,
        identity,
        ("evaluation", at),
    )


def part(
    name: object,
    *,
    update: int | None = None,
    parent: Scope | None = None,
    attributes: Mapping[str, Any] | None = None,
    **more: Any,
) -> PartScope:
    """Do one part of a step; its time is added to the step's, as `rl.train.time.{name}`.

    Args:
        name: `sampling`, `generation`, `weight_sync`, `logprobs`, `rewards`, `advantages`, `backward`, `optimizer`,
            `checkpoint`, `data`, or the program's own word.
        update: which update of the weights it is for, counted over the run from 1, where a step has several.
        parent: default: the current scope.
        attributes: more attributes, under exactly these names.
        **more: the program's own fields. Of `generation` and `sampling`, where the program generates itself: `model`,
            `input_tokens` and `output_tokens` (a number, or one a completion: their sum is kept), `temperature`,
            `top_p`, `top_k`, `max_tokens`; they have the names that model calls have.
    """
    called = fields.text_of(name)[: fields.MAX_KEY] or "part"
    kind = Kind(called if called in hooks.PARTS else "part")
    own: dict[str, AttributeValue] = {sc.TRAIN_PART: called}
    unusable = _counted(own, update=(sc.TRAIN_UPDATE, update))
    of = Generation if called in GENERATING else PartScope
    made = of(kind, called, {}, own, _scope_or_none(parent), attributes, more)
    made.part = called
    if unusable:
        made.not_usable(unusable)
    return made


def loss(
    rollouts: Any = (),
    *,
    indices: Any = None,
    micro_step: int | None = None,
    update: int | None = None,
    parent: Scope | None = None,
    attributes: Mapping[str, Any] | None = None,
    **more: Any,
) -> LossPart:
    """Compute the loss of one batch: the span `loss`, linked to the rollouts that it learns from, as is its step.

    Args:
        rollouts: scopes of rollouts, or what `otel_llm.rollouts` returned: all, or some of them; or a `RolloutBatch`.
        indices: of such a batch, which of its rollouts: a sequence or a tensor of whole numbers. Default: all.
        micro_step: which batch of a step with gradient accumulation, from 0.
        update: which update of the weights it is for, counted over the run from 1, where a step has several.
        parent: default: the current scope.
        attributes: more attributes, under exactly these names.
        **more: `loss`, and the program's own fields.
    """
    own: dict[str, AttributeValue] = {sc.TRAIN_PART: "loss"}
    unusable = _counted(own, micro_step=(sc.TRAIN_MICRO_STEP, micro_step), update=(sc.TRAIN_UPDATE, update))
    made = Loss(Kind("loss"), "loss", {}, own, _scope_or_none(parent), attributes, more)
    made.part = "loss"
    made.learns_from = rollouts, indices
    if unusable:
        made.not_usable(unusable)
    return made


def rollout(
    sample_id: object = None,
    *,
    group: object = None,
    index: int | None = None,
    prompt: Any = None,
    mode: str | None = None,
    parent: Scope | None = None,
    attributes: Mapping[str, Any] | None = None,
    **more: Any,
) -> RolloutScope:
    """Sample one trajectory: a trace of its own, linked to its step.

    Its span stays open until its advantage is told, its step ends, or a minute has passed; it ends with the time at
    which the block ended.

    Args:
        sample_id: what it is called; default: nothing.
        group: the group of samples that it is compared with.
        index: which of its group, from 0.
        prompt: what was asked, where no model call below shows it.
        mode: `train` or `eval`.
        parent: the step; default: the current one.
        attributes: more attributes, under exactly these names.
        **more: the program's own fields.
    """
    handed: dict[str, AttributeValue] = {}
    for key, value in ((sc.SAMPLE_ID, sample_id), (sc.SAMPLE_GROUP, group)):
        if value is not None:
            handed[key] = fields.text_of(value)
    own: dict[str, AttributeValue] = {}
    if index is not None:
        own[sc.SAMPLE_INDEX] = index
    if mode is not None:
        own[sc.SAMPLE_MODE] = mode
    made = RolloutScope(ROLLOUT, "rollout", handed, own, _scope_or_none(parent), attributes, more)
    if prompt is not None:
        made.content(prompt=prompt)
    return made


def steps(batches: Iterable[T], *, start: int = 1, **more: Any) -> Steps[T]:
    """Iterate over batches, with a step of the optimiser a batch.

    An exception that leaves the loop ends the step without being noted; `with otel_llm.step(n)` notes it.

    Args:
        batches: any iterable, such as a `DataLoader`.
        start: number of the first step.
        **more: fields of every step.

    Returns:
        An iterator over the same batches.
    """
    return Steps(batches, lambda number: step(number, **more), start)


def current_run() -> RunIdentity | None:
    """Return the run that this context is in; None outside any."""
    scope = current_scope()
    found = None if scope is None else scope.nearest("training_run")
    return found.identity if isinstance(found, JointScope) else None


# --- putting together -----------------------------------------------------------------------------
J = TypeVar("J", bound=JointScope)


def _made(
    of: type[J],
    kind: Kind,
    name: str,
    handed: dict[str, AttributeValue],
    own: dict[str, AttributeValue],
    parent: Scope | None,
    attributes: Mapping[str, Any] | None,
    more: dict[str, Any],
    identity: RunIdentity | None,
    joint: tuple[str, int] | None,
) -> J:
    made = of(kind, name, handed, own, _scope_or_none(parent), attributes, more)
    made.identity, made.joint = identity, joint
    return made


def _identified(run_id: str | None, attempt: int | None, device: object) -> RunIdentity:
    active = runtime.current()
    directory = None if active is None else active.settings.store
    try:
        if active is None:  # nobody records: agree on nothing, count nothing
            return RunIdentity(
                run_id or f"run-{_ids.generate_span_id():016x}", attempt or 0, find_place(device)
            )
        return identify(run_id, attempt, place=find_place(device), directory=directory)
    except Exception:
        drops.internal_error("identifying the run")
        return RunIdentity(run_id or f"run-{_ids.generate_span_id():016x}", attempt or 0, find_place(device))


def _identity_of(parent: Scope | None) -> RunIdentity | None:
    around = parent if isinstance(parent, Scope) else current_scope()
    found = None if around is None else around.nearest("training_run")
    return found.identity if isinstance(found, JointScope) else None


def _scope_or_none(parent: Scope | None) -> Scope | None:
    return parent if isinstance(parent, Scope) else None


def _numbered(number: object) -> tuple[dict[str, AttributeValue], list[str]]:
    try:
        return {sc.TRAIN_STEP: fields.whole(number)}, []
    except Exception:
        return {}, ["step"]


def _counted(own: dict[str, AttributeValue], **numbers: tuple[str, object]) -> list[str]:
    """Add whole numbers to attributes; return the names of those that are none."""
    unusable: list[str] = []
    for name, (key, number) in numbers.items():
        if number is not None:
            try:
                own[key] = fields.whole(number)
            except Exception:
                unusable.append(name)
    return unusable


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)
