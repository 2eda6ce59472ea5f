"""Reads the file that W&B's core keeps of a run (`run-<id>.wandb`): how far our rows have come, and which artifacts are in.

The file is a log in LevelDB's format (crc32, length and type before each fragment, blocks of 32 KiB) behind a header of
seven bytes; a record is a `wandb_internal.Record`. It is the one thing that survives W&B's core, and what `wandb sync`
uploads. It may be read while it is written: what is not complete yet is read next time.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from otel_llm_wandb.outbox import ROW

_HEADER: Final = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
_BLOCK: Final = 32 << 10
_FRAGMENT: Final = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_ROW: Final = ROW.encode()
_HISTORY, _ARTIFACT = 2, 8
"""Numbers of fields of `wandb_internal.Record`."""

_READ: Final = 4 << 20


@dataclass(slots=True)
class Contents:
    """What of ours is in a run's file.

    Attributes:
        last_row: the highest number of a row of ours; 0 for none.
        last_step: the highest step of a row of anybody's, as W&B counts rows; -1 for none. Only of a thorough reading.
        artifacts: `(name, digest)` of the artifacts of the run, W&B's own tables included.
    """

    last_row: int = 0
    last_step: int = -1
    artifacts: set[tuple[str, str]] = field(default_factory=set)


class DataFile:
    """A run's file, read from where the last reading ended.

    Args:
        path: the file; it need not be there yet.
        thorough: look at every row, not only at ours.
    """

    def __init__(self, path: Path, *, thorough: bool = False) -> None:
        self.path = path
        self._thorough = thorough
        self._offset = 0
        self._parts: list[bytes] = []
        self.contents = Contents()

    def read(self) -> Contents:
        """Read what has been added and return what is known of the file. Never raises.

        A file that is not there, or is torn, counts as far as it can be read.
        """
        try:
            for payload in self._payloads():
                self._take(payload)
        except (OSError, ValueError, IndexError, struct.error):
            pass  # what was read before counts
        return self.contents

    def _take(self, payload: bytes) -> None:
        kind = _kind(payload)
        # Most rows need no parsing: summaries repeat what history has, and the other rows are not ours.
        if kind != _ARTIFACT and not (kind == _HISTORY and (self._thorough or _ROW in payload)):
            return
        from wandb.proto import wandb_internal_pb2

        types: Any = wandb_internal_pb2  # its names are made at run time
        record = types.Record.FromString(payload)
        if kind == _ARTIFACT:
            self.contents.artifacts.add((record.artifact.name, record.artifact.digest))
            return
        self.contents.last_step = max(self.contents.last_step, record.history.step.num)
        for item in record.history.item:
            if (item.key or "".join(item.nested_key)) == ROW:
                self.contents.last_row = max(self.contents.last_row, int(json.loads(item.value_json)))

    def _payloads(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            if self._offset == 0:
                if file.read(len(_HEADER)) != _HEADER:
                    return
                self._offset = len(_HEADER)
            file.seek(self._offset)
            while data := file.read(_READ):
                before = self._offset
                yield from self._fragments(data)
                if self._offset == before:  # a fragment that is not complete yet
                    return
                file.seek(self._offset)

    def _fragments(self, data: bytes) -> Iterator[bytes]:
        """Yield the records that end in `data`, which is what the file has at `_offset`."""
        base, at = self._offset, 0
        while True:
            left = _BLOCK - (base + at) % _BLOCK
            if left < _FRAGMENT.size:
                at += left
                self._offset = base + min(at, len(data))
                if at >= len(data):
                    return
                continue
            if at + _FRAGMENT.size > len(data):
                return
            checksum, length, kind = _FRAGMENT.unpack_from(data, at)
            if checksum == 0 and length == 0 and kind == 0:
                # Padding to the end of a block, or room that is not written yet.
                if at + left > len(data):
                    return
                at += left
                self._offset = base + at
                continue
            body = data[at + _FRAGMENT.size : at + _FRAGMENT.size + length]
            if len(body) < length or zlib.crc32(bytes((kind,)) + body) != checksum:
                return
            at += _FRAGMENT.size + length
            self._offset = base + at
            if kind in {_FULL, _FIRST}:
                self._parts = []
            self._parts.append(body)
            if kind in {_FULL, _LAST}:
                payload, self._parts = b"".join(self._parts), []
                yield payload


def _kind(payload: bytes) -> int:
    """Return the number of the first field of a record that says what it is; 0 where it has none.

    Before it stand the record's own number (1) and control fields (16 and more).
    """
    at = 0
    while at < len(payload):
        tag, at = _varint(payload, at)
        if 1 < tag >> 3 < 16:  # noqa: PLR2004 (see above)
            return tag >> 3
        value, at = _varint(payload, at)
        if tag & 7 == _BYTES:
            at += value
    return 0


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = payload[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004 (the highest bit says that more follows)
            return value, at


_BYTES: Final = 2
"""Protobuf's wire type of what has a length."""


def read_all(directories: list[Path], run_id: str) -> Contents:
    """Return what of ours the directories of one run hold together (an offline run that was resumed has several)."""
    together = Contents()
    for directory in directories:
        found = DataFile(directory / f"run-{run_id}.wandb", thorough=True).read()
        together.last_row = max(together.last_row, found.last_row)
        together.last_step = max(together.last_step, found.last_step)
        together.artifacts |= found.artifacts
    return together
