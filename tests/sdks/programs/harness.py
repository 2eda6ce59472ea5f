"""What every program of the matrix shares: scenarios run one after another against a loopback server.

A program is run as `python PROGRAM.py RESULT.json [NAME=VALUE...]` in a fresh process; `OTEL_LLM_TEST_INSTRUMENT=1`
runs it with otel_llm, else it runs as if there were none. The result tells, for every scenario, what the program got,
what the server saw and sent, and which spans there are. The server listens in this process, on a thread of
its own, so that a scenario can plan what its calls will meet; the SDKs reach it as their HTTP proxy, under
their provider's real host name, or directly at `url()`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentelemetry import trace

from otel_llm.loopback import LoopbackServer, Plan

INSTRUMENTED = os.environ.get("OTEL_LLM_TEST_INSTRUMENT") == "1"
PROMPT = "Where should the fleet in Brest go?"
TOOL = {
    "name": "look_up",
    "description": "Looks a province up.",
    "parameters": {
        "type": "object",
        "properties": {"province": {"type": "string"}},
        "required": ["province"],
    },
}

_scenarios: list[Scenario] = []
_server = LoopbackServer()


@dataclasses.dataclass
class Scenario:
    name: str
    run: Callable[[], Any]
    plans: tuple[Plan, ...]
    expect: dict[str, Any]


def scenario(*plans: Plan, calls: int = 1, **expect: Any) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Registers a function, sync or async, whose result is what the program "prints".

    Args:
        plans: what its requests meet, in order.
        calls: how many model calls it makes, retries included.
        **expect: what every one of its spans has: `operation`, `provider`, `model`; see test_matrix.py.
    """

    def register(run: Callable[[], Any]) -> Callable[[], Any]:
        _scenarios.append(Scenario(run.__name__, run, plans, {"calls": calls, **expect}))
        return run

    return register


def url() -> str:
    """Where the server listens."""
    return _server.url


def raised(run: Callable[[], Any]) -> dict[str, str]:
    """What calling `run` raises, as the program would see it."""
    try:
        run()
    except Exception as error:
        return {"raised": type(error).__name__}
    raise AssertionError("nothing was raised")


async def raised_async(awaitable: Any) -> dict[str, str]:
    """What awaiting raises."""
    try:
        await awaitable
    except Exception as error:
        return {"raised": type(error).__name__}
    raise AssertionError("nothing was raised")


def main(instrument: Callable[[Any], None] | None = None) -> None:
    """Runs the scenarios and writes the result to the file that the first argument names.

    Args:
        instrument: called with the TracerProvider, before otel_llm's `instrument`: somebody else's instrumentor.
    """
    with _server:
        os.environ.update(HTTP_PROXY=_server.url, http_proxy=_server.url)
        os.environ.update(NO_PROXY="127.0.0.1,localhost", no_proxy="127.0.0.1,localhost")
        result = _run(instrument)
    Path(sys.argv[1]).write_text(json.dumps(result, indent=1, default=str))


def _run(instrument: Callable[[Any], None] | None) -> dict[str, Any]:
    captured = None
    with contextlib.ExitStack() as stack:
        if INSTRUMENTED:
            import otel_llm
            from otel_llm import testing

            captured = stack.enter_context(testing.capture(content="full"))
            if instrument is not None:
                instrument(trace.get_tracer_provider())
        tracer = trace.get_tracer("matrix")
        results = []
        for one in _scenarios:
            _server.clear()
            _server.script(*one.plans)
            with tracer.start_as_current_span(one.name) as span:
                output = _call(one.run)
            gc.collect()  # streams that were left behind end now, inside their scenario
            results.append(
                {
                    "name": one.name,
                    "expect": one.expect,
                    "output": output,
                    "span_id": f"{span.get_span_context().span_id:016x}",
                    "trace_id": f"{span.get_span_context().trace_id:032x}",
                    "requests": [
                        {
                            "number": request.number,
                            "method": request.method,
                            "host": request.host,
                            "path": request.path,
                            "protocol": request.protocol,
                            "traceparent": request.headers.get("traceparent"),
                            "sent": dataclasses.asdict(request.sent),
                        }
                        for request in _server.requests
                    ],
                }
            )
        spans = [] if captured is None else [json.loads(span.to_json()) for span in captured.spans()]
        dropped = otel_llm.status()["dropped"] if INSTRUMENTED else {}
        for span, readable in zip(spans, captured.spans() if captured else (), strict=True):
            span["scope"] = readable.instrumentation_scope.name if readable.instrumentation_scope else None
    return {"scenarios": results, "spans": spans, "dropped": dropped}


def _call(run: Callable[[], Any]) -> Any:
    try:
        return asyncio.run(run()) if inspect.iscoroutinefunction(run) else run()
    except Exception:
        return {"failed": traceback.format_exc()}
