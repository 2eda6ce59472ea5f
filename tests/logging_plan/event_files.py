"""What TensorBoard's own reader finds in a directory."""

from __future__ import annotations

import warnings
from pathlib import Path


def scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Return per tag its steps and values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        found: dict[str, list[tuple[int, float]]] = {}
        for file in sorted(directory.glob("events.out.tfevents.*")):
            events = EventAccumulator(str(file), {"scalars": 0})
            events.Reload()
            for tag in events.Tags()["scalars"]:
                found.setdefault(tag, []).extend((event.step, event.value) for event in events.Scalars(tag))
    return found
