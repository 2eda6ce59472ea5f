"""The manual functions: one method for each type of interaction, sessions, and many records at once.

A program may give any value anywhere: nothing here raises. What is understood of it is in `given`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields as fields_of
from dataclasses import is_dataclass
from time import time_ns
from typing import Any, Final

from otel_llm import drops, fields, recording, runtime
from otel_llm import semconv as sc
from otel_llm.manual.functions import InteractionLog
from otel_llm.manual.given import moment_ns, name_of, understand
from otel_llm.manual.recording import record
from otel_llm.manual.sessions import sessions
from otel_llm.recording import Recorder
from otel_llm.settings import SettingsError

DEFAULT_PROJECT: Final = "diplomacy-llm-interactions"

_BULK: Final = 10_000
"""Records that are put in order and handed over at a time."""
_BULK_STEP: Final = 500
_BULK_WAITING: Final = 10_000
"""When so many items wait in the queue, bulk logging helps to finish them before it goes on."""
_DRAIN_S: Final = 5.0
_SET_UP_S: Final = 10.0
_READ_BACK: Final = frozenset({"trace_id", "span_id"})
"""Of an interaction that was read back: where it was. Recorded anew, it is elsewhere."""


class LLMLogger(InteractionLog):
    """Logs what the program tells of itself. There is one a process: `initialize_llm_logging` gives it.

    The arguments of its methods are explained at `InteractionLog`. None of them raises.

    Attributes:
        enabled: whether anything is recorded.
        project_name: for exporters that have projects.
        entity: for exporters that have teams; None for their default.
    """

    def __init__(self) -> None:
        self.enabled = True
        self.project_name = DEFAULT_PROJECT
        self.entity: str | None = None
        self._tried = False
        self._inside = False
        self._setting_up = threading.RLock()

    def __repr__(self) -> str:
        state = "enabled" if self.enabled else "disabled"
        return f"<LLMLogger {state} project={self.project_name!r} entity={self.entity!r}>"

    def log(self, kind: str, told: Mapping[str, Any]) -> str | None:
        """Record an interaction; see `InteractionLog.log`."""
        try:
            recorder = self._recorder()
            return None if recorder is None else record(understand(kind, told), recorder)
        except Exception:
            drops.internal_error(f"logging an interaction ({kind})")
            return None

    def log_bulk_interactions(self, interactions: Any = ()) -> int:
        """Log many interactions, such as those of a finished batch or of another program's file.

        They are put into the order of their start, game by game their phases follow one another, and they count in
        the same totals and metrics as those logged one by one. Works in pieces: any number is fine.

        Args:
            interactions: each an `LLMInteraction`, a mapping by the names of its fields (`prompt`, `response` and
                `**more` of the class too), or another dataclass with such fields. One without a `timestamp` ended
                now.

        Returns:
            How many were recorded; what is none of these is left out and warned of.
        """
        try:
            recorder = self._recorder()
            if recorder is None:
                return 0
            n = 0
            for piece in _pieces(interactions):
                told_of = [understand("interaction", values) for values in piece]
                for told in sorted(told_of, key=lambda told: told.start_ns):
                    record(told, recorder)
                    n += 1
                    if n % _BULK_STEP == 0 and recorder.finisher.waiting > _BULK_WAITING:
                        recorder.finisher.drain(_DRAIN_S)
            drops.logger.debug("recorded %d interactions at once", n)
            return n
        except Exception:
            drops.internal_error("log_bulk_interactions")
            return 0

    # --- sessions -----------------------------------------------------------------------------------
    def log_session_start(
        self, game_id: Any = None, is_grpo_training: Any = None, grpo_episode: Any = None, **config: Any
    ) -> str | None:
        """Begin a game. A game that is open already goes on, and is told the configuration.

        Args:
            game_id: the game; default: a new id.
            is_grpo_training: whether it is played to train on.
            grpo_episode: number of the training episode.
            **config: `name` (the kind of game), `players` (powers, or a mapping from power to model), `timestamp`
                (when it began, seconds since the epoch; default: now), and the program's own.

        Returns:
            Its id, without secrets; None where nothing is recorded.
        """
        try:
            recorder = self._recorder()
            if recorder is None:
                return None
            told, at_ns = _of_a_game(config)
            told = {"training": is_grpo_training, "episode": grpo_episode, **told}
            return sessions.begin(recorder, name_of(game_id) if game_id is not None else None, at_ns, told)
        except Exception:
            drops.internal_error("log_session_start")
            return None

    def log_session_end(self, game_id: Any = None, **figures: Any) -> str | None:
        """End a game: its span ends, with the totals of all that was recorded in it.

        Args:
            game_id: the game; default: the current one.
            **figures: `status` (`completed`, `unfinished` …), `outcome` (`solo`, `draw` …), `winners`, `reward`,
                `supply_centers` and `units` (by power), `timestamp` (when it ended), and the program's own.

        Returns:
            Its id, without secrets; None where no such game is open.
        """
        try:
            recorder = self._recorder()
            if recorder is None:
                return None
            told, at_ns = _of_a_game(figures)
            ended = sessions.end(
                recorder,
                name_of(game_id) if game_id is not None else None,
                at_ns if figures.get("timestamp") is not None else None,
                told,
            )
            if ended is None:
                drops.count("session", "not_open")
                drops.warn_once("session-end", "log_session_end: no such game is open; nothing is recorded")
            else:
                drops.logger.debug("session ended: game %s", ended)
            return ended
        except Exception:
            drops.internal_error("log_session_end")
            return None

    # --- whether anything is recorded ---------------------------------------------------------------
    def configure(self, project_name: Any = None, entity: Any = None, enabled: Any = True) -> None:
        """Set what `initialize_llm_logging` was given. Never raises."""
        try:
            self.enabled = True if enabled is None else fields.flag(enabled)
        except Exception:
            self.enabled = True
            drops.warn_once("enabled", "initialize_llm_logging: enabled is neither true nor false; it is on")
        project = _text(project_name) or os.environ.get("WANDB_PROJECT", "").strip()
        self.project_name = project or DEFAULT_PROJECT
        self.entity = _text(entity) or os.environ.get("WANDB_ENTITY", "").strip() or None
        named = {sc.PROJECT_NAME: project, sc.PROJECT_ENTITY: self.entity}
        sessions.game_attributes = {key: value for key, value in named.items() if value}
        if self.enabled:
            self._instrument()

    def _recorder(self) -> Recorder | None:
        """Return what records now; instrument this process where nobody has, once."""
        if not self.enabled:
            return None
        if recording.active is None:
            if not self._tried and self._setting_up.acquire(timeout=_SET_UP_S):
                try:
                    # Whoever came first has set it up meanwhile, or is this very thread, setting it up.
                    if not self._tried and not self._inside:
                        self.configure()
                finally:
                    self._setting_up.release()
            if recording.active is None:
                drops.count("interaction", "not_instrumented")
                drops.warn_once(
                    "manual-off", "otel_llm is off: interactions that are logged are not recorded"
                )
        return recording.active

    def _instrument(self) -> None:
        with self._setting_up:
            self._inside = True
            try:
                if recording.active is None:
                    runtime.instrument()
            except SettingsError as error:
                drops.logger.error("otel_llm is off: %s", error)
            except Exception:
                drops.internal_error("initialize_llm_logging")
            finally:
                self._tried = True
                self._inside = False


def _of_a_game(figures: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the fields of a game, and the moment that was given, else now."""
    told = {name: value for name, value in figures.items() if value is not None}
    moment = told.pop("timestamp", None)
    models = told.get("models")
    if isinstance(models, Mapping) and "players" not in told:
        told["players"] = told.pop("models")
    told["name"] = _text(told.get("name"))
    at_ns = time_ns()
    if moment is not None:
        try:
            at_ns = moment_ns(moment)
        except Exception:
            drops.warn_once(
                "unusable:timestamp", "the value given for timestamp cannot be used, and is left out"
            )
    return told, at_ns


