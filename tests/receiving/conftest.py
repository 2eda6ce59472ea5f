"""A receiver in this process, on a loop of its own, or as the command in another process."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from otel_llm.receiving.reading import Timeouts
from otel_llm.receiving.server import Options, Receiver
from otel_llm.store import StoreReader

from .requests import PROTOBUF


class Running:
    """A receiver that runs."""

    def __init__(self, options):
        self.options = options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.receiver = self._do(self._make())
        self._do(self.receiver.start())
        self.port = self.receiver.port
        self.grpc_port = self.receiver.grpc_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._stopped = False

    async def _make(self):
        return Receiver(self.options)  # gRPC's server wants to be made on its loop

    def _do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def stop(self):
        if self._stopped:
            return True
        self._stopped = True
        try:
            done = self._do(self.receiver.stop())
            assert self._do(_others()) == set()
            return done
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    @property
    def reader(self):
        return StoreReader(self.options.store)

    @property
    def database(self):
        return self.receiver._writing._committer._database

    def post(self, body, path="/v1/traces", content_type=PROTOBUF, **headers):
        """Send a request; returns status, headers and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("POST", path, body, {"content-type": content_type, **given})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()


async def _others():
    return asyncio.all_tasks() - {asyncio.current_task()}


@pytest.fixture
def receiving(tmp_path):
    """Start receivers; without a store they share one."""
    running = []

    def start(**options):
        options = {"store": tmp_path / "store", "port": 0, "grpc_port": None, **options}
        running.append(Running(Options(**options)))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture
def impatient():
    """Timeouts that a test can wait for."""
    return Timeouts(idle=0.6, head=0.3, stall=0.3, slowest=10_000, answer=2.0)


class Command:
    """`otel-llm receive` in a process of its own."""

    def __init__(self, process):
        self.process = process
        assert process.stdout is not None
        self.line = process.stdout.readline()
        found = re.search(r":(\d+)(?:, gRPC at [^ ]+:(\d+))?;", self.line)
        if found is None:
            process.kill()
            raise AssertionError(self.line + process.communicate()[1])
        self.port = int(found[1])
        self.grpc_port = None if found[2] is None else int(found[2])
        self.url = f"http://127.0.0.1:{self.port}"

    def end(self, number=signal.SIGTERM, timeout=30):
        """Send a signal; returns exit code, output and errors."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out, err


@pytest.fixture
def command(tmp_path):
    """Start the command; what still runs at the end is killed."""
    running = []

    def start(*arguments, **environment):
        given = [sys.executable, "-m", "otel_llm.cli", "receive", "--store", str(tmp_path / "store")]
        process = subprocess.Popen(
            [*given, "--port", "0", "--grpc-port", "0", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        running.append(process)
        return Command(process)

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()
