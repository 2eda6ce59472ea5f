"""`otel-llm replay` sends what a backend does not have yet, once."""

import gzip
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm import semconv as sc
from otel_llm.cli.sinks import batches, estimated_bytes
from tests.cli.spans import TRACE, agent_trace, call, failed_call

OTHER = "0af7651916cd43dd8448eb211c80319c"


class Backend:
    """An OTLP receiver on loopback; `status` decides about the next requests."""

    def __init__(self):
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                backend.paths.append(self.path)
                backend.headers.append(dict(self.headers))
                status = backend.status(len(backend.paths)) if callable(backend.status) else backend.status
                if status == 200:
                    backend.sizes.append(len(body))
                    backend.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.status, self.paths, self.headers, self.requests, self.sizes = 200, [], [], [], []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def spans(self):
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def backend():
    found = Backend()
    yield found
    found.close()


def test_ended_spans_are_sent_whole_and_once(invoke, store, backend):
    store.add(*agent_trace())
    first = invoke("replay", "--to", "otlp", "--endpoint", backend.url, "--store", store.path)
    assert (first.stdout, first.exit_code) == ("6 spans sent to otlp\n", 0)
    assert set(backend.paths) == {"/v1/traces"}
    retry = next(span for span in backend.spans if span.links)
    assert retry.name == "chat claude-5"
    assert retry.trace_id.hex() == TRACE
    assert retry.links[0].span_id.hex() == f"{5:016x}"
    assert {a.key: a.value for a in retry.attributes}[sc.USAGE_INPUT_TOKENS].int_value == 1300
    resource = backend.requests[0].resource_spans[0].resource
    assert {a.key: a.value.string_value for a in resource.attributes}["service.name"] == "agent"

    second = invoke("replay", "--endpoint", backend.url, "--store", store.path)
    assert (second.stdout, second.exit_code) == ("nothing to send: otlp has every span that matches\n", 0)
    assert len(backend.spans) == 6

    store.add(call(50, trace_id=OTHER))
    assert invoke("replay", "--endpoint", backend.url, store.path).stdout == "1 span sent to otlp\n"


def test_everything_can_be_sent_again(invoke, store, backend):
    store.add(call(1), call(2))
    for _ in range(2):
        result = invoke("replay", "--all", "--endpoint", backend.url, "--store", store.path)
        assert result.stdout == "2 spans sent to otlp\n"


def test_what_could_not_be_sent_is_said_and_sent_the_next_time(otel_llm, store, backend):
    store.add(*(call(n) for n in range(1, 1301)))  # three batches
    backend.status = lambda n: 200 if n == 1 else 400
    first = otel_llm("replay", "--endpoint", backend.url, "--store", store.path)
    assert (first.stdout, first.returncode) == ("512 spans sent to otlp\n", 1)
    assert first.stderr.startswith("otel-llm: 788 spans could not be sent: ")
    assert first.stderr.endswith("otel-llm: run the same command again to send the rest\n")
    assert "Traceback" not in first.stderr
    backend.status = 200
    again = otel_llm("replay", "--endpoint", backend.url, "--store", store.path)
    assert (again.stdout, again.returncode) == ("788 spans sent to otlp\n", 0)
    assert sorted(int(span.span_id.hex(), 16) for span in backend.spans) == list(range(1, 1301))


def test_a_backend_that_is_down_ends_it_soon(otel_llm, store, backend):
    store.add(*(call(n) for n in range(1, 3001)))
    backend.close()
    done = otel_llm(
        "replay", "--endpoint", backend.url, "--store", store.path, OTEL_EXPORTER_OTLP_TIMEOUT="1"
    )
    assert done.returncode == 1
    assert "3,000 spans could not be sent (1,976 not tried)" in done.stderr
    assert done.stderr.count("\n") == 2


def test_the_standard_variables_configure_it(invoke, store, backend, monkeypatch):
    store.add(call(1))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{backend.url}/base")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=green")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    assert invoke("replay", "--store", store.path).exit_code == 0
    assert backend.paths == ["/base/v1/traces"]
    assert backend.headers[0]["x-team"] == "green"
    assert len(backend.spans) == 1


def test_the_endpoint_on_the_command_line_stands_above_the_variables(invoke, store, backend, monkeypatch):
    store.add(call(1))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/nowhere")
    assert invoke("replay", "--endpoint", f"{backend.url}/v1/traces/", "--store", store.path).exit_code == 0
    assert backend.paths == ["/v1/traces"]


def test_it_speaks_grpc_where_that_is_configured(invoke, store, monkeypatch):
    import grpc
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
        TraceServiceServicer,
        add_TraceServiceServicer_to_server,
    )

    requests = []

    class Service(TraceServiceServicer):
        def Export(self, request, context):
            requests.append(request)
            return messages.ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    store.add(call(1))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    result = invoke("replay", "--endpoint", f"http://127.0.0.1:{port}", "--store", store.path)
    server.stop(None).wait()
    assert result.stdout == "1 span sent to otlp\n"
    assert requests[0].resource_spans[0].scope_spans[0].spans[0].name == "chat gpt-5"


@pytest.mark.parametrize(
    ("options", "sent"),
    [(["--errors"], {5, 7}), (["--model", "claude-*"], {5, 6}), (["--min-duration", "1s"], {6})],
)
def test_filters_choose_spans(invoke, store, backend, options, sent):
    store.add(*agent_trace())
    invoke("replay", "--endpoint", backend.url, "--store", store.path, *options)
    assert {int(span.span_id.hex(), 16) for span in backend.spans} == sent


def test_one_file_of_a_store_can_be_chosen(invoke, store, backend):
    store.add(call(1))
    store.add(call(2))
    file = min(store.path.glob("*.db"))
    assert invoke("replay", file, "--endpoint", backend.url).stdout == "1 span sent to otlp\n"


def test_batches_are_bounded_by_bytes_and_by_number():
    large = [call(n, more={sc.INPUT_MESSAGES: "x" * 1_000_000}) for n in range(1, 8)]
    found = list(batches(iter(large), 3 << 20, 512))
    assert [len(batch) for batch in found] == [3, 3, 1]
    assert [len(batch) for batch in batches(iter([call(n) for n in range(1, 1026)]), 3 << 20, 512)] == [
        512,
        512,
        1,
    ]
    assert [len(batch) for batch in batches(iter(large[:2]), 10, 512)] == [1, 1]


def test_the_estimate_of_a_batch_is_near_what_is_sent(invoke, store, backend):
    spans = [call(n, more={sc.INPUT_MESSAGES: "é" * 3000, "list": ("a" * 100,) * 20}) for n in range(1, 200)]
    store.add(*spans, failed_call(500))
    invoke("replay", "--endpoint", backend.url, "--store", store.path)
    assert sum(backend.sizes) < sum(map(estimated_bytes, spans)) * 1.1
    assert sum(backend.sizes) > sum(map(estimated_bytes, spans)) * 0.7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "paper"], "--to is 'paper'; it accepts otlp"),
        (["--endpoint", "localhost:4318"], "--endpoint is 'localhost:4318'; it accepts a URL such as"),
    ],
)
def test_a_mistake_is_one_clear_line(otel_llm, store, options, message):
    store.add(call(1))
    done = otel_llm("replay", "--store", store.path, *options)
    assert (done.stdout, done.returncode) == ("", 2)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
