"""A process in which nobody has logged anything by hand, and a store to look into."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

import otel_llm
from otel_llm import runtime
from otel_llm.manual.logger import process_logger
from otel_llm.manual.sessions import sessions
from otel_llm.store import StoredSpan, StoreReader


@pytest.fixture(autouse=True)
def _nobody_has_logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    fresh = type(process_logger)()
    for name, value in vars(fresh).items():
        monkeypatch.setattr(process_logger, name, value)
    monkeypatch.setattr(sessions, "game_attributes", {})
    yield
    runtime.shutdown(5)
    assert len(sessions) == 0


class Store:
    """The store of this process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def spans(self, kind: str | None = None) -> list[StoredSpan]:
        """All spans that ended, of a kind of scope or of `chat`, by start."""
        assert otel_llm.force_flush()
        ended = [span for span in StoreReader(self.directory).spans() if span.end_ns is not None]
        found = sorted(ended, key=lambda span: span.start_ns)
        if kind == "chat":
            return [span for span in found if span.name.startswith("chat")]
        return [span for span in found if kind is None or span.attributes.get("otel_llm.scope") == kind]

    def interactions(self, game_id: str | None = None) -> list[otel_llm.LLMInteraction]:
        assert otel_llm.force_flush()
        return list(otel_llm.read_interactions(self.directory, game_id))

    def sessions(self) -> list[otel_llm.LLMSession]:
        assert otel_llm.force_flush()
        return otel_llm.read_sessions(self.directory)

    def everything(self) -> str:
        """All that is in the store and its files, when everything has been written: what it says, and raw."""
        runtime.shutdown(5)
        reader = StoreReader(self.directory)
        rows = [*reader.spans(), *reader.points(), *reader.logs(), *reader.files()]
        assert rows
        raw = b"".join(path.read_bytes() for path in self.directory.iterdir())
        return json.dumps([asdict(row) for row in rows], default=str) + raw.decode("latin-1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Nothing is instrumented yet: the first record does it."""
    return Store(tmp_path / ".otel_llm")
