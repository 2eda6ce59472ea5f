"""`otel-llm receive` as it is typed, and what the other commands make of what it stored."""

from __future__ import annotations

import csv
import subprocess
import sys
import time

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from typer.testing import CliRunner

from otel_llm.cli.app import app
from otel_llm.receiving.access import Access, is_loopback

TOKEN = "a-long-secret-token"


def refused(*arguments, **environment):
    result = CliRunner().invoke(app, ["receive", *map(str, arguments)], env=environment)
    assert result.exit_code in {1, 2}
    assert result.output.startswith("otel-llm: ")
    assert result.output.count("\n") == 1
    return result.output


def test_other_machines_are_not_let_in_without_a_token(tmp_path):
    for host in ("0.0.0.0", "::", "", "192.0.2.7", "example.invalid"):
        said = refused("--host", host, "--store", tmp_path)
        assert "needs a token" in said
        assert "--token-file" in said


def test_a_token_that_is_none_is_refused(tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "two").write_text("two words")
    for name in ("empty", "two", "missing"):
        said = refused("--host", "0.0.0.0", "--token-file", tmp_path / name, "--store", tmp_path)
        assert "token" in said
        assert "two words" not in said
    assert "token" in refused("--store", tmp_path, OTEL_LLM_RECEIVE_TOKEN=" ")
    assert "go together" in refused("--store", tmp_path, "--tls-cert", "cert.pem")


def test_a_port_that_is_taken_is_said_in_a_line(command, tmp_path):
    running = command("--no-grpc")
    said = refused("--port", running.port, "--no-grpc", "--store", tmp_path / "other")
    assert f"cannot listen at 127.0.0.1:{running.port} (--port)" in said


def test_what_is_loopback():
    assert is_loopback("127.0.0.1")
    assert is_loopback("localhost")
    assert is_loopback("127.8.8.8")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("")
    assert not is_loopback("no.such.host.invalid")


def test_a_token_is_compared_whole():
    access = Access(TOKEN)
    assert access.allows(f"Bearer {TOKEN}")
    assert not access.allows(f"Bearer {TOKEN[:-1]}")
    assert not access.allows("Bearer ü")
    assert not access.allows(None)
    assert Access(None).allows(None)


def send(url, headers=None):
    provider = TracerProvider(resource=Resource({"service.name": "rollouts", "host.name": "node-7"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces", headers=headers)))
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("chat gpt-x") as span:
        span.set_attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-x",
                "gen_ai.usage.input_tokens": 1200,
                "gen_ai.usage.output_tokens": 34,
            }
        )
    provider.shutdown()
    return f"{span.get_span_context().trace_id:032x}"


def test_what_was_received_is_shown_reported_and_replayed(command, tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    running = command("--token-file", token)
    store = tmp_path / "store"
    trace_id = send(running.url, {"authorization": f"Bearer {TOKEN}"})

    def run(*arguments):
        result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "140"})
        assert result.exit_code == 0, result.output
        return result.output

    shown = run("show", trace_id[:8], "--store", store)
    assert "chat gpt-x" in shown
    assert "rollouts" in shown
    assert "1,200" in run("tail", "--from-start", "--for", "0", "--store", store)
    report = tmp_path / "report.html"
    run("report", "--store", store, "--output", report)
    assert "gpt-x" in report.read_text()
    follower = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "otel_llm.cli",
            "replay",
            "--to",
            "csv",
            "--follow",
            "-o",
            tmp_path / "csv",
            store,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(1.5)
        second = send(running.url, {"authorization": f"Bearer {TOKEN}"})
        code, out, err = running.end()
        assert (code, err) == (0, "")
        assert TOKEN not in out
        assert follower.wait(30) == 0, follower.communicate()
    finally:
        follower.kill()
        follower.communicate()
    with open(tmp_path / "csv" / "calls.csv", newline="") as file:
        assert sorted(row["trace_id"] for row in csv.DictReader(file)) == sorted([trace_id, second])


@pytest.mark.parametrize("secret", [TOKEN])
def test_the_token_is_in_no_traceback(secret):
    from pathlib import Path

    from otel_llm.receiving.server import Options

    assert secret not in repr(Options(store=Path(), token=secret))
