"""A store with spans in it, and the command line as users type it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from otel_llm.store import StoreWriter


def write(directory, spans):
    """Write spans to a store as the SDK's processors would; those without an end stay open."""
    writer = StoreWriter(directory, commit_interval_s=0.0, open_after_s=0.0)
    for span in spans:
        writer.started(span.to_readable())
    for span in spans:
        if span.end_ns is not None:
            writer.ended(span.to_readable())
    assert writer.flush(10)
    assert writer.close(10)


@pytest.fixture
def store(tmp_path):
    """A directory for a store, and a function that adds spans to it."""
    directory = tmp_path / "store"

    class Store:
        path = directory

        def add(self, *spans):
            write(directory, spans)

    return Store()


@pytest.fixture
def invoke(monkeypatch):
    """Run a command in this process; returns its result, with columns enough for one line a span."""
    from otel_llm.cli.app import app

    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("TZ", "UTC")

    def run(*arguments, **environment):
        return CliRunner().invoke(app, [str(a) for a in arguments], env=environment or None)

    return run


@pytest.fixture
def otel_llm(tmp_path):
    """Run `otel-llm` in a process of its own."""

    def run(*arguments, stdin="", timeout=60, check=False, **environment):
        return subprocess.run(
            command(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=tmp_path,
            env={**os.environ, **environment},
            check=check,
        )

    return run


def command(*arguments):
    return [sys.executable, "-m", "otel_llm.cli", *map(str, arguments)]


@pytest.fixture
def start(tmp_path):
    """Start `otel-llm` and leave it running; whatever still runs at the end is killed."""
    running = []

    def run(*arguments, **environment):
        process = subprocess.Popen(
            command(*arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        )
        running.append(process)
        return process

    yield run
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture
def script(tmp_path):
    """Write a program."""

    def write_script(source, name="program.py"):
        path = Path(tmp_path) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return path

    return write_script
