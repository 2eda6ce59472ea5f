"""What was asked and answered, as the store and views want it; all of it on the worker, by the content policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otel_llm.closing import Said
from otel_llm.content import dumps
from otel_llm.message_shapes import conventional
from otel_llm_trl.settings import TRLSettings

if TYPE_CHECKING:
    from otel_llm.training.batches import RolloutBatch
    from otel_llm_trl.sampling import Sampling

_OWN_COLUMNS = frozenset({"prompt", "completion", "completion_ids"})


def give(batch: RolloutBatch, settings: TRLSettings, sampling: Sampling) -> None:
    """Give a batch its prompts, completions, and the rest of the dataset's rows."""
    if not settings.log_full_trajectories:
        return
    prompts, answers, rows = sampling.prompts, sampling.completions, sampling.rows
    batch.texts(
        lambda: [said(one) for one in prompts],
        lambda: [said(one) for one in answers],
        most=settings.log_trajectory_samples or None,
    )
    batch.tasks(lambda: [task(row) for row in rows])


def ends_of(trainer: Any) -> frozenset[int]:
    """Return the tokens that end a completion; none where the trainer does not tell."""
    found: set[int] = set()
    tokenizer = getattr(trainer, "_tokenizer", None) or getattr(trainer, "processing_class", None)
    for owner in (trainer, tokenizer):
        for name in ("eos_token_ids", "eos_token_id", "pad_token_id"):
            value = getattr(owner, name, None)
            if isinstance(value, int):
                found.add(value)
            elif isinstance(value, list | tuple | set):
                found.update(one for one in value if isinstance(one, int))
    return frozenset(found)


def turns_of(answers: Sequence[Any]) -> list[int] | None:
    """Return how many turns the model had in each completion; None where completions are texts."""
    if not answers or not isinstance(answers[0], list):
        return None
    return [
        sum(1 for message in one if isinstance(message, Mapping) and message.get("role") == "assistant")
        for one in answers
    ]


def task(row: Any) -> str | None:
    """Return the rest of a dataset's row, as JSON; None where there is none."""
    if not isinstance(row, Mapping):
        return None
    rest = {str(key): value for key, value in row.items() if key not in _OWN_COLUMNS}
    return dumps(rest) if rest else None


def said(value: Any) -> Any:
    """Return a text, or messages in the shape of the GenAI conventions: with tool calls and their answers."""
    if isinstance(value, str) or value is None:
        return value
    if not isinstance(value, list):
        return str(value)
    return Said(dumps([conventional(one) for one in value]))
