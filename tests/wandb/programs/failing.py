"""What goes wrong with W&B, and a program that must not notice: `failing.py CASE`. Prints what the program saw."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

from story import play, train

import otel_llm
from otel_llm.loopback import LoopbackServer

case = sys.argv[1]
seen: dict[str, object] = {}
raised: list[str] = []
threading.excepthook = lambda args: raised.append(repr(args.exc_value))


def cores() -> list[int]:
    told = subprocess.run(
        ["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    )
    return [int(line.split()[0]) for line in told.stdout.splitlines() if "wandb-core" in line]


def child() -> None:
    otel_llm.force_flush()
    with otel_llm.game("in-child"):
        pass


def trouble() -> None:
    if case == "core-killed":
        for pid in cores():
            os.kill(pid, signal.SIGKILL)
    elif case == "teardown":
        import wandb

        wandb.teardown()
    elif case == "fork":
        pid = os.fork()
        if not pid:
            child()
            os._exit(0)
        os.waitpid(pid, 0)
        one = multiprocessing.get_context("fork").Process(target=child)
        one.start()
        one.join(20)
        seen["child"] = one.exitcode
    elif case == "disk-full":
        import errno

        from otel_llm_wandb.run import Run

        def full(self: Run) -> None:
            from otel_llm_wandb.errors import FullError

            raise FullError(os.strerror(errno.ENOSPC))

        Run._check_room = full  # type: ignore[method-assign]


if case == "unchecked":  # the disk is full, and nobody looks first
    from otel_llm_wandb.run import Run

    Run._check_room = lambda self: None  # type: ignore[method-assign]

with LoopbackServer() as server:
    otel_llm.instrument(exporters=["wandb"])
    began = time.monotonic()
    play(1, url=server.url)
    train(10)
    seen["slowest"] = time.monotonic() - began
    otel_llm.force_flush()
    trouble()
    began = time.monotonic()
    play(1, url=server.url, first=1)
    train(10, first=10)
    seen["slowest"] = max(time.monotonic() - began, float(str(seen["slowest"])))
    if case == "core-killed":
        time.sleep(4)  # for the pause after the first attempt
    began = time.monotonic()
    seen["done"] = otel_llm.shutdown()
    seen["shutdown"] = time.monotonic() - began
    seen["dropped"] = otel_llm.status()["dropped"]
    seen["raised"] = raised
    print(json.dumps(seen))
