"""`otel_llm.rollouts`: what a loop knows of completions that it sampled together, told to a batch."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from time import time_ns
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from opentelemetry import baggage

from otel_llm import drops, fields, recording
from otel_llm import semconv as sc
from otel_llm.handing_down import from_baggage
from otel_llm.numeric import is_on_device
from otel_llm.scoping import Scope, current_scope
from otel_llm.telling import frozen
from otel_llm.training import holding
from otel_llm.training.batches import RolloutBatch
from otel_llm.training.deferred import is_lazy
from otel_llm.training.rollouts import MAX_COMPONENTS
from otel_llm.training.scopes import PartScope
from otel_llm.training.together import ONE, Rollouts, count_of, many_of

if TYPE_CHECKING:
    from otel_llm.llm import AttributeValue

_AROUND: Final = frozenset({"step", "evaluation"})
_lock = threading.Lock()
_numbered: WeakKeyDictionary[Scope, int] = WeakKeyDictionary()
"""How many groups, or rollouts without groups, were numbered so far, by step."""
_loose = [0]
"""Likewise outside any step."""


def rollouts(
    *,
    prompts: Any = None,
    completions: Any = None,
    rewards: Mapping[str, Any] | None = None,
    weights: Mapping[str, float] | None = None,
    total_reward: Any = None,
    advantages: Any = None,
    group_size: int | None = None,
    groups: Any = None,
    ids: Any = None,
    input_tokens: Any = None,
    output_tokens: Any = None,
    truncated: Any = None,
    turns: Any = None,
    policy_step: Any = None,
    policy_version: Any = None,
    mode: str | None = None,
    during: Scope | None = None,
    keep_texts: int | None = None,
    parent: Scope | None = None,
    attributes: Mapping[str, Any] | None = None,
    **more: Any,
) -> Rollouts:
    """Tell of completions that were sampled together: a rollout each, a span of its step, made on the worker.

    How many there are is told by `completions`, else by what else has one value a rollout. Values are one a rollout
    (a list, a NumPy array, a tensor of any shape on any device, such as [groups, group size]) or one for all; tensors
    are read later. What does not fit is left out, and its name kept in `otel_llm.invalid_fields`; nothing raises.

    Args:
        prompts: a text, or messages as SDKs take them, a rollout, or a group of `group_size`.
        completions: likewise, a rollout.
        rewards: scores by component, None or NaN where there is none.
        weights: what components are multiplied with in the total, by component.
        total_reward: rewards that are learned from; default: the weighted sums of the components.
        advantages: what they were better than their groups. Default: told later, by `Rollouts.advantages`.
        group_size: so many that follow each other are compared with each other, and are a group.
        groups: the group of each instead, under the program's own name for it.
        ids: what each is called; default: step, group (on several ranks rank and group) and number in the group.
        input_tokens: tokens of the prompt.
        output_tokens: tokens of the completion.
        truncated: whether it ended at the limit.
        turns: how many turns it had.
        policy_step: the step after which the weights were as they were that made it.
        policy_version: the inference server's own word for them.
        mode: `train` or `eval`.
        during: the part in which they were sampled, whose time is theirs, also after its end. Default: the current
            one, if a part is; else they take no time.
        keep_texts: of how many prompt and completion are kept: the best, the worst and the most surprising first.
            Default: all, as the content policy allows.
        parent: the step or the evaluation; default: the current one. Outside any, each is a trace of its own.
        attributes: more attributes, under exactly these names.
        **more: the program's own fields.

    Returns:
        The rollouts, in order. They, or some of them, can be given to `otel_llm.loss`.
    """
    told = {
        sc.SAMPLE_INPUT_TOKENS: ("input_tokens", input_tokens),
        sc.SAMPLE_OUTPUT_TOKENS: ("output_tokens", output_tokens),
        sc.SAMPLE_TRUNCATED: ("truncated", truncated),
        sc.SAMPLE_TURNS: ("turns", turns),
        sc.SAMPLE_POLICY_STEP: ("policy_step", policy_step),
        sc.SAMPLE_POLICY_VERSION: ("policy_version", policy_version),
        sc.SAMPLE_MODE: ("mode", mode),
    }
    scored = dict(rewards) if isinstance(rewards, Mapping) else {}
    texts = None if is_lazy(completions) else completions  # token ids are no texts
    size = _size_of(texts, ids, groups, *scored.values(), total_reward, advantages, output_tokens)
    try:
        around = parent if isinstance(parent, Scope) else current_scope()
        step = around
        while step is not None and step.kind not in _AROUND:
            step = step.parent
        made = Rollouts(size, step, _batch(size, step, around, during))
        if made.batch is None:
            return made
        for key, (called, values) in told.items():
            made.column(called, key, values)
        exact: Any = attributes or {}
        if not isinstance(exact, Mapping):
            made.not_usable("attributes")
            exact = {}
        for key, values in exact.items():
            _tell_own(made, str(key), str(key)[: fields.MAX_KEY], values)
        for name, values in more.items():
            _tell_own(made, name, fields.custom_key(name), values)
        per_group = _named(made, ids, groups, group_size)
        _tell_texts(made, prompts, completions, per_group, keep_texts)
        _tell_rewards(made, rewards, scored, weights)
        made.total_reward(total_reward)
        if advantages is not None:
            made.advantages(advantages)
        else:
            holding.hold(made)
    except Exception:
        drops.internal_error("telling of rollouts")
        return Rollouts(size, None, None)
    return made


def _size_of(*given: Any) -> int:
    """Return how many rollouts there are; 0 where nothing tells."""
    for values in given:
        try:
            if values is not None and (many := many_of(values)) is not None and many is not ONE:
                return count_of(many)
        except Exception:
            drops.internal_error("counting rollouts")
    drops.warn_once("rollouts-size", "otel_llm.rollouts was told of nothing that has one value a rollout")
    return 0


def _batch(size: int, step: Scope | None, around: Scope | None, during: Any) -> RolloutBatch | None:
    if recording.active is None or not size:
        return None
    if not isinstance(during, Scope):
        during = around
        while during is not None and not isinstance(during, PartScope):
            during = during.parent
    began, ended = time_ns(), time_ns()
    if isinstance(during, Scope) and during.started:
        began, ended = during.start_ns, during.end_ns
    inherited: Mapping[str, AttributeValue] = {}
    if (known := step or around) is not None:
        inherited = known.inherited
    elif carried := baggage.get_all():  # a step in another process
        inherited = from_baggage(carried) or {}
    span = None if step is None else step.span
    return RolloutBatch(size, parent=span, inherited=inherited, start_ns=began, end_ns=ended)


def _named(made: Rollouts, ids: Any, groups: Any, group_size: Any) -> int | None:
    """Tell ids and groups; return how many make a group, None where they are not all alike."""
    size = len(made)
    per_group: int | None = None
    if group_size is not None:
        try:
            per_group = fields.whole(group_size) or None
        except Exception:
            per_group = None
        if per_group is None:
            made.not_usable("group_size")
    label = _label(made)
    of_each = _words(made, "groups", groups)
    if of_each is None and per_group is not None:
        first = _next(made.around, -(-size // per_group))
        of_each = [f"{label}{first + i // per_group}" for i in range(size)]
    if of_each is None:
        first = _next(made.around, size)
        names = [f"{label}{first + i}" for i in range(size)]
    else:
        seen: dict[str, int] = {}
        within: list[int] = []
        for group in of_each:
            within.append(seen.get(group, 0))
            seen[group] = within[-1] + 1
        names = [f"{group}-{index}" for group, index in zip(of_each, within, strict=True)]
        made.column("groups", sc.SAMPLE_GROUP, of_each)
        made.column("groups", sc.SAMPLE_INDEX, within)
    made.column("ids", sc.SAMPLE_ID, _words(made, "ids", ids) or names)
    return per_group


def _label(made: Rollouts) -> str:
    """Return what names begin with: the step, and on several ranks the rank, each of which samples its own."""
    inherited = {} if made.around is None else made.around.inherited
    label = f"{inherited[sc.TRAIN_STEP]}-" if sc.TRAIN_STEP in inherited else ""
    if made.nearest("evaluation") is not None:
        label = f"eval-{label}"
    world: Any = inherited.get(sc.WORLD_SIZE, 1)
    return f"{label}{inherited.get(sc.RANK, 0)}-" if world > 1 else label


def _words(made: Rollouts, called: str, values: Any) -> list[str] | None:
    """Return a text each; None where there are none, or they cannot be had without waiting for a device."""
    if values is None:
        return None
    many = None if is_on_device(values) else made.fitting(called, values)
    if many is None or many_of(many) is ONE:
        if made.batch is not None and (many is not None or is_on_device(values)):
            made.not_usable(called)
        return None
    return [fields.text_of(one) for one in (many.tolist() if is_lazy(many) else many)]


def _next(around: Scope | None, count: int) -> int:
    """Return the number of the first of so many groups of a step."""
    with _lock:
        if around is None:
            first, _loose[0] = _loose[0], _loose[0] + count
        else:
            first = _numbered.get(around, 0)
            _numbered[around] = first + count
    return first


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _tell_own(made: Rollouts, called: str, key: str, values: Any) -> None:
    """Tell an attribute of the program's own, whose values may be anything."""
    try:
        if (fitting := made.fitting(called, values)) is None or is_lazy(fitting):
            pass
        elif many_of(fitting) is ONE:
            fitting = fields.plain(fitting)
        else:
            fitting = [one if one is None or is_lazy(one) else fields.plain(one) for one in fitting]
        made.column(called, key, fitting)
    except Exception:  # none that an attribute can have
        made.not_usable(called)


