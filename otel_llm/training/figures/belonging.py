"""What a metric belongs to: the run and the step of the scope around it, and the rank of this process."""

from __future__ import annotations

import os
from typing import Final

from otel_llm import semconv as sc
from otel_llm.llm import AttributeValue
from otel_llm.scoping import current_scope
from otel_llm.training.place import Place, find_place, process_group

_HANDED: Final = (sc.RUN_ID, sc.RUN_ATTEMPT, sc.RANK)
_places: dict[bool, Place] = {}


def place() -> Place:
    """Return where this process is; looked up once, and again when the program starts its process group."""
    is_grouped = process_group() is not None
    found = _places.get(is_grouped)
    if found is None:
        found = _places[is_grouped] = find_place()
    return found


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_places.clear)  # a forked child may be told another rank


def belonging(run: str | None = None) -> tuple[dict[str, AttributeValue], int | None]:
    """Return run, attempt and rank as attributes, and the number of the current step, None outside any.

    Args:
        run: the run's id; default: that of the current scope.
    """
    scope = current_scope()
    handed = {} if scope is None else scope.inherited
    told: dict[str, AttributeValue] = {key: handed[key] for key in _HANDED if key in handed}
    if run is not None:
        told[sc.RUN_ID] = run
    if sc.RANK not in told:
        told[sc.RANK] = place().rank
    step = handed.get(sc.TRAIN_STEP)
    return told, step if isinstance(step, int) else None
