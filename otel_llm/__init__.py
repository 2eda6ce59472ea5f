"""See every LLM call, game and training step, on OpenTelemetry.

    import otel_llm
    otel_llm.instrument()

This module defines nothing: it is the public face. Names are imported when they are first used, so that the
terminal and the store's readers do not pay for the SDK.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_llm.analysers import add_analyser
    from otel_llm.analysis.training import read_rollouts, read_runs, read_steps
    from otel_llm.content import ContentPolicy
    from otel_llm.custom_metrics import define_metric
    from otel_llm.hooks import Record, on_end, on_start
    from otel_llm.interactions import LLMInteraction, LLMSession, read_interactions, read_sessions
    from otel_llm.manual import (
        LLMLogger,
        initialize_llm_logging,
        log_bulk_interactions,
        log_consolidation,
        log_diary,
        log_grpo_response,
        log_grpo_training_response,
        log_initialization,
        log_interaction,
        log_negotiation,
        log_order_generation,
        log_planning,
        log_session_end,
        log_session_start,
        log_state_update,
    )
    from otel_llm.runtime import Handle, force_flush, instrument, shutdown, status
    from otel_llm.scopes import (
        current_scope,
        game,
        interaction,
        phase,
        reward,
        tool,
        turn,
    )
    from otel_llm.scoping import Scope
    from otel_llm.settings import Settings, SettingsError
    from otel_llm.text_analysis import text_features
    from otel_llm.totals import Totals
    from otel_llm.training.figures import TrainingMetrics, log_metrics, merge_ranks
    from otel_llm.training.loops import (
        evaluation,
        loss,
        part,
        rollout,
        step,
        steps,
        training_run,
    )
    from otel_llm.training.sampled import rollouts
    from otel_llm.version import VERSION as __version__  # noqa: N811 (the name that Python gives it)
    from otel_llm.views.defining import define_table
    from otel_llm.wrapping import logged_interaction, run_llm_and_log

__all__ = [
    "ContentPolicy",
    "Handle",
    "LLMInteraction",
    "LLMLogger",
    "LLMSession",
    "Record",
    "Scope",
    "Settings",
    "SettingsError",
    "Totals",
    "TrainingMetrics",
    "__version__",
    "add_analyser",
    "current_scope",
    "define_metric",
    "define_table",
    "evaluation",
    "force_flush",
    "game",
    "initialize_llm_logging",
    "instrument",
    "interaction",
    "log_bulk_interactions",
    "log_consolidation",
    "log_diary",
    "log_grpo_response",
    "log_grpo_training_response",
    "log_initialization",
    "log_interaction",
    "log_metrics",
    "log_negotiation",
    "log_order_generation",
    "log_planning",
    "log_session_end",
    "log_session_start",
    "log_state_update",
    "logged_interaction",
    "loss",
    "merge_ranks",
    "on_end",
    "on_start",
    "part",
    "phase",
    "read_interactions",
    "read_rollouts",
    "read_runs",
    "read_sessions",
    "read_steps",
    "reward",
    "rollout",
    "rollouts",
    "run_llm_and_log",
    "shutdown",
    "status",
    "step",
    "steps",
    "text_features",
    "tool",
    "training_run",
    "turn",
]

_HOME = {
    "ContentPolicy": ("content", "ContentPolicy"),
    "Handle": ("runtime", "Handle"),
    "Record": ("hooks", "Record"),
    "Scope": ("scoping", "Scope"),
    "Settings": ("settings", "Settings"),
    "SettingsError": ("settings", "SettingsError"),
    "Totals": ("totals", "Totals"),
    "TrainingMetrics": ("training.figures", "TrainingMetrics"),
    "log_metrics": ("training.figures", "log_metrics"),
    "merge_ranks": ("training.figures", "merge_ranks"),
    "__version__": ("version", "VERSION"),
    "add_analyser": ("analysers", "add_analyser"),
    "current_scope": ("scopes", "current_scope"),
    "define_metric": ("custom_metrics", "define_metric"),
    "define_table": ("views.defining", "define_table"),
    "game": ("scopes", "game"),
    "interaction": ("scopes", "interaction"),
    "on_end": ("hooks", "on_end"),
    "on_start": ("hooks", "on_start"),
    "phase": ("scopes", "phase"),
    "reward": ("scopes", "reward"),
    "text_features": ("text_analysis", "text_features"),
    "tool": ("scopes", "tool"),
    "evaluation": ("training.loops", "evaluation"),
    "loss": ("training.loops", "loss"),
    "part": ("training.loops", "part"),
    "rollout": ("training.loops", "rollout"),
    "rollouts": ("training.sampled", "rollouts"),
    "step": ("training.loops", "step"),
    "steps": ("training.loops", "steps"),
    "training_run": ("training.loops", "training_run"),
    "turn": ("scopes", "turn"),
    "force_flush": ("runtime", "force_flush"),
    "instrument": ("runtime", "instrument"),
    "shutdown": ("runtime", "shutdown"),
    "status": ("runtime", "status"),
    "LLMLogger": ("manual", "LLMLogger"),
    "initialize_llm_logging": ("manual", "initialize_llm_logging"),
    "log_bulk_interactions": ("manual", "log_bulk_interactions"),
    "log_consolidation": ("manual", "log_consolidation"),
    "log_diary": ("manual", "log_diary"),
    "log_grpo_response": ("manual", "log_grpo_response"),
    "log_grpo_training_response": ("manual", "log_grpo_training_response"),
    "log_initialization": ("manual", "log_initialization"),
    "log_interaction": ("manual", "log_interaction"),
    "log_negotiation": ("manual", "log_negotiation"),
    "log_order_generation": ("manual", "log_order_generation"),
    "log_planning": ("manual", "log_planning"),
    "log_session_end": ("manual", "log_session_end"),
    "log_session_start": ("manual", "log_session_start"),
    "log_state_update": ("manual", "log_state_update"),
    "LLMInteraction": ("interactions", "LLMInteraction"),
    "LLMSession": ("interactions", "LLMSession"),
    "read_interactions": ("interactions", "read_interactions"),
    "read_sessions": ("interactions", "read_sessions"),
    "read_rollouts": ("analysis.training", "read_rollouts"),
    "read_runs": ("analysis.training", "read_runs"),
    "read_steps": ("analysis.training", "read_steps"),
    "logged_interaction": ("wrapping", "logged_interaction"),
    "run_llm_and_log": ("wrapping", "run_llm_and_log"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOME[name]
    value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), attribute)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
