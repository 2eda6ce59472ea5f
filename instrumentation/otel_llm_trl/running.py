"""Runs, steps, evaluations, checkpoints, and what trainers log: the skeleton that every Hugging Face trainer has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time_ns
from typing import Any, Final

from otel_llm import semconv as names
from otel_llm import step_series
from otel_llm.training.loops import evaluation as evaluation_scope
from otel_llm.training.loops import part, step, training_run
from otel_llm_trl import semconv as sc
from otel_llm_trl import sessions, throughput
from otel_llm_trl.parts import Named, Part
from otel_llm_trl.sessions import Session

SYSTEM: Final = "trl"
SOURCE: Final = "trl"

_ALGORITHMS: Final = (
    "grpo",
    "rloo",
    "dpo",
    "kto",
    "sft",
    "reward",
    "orpo",
    "cpo",
    "ppo",
    "xpo",
    "gkd",
    "prm",
    "bco",
)
_FIGURES: Final = ("loss", "grad_norm", "learning_rate", "epoch")
_CONFIG: Final = (
    "seed", "max_steps", "num_train_epochs", "learning_rate", "lr_scheduler_type", "warmup_ratio", "warmup_steps",
    "weight_decay", "max_grad_norm", "per_device_train_batch_size", "per_device_eval_batch_size",
    "gradient_accumulation_steps", "bf16", "fp16", "optim", "logging_steps", "save_steps", "eval_steps",
    "num_generations", "num_generations_eval", "max_prompt_length", "max_completion_length", "max_length",
    "steps_per_generation", "generation_batch_size", "num_iterations", "temperature", "top_p", "top_k", "min_p",
    "repetition_penalty", "beta", "epsilon", "epsilon_high", "loss_type", "scale_rewards", "use_vllm", "vllm_mode",
    "mask_truncated_completions", "importance_sampling_level", "output_dir", "run_name",
)  # fmt: skip
"""Settings of a run that are kept, where the trainer has them; others may hold tokens and addresses."""


# --- the run --------------------------------------------------------------------------------------
class Run:
    """A run while `train` goes on; or an evaluation outside of one."""

    def __init__(self, session: Session, trainer: Any, **told: Any) -> None:
        self._session = session
        args = trainer.args
        config = {
            name: _plain(getattr(args, name)) for name in _CONFIG if getattr(args, name, None) is not None
        }
        name = getattr(args, "run_name", None)
        session.run = training_run(
            name=str(name) if name and name != getattr(args, "output_dir", None) else None,
            algorithm=algorithm_of(trainer),
            model=model_of(trainer),
            system=SYSTEM if _is_of_trl(trainer) else "transformers",
            environment=environment_of(trainer),
            device=getattr(getattr(trainer, "accelerator", None), "device", None),
            config=config,
            attributes={
                sc.TRAINER: type(trainer).__name__,
                **_versions(),
                **{key: value for key, value in told.items() if value is not None},
            },
        )
        session.run.__enter__()

    def done(self, result: Any) -> None:  # noqa: ARG002 (what every half is told)
        """End it."""
        self._over(None)

    def failed(self, error: BaseException) -> None:
        """End it, failed."""
        self._over(error)

    def _over(self, error: BaseException | None) -> None:
        session = self._session
        try:
            close_step(session, error)
        finally:
            sessions.end(session)
            if session.run is not None:
                session.run.__exit__(
                    None if error is None else type(error),
                    error,
                    None if error is None else error.__traceback__,
                )


def train(trainer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Run | None:
    """Record a run; `train` that calls itself is one run."""
    session = sessions.begin(trainer)
    if session is None:
        return None
    try:
        resumed = args[0] if args else kwargs.get("resume_from_checkpoint")
        return Run(session, trainer, **{sc.RESUMED: bool(resumed) or None})
    except BaseException:
        sessions.end(session)
        raise


def algorithm_of(trainer: Any) -> str:
    """Return what a trainer does, such as `grpo`, by the names of its classes."""
    for owner in type(trainer).__mro__:
        lowered = owner.__name__.lower()
        for name in _ALGORITHMS:
            if lowered.startswith(name) or f"{name}trainer" in lowered:
                return name
    return type(trainer).__name__.removesuffix("Trainer").lower() or "trainer"


def model_of(trainer: Any) -> str | None:
    """Return the model's name or path."""
    config = getattr(getattr(trainer, "model", None), "config", None)
    found = getattr(config, "_name_or_path", None)
    return str(found) if found else None


