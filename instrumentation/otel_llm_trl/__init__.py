"""Training with TRL and every other Hugging Face trainer: from the loss back to the rollouts, on every rank.

Installed by `otel_llm.instrument()`; nothing is imported for it. GRPO and RLOO are recorded in full: steps over all
ranks, generation, rewards by function, rollouts with their advantages, losses linked to exactly the rollouts they
learned from. Other trainers have runs, steps, losses, optimizer steps, evaluations, checkpoints and metrics.

What a release of TRL does not have is left out, seam by seam: `seams()` says what works.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otel_llm_trl.settings import TRLSettings, add_arguments, configure

if TYPE_CHECKING:
    from otel_llm_trl.trainers import EnhancedGRPOTrainer

__all__ = ["EnhancedGRPOTrainer", "TRLInstrumentor", "TRLSettings", "add_arguments", "configure", "seams"]


class TRLInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Registers post-import hooks for transformers and accelerate; never raises, and imports nothing of theirs."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Nothing has to be installed: a trainer that is never imported is never patched."""
        return ()

    def _instrument(self, **_: Any) -> None:
        from otel_llm_trl import patching

        patching.install()

    def _uninstrument(self, **_: Any) -> None:
        from otel_llm_trl import patching

        patching.remove()

    def seams(self) -> dict[str, str]:
        """Return per seam whether it works; see `seams`."""
        return {f"trl: {name}": state for name, state in seams().items()}


def seams() -> dict[str, str]:
    """Return what is recorded of training, by name: `active`, `missing: …`, `failed: …`, `not used yet`.

    Before any trainer has run, the source of the TRL that is installed is looked at; it is not imported.
    """
    from otel_llm_trl import probing

    return probing.states()


def __getattr__(name: str) -> Any:
    if name == "EnhancedGRPOTrainer":
        from otel_llm_trl.trainers import EnhancedGRPOTrainer

        return EnhancedGRPOTrainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
