"""W&B forwards the headers of OpenTelemetry's exporters to its own server; not those of a program with our sink."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wandb.conftest import Program
from tests.wandb.server import WandbServer

SECRET = "our-tracing-key"
HEADERS = (
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
)


def requests_with_secret(program: Program, whose: str, variable: str) -> tuple[int, list[str]]:
    with WandbServer() as server:
        done = program(
            "headers.py",
            whose,
            WANDB_MODE="online",
            WANDB_API_KEY="k" * 40,
            WANDB_BASE_URL=server.url,
            **{variable: f"x-secret={SECRET}"},
        )
        assert done.returncode == 0, done.stderr
        leaked = [
            asked.path
            for asked in server.asked
            if SECRET in str(asked.headers) or SECRET.encode() in asked.body
        ]
        return len(server.asked), leaked


@pytest.mark.parametrize("variable", HEADERS)
def test_ours_are_not_sent_and_the_environment_is_as_it_was(
    program: Program, tmp_path: Path, variable: str
) -> None:
    count, leaked = requests_with_secret(program, "ours", variable)
    assert count > 3
    assert leaked == []


def test_that_would_be_seen(program: Program, tmp_path: Path) -> None:
    _, leaked = requests_with_secret(program, "theirs", HEADERS[0])
    assert leaked, "W&B does not do so any more: the counter-measure can go"
