"""The process's environment as W&B is to see it, while one call of it runs; put back right after.

W&B's core is a process that inherits the environment, and both it and the library send figures about themselves to the
W&B server with OpenTelemetry, which reads `OTEL_EXPORTER_OTLP_HEADERS`: the key of somebody's tracing backend would go
there. And staged artifacts go below `WANDB_DATA_DIR`, by default the user's home, where `wandb sync` finds nothing once a
throw-away machine is gone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

DATA_DIR: Final = "WANDB_DATA_DIR"
_RANKS: Final = {
    "RANK": "WORLD_SIZE",
    "OMPI_COMM_WORLD_RANK": "OMPI_COMM_WORLD_SIZE",
    "PMI_RANK": "PMI_SIZE",
    "SLURM_PROCID": "SLURM_NTASKS",
}
"""Variables of launchers, which set both; one alone is somebody's own."""

_lock = threading.RLock()


@contextmanager
def replaced(name: str | None, value: str | None) -> Iterator[None]:
    """Set one variable for the duration of a short call; `name` None changes nothing."""
    if name is None or value is None:
        yield
        return
    with _lock:
        before = os.environ.get(name)
        os.environ[name] = value
        try:
            yield
        finally:
            if os.environ.get(name) == value:  # the program may have set it meanwhile
                if before is None:
                    del os.environ[name]
                else:
                    os.environ[name] = before


@contextmanager
def staging_in(directory: Path | None) -> Iterator[None]:
    """Have artifacts staged below `directory`, unless the program says where; None: as it is."""
    if directory is None or DATA_DIR in os.environ:
        yield
        return
    with replaced(DATA_DIR, str(directory)):
        yield


def has_secret_headers() -> bool:
    """Say whether OpenTelemetry's exporters get headers by the environment."""
    return any(name.startswith("OTEL_EXPORTER_OTLP") and name.endswith("HEADERS") for name in os.environ)


def rank_here() -> int:
    """Return the rank of this process in a distributed job; 0 for the first one, and where there is no such job."""
    for name, size in _RANKS.items():
        if (text := os.environ.get(name, "")).isdigit() and size in os.environ:
            return int(text)
    return 0


def silence_own_telemetry() -> None:
    """Keep W&B's library from building exporters of its own, which would read those headers.

    It builds them lazily, in any thread; so it is told that its telemetry is off, in this process. Versions before 0.31
    have none.
    """
    if not has_secret_headers():
        return
    try:
        from wandb.analytics.opentelemetry import opentelemetry_proxy
    except ImportError:
        return
    opentelemetry_proxy.disable()


def after_fork_in_child() -> None:
    """Forget a lock that another thread of the parent may have held."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork_in_child)