def _tell_texts(
    made: Rollouts, prompts: Any, completions: Any, per_group: int | None, most: int | None
) -> None:
    batch, size = made.batch, len(made)
    assert batch is not None  # noqa: S101 (the caller has looked)
    asked, times = _kept(prompts), 1
    if per_group is not None and len(asked) != size and len(asked) * per_group == size:
        times = per_group
    if prompts is not None and len(asked) * times != size:
        made.not_usable("prompts")
        asked = []
    answered = _kept(completions)
    if completions is not None and len(answered) != size:
        made.not_usable("completions")
        answered = []
    if most is not None:
        try:
            most = fields.whole(most)
        except Exception:
            made.not_usable("keep_texts")
            most = None
    batch.nbytes += sum(len(one) for one in (*asked, *answered) if isinstance(one, str))
    if asked or answered:
        batch.texts(lambda: _said(asked, times), lambda: _said(answered, 1), most=most)


def _kept(texts: Any) -> list[Any]:
    """Return texts, or lists of messages, as they are now; nothing where they are neither."""
    if not isinstance(texts, Sequence) or isinstance(texts, str | bytes):
        return []
    return [list(one) if isinstance(one, list) else one for one in texts]


def _said(texts: list[Any], times: int) -> list[Any]:
    """Return texts as a batch takes them, each so many times; on the worker."""
    said = [None if one is None else frozen(one) for one in texts]
    return said if times == 1 else [one for one in said for _ in range(times)]


def _tell_rewards(made: Rollouts, rewards: Any, scored: Mapping[str, Any], weights: Any) -> None:
    if rewards is not None and not isinstance(rewards, Mapping):
        made.not_usable("rewards")
    if weights is not None and not isinstance(weights, Mapping):
        made.not_usable("weights")
        weights = None
    for number, (name, scores) in enumerate(scored.items()):
        if number == MAX_COMPONENTS:
            drops.count("attribute", "too_many", len(scored) - number)
            break
        weight = None if weights is None else weights.get(name)
        try:
            weight = None if weight is None else fields.number(weight)
        except Exception:
            made.not_usable("weights")
            weight = None
        made.reward(name, scores, weight=weight)
