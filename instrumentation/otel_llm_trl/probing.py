"""Which seams there are: of trainers that ran, what they were found to have; before that, what the source says."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from otel_llm_trl.guarding import MISSING, UNSEEN

_SOURCES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "sampling": ("trl/trainer/grpo_trainer.py", ("_generate_and_score_completions",)),
    "generation": (
        "trl/trainer/grpo_trainer.py",
        ("_generate_single_turn", "_generate", "unwrap_model_for_generation"),
    ),
    "rewards": ("trl/trainer/grpo_trainer.py", ("_calculate_rewards",)),
    "reward functions": ("trl/trainer/grpo_trainer.py", ("profiling_context",)),
    "logprobs": (
        "trl/trainer/grpo_trainer.py",
        ("_get_per_token_logps_and_entropies", "_get_per_token_logps"),
    ),
    "tools": ("trl/trainer/grpo_trainer.py", ("_tool_call_loop",)),
    "weight sync": ("trl/trainer/grpo_trainer.py", ("_move_model_to_vllm", "profiling_context")),
    "run": ("transformers/trainer.py", ("train",)),
    "evaluation": ("transformers/trainer.py", ("evaluate",)),
    "loss": ("transformers/trainer.py", ("compute_loss",)),
    "checkpoint": ("transformers/trainer.py", ("_save_checkpoint",)),
    "figures": ("transformers/trainer.py", ("_maybe_log_save_evaluate",)),
    "step": ("transformers/trainer_callback.py", ("call_event",)),
    "backward": ("accelerate/accelerator.py", ("backward",)),
    "deepspeed": ("deepspeed/runtime/engine.py", ("step",)),
}
"""Where each seam is: any of the names will do."""


def states() -> dict[str, str]:
    """Return the state of each seam."""
    from otel_llm_trl.patching import SEAMS

    found: dict[str, str] = {}
    sources: dict[str, frozenset[str] | None] = {}
    for name, seam in SEAMS.items():
        state = seam.state
        if state == UNSEEN and name in _SOURCES:
            path, members = _SOURCES[name]
            if path not in sources:
                sources[path] = _names_in(path)
            there = sources[path]
            if there is None:
                state = f"{path.partition('/')[0]} is not installed"
            elif not any(member in there for member in members):
                state = f"{MISSING} in {path}"
        found[name] = state
    return found


def _names_in(path: str) -> frozenset[str] | None:
    """Return what a module of an installed package defines and imports by name; None where it is not installed."""
    package, _, rest = path.partition("/")
    try:
        spec = importlib.util.find_spec(package)  # of a package at the top, which does not import it
    except (ImportError, ValueError):
        return None
    places = None if spec is None else spec.submodule_search_locations
    for place in places or ():
        file = Path(place) / rest
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):
            continue
        return frozenset(
            name
            for node in ast.walk(tree)
            for name in (
                [node.name]
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                else [alias.asname or alias.name for alias in node.names]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        )
    return None
