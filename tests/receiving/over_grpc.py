"""What needs gRPC: tests that `test_grpc` runs in a process of its own, since a process that used gRPC cannot fork any more."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import time

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as LogsOverGrpc
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as MetricsOverGrpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OverGrpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_llm.receiving.answers import Answer, Kind

from .requests import GRPC_TRACES, body, span
from .test_refusals import TOKEN, names
from .test_round_trip import by_id, plain, printed, send
from .test_signals import RESOURCE, measured


def test_spans_of_several_processes_over_grpc_arrive_whole(receiving):
    running = receiving(grpc_port=0)
    endpoint = f"127.0.0.1:{running.grpc_port}"
    sent = printed(
        [send("grpc", endpoint, way, number) for number, way in enumerate(["none", "gzip", "deflate"])]
    )
    running.stop()
    assert by_id([plain(span) for span in running.reader.spans()]) == by_id(sent)


def test_metrics_and_logs_arrive_over_grpc(receiving):
    running = receiving(grpc_port=0)
    endpoint = f"127.0.0.1:{running.grpc_port}"
    measured(PeriodicExportingMetricReader(MetricsOverGrpc(endpoint, insecure=True))).shutdown()
    provider = LoggerProvider(RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(LogsOverGrpc(endpoint, insecure=True)))
    provider.get_logger("l").emit(LogRecord(timestamp=5, body="over gRPC"))
    provider.shutdown()
    assert len(list(running.reader.points())) == 5
    assert [row.body for row in running.reader.logs()] == ["over gRPC"]


def test_without_the_token_grpc_takes_nothing(receiving):
    running = receiving(grpc_port=0, token=TOKEN)
    with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
        call = channel.unary_unary(GRPC_TRACES)
        for metadata in ((), (("authorization", "Bearer wrong"),)):
            with pytest.raises(grpc.RpcError) as error:
                call(body(span("no")), metadata=metadata, timeout=10)
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        call(body(span("yes")), metadata=(("authorization", f"Bearer {TOKEN}"),), timeout=10)
    assert names(running) == ["yes"]


def test_a_compressed_bomb_over_grpc_is_stopped_too(receiving):
    running = receiving(max_body=1 << 20, grpc_port=0)
    with grpc.insecure_channel(
        f"127.0.0.1:{running.grpc_port}", compression=grpc.Compression.Gzip
    ) as channel:
        call = channel.unary_unary(GRPC_TRACES)
        with pytest.raises(grpc.RpcError) as error:
            call(b"\x00" * (100 << 20), timeout=30)
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as error:
            call(b"\xff garbage", timeout=30)
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        call(body(span("after it")), timeout=30)
    assert names(running) == ["after it"]


def test_over_grpc_pressure_says_when_to_come_again(receiving):
    running = receiving(grpc_port=0)
    writing = running.receiver._writing
    with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
        call = channel.unary_unary(GRPC_TRACES)
        for kind, code in ((Kind.BUSY, "RESOURCE_EXHAUSTED"), (Kind.UNAVAILABLE, "UNAVAILABLE")):
            writing.refusal = lambda kind=kind: Answer(kind, "come again", retry_after_s=2.5)
            with pytest.raises(grpc.RpcError) as error:
                call(body(span()), timeout=10)
            assert error.value.code().name == code
            trailers = dict(error.value.trailing_metadata())
            status = Status.FromString(trailers["grpc-status-details-bin"])
            info = RetryInfo()
            assert status.details[0].Unpack(info)
            assert info.retry_delay.ToMilliseconds() == 2500


def test_over_tls_a_sender_that_trusts_the_certificate_is_served(command, tmp_path, monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # requests prefers them to what it is given
        monkeypatch.delenv(name, raising=False)
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed: OTLP over TLS was NOT tested")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    subprocess.run([openssl, *made, *subject, "-keyout", key, "-out", cert], check=True, capture_output=True)
    running = command("--host", "0.0.0.0", "--tls-cert", cert, "--tls-key", key, OTEL_LLM_RECEIVE_TOKEN=TOKEN)
    assert running.line.startswith("receiving OTLP at https://0.0.0.0:")
    authorization = {"authorization": f"Bearer {TOKEN}"}
    url = f"https://localhost:{running.port}/v1/traces"
    provider = TracerProvider()
    provider.add_span_processor(
        SimpleSpanProcessor(OTLPSpanExporter(url, certificate_file=str(cert), headers=authorization))
    )
    credentials = grpc.ssl_channel_credentials(cert.read_bytes())
    exporter = OverGrpc(f"localhost:{running.grpc_port}", credentials=credentials, headers=authorization)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("t").start_as_current_span("sealed"):
        pass
    provider.shutdown()
    code, out, err = running.end()
    assert (code, err) == (0, "")
    assert "stored 1 span," in out  # which came twice
    assert "there already: 1 request and 0 other spans" in out
    assert TOKEN not in out


def test_calls_whose_message_never_comes_make_room(receiving, monkeypatch):
    from otel_llm.receiving import rpc

    monkeypatch.setattr(rpc, "_MESSAGE_S", 1.0)
    running = receiving(grpc_port=0)
    held = [_stalled(running.grpc_port, calls=80) for _ in range(4)]  # more than are served at a time
    try:
        with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
            call = channel.unary_unary(GRPC_TRACES)
            assert _called(call, tries=100)
    finally:
        for connection in held:
            connection.close()
    assert names(running) == ["served"]


def _called(call, tries):
    data = body(span("served"))
    for _ in range(tries):
        try:
            call(data, timeout=10)
        except grpc.RpcError:  # as many as are served at a time are there
            time.sleep(0.1)
        else:
            return True
    return False


def _stalled(port, *, calls):
    """A connection with calls that say 1000 bytes will come, and send one: HTTP/2 by hand."""

    def frame(kind, flags, stream, data=b""):
        return struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data

    def literal(key, value):
        return b"\0" + bytes([len(key)]) + key + bytes([len(value)]) + value

    head = b"".join(
        literal(key, value)
        for key, value in (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", GRPC_TRACES.encode()),
            (b":authority", b"x"),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
        )
    )
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
    for stream in range(1, 2 * calls, 2):
        connection.sendall(
            frame(1, 4, stream, head) + frame(0, 0, stream, b"\0" + struct.pack(">I", 1000) + b"x")
        )
    return connection
