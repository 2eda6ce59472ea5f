"""One contestant in one process: JSON commands on standard input, JSON answers on standard output, a line each."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import resource
import sys
import time
import traceback
from typing import Any, TextIO

os.environ.setdefault("OPENAI_API_KEY", "sk-bench")
# A public provider's name, because that is the usual case: calls are priced, and no trace context is sent along.
# Nothing leaves the process.
BASE_URL = os.environ.get("BENCH_BASE_URL", "https://api.openai.com/v1")


def _protocol() -> TextIO:
    """Standard output for our answers alone: what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def _resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def _set_up(name: str) -> tuple[Any, dict[str, Any]]:
    """Import and install the contestant, and say what that took beyond `import openai`."""
    import openai
    import openai.resources.chat.completions  # loaded lazily by the SDK: keep them out of the contestant's figure
    import openai.resources.embeddings
    from openai._utils import _transform  # noqa: F401

    memory, modules = _resident_mb(), len(sys.modules)
    wall, cpu = time.perf_counter(), time.process_time()
    contestant = importlib.import_module(f"benchmarks.contestants.{name}")
    contestant.setup()
    return contestant, {
        "ready": True,
        "openai": openai.__version__,
        "setup_wall_s": time.perf_counter() - wall,
        "setup_cpu_s": time.process_time() - cpu,
        "setup_mb": _resident_mb() - memory,
        "modules": len(sys.modules) - modules,
    }


def make_clients(contestant: Any) -> Any:
    """The clients that the workloads call, prepared as the contestant wants them."""
    import openai

    from benchmarks import stub
    from benchmarks.workloads import Clients

    http, ahttp = stub.mock_clients()
    if hasattr(contestant, "on_http_client"):
        contestant.on_http_client(http)
        contestant.on_http_client(ahttp)
    sdk = getattr(contestant, "OPENAI", None) or openai  # langfuse ships a module to import instead
    sync = sdk.OpenAI(http_client=http, base_url=BASE_URL, max_retries=0)
    asynchronous = sdk.AsyncOpenAI(http_client=ahttp, base_url=BASE_URL, max_retries=0)
    if hasattr(contestant, "on_client"):
        sync, asynchronous = contestant.on_client(sync), contestant.on_client(asynchronous)
    return Clients(sync, asynchronous, http, BASE_URL, asyncio.new_event_loop())


def _measure(clients: Any, workload: str, calls: int) -> dict[str, float]:
    """Costs of one call, in microseconds, over `calls` of them.

    `cpu_us` is the whole process until everything is handed on, less what an empty flush takes;
    `cpu_before_flush_us` until the last call returned; `cpu_caller_us` what the calling thread itself took;
    `wall_us` the median call.
    """
    from benchmarks import sinks
    from benchmarks.workloads import WORKLOADS

    sinks.flush()
    gc.collect()
    seen, caller, cpu = sinks.seen, time.thread_time(), time.process_time()
    times = WORKLOADS[workload].run(clients, calls)
    caller_after, cpu_after = time.thread_time(), time.process_time()
    sinks.flush()
    cpu_flushed = time.process_time()
    sinks.flush()  # an empty one: some start a thread for it, which is the price of a flush and not of a call
    empty = time.process_time() - cpu_flushed
    times.sort()
    return {
        "calls": calls,
        "cpu_us": (max(cpu_flushed - empty, cpu_after) - cpu) / calls * 1e6,
        "empty_flush_us": empty * 1e6,
        "cpu_before_flush_us": (cpu_after - cpu) / calls * 1e6,
        "cpu_caller_us": (caller_after - caller) / calls * 1e6,
        "wall_us": times[len(times) // 2] / 1e3,
        "wall_p90_us": times[len(times) * 9 // 10] / 1e3,
        "spans": (sinks.seen - seen) / calls,
    }


def _capture(clients: Any, workload: str) -> dict[str, Any]:
    """What one call leaves behind."""
    from benchmarks import sinks
    from benchmarks.workloads import WORKLOADS

    sinks.memory.clear()
    sinks.records.clear()
    WORKLOADS[workload].run(clients, 1)
    sinks.flush()
    time.sleep(0.3)  # some hand over from a thread of their own
    sinks.flush()
    return {"spans": [json.loads(span.to_json()) for span in sinks.memory], "records": sinks.records}


def _serve(name: str, answers: TextIO) -> None:
    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer, default=str), file=answers, flush=True)

    try:
        contestant, setup = _set_up(name)
        clients = make_clients(contestant)
    except Exception as error:
        traceback.print_exc()
        say({"error": f"{type(error).__name__}: {error}"[:300]})
        return
    say(setup)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            match command["do"]:
                case "measure":
                    say(_measure(clients, command["workload"], command["calls"]))
                case "capture":
                    say(_capture(clients, command["workload"]))
                case "memory":
                    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                    say({"resident_mb": _resident_mb(), "peak_mb": peak})
                case _:
                    return
        except Exception as error:  # say it and go on with the next workload
            traceback.print_exc()
            say({"error": f"{type(error).__name__}: {error}"[:300]})


if __name__ == "__main__":
    _serve(sys.argv[1], _protocol())
    sys.stdout.flush()
    os._exit(0)  # some contestants' exit handlers wait for a backend that is not there
