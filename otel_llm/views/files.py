"""What sinks that write files share: the directory with its journal, and `config.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from otel_llm.views.journal import HIDDEN, Journal
from otel_llm.views.model import ARTIFACTS, EVERYTHING, Cell, Sink


class FileSink(Sink):
    """Writes into a directory. `journal` says what is in it for good.

    Args:
        directory: the output directory.
        alone: whether nobody else may write into it meanwhile.

    Raises:
        OSError: the directory cannot be used; `InUseError` where another process has it.
    """

    wants = EVERYTHING - {ARTIFACTS}

    def __init__(self, directory: Path, *, alone: bool) -> None:
        self.directory = directory.absolute()
        self.book = f"{self.name}@{self.directory}"
        self.journal = Journal(self.directory, alone=alone)
        self._problem: str | None = None
        self._config_path = self.directory / self.own_name("config", ".json")

    def own_name(self, name: str, extension: str) -> str:
        """Return the name of a file that is this process's own: `config.json`, `config.s2.json`."""
        slot = self.journal.slot
        return f"{name}{extension}" if slot == 1 else f"{name}.s{slot}{extension}"

    def settled(self) -> Mapping[str, frozenset[int]]:
        """Return the keys that a killed writer left here."""
        return self.journal.keys

    def problem(self) -> str | None:
        """Say why the last batch was not written."""
        return self._problem

    def failed(self, error: Exception) -> None:
        """Remember why a batch was not written."""
        self._problem = f"{self.directory}: {getattr(error, 'strerror', None) or error}"

    def worked(self) -> None:
        """Forget why."""
        self._problem = None

    def write_config(self, config: Mapping[str, Cell]) -> None:
        """Add facts about the run to `config.json`; those that are there stay.

        Raises:
            OSError: it cannot be written.
        """
        path = self._config_path
        try:
            known = json.loads(path.read_text())
        except (OSError, ValueError):
            known = {}
        merged = {**config, **(known if isinstance(known, dict) else {})}
        if merged != known:
            new = path.parent / HIDDEN / f"slot-{self.journal.slot}-config"
            new.write_text(json.dumps(merged, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
            new.replace(path)
