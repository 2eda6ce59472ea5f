"""Keys in headers, URLs, model names, prompts and errors: in no span, no file, no request to somebody else."""

from __future__ import annotations

import json
import os
import secrets
import string
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from otel_llm.loopback import LoopbackServer, plans
from otel_llm.store import StoreReader
from tests.e2e.otlp import collector

PROGRAM = Path(__file__).parent / "programs" / "secretive.py"


def made_up(prefix: str, length: int = 40) -> str:
    alphabet = string.ascii_letters + string.digits
    return prefix + "".join(secrets.choice(alphabet) for _ in range(length))


def test_no_key_is_in_a_span_a_file_or_a_request_to_somebody_else(tmp_path: Path) -> None:
    keys = [
        made_up("sk-proj-"),
        made_up("sk-ant-api03-"),
        made_up("AIza", 35),
        made_up("sk-"),
        made_up("gsk_"),
        made_up("", 32),
    ]
    otlp_key = made_up("", 24)
    echo = json.dumps({"error": {"message": f"Incorrect API key provided: {keys[0]}", "type": "x"}}).encode()
    with LoopbackServer() as server, collector() as taken:
        server.script(
            plans.answer(f"your key is {keys[4]}"),
            plans.Plan(status=401, body=echo),
            plans.Plan(
                status=400, body=f"<html>bad api_key={keys[0]}</html>".encode(), content_type="text/html"
            ),
        )
        done = subprocess.run(
            [sys.executable, str(PROGRAM), server.url],
            cwd=tmp_path,
            env={
                **os.environ,
                "SECRETS": " ".join(keys),
                "OTEL_EXPORTER_OTLP_ENDPOINT": taken.url,
                "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {otlp_key}",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        requests, received = server.requests, taken.requests
    assert (done.returncode, done.stderr) == (0, "")
    assert len(requests) == 7
    # The key of the collector goes to the collector and to nobody else.
    assert all(otlp_key not in str(request.headers) + str(request.query) for request in requests)
    assert any(path == "/v1/traces" and otlp_key in str(headers) for path, headers, _ in received)
    for key in [*keys, otlp_key]:
        for path, _, body in received:
            assert key.encode() not in body, f"{key[:8]}… was sent to {path}"
        for file in (tmp_path / ".otel_llm").iterdir():
            assert key.encode() not in file.read_bytes(), f"{key[:8]}… is in {file.name}"
    reader = StoreReader(tmp_path / ".otel_llm")
    spans = list(reader.spans())
    assert len(spans) == 8
    text = json.dumps([asdict(span) for span in spans], default=str)
    assert "[redacted]" in text
    assert "keep it" in text  # the rest of the prompt is there
    for key in [*keys, otlp_key]:
        assert key not in text
    rest = json.dumps([asdict(row) for row in [*reader.points(), *reader.logs()]], default=str)
    assert rest != "[]"
    for key in [*keys, otlp_key]:
        assert key not in rest
