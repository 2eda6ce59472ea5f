"""Which member of which class is which seam. Classes are looked at when a trainer is first used, not by version.

Only four modules are waited for (`transformers.trainer`, `transformers.trainer_callback`, `accelerate.accelerator`,
`deepspeed.runtime.engine`); trainers' own classes, TRL's and others made from them, are found by the trainer that runs.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import wrapt

from otel_llm import drops
from otel_llm_trl import losses, parts, running, sampling, scores, sessions, tools
from otel_llm_trl.guarding import Enter, Patches, Seam, around

SEAMS: Final[Mapping[str, Seam]] = {
    name: Seam(name, gives)
    for name, gives in (
        ("run", "runs"),
        ("step", "steps, optimizer steps and logged metrics"),
        ("figures", "figures of steps that are logged after they ended"),
        ("loss", "losses and the rollouts they learned from"),
        ("backward", "backward passes"),
        ("evaluation", "evaluations"),
        ("checkpoint", "checkpoints"),
        ("sampling", "batches of rollouts"),
        ("generation", "generation"),
        ("rewards", "rewards"),
        ("reward functions", "reward functions by name"),
        ("logprobs", "log-probabilities"),
        ("weight sync", "weights that are sent to vLLM"),
        ("tools", "tool calls"),
        ("deepspeed", "optimizer steps that DeepSpeed does in its backward pass"),
    )
}

SEAMS["loss"].clear = losses.clear

_BASE: Final = ("transformers", "torch", "accelerate", "builtins")

Members = tuple[tuple[str, tuple[tuple[str, Enter], ...]], ...]

_EVERY: Final[Members] = (
    ("run", (("train", running.train),)),
    ("evaluation", (("evaluate", running.evaluate),)),
    ("loss", (("compute_loss", losses.loss),)),
    ("checkpoint", (("_save_checkpoint", running.checkpoint),)),
    ("figures", (("_maybe_log_save_evaluate", running.following),)),
)
"""Of every trainer: in any of the classes it is made of."""


def _generated(trainer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return Generation.of(parts.generation(trainer, args, kwargs), trainer)


def _own_generated(trainer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    session = sessions.of(trainer)
    if session is None or session.sampling is None:
        return None
    return Generation.of(parts.own_generation(trainer, args, kwargs), trainer, with_prompts=True)


class Generation:
    """A generation, and what the batch that it is for wants to know of it."""

    def __init__(self, inner: Any, batch: sampling.Sampling | None, *, with_prompts: bool) -> None:
        self._inner = inner
        self._batch = batch
        self._with_prompts = with_prompts
        if batch is not None and inner is not None:
            batch.generates()

    @classmethod
    def of(cls, inner: Any, trainer: Any, *, with_prompts: bool = False) -> Generation | None:
        """Return one, or None where there is nothing to record."""
        session = sessions.of(trainer)
        batch = None if session is None else session.sampling
        return None if inner is None and not with_prompts else cls(inner, batch, with_prompts=with_prompts)

    def done(self, result: Any) -> None:
        """Take what was generated."""
        try:
            if self._batch is not None:
                if self._inner is not None:
                    self._batch.generated()
                if self._with_prompts and isinstance(result, tuple) and result:
                    self._batch.tokenized(result[0])
        finally:
            if self._inner is not None:
                self._inner.done(result)

    def failed(self, error: BaseException) -> None:
        """End it, failed."""
        if self._inner is not None:
            self._inner.failed(error)


_ONLINE: Final[Members] = (
    ("sampling", (("_generate_and_score_completions", sampling.sampling),)),
    ("generation", (("_generate_single_turn", _generated), ("_generate", _own_generated))),
    ("rewards", (("_calculate_rewards", scores.rewards),)),
    (
        "logprobs",
        (("_get_per_token_logps_and_entropies", parts.logprobs), ("_get_per_token_logps", parts.logprobs)),
    ),
    ("weight sync", (("_move_model_to_vllm", parts.weight_sync),)),
    ("tools", (("_tool_call_loop", tools.tools_of(SEAMS["tools"])),)),
)
"""Of trainers that generate while they train."""

_NEEDED: Final = ("sampling", "rewards", "loss")
_GENERATING: Final = ("grpo", "rloo")
"""Trainers with such names learn from rollouts, even where they do not make them as TRL's own do."""

_patches: Final = Patches()
_lock = threading.RLock()
_looked_at: set[type] = set()
_enabled = False
_hooked = False


def install() -> None:
    """Patch what is imported, and the rest when it is. Imports nothing."""
    global _enabled, _hooked
    with _lock:
        _enabled = True
        for seam in SEAMS.values():
            seam.reset()
        if not _hooked:  # an import hook cannot be taken back: it stays, and looks at `_enabled`
            _hooked = True
            for module, patch in _MODULES.items():
                wrapt.when_imported(module)(patch)
            return
    for module, patch in _MODULES.items():
        if module in sys.modules:
            patch(sys.modules[module])


