"""What the local store costs: `python benchmarks/store.py [--spans N] [--files N] [--directory DIR]`.

Spans have 15 attributes and 2 kB of content in words with Zipf's frequencies, so that they compress as prose
does (2.5-3 times alone); they are made beforehand, so only the store is measured.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from otel_llm.store import StoreReader, StoreWriter

_rnd = random.Random(1)
_WORDS = ["".join(_rnd.choice("aeioubcdfghlmnprst") for _ in range(_rnd.randint(2, 9))) for _ in range(3000)]
_POOL = _rnd.choices(_WORDS, [1 / (i + 1) for i in range(3000)], k=400_000)
_RESOURCE = Resource({"service.name": "bench"})
_SCOPE = InstrumentationScope("bench")


def _text(length: int) -> str:
    i = _rnd.randrange(len(_POOL) - 400)
    return " ".join(_POOL[i : i + 400])[:length]


def make_spans(n: int) -> list[ReadableSpan]:
    """Return `n` ended spans, eight to a trace."""
    spans, start, trace_id, flags = [], 1_780_000_000_000_000_000, 0, TraceFlags(1)
    for i in range(n):
        start += _rnd.randrange(10**6, 10**9)
        if i % 8 == 0:
            trace_id = _rnd.getrandbits(128)
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4.1-mini",
            "gen_ai.response.model": "gpt-4.1-mini-2026-10-01",
            "gen_ai.response.id": f"chatcmpl-{_rnd.getrandbits(80):020x}",
            "gen_ai.request.temperature": 0.7,
            "gen_ai.request.max_tokens": 1024,
            "gen_ai.request.seed": i,
            "gen_ai.usage.input_tokens": _rnd.randrange(100, 5000),
            "gen_ai.usage.output_tokens": _rnd.randrange(10, 2000),
            "gen_ai.usage.cache_read.input_tokens": _rnd.randrange(0, 4000),
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.response.time_to_first_chunk": _rnd.random(),
            "server.address": "api.openai.com",
            "gen_ai.conversation.id": f"conv-{i // 8}",
            "gen_ai.input.messages": _text(1400),
            "gen_ai.output.messages": _text(600),
        }
        parent = SpanContext(trace_id, _rnd.getrandbits(64), False, flags) if i % 8 else None
        spans.append(
            ReadableSpan(
                "chat gpt-4.1-mini",
                SpanContext(trace_id, _rnd.getrandbits(64), False, flags),
                parent,
                _RESOURCE,
                attributes,
                (),
                (),
                SpanKind.CLIENT,
                instrumentation_scope=_SCOPE,
                start_time=start,
                end_time=start + _rnd.randrange(10**8, 10**10),
            )
        )
    return spans


def _nbytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.iterdir())


def write(directory: Path, spans: list[ReadableSpan]) -> dict[str, float]:
    """Hand all spans over at once and wait until they are committed, checkpoint included."""
    shutil.rmtree(directory, ignore_errors=True)
    StoreWriter(directory).close(1)
    writer = StoreWriter(directory, max_queue_bytes=4 << 30)
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    for span in spans:
        writer.ended(span)
    handed = time.perf_counter() - wall
    writer.flush(600)
    committed = time.perf_counter() - wall
    writer.close(600)
    done, used = time.perf_counter() - wall, time.process_time() - cpu
    n = len(spans)
    assert writer.stats["written"]["span"] == n, writer.stats
    return {
        "spans/s, committed": round(n / committed),
        "spans/s, closed": round(n / done),
        "CPU us/span": round(used / n * 1e6, 2),
        "caller us/span": round(handed / n * 1e6, 2),
        "bytes/span": round(_nbytes(directory) / n),
    }


def write_slowly(directory: Path, spans: list[ReadableSpan], rate: int) -> dict[str, float]:
    """Hand spans over one by one at a rate: what a span costs when no other is near, and how late it is."""
    shutil.rmtree(directory, ignore_errors=True)
    writer = StoreWriter(directory)
    writer.ended(spans[0])
    writer.flush(10)
    cpu = time.process_time()
    for span in spans[1:]:
        writer.ended(span)
        time.sleep(1 / rate)
    writer.close(10)
    used = time.process_time() - cpu
    return {
        "CPU us/span": round(used / len(spans) * 1e6, 1),
        "bytes/span": round(_nbytes(directory) / len(spans)),
    }


def fill(directory: Path, spans: list[ReadableSpan], files: int, per_file: int) -> list[str]:
    """Write many files with new ids each; returns some of the trace ids."""
    shutil.rmtree(directory, ignore_errors=True)
    asked, flags = [], TraceFlags(1)
    for number in range(files):
        writer = StoreWriter(directory, max_queue_bytes=1 << 30)
        for i in range(per_file):
            if i % 8 == 0:
                trace_id = _rnd.getrandbits(128)
            like = spans[(number * 97 + i) % len(spans)]
            context = SpanContext(trace_id, _rnd.getrandbits(64), False, flags)
            span = ReadableSpan(
                like.name, context, like.parent, _RESOURCE, dict(like.attributes or {}), kind=like.kind,
                instrumentation_scope=_SCOPE, start_time=like.start_time, end_time=like.end_time,
            )  # fmt: skip
            writer.ended(span)
        writer.close(60)
        asked.append(f"{trace_id:032x}")
    return asked


def milliseconds(ask: Any, times: int = 7) -> float:
    """Return the median of a question's time, after one to warm up."""
    ask()
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - begin)
    return round(median(taken) * 1e3, 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--spans-per-file", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["write", "read"])
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--keep", action="store_true", help="read what is in DIR/read already")
    options = parser.parse_args()
    scratch = None
    if options.directory is None:
        scratch = options.directory = Path(tempfile.mkdtemp(prefix="otel_llm-bench-"))
    report: dict[str, Any] = {"processors": os.cpu_count()}
    spans = make_spans(options.spans)
    try:
        if options.only != "read":
            rounds = [write(options.directory / "write", spans) for _ in range(options.rounds)]
            report["flat out"] = {key: median(r[key] for r in rounds) for key in rounds[0]}
            report["100 a second"] = write_slowly(options.directory / "slow", spans[:300], 100)
        if options.only != "write":
            where = options.directory / "read"
            if not options.keep:
                fill(where, spans[: 4 * options.spans_per_file], options.files, options.spans_per_file)
            reader = StoreReader(where)
            asked = [s.trace_id for s in reader.spans(limit=3)]
            report[f"{options.files} files of {options.spans_per_file} spans, ms"] = {
                "one trace": milliseconds(lambda: reader.trace(asked[0])),
                "one trace by 8 digits": milliseconds(lambda: reader.trace(asked[0][:8])),
                "a trace that is not there": milliseconds(lambda: reader.trace("0" * 32)),
                "the latest 20 traces": milliseconds(reader.traces, 3),
            }
            assert len(reader.trace(asked[0])) == 8
            assert not reader.problems, reader.problems
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
