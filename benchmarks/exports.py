"""How fast sinks of views are, beside writing the same by hand: python -m benchmarks.exports [--rows 20000]

An interaction is what the first user of this had: some 30 figures, a model call below it, a prompt of 2 kB and an
answer of 0.8 kB. Prints rows a second and the ratio to the hand-written way in the same process; alternating rounds,
the best of each.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import TracerProvider

from otel_llm import semconv as sc
from otel_llm.store.rows import SeriesRow, StoredSpan
from otel_llm.views.items import stored
from otel_llm.views.live import LiveSink
from otel_llm.views.mapping import Mapper, Taken
from otel_llm.views.model import Batch, Sink

_PROMPT = '[{"role":"user","parts":[{"type":"text","content":"' + "x" * 2000 + '"}]}]'
_ANSWER = '[{"role":"assistant","parts":[{"type":"text","content":"' + "y" * 800 + '"}]}]'
_BATCH = 2000


def interactions(n: int) -> list[StoredSpan]:
    """Return spans of `n` interactions and their calls, in the order of their ends."""
    made: list[StoredSpan] = []
    place = {
        sc.GAME_ID: "game-7",
        sc.PHASE_NAME: "S1901M",
        sc.PHASE_YEAR: 1901,
        sc.PHASE_SEASON: 0,
        sc.POWER_NAME: "FRANCE",
        sc.INTERACTION_TYPE: "order",
        sc.GAME_EPISODE: 3,
        sc.GAME_TRAINING_STEP: 5,
    }
    call = {
        **place,
        sc.OPERATION_NAME: sc.CHAT,
        sc.PROVIDER_NAME: "openai",
        sc.REQUEST_MODEL: "gpt-5",
        sc.RESPONSE_MODEL: "gpt-5-2026-08",
        sc.USAGE_INPUT_TOKENS: 500,
        sc.USAGE_OUTPUT_TOKENS: 200,
        sc.COST_TOTAL: 0.0025,
        sc.INPUT_LENGTH: 2000,
        sc.OUTPUT_LENGTH: 800,
        sc.INPUT_MESSAGES: _PROMPT,
        sc.OUTPUT_MESSAGES: _ANSWER,
    }
    turn = {
        **place,
        sc.SCOPE_KIND: "interaction",
        sc.INTERACTION_SUCCESS: True,
        sc.POWER_CENTERS: 5,
        sc.POWER_UNITS: 4,
        sc.ORDERS_VALID_COUNT: 4,
        sc.ORDERS_INVALID_COUNT: 0,
        sc.GAME_REWARD: 0.5,
        "game.totals.calls": 1,
    }
    begin = 1_790_000_000_000_000_000
    for i in range(n):
        trace_id = f"{i // 20 + 1:032x}"
        at = begin + i * 1_000_000
        ids = f"{2 * i + 2:016x}", f"{2 * i + 1:016x}"
        common = {"status": "unset", "resource": {"service.name": "bench"}}
        made.append(
            StoredSpan(
                trace_id, ids[0], ids[1], "chat gpt-5", "client", at, at + 900_000, attributes=call, **common
            )  # type: ignore[arg-type]
        )
        made.append(
            StoredSpan(
                trace_id,
                ids[1],
                f"{(1 << 60) + i // 20:016x}",
                "invoke_agent FRANCE",
                "internal",
                at,
                at + 950_000,
                attributes=turn,
                **common,  # type: ignore[arg-type]
            )
        )
    return made


def feed(sink: Sink, batches: list[Batch]) -> None:
    for batch in batches:
        assert sink.write(batch), sink.problem()
    assert sink.close(60)


def fresh(batches: list[Batch]) -> list[Batch]:
    return [Batch(b.tables, b.scalars, b.histograms, [], b.config, b.keys) for b in batches]


def timed(do: Callable[[Path], Any]) -> float:
    with tempfile.TemporaryDirectory() as directory:
        began = time.perf_counter()
        do(Path(directory))
        return time.perf_counter() - began


def race(title: str, n: int, ways: dict[str, Callable[[Path], Any]], rounds: int) -> None:
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, do in ways.items():
            best[name] = min(best[name], timed(do))
    first = next(iter(best.values()))
    for name, seconds in best.items():
        print(
            f"{title:22} {name:28} {n / seconds:>11,.0f} /s  {seconds / n * 1e6:>7.1f} us  x{seconds / first:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exports", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    n, rounds = options.rows, options.rounds
    spans = interactions(n)
    mapper = Mapper()
    bundles = [Taken(spans[at : at + 2 * _BATCH]) for at in range(0, len(spans), 2 * _BATCH)]
    batches = [mapper.map(bundle) for bundle in bundles]
    only = [
        Batch([r for r in b.tables if r.table == "interactions"], config=b.config, keys=b.keys)
        for b in batches
    ]
    all_rows = sum(len(rows.cells) for batch in batches for rows in batch.tables)

    race("interactions -> rows", n, {"mapping (3 tables)": lambda _: _map_all(bundles)}, rounds)
    race(
        "rows -> CSV",
        n,
        {"csv.writer by hand": lambda d: _by_hand(d, only), "sink": lambda d: _csv(d, only)},
        rounds,
    )
    race("rows with texts -> CSV", all_rows, {"sink": lambda d: _csv(d, batches)}, rounds)
    race(
        "rows -> Parquet",
        n,
        {"pyarrow by hand": lambda d: _arrow_by_hand(d, only), "sink": lambda d: _parquet(d, only)},
        rounds,
    )
    race("rows with texts -> Pq", all_rows, {"sink": lambda d: _parquet(d, batches)}, rounds)
    series = [SeriesRow("training/loss", i, i * 0.5, 1_790_000_000_000_000_000 + i) for i in range(n)]
    curves = [Mapper().map(Taken(series=series[at : at + _BATCH])) for at in range(0, n, _BATCH)]
    race(
        "scalars -> TensorBoard",
        n,
        {
            "EventFileWriter by hand": lambda d: _events_by_hand(d, series),
            "sink": lambda d: _board(d, curves),
        },
        rounds,
    )
    race("scalars -> CSV", n, {"sink": lambda d: _csv(d, curves)}, rounds)
    race("rows -> TensorBoard", n, {"sink": lambda d: _board(d, only)}, rounds)
    _export(min(n, 5000))


def _map_all(bundles: list[Taken]) -> None:
    mapper = Mapper()
    for bundle in bundles:
        mapper.map(bundle)


def _csv(directory: Path, batches: list[Batch]) -> None:
    from otel_llm_tabular import CsvSink

    feed(CsvSink(directory=directory), fresh(batches))


def _parquet(directory: Path, batches: list[Batch]) -> None:
    from otel_llm_tabular.parquet_sink import ParquetSink

    feed(ParquetSink(directory=directory), fresh(batches))


def _board(directory: Path, batches: list[Batch]) -> None:
    from otel_llm_tensorboard.sink import TensorBoardSink

    feed(TensorBoardSink(directory=directory), fresh(batches))


def _by_hand(directory: Path, batches: list[Batch]) -> None:
    with (directory / "a.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        for batch in batches:
            for rows in batch.tables:
                writer.writerows(rows.cells)
            file.flush()


def _arrow_by_hand(directory: Path, batches: list[Batch]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    cells = [cells for batch in batches for rows in batch.tables for cells in rows.cells]
    names = batches[0].tables[0].names
    table = pa.table(dict(zip(names, map(list, zip(*cells, strict=True)), strict=True)))
    pq.write_table(table, directory / "a.parquet", compression="zstd")


def _events_by_hand(directory: Path, series: list[SeriesRow]) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(directory), max_queue_size=1000)
    for row in series:
        value = Summary.Value(tag=row.name, simple_value=row.value)
        writer.add_event(Event(wall_time=row.time_ns / 1e9, step=row.step, summary=Summary(value=[value])))
    writer.close()


class _Nothing(Sink):
    name = book = "nothing"

    def write(self, batch: Batch) -> bool:
        batch.settle()
        return True


def _export(n: int) -> None:
    """Time what the exporting thread pays, while the sink's own thread is asleep, and then what it pays in all."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("bench")
    spans = []
    for one in interactions(n // 2):
        span = tracer.start_span(one.name, attributes=one.attributes)
        span.end()
        spans.append(span)
    live = LiveSink("bench", lambda _: _Nothing())
    began = time.perf_counter()
    for at in range(0, len(spans), 512):
        live.spans(spans[at : at + 512])  # type: ignore[arg-type]
    took = time.perf_counter() - began
    live.close(60)
    print(
        f"{'export()':22} {'on the exporting thread':28} {'':11}     {took / len(spans) * 1e6:>7.2f} us a span"
    )
    began = time.perf_counter()
    for span in spans:
        stored(span)  # type: ignore[arg-type]
    took = (time.perf_counter() - began) / len(spans)
    print(f"{'SDK span -> plain data':22} {'on the sink thread':28} {'':11}     {took * 1e6:>7.2f} us a span")


if __name__ == "__main__":
    main()
