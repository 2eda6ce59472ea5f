"""Reads the directory of a W&B run, without W&B's core and without anything of ours: what really is in the file.

The file `run-<id>.wandb`: seven bytes of header, then LevelDB's log format (blocks of 32 KiB; each fragment with crc32,
length and type before it), in it records of W&B's protobuf.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAGIC = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
BLOCK = 32768


def payloads(data: bytes, *, torn: bool = False) -> Iterator[bytes]:
    """Yield the records of a file; with `torn` up to where it is cut off, else a cut is an error."""
    assert data.startswith(MAGIC), data[:7]
    at, parts = len(MAGIC), []
    while at < len(data):
        left = BLOCK - at % BLOCK
        header = data[at : at + 7]
        if left < 7 or not any(header):
            at += left
            continue
        if len(header) < 7:
            assert torn, "cut off in a header"
            return
        crc, length, kind = struct.unpack("<IHB", header)
        body = data[at + 7 : at + 7 + length]
        if len(body) < length:
            assert torn, "cut off in a fragment"
            return
        assert zlib.crc32(bytes([kind]) + body) == crc, f"checksum at {at}"
        at += 7 + length
        assert kind in {1, 2, 3, 4}
        parts.append(body)
        if kind in {1, 4}:
            yield b"".join(parts)
            parts = []
    assert torn or not parts


@dataclass
class OfflineRun:
    """What one directory holds."""

    directory: Path
    run: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None

    @classmethod
    def load(cls, directory: Path, *, torn: bool = False) -> OfflineRun:
        from wandb.proto import wandb_internal_pb2

        (path,) = directory.glob("run-*.wandb")
        made = cls(directory)
        for payload in payloads(path.read_bytes(), torn=torn):
            record = wandb_internal_pb2.Record.FromString(payload)
            take = getattr(made, f"_take_{record.WhichOneof('record_type')}", None)
            if take is not None:
                take(getattr(record, record.WhichOneof("record_type")))
        return made

    def _take_run(self, run: Any) -> None:
        self.run = {
            "id": run.run_id,
            "project": run.project,
            "entity": run.entity,
            "group": run.run_group,
            "job_type": run.job_type,
            "name": run.display_name,
            "tags": list(run.tags),
        }
        self._take_config(run.config)

    def _take_config(self, config: Any) -> None:
        for item in config.update:
            _put(self.config, item)

    def _take_history(self, history: Any) -> None:
        row: dict[str, Any] = {"_step": history.step.num}
        for item in history.item:
            _put(row, item)
        self.history.append(row)

    def _take_summary(self, summary: Any) -> None:
        for item in summary.update:
            _put(self.summary, item)

    def _take_metric(self, metric: Any) -> None:
        self.metrics[metric.name or metric.glob_name] = {
            "step": metric.step_metric,
            "sync": metric.options.step_sync,
            "hidden": metric.options.hidden,
        }

    def _take_artifact(self, artifact: Any) -> None:
        files = {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
        self.artifacts.append(
            {
                "name": artifact.name,
                "type": artifact.type,
                "aliases": list(artifact.aliases),
                "metadata": json.loads(artifact.metadata or "null"),
                "files": files,
            }
        )

    def _take_exit(self, end: Any) -> None:
        self.exit_code = end.exit_code

    # --- what people see --------------------------------------------------------------------------

    def rows(self, key: str) -> list[dict[str, Any]]:
        """The rows of a table, all versions one after the other."""
        made = []
        for row in self.history:
            value = row.get(key)
            if isinstance(value, dict) and value.get("_type") in {"table-file", "incremental-table-file"}:
                content = (self.directory / "files" / value["path"]).read_bytes()
                assert hashlib.sha256(content).hexdigest() == value["sha256"]
                table = json.loads(content)
                assert len(table["data"]) == value["nrows"] or value["_type"] == "incremental-table-file"
                made += [dict(zip(table["columns"], cells, strict=True)) for cells in table["data"]]
        return made

    def curve(self, name: str, step: str) -> list[tuple[Any, Any]]:
        """`(step, value)` of a curve, in the order in which it was logged."""
        return [(row[step], row[name]) for row in self.history if name in row and step in row]

    def artifact(self, name: str) -> dict[str, bytes]:
        """The files of the last version of an artifact."""
        (*_, last) = [one for one in self.artifacts if one["name"] == name]
        return {path: local.read_bytes() for path, local in last["files"].items()}


def _put(there: dict[str, Any], item: Any) -> None:
    """Set one value; W&B writes those of a mapping one by one, each with its path."""
    *path, last = list(item.nested_key) or [item.key]
    for name in path:
        there = there.setdefault(name, {})
    there[last] = json.loads(item.value_json)


def runs(base: Path, *, torn: bool = False) -> list[OfflineRun]:
    """All run directories below a directory, in the order in which they were begun."""
    found = [path for path in (base / "wandb").glob("*run-*") if path.is_dir() and not path.is_symlink()]
    found.sort(key=lambda path: path.name.partition("run-")[2])
    return [OfflineRun.load(path, torn=torn) for path in found]
