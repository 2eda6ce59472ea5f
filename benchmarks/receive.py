"""What `otel-llm receive` takes: `python benchmarks/receive.py [--seconds N] [--senders N] [--batch N] [--grpc] [--gzip]`.

Senders are processes of their own. Each prepares its request bodies beforehand, spans as in `benchmarks/store.py` (15
attributes, 2 kB of content), sends them over one connection, one after the other, and counts what was answered with
success. A span is counted when the receiver has said that it is committed. All spans of a run differ: a body has its
ids changed before it is sent, which costs a sender about 0.1 us a span. At the end the spans in the store are counted:
exactly those that were answered, no more, no less.

Load, senders and receiver share the machine; the receiver's own CPU time is given.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_TRACE = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def _body(batch: int, seed: int) -> tuple[bytes, list[tuple[int, int]]]:
    """Return a request and where its ids are: offset and length of each trace id and span id."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    from benchmarks import store as made

    made._rnd.seed(seed)
    body = encode_spans(made.make_spans(batch)).SerializeToString()
    # A span begins with its ids: field 1 of 16 bytes, field 2 of 8.
    found = [m.start() for m in re.finditer(rb"\x0a\x10.{16}\x12\x08.{8}", body, re.DOTALL)]
    assert len(found) == batch, (len(found), batch)
    return body, [(at + 2, 16) for at in found] + [(at + 20, 8) for at in found]


def _fresh(body: bytearray, ids: list[tuple[int, int]], number: int, sender: int) -> bytes:
    """Give every span of a body an id that no other has; traces stay together by their last 8 bytes."""
    stamp = number.to_bytes(4, "big") + sender.to_bytes(2, "big")
    for at, length in ids:
        if length == 16:
            body[at : at + 6] = stamp
    return bytes(body)


def _send(options: argparse.Namespace, port: int, sender: int, ready: Any, go: Any, out: Any) -> None:
    body, ids = _body(options.batch, 1000 + sender)
    work = bytearray(body)
    sent = refused = nbytes = 0
    latencies: list[float] = []
    post = _grpc(port) if options.grpc else _http(port, options)
    prebuilt: list[bytes] = []
    if options.gzip:  # compressing is the sender's work, and dearer than receiving: do it beforehand
        prebuilt = [
            gzip.compress(_fresh(work, ids, number, sender), 1)
            for number in range(max(4, int(options.seconds * options.most / options.batch / options.senders)))
        ]
    ready.put(sender)
    go.wait()
    deadline = time.monotonic() + options.seconds
    number = 0
    while time.monotonic() < deadline:
        if options.gzip and number >= len(prebuilt):
            break
        data = prebuilt[number] if options.gzip else _fresh(work, ids, number, sender)
        began = time.monotonic()
        while not post(data):
            refused += 1
            time.sleep(0.05)
        latencies.append(time.monotonic() - began)
        number += 1
        sent += options.batch
        nbytes += len(data)
    out.put((sent, refused, nbytes, latencies))


def _http(port: int, options: argparse.Namespace) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"content-type": "application/x-protobuf"}
    if options.gzip:
        headers["content-encoding"] = "gzip"

    def post(data: bytes) -> bool:
        connection.request("POST", "/v1/traces", data, headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status in {200, 429, 503}, (answer.status, body)
        assert answer.status != 200 or body == b"", body
        return answer.status == 200

    return post


def _grpc(port: int) -> Any:
    import grpc

    # Bodies that are compressed beforehand would be compressed twice.
    compression = grpc.Compression.NoCompression
    channel = grpc.insecure_channel(
        f"127.0.0.1:{port}", compression=compression, options=[("grpc.max_send_message_length", -1)]
    )
    call = channel.unary_unary(_TRACE)

    def post(data: bytes) -> bool:
        try:
            call(data, timeout=60)
        except grpc.RpcError as error:
            if error.code() not in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}:
                raise
            return False
        return True

    return post


def _cpu_and_memory(pid: int) -> tuple[float, float]:
    """Return CPU seconds and peak memory in MB of a process, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    assert peak is not None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(peak[1]) / 1024


def measure(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "otel_llm.cli", "receive", "--store", str(directory)]
    command += ["--port", "0", "--grpc-port", "0"]
    receiver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert receiver.stdout is not None
        line = receiver.stdout.readline()
        ports = [int(found) for found in re.findall(r":(\d+)[,;]", line)]
        assert len(ports) == 2, line
        context = multiprocessing.get_context("spawn")
        ready, out, go = context.Queue(), context.Queue(), context.Event()
        senders = [
            context.Process(target=_send, args=(options, ports[options.grpc], n, ready, go, out))
            for n in range(options.senders)
        ]
        for sender in senders:
            sender.start()
        for _ in senders:
            ready.get(timeout=300)
        before, _ = _cpu_and_memory(receiver.pid)
        began = time.monotonic()
        go.set()
        found = [out.get(timeout=options.seconds + 120) for _ in senders]
        took = time.monotonic() - began
        cpu, peak = _cpu_and_memory(receiver.pid)
        for sender in senders:
            sender.join()
        receiver.send_signal(signal.SIGTERM)
        receiver.wait(60)
    finally:
        receiver.kill()
        receiver.wait()
    from otel_llm.store import StoreReader

    sent = sum(one[0] for one in found)
    stored = sum(file.spans for file in StoreReader(directory).files())
    assert stored == sent, f"{sent} were answered, {stored} are stored"
    latencies = sorted(latency for one in found for latency in one[3])
    return {
        "protocol": "grpc" if options.grpc else "http",
        "gzip": options.gzip,
        "senders": options.senders,
        "batch": options.batch,
        "body_kb": round(sum(one[2] for one in found) * options.batch / sent / 1000),
        "seconds": round(took, 1),
        "spans": sent,
        "spans_per_s": round(sent / took),
        "mb_per_s": round(sum(one[2] for one in found) / took / 1e6, 1),
        "refused": sum(one[1] for one in found),
        "receiver_cpu_us_per_span": round((cpu - before) / sent * 1e6, 1),
        "receiver_peak_mb": round(peak),
        "latency_ms": {
            "median": round(latencies[len(latencies) // 2] * 1000, 1),
            "p99": round(latencies[int(len(latencies) * 0.99)] * 1000, 1),
        },
        "load_1min": round(os.getloadavg()[0], 1),
        "cores": os.cpu_count(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--senders", type=int, default=2)
    parser.add_argument("--batch", type=int, default=512, help="spans of a request")
    parser.add_argument("--grpc", action="store_true")
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--most", type=int, default=20_000, help="spans a second to prepare for, with --gzip")
    parser.add_argument("--least", type=int, default=0, help="fail below so many spans a second")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    with tempfile.TemporaryDirectory(prefix="otel_llm-receive-") as directory:
        found = measure(options, Path(directory))
    print(json.dumps(found))
    if found["spans_per_s"] < options.least:
        raise SystemExit(f"{found['spans_per_s']} spans a second, {options.least} were asked for")


if __name__ == "__main__":
    main()