def remove() -> None:
    """Put everything back."""
    global _enabled
    with _lock:
        _enabled = False
        _patches.remove()
        _looked_at.clear()


def _guarded(patch: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(patch)
    def run(module: Any) -> None:
        if not _enabled:
            return
        try:
            patch(module)
        except Exception:
            drops.internal_error(f"patching {getattr(module, '__name__', module)}")

    return run


def _put(owner: Any, name: str, seam_name: str, enter: Enter) -> bool:
    seam = SEAMS[seam_name]
    there = _patches.replace(owner, name, functools.partial(around, seam, enter))
    if there:
        seam.found()
    return there


@_guarded
def _patch_trainer(module: Any) -> None:
    owner = module.Trainer
    for seam, members in _EVERY:
        for name, enter in members:
            if not _put(owner, name, seam, _looking(enter) if name in {"train", "evaluate"} else enter):
                SEAMS[seam].lacking("transformers.Trainer")


@_guarded
def _patch_callbacks(module: Any) -> None:
    if not _put(module.CallbackHandler, "call_event", "step", running.event):
        SEAMS["step"].lacking("transformers.CallbackHandler")


@_guarded
def _patch_accelerator(module: Any) -> None:
    if not _put(module.Accelerator, "backward", "backward", losses.backward):
        SEAMS["backward"].lacking("accelerate.Accelerator")


@_guarded
def _patch_deepspeed(module: Any) -> None:
    _put(module.DeepSpeedEngine, "step", "deepspeed", losses.engine_step)


_MODULES: Final[Mapping[str, Callable[[Any], None]]] = {
    "transformers.trainer": _patch_trainer,
    "transformers.trainer_callback": _patch_callbacks,
    "accelerate.accelerator": _patch_accelerator,
    "deepspeed.runtime.engine": _patch_deepspeed,
}


def _looking(enter: Enter) -> Enter:
    def looked(trainer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        look_at(type(trainer))
        return enter(trainer, args, kwargs)

    return looked


def look_at(kind: type) -> None:
    """Patch the classes that a trainer is made of, once, and say what they lack.

    Args:
        kind: the trainer's class.
    """
    with _lock:
        if kind in _looked_at or not _enabled:
            return
        _looked_at.add(kind)
        owners = [owner for owner in kind.__mro__ if owner.__module__.partition(".")[0] not in _BASE]
        for owner in owners:
            for seam, members in _EVERY:
                for name, enter in members:
                    _put(owner, name, seam, enter)
        if not hasattr(kind, "_generate_and_score_completions") and not hasattr(kind, "_calculate_rewards"):
            if any(name in owner.__name__.lower() for owner in owners for name in _GENERATING):
                SEAMS["sampling"].lacking(kind.__name__)  # it samples elsewhere: AsyncGRPOTrainer in a child
            return
        for seam, members in _ONLINE:
            there = [_put(owner, name, seam, enter) for owner in owners for name, enter in members]
            if seam in _NEEDED and not any(there):
                SEAMS[seam].lacking(kind.__name__)
        blocks = [_patch_blocks(owner) for owner in owners]
        if not any(blocks):
            SEAMS["reward functions"].lacking(kind.__name__)
            if SEAMS["generation"].state != "active":
                SEAMS["generation"].lacking(kind.__name__)


def _patch_blocks(owner: type) -> bool:
    """Patch what the module of a trainer's class calls its blocks with; say whether it does."""
    module = sys.modules.get(owner.__module__)
    if module is None:
        return False
    found = _patches.replace(module, "profiling_context", _profiled)
    if found:
        SEAMS["reward functions"].found()
    if _patches.replace(module, "unwrap_model_for_generation", _unwrapped):
        SEAMS["generation"].found()
    return found


def _profiled(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def profiling_context(trainer: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        block = original(trainer, name, *args, **kwargs)
        seam = SEAMS["reward functions"]
        try:
            if name in parts.GENERATING:
                return parts.Block(block, SEAMS["generation"], functools.partial(_generated, trainer, (), {}))
            if name == parts.SYNCING:
                SEAMS["weight sync"].found()
                return parts.Block(
                    block, SEAMS["weight sync"], functools.partial(parts.weight_sync, trainer, (), {})
                )
            opener = scores.function_of(trainer, name)
            return block if opener is None else parts.Block(block, seam, opener)
        except Exception:
            seam.broke()
            return block

    return profiling_context


def _unwrapped(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the block in which older releases generate, and do not time it."""

    @functools.wraps(original)
    def unwrap_model_for_generation(*args: Any, **kwargs: Any) -> Any:
        block = original(*args, **kwargs)
        seam = SEAMS["generation"]
        try:
            session = next((known for known in sessions.all_of((*args, *kwargs.values()))), None)
            trainer = None if session is None else session.trainer()
            if session is None or session.sampling is None or trainer is None:
                return block
            return parts.Block(block, seam, functools.partial(_generated, trainer, (), {}))
        except Exception:
            seam.broke()
            return block

    return unwrap_model_for_generation