def _pieces(interactions: Any) -> Iterator[list[Mapping[str, Any]]]:
    """Iterate over records, some thousands at a time; what came before a failure of the program's iterable is kept."""
    if isinstance(interactions, Mapping) or not isinstance(interactions, Iterable):
        interactions = [interactions]
    piece: list[Mapping[str, Any]] = []
    try:
        for item in interactions:
            if (found := _record(item)) is not None:
                piece.append(found)
            if len(piece) >= _BULK:
                yield piece
                piece = []
    except Exception as error:
        drops.warn_once(
            "bulk-read",
            "log_bulk_interactions could not read all it was given (%s); what came before is recorded",
            type(error).__name__,
        )
    if piece:
        yield piece


def _record(item: Any) -> Mapping[str, Any] | None:
    if isinstance(item, Mapping):
        return item
    if is_dataclass(item) and not isinstance(item, type):
        return {f.name: getattr(item, f.name, None) for f in fields_of(item) if f.name not in _READ_BACK}
    drops.count("interaction", "no_record")
    drops.warn_once(
        "bulk", "log_bulk_interactions takes interactions and mappings; a %s is left out", type(item).__name__
    )
    return None


def _text(value: Any) -> str | None:
    try:
        return None if value is None else name_of(value)
    except Exception:
        return None


process_logger: Final = LLMLogger()
"""The logger of this process."""


def initialize_llm_logging(
    project_name: str | None = None, entity: str | None = None, enabled: bool = True
) -> LLMLogger:
    """Switch the logging of interactions on or off for this process.

    Instruments the process (`otel_llm.instrument()`) where nobody has; settings come from the environment then, as
    `OTEL_LLM_CONTENT`. Not calling it at all is the same as calling it without arguments before the first record.
    Never raises.

    Args:
        project_name: for exporters that have projects; default: `WANDB_PROJECT`, else `diplomacy-llm-interactions`.
        entity: for exporters that have teams; default: `WANDB_ENTITY`, else theirs.
        enabled: False instruments nothing, and from now on the manual functions and the decorator record nothing.
            What `otel_llm.instrument()` has set up stays.

    Returns:
        The process's logger; its methods are the manual functions.
    """
    try:
        process_logger.configure(project_name, entity, enabled)
    except Exception:
        drops.internal_error("initialize_llm_logging")
    return process_logger
