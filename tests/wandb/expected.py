"""What a run has to hold: the store's content through the shared views, written down by a sink that only collects."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from otel_llm.store import StoreReader
from otel_llm.views.model import Batch, Scalar, Sink
from otel_llm.views.replaying import Replay, Wanted
from otel_llm_wandb.outbox import ROW
from tests.wandb.offline import OfflineRun


class Collecting(Sink):
    name = book = "collecting"

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.scalars: list[Scalar] = []
        self.config: dict[str, Any] = {}
        self.artifacts: dict[str, dict[str, bytes]] = {}

    def write(self, batch: Batch) -> bool:
        for rows in batch.tables:
            self.rows.setdefault(rows.table, []).extend(
                dict(zip(rows.names, cells, strict=True)) for cells in rows.cells
            )
        self.scalars += batch.scalars
        self.config |= batch.config
        for artifact in batch.artifacts:
            self.artifacts[artifact.name] = dict(artifact.files())
        batch.settle()
        return True


class _NoBook:
    def delivered(self, sink: str, spans: Any) -> None: ...

    def flush(self, timeout_s: float) -> bool:
        return True


def of_store(store: Path) -> Collecting:
    sink = Collecting()
    Replay(store, sink, _NoBook(), Wanted(everything=True)).once()
    return sink


def identity(row: dict[str, Any]) -> tuple[Any, ...]:
    """A row without order: its filled cells."""
    return tuple(sorted((name, repr(value)) for name, value in row.items() if value is not None))


def assert_equal(store: Path, runs: list[OfflineRun], *, artifacts: bool = True) -> Collecting:
    """Every row, curve, artifact and fact of the store is in the runs' directories, once, and nothing else is."""
    wanted = of_store(store)
    tables = {
        key.removesuffix("_all") for run in runs for row in run.history for key in row if _is_table(row[key])
    }
    assert tables == set(wanted.rows), (tables, set(wanted.rows))
    for table, rows in wanted.rows.items():
        found = Counter(identity(row) for run in runs for row in run.rows(table))
        assert found == Counter(map(identity, rows)), table
    curves: Counter[tuple[Any, ...]] = Counter()
    for scalar in wanted.scalars:
        step = (
            (scalar.step_field, scalar.step)
            if scalar.step is not None
            else ("otel_llm/time", scalar.time_ns / 1e9)
        )
        curves[scalar.name, step, scalar.value] += 1
    for (name, (field, step), value), times in curves.items():
        found_values = [v for run in runs for s, v in run.curve(name, field) if s == step]
        assert found_values.count(value) == times, (name, field, step, value)
    config = {key: value for run in runs for key, value in run.config.items()}
    for key in wanted.config.keys() - {"service.instance.id"}:  # each process has its own
        assert config[key] == wanted.config[key]
    for name, files in wanted.artifacts.items() if artifacts else ():  # online they are not in the file
        versions = [one for run in runs for one in run.artifacts if one["name"] == name]
        assert len(versions) == 1, [[p.read_bytes() for p in one["files"].values()] for one in versions]
        assert {path: local.read_bytes() for path, local in versions[0]["files"].items()} == files
    numbers = [row[ROW] for run in runs for row in run.history if ROW in row]
    assert numbers == sorted(set(numbers)), "a row twice, or out of order"
    # The series themselves, past the views: as the store has them.
    series = Counter((row.name, row.step, row.value) for row in StoreReader(store).series())
    assert sum(series.values()) == sum(n for (_, (_, step), _), n in curves.items() if isinstance(step, int))
    return wanted


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("_type", "")).endswith("table-file")