def environment_of(trainer: Any) -> str | None:
    """Return what rollouts are made in, where the trainer has environments."""
    factories = getattr(trainer, "environment_factories", None) or getattr(
        trainer, "environment_factory", None
    )
    if not factories:
        return None
    made = list(factories.values()) if isinstance(factories, Mapping) else [factories]
    return ", ".join(dict.fromkeys(str(getattr(one, "__name__", type(one).__name__)) for one in made))


def _is_of_trl(trainer: Any) -> bool:
    return any(owner.__module__.partition(".")[0] == "trl" for owner in type(trainer).__mro__)


def _versions() -> dict[str, str]:
    found = {
        sc.TRL_VERSION: sessions.version_of("trl"),
        sc.TRANSFORMERS_VERSION: sessions.version_of("transformers"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(getattr(value, "value", value))


# --- steps ----------------------------------------------------------------------------------------
def close_step(session: Session, error: BaseException | None = None) -> None:
    """End the step that goes on, or has ended and waited for its figures."""
    if session.optimizer is not None:
        scope, session.optimizer = session.optimizer, None
        scope.__exit__(None if error is None else type(error), error, None)
    at, session.step = session.step, None
    ended_ns, session.step_ended_ns = session.step_ended_ns, None
    if at is None:
        return
    if len(session.losses):
        at.figure(names.TRAIN_LOSS, session.losses.total())
    if ended_ns is None:  # it did not come to its end
        at.__exit__(None if error is None else type(error), error, None)
        return
    at.end(at_ns=ended_ns)
    at.__exit__(None, None, None)
    told = throughput.of_step(session, session.step_took_ns / 1e9, at.times)
    record(session, at.number, told)


def _step_begins(session: Session, state: Any, more: Mapping[str, Any]) -> None:  # noqa: ARG001
    close_step(session)
    session.new_step()
    session.step = step(int(state.global_step) + 1, parent=session.run)
    session.step.__enter__()


def _step_ended(session: Session, state: Any, more: Mapping[str, Any]) -> None:  # noqa: ARG001
    if session.step is None:
        return
    session.step_ended_ns = now = time_ns()
    session.step_took_ns = now - session.step.start_ns
    epoch = getattr(state, "epoch", None)
    if epoch is not None:
        session.step.set(epoch=float(epoch))


def _optimizer_begins(session: Session, state: Any, more: Mapping[str, Any]) -> None:  # noqa: ARG001
    if session.step is not None and session.optimizer is None and not session.optimizes_in_backward:
        session.optimizer = part("optimizer")
        session.optimizer.__enter__()


def _optimizer_ended(session: Session, state: Any, more: Mapping[str, Any]) -> None:  # noqa: ARG001
    if session.optimizer is not None:
        scope, session.optimizer = session.optimizer, None
        scope.__exit__(None, None, None)


def _logged(session: Session, state: Any, more: Mapping[str, Any]) -> None:
    """Take what the trainer logs; it has gathered its figures from all ranks, so rank 0 alone tells of them."""
    logs = more.get("logs")
    if not isinstance(logs, Mapping):
        return
    told = {name: value for name, value in logs.items() if isinstance(name, str)}
    number = int(state.global_step)
    trainer = session.trainer()
    if trainer is None or sessions.world_of(trainer)[0] == 0:
        record(session, number, told)
    at = session.evaluation if session.evaluation is not None else session.step
    if at is None:
        return
    is_of_step = session.evaluation is None and session.step_ended_ns is not None
    if is_of_step and session.step is not None:
        session.step.metrics({k: v for k, v in told.items() if k == "loss" or k not in _FIGURES})
        session.step.set(**{k: told[k] for k in ("grad_norm", "learning_rate") if told.get(k) is not None})
    elif session.evaluation is not None:
        session.evaluation.set({names.TRAIN_METRICS_PREFIX + k: v for k, v in told.items() if _is_number(v)})


def record(session: Session, number: int | None, figures: Mapping[str, Any]) -> None:
    """Keep figures with their step."""
    scalars = [(name, value, number) for name, value in step_series.scalars_of(dict(figures))]
    if scalars and session.run is not None:
        inherited = session.run.inherited
        step_series.record(
            scalars,
            source=SOURCE,
            attributes={
                key: inherited[key]
                for key in (names.RUN_ID, names.RUN_ATTEMPT, names.RANK)
                if key in inherited
            },
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


Event = Callable[[Session, Any, Mapping[str, Any]], None]

BEFORE: Final[Mapping[str, Event]] = {
    "on_step_begin": _step_begins,
    "on_optimizer_step": _optimizer_ended,
    "on_log": _logged,
    "on_train_end": lambda session, state, more: close_step(session),  # noqa: ARG005
}
"""What is done before the program's own callbacks have an event."""

AFTER: Final[Mapping[str, Event]] = {
    "on_pre_optimizer_step": _optimizer_begins,
    "on_step_end": _step_ended,
}
"""What is done after they have had it: their time counts for the step."""


class _Event:
    def __init__(self, act: Event, session: Session, state: Any, more: Mapping[str, Any]) -> None:
        self._told = act, session, state, more

    def done(self, result: Any) -> None:  # noqa: ARG002
        act, session, state, more = self._told
        act(session, state, more)

    def failed(self, error: BaseException) -> None:
        """Leave it: the run fails, and with it the step."""


def event(handler: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Event | None:
    """Take one event of a trainer's callbacks."""
    name = args[0] if args else kwargs.get("event")
    before, after = BEFORE.get(str(name)), AFTER.get(str(name))
    if before is None and after is None:
        return None
    session = sessions.of_part(handler)
    if session is None:
        return None
    state = args[2] if len(args) > 2 else kwargs.get("state")  # noqa: PLR2004 (event, args, state, control)
    if before is not None:
        before(session, state, kwargs)
    return None if after is None else _Event(after, session, state, kwargs)


# --- what follows a step --------------------------------------------------------------------------
class _Followed:
    """The trainer's method that logs, evaluates and saves after a step: then nothing more comes to the step."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def done(self, result: Any) -> None:  # noqa: ARG002
        if self._session.step_ended_ns is not None:
            close_step(self._session)

    def failed(self, error: BaseException) -> None:
        """Leave it to the run."""


def following(trainer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Followed | None:  # noqa: ARG001
    """Let the step wait for what is logged of it."""
    session = sessions.of(trainer)
    return None if session is None else _Followed(session)


class _Checkpoint(Named):
    def done(self, result: Any) -> None:
        super().done(result)
        self._lengthen()

    def failed(self, error: BaseException) -> None:
        super().failed(error)
        self._lengthen()

    def _lengthen(self) -> None:
        # A checkpoint belongs to its step, which is written when the trainer thinks that the step is over.
        if self.session.step_ended_ns is not None:
            self.session.step_ended_ns = time_ns()


def checkpoint(trainer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Part | None:  # noqa: ARG001
    """Record a checkpoint."""
    session = sessions.of(trainer)
    if session is None or session.step is None or "checkpoint" in session.going:
        return None
    return _Checkpoint(session, "checkpoint")


class Evaluation(Part):
    """An evaluation while it goes on."""

    __slots__ = ("_alone", "_before", "_began_ns", "_session")

    def __init__(self, session: Session, trainer: Any, alone: Run | None) -> None:
        self._session = session
        self._alone = alone
        self._before = session.evaluation, session.samples_of_step
        self._began_ns = time_ns()
        number = int(trainer.state.global_step)
        scope = evaluation_scope(number, parent=session.step or session.run)
        session.samples_of_step = 0
        session.evaluation = scope
        super().__init__(scope)

    def done(self, result: Any) -> None:
        """Take its metrics, and end it."""
        try:
            if isinstance(result, Mapping):
                told = {names.TRAIN_METRICS_PREFIX + str(k): v for k, v in result.items() if _is_number(v)}
                self.scope.set(told)
        finally:
            self._over()
            super().done(result)
            if self._alone is not None:
                self._alone.done(result)

    def failed(self, error: BaseException) -> None:
        """End it, failed."""
        self._over()
        super().failed(error)
        if self._alone is not None:
            self._alone.failed(error)

    def _over(self) -> None:
        session = self._session
        session.evaluation, session.samples_of_step = self._before
        if session.step is not None:
            session.step.spent("evaluation", time_ns() - self._began_ns)


def evaluate(trainer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Evaluation | None:  # noqa: ARG001
    """Record an evaluation: in a run, or as one of its own."""
    session = sessions.of(trainer)
    if session is not None:
        return None if session.evaluation is not None else Evaluation(session, trainer, None)
    session = sessions.begin(trainer)
    if session is None:
        return None
    try:
        alone = Run(session, trainer)
    except BaseException:
        sessions.end(session)
        raise
    return Evaluation(session, trainer, alone)
