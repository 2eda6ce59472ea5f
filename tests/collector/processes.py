"""Servers as processes: addresses for them, started, killed, asked over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

READY = 60.0

_HANDED_OUT: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on and that nobody here was given before."""
    while True:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
        if port not in _HANDED_OUT:
            _HANDED_OUT.add(port)
            return port


def address() -> str:
    return f"127.0.0.1:{free_port()}"


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what would change telemetry, and `more`."""
    ours = ("OTEL_", "JAEGER_", "AGENT_", "GATEWAY_", "KEEP_", "LOCAL_")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)} | dict(more)


def get(url: str, timeout: float = 10) -> bytes | None:
    """What is there; None where nobody answers, or answers with an error."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.read()
    except (urllib.error.URLError, ConnectionError, TimeoutError, OSError):
        return None


def get_json(url: str) -> Any:
    body = get(url)
    return None if body is None else json.loads(body or b"{}")


def eventually(look: Callable[[], Any], *, seconds: float = 30.0, every: float = 0.1) -> Any:
    """What `look` returns once that is true; its last answer when the time is over."""
    deadline = time.monotonic() + seconds
    while not (answer := look()) and time.monotonic() < deadline:
        time.sleep(every)
    return answer


@dataclass
class Program:
    """A server in a process group of its own, that can be killed and started again with the same addresses."""

    command: list[str]
    env: Mapping[str, str]
    ready: str
    log: Path
    process: subprocess.Popen[bytes] | None = None
    limits: Callable[[], None] | None = None

    def start(self) -> Self:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(self.env),
                start_new_session=True,
                preexec_fn=self.limits,
            )
        running = self.process
        eventually(lambda: running.poll() is not None or get(self.ready) is not None, seconds=READY)
        if running.poll() is not None or get(self.ready) is None:
            self.kill()
            raise AssertionError(f"{self.command[0]} did not start:\n{self.said()[-4000:]}")
        return self

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, seconds: float = 60) -> None:
        """End it as a service manager does: ask, then insist."""
        if self.process is None:
            return
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """SIGKILL: it gets no chance to write anything."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def rss_mib(self) -> float:
        """Memory of its own in MiB: without pages of files, such as its queue, which the kernel takes back."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"RssAnon:\s+(\d+)", status)
        return int(found[1]) / 1024 if found else 0.0

    def cpu_seconds(self) -> float:
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop(20)
