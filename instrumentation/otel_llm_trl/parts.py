"""Parts of a step that are one method of a trainer: sampling, generation, log-probabilities, weights sent to vLLM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final

from otel_llm.training.loops import part
from otel_llm_trl import semconv as sc
from otel_llm_trl import sessions
from otel_llm_trl.sessions import Session


class Part:
    """A part of a step while the trainer's half of it runs.

    Attributes:
        scope: it is current.
    """

    __slots__ = ("scope",)

    def __init__(self, scope: Any) -> None:
        self.scope = scope
        scope.__enter__()

    def done(self, result: Any) -> None:  # noqa: ARG002 (what every half is told)
        """End it."""
        self.scope.__exit__(None, None, None)

    def failed(self, error: BaseException) -> None:
        """End it, failed."""
        self.scope.__exit__(type(error), error, error.__traceback__)


def around_of(session: Session) -> Any:
    """Return the scope that goes on: the evaluation's, else the step's; None for none."""
    return session.step if session.evaluation is None else session.evaluation


def goes_on(session: Session | None, name: str) -> bool:
    """Say whether a part of this name goes on: of a method that calls itself only the outermost call counts."""
    return session is not None and name in session.going


class Named(Part):
    """A part that a session knows of by its name."""

    __slots__ = ("_name", "session")

    def __init__(self, session: Session, name: str, **told: Any) -> None:
        super().__init__(part(name).set(told))
        self.session = session
        self._name = name
        session.going.add(name)

    def done(self, result: Any) -> None:
        """End it."""
        self.session.going.discard(self._name)
        super().done(result)

    def failed(self, error: BaseException) -> None:
        """End it, failed."""
        self.session.going.discard(self._name)
        super().failed(error)


def generation(trainer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Part | None:  # noqa: ARG001
    """Record one turn of generation, with whatever makes it."""
    session = sessions.of(trainer)
    if session is None or around_of(session) is None or goes_on(session, "generation"):
        return None
    return Named(session, "generation", **{sc.BACKEND: backend_of(trainer)})


def own_generation(trainer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Part | None:
    """Record a generation that a program's `rollout_func` does; others are seen turn by turn."""
    if getattr(trainer, "rollout_func", None) is None:
        return None
    return generation(trainer, args, kwargs)


def weight_sync(trainer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Part | None:  # noqa: ARG001
    """Record that weights are sent to vLLM."""
    session = sessions.of(trainer)
    if session is None or around_of(session) is None or goes_on(session, "weight_sync"):
        return None
    return Named(session, "weight_sync")


def logprobs(trainer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Record log-probabilities that are computed for scoring; those of a loss belong to the loss."""
    session = sessions.of(trainer)
    if session is None or goes_on(session, "logprobs"):
        return None
    if session.sampling is None:
        if session.settings.log_token_details and session.learning is not None:
            return session.learning.tokens()
        return None
    model = args[0] if args else kwargs.get("model")
    whose = "reference" if model is not None and model is getattr(trainer, "ref_model", None) else "policy"
    return Named(session, "logprobs", **{sc.LOGPROBS_OF: whose})


def backend_of(trainer: Any) -> str:
    """Return what generates: `rollout_func`, `vllm` or `transformers`."""
    if getattr(trainer, "rollout_func", None) is not None:
        return "rollout_func"
    return "vllm" if getattr(trainer, "use_vllm", False) else "transformers"


class Block:
    """A `with` block of the trainer's with a part of ours around it; in everything else it is the trainer's own.

    Args:
        block: the trainer's context manager.
        seam: what fails if ours does.
        open_part: starts the part when the block begins; None where there is nothing to record.
    """

    def __init__(self, block: Any, seam: Any, open_part: Callable[[], Part | None]) -> None:
        self._block = block
        self._seam = seam
        self._open = open_part
        self._part: Part | None = None

    def __enter__(self) -> Any:
        try:
            self._part = self._open() if self._seam.works else None
        except Exception:
            self._seam.broke()
        try:
            return self._block.__enter__()
        except BaseException as error:
            self._end(error)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        try:
            swallowed = self._block.__exit__(kind, error, traceback)
        except BaseException as raised:
            self._end(raised)
            raise
        self._end(error)
        return swallowed

    def _end(self, error: BaseException | None) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        try:
            if error is None:
                part.done(None)
            else:
                part.failed(error)
        except Exception:
            self._seam.broke()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._block, name)


GENERATING: Final = frozenset({"transformers.generate", "transformers.generate_batch", "vLLM.generate"})
"""What trainers call their blocks that generate."""

SYNCING: Final = "sync_weights"
