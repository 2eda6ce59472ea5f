"""See every LLM call, game and training step, on OpenTelemetry.

    import otel_llm
    otel_llm.instrument()

This module defines nothing: it is the public face. Names are imported when they are first used, so that the
terminal and the store's readers do not pay for the SDK.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_llm.content import ContentPolicy
    from otel_llm.runtime import Handle, force_flush, instrument, shutdown, status
    from otel_llm.scopes import (
        current_scope,
        game,
        interaction,
        phase,
        reward,
        rollout,
        step,
        tool,
        training_run,
        turn,
    )
    from otel_llm.scoping import Scope
    from otel_llm.settings import Settings, SettingsError
    from otel_llm.version import VERSION as __version__  # noqa: N811 (the name that Python gives it)

__all__ = [
    "ContentPolicy",
    "Handle",
    "Scope",
    "Settings",
    "SettingsError",
    "__version__",
    "current_scope",
    "force_flush",
    "game",
    "instrument",
    "interaction",
    "phase",
    "reward",
    "rollout",
    "shutdown",
    "status",
    "step",
    "tool",
    "training_run",
    "turn",
]

_HOME = {
    "ContentPolicy": ("content", "ContentPolicy"),
    "Handle": ("runtime", "Handle"),
    "Scope": ("scoping", "Scope"),
    "Settings": ("settings", "Settings"),
    "SettingsError": ("settings", "SettingsError"),
    "__version__": ("version", "VERSION"),
    "current_scope": ("scopes", "current_scope"),
    "game": ("scopes", "game"),
    "interaction": ("scopes", "interaction"),
    "phase": ("scopes", "phase"),
    "reward": ("scopes", "reward"),
    "rollout": ("scopes", "rollout"),
    "step": ("scopes", "step"),
    "tool": ("scopes", "tool"),
    "training_run": ("scopes", "training_run"),
    "turn": ("scopes", "turn"),
    "force_flush": ("runtime", "force_flush"),
    "instrument": ("runtime", "instrument"),
    "shutdown": ("runtime", "shutdown"),
    "status": ("runtime", "status"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOME[name]
    value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), attribute)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
