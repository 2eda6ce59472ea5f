"""What leaves the gateway: no prompt, no secret, every number; and nothing longer than it may be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_llm import semconv as sc
from tests.collector import fleet
from tests.collector.fleet import Collector, Kept, Span
from tests.collector.test_configurations import CONTENT

pytestmark = pytest.mark.collector

SAID = "the northern fleet moves at dawn"
SECRETS = {
    "openai": "sk-proj-" + "a1B2" * 8,
    "github": "ghp_" + "Zz09" * 9,
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "aws": "AKIA" + "ABCDEFGH23456789",
    "google": "AIza" + "Sy_9" * 9,
    "slack": "xoxb-" + "1234567890",
    "bearer": "Bearer " + "abcdefgh12345678",
    "named": 'api_key="hunter2hunter2"',
    "url": "https://me:mypassword@db.example.com/x",
    "pem": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----",
}
BARE = [
    SECRETS["openai"], SECRETS["github"], "c2lnbmF0dXJl", SECRETS["aws"], SECRETS["google"], SECRETS["slack"],
    "abcdefgh12345678", "hunter2hunter2", "mypassword", "MIIEow", "IBAAKC", "cookie-of-somebody",
]  # fmt: skip
NUMBERS: dict[str, Any] = {
    sc.USAGE_INPUT_TOKENS: 1234,
    sc.USAGE_OUTPUT_TOKENS: 56,
    sc.USAGE_CACHE_READ: 1024,
    sc.USAGE_CACHE_WRITE: 7,
    sc.USAGE_REASONING: 31,
    sc.SAMPLE_INPUT_TOKENS: 11,
    sc.SAMPLE_OUTPUT_TOKENS: 22,
    f"{sc.INTERACTION_TOKENS_PREFIX}cached": 9,
    f"{sc.RATE_LIMIT_PREFIX}remaining.tokens": 30000,
    sc.COST_TOTAL: 0.0125,
    sc.INPUT_LENGTH: 4321,
    sc.REQUEST_MAX_TOKENS: 4096,
    sc.RESPONSE_FINISH_REASONS: ["stop"],
    sc.REQUEST_STREAM: True,
}


@pytest.fixture(scope="module")
def gateway(collector: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with fleet.gateway(tmp_path_factory.mktemp("gateway"), KEEP_PERCENT="100") as gateway:
        yield gateway


def through(gateway: Collector, span: Span, resource: dict[str, Any] | None = None) -> tuple[Kept, str]:
    """The span as it left, and everything that left with it as text."""
    assert fleet.post(gateway.otlp, fleet.encoded([span], resource), fleet.TOKEN) == 200
    [found] = fleet.eventually(lambda: [one for one in fleet.kept(gateway) if one.trace == span.trace])
    lines = [
        line
        for path in (gateway.folder / "archive").glob("traces*.jsonl")
        for line in path.read_text().splitlines()
        if span.trace in line
    ]
    return found, "\n".join(lines)


def test_nothing_of_what_was_said_leaves_and_every_number_does(gateway: Collector) -> None:
    said = dict.fromkeys(CONTENT, SAID)
    others = {
        "input.value": SAID,
        "gen_ai.prompt.0.content": SAID,
        "llm.input_messages.0.message.content": SAID,
    }
    event = (sc.EVENT_MESSAGE, {sc.MESSAGE_CONTENT: SAID, sc.MESSAGE_SENDER: "FRANCE", sc.MESSAGE_LENGTH: 32})
    older = ("gen_ai.user.message", {"content": SAID})
    left, text = through(
        gateway,
        Span(attributes={**said, **others, **NUMBERS}, events=[event, older]),
        {sc.INPUT_MESSAGES: SAID, "service.name": "told"},
    )
    assert SAID not in text
    assert left.attributes == NUMBERS
    told, _ = left.raw["events"]
    assert fleet.attributes_of(told["attributes"]) == {sc.MESSAGE_SENDER: "FRANCE", sc.MESSAGE_LENGTH: 32}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_taken_out_wherever_it_is(gateway: Collector, kind: str) -> None:
    secret = SECRETS[kind]
    left, text = through(
        gateway,
        Span(
            name=f"call with {secret}",
            attributes={
                sc.ERROR_MESSAGE: f"refused: {secret}.",
                "http.request.header.authorization": "Bearer hunter2hunter2",
                "http.request.header.x-api-key": "hunter2hunter2",
                "http.request.header.cookie": "cookie-of-somebody",
                "app.arguments": ["--verbose", f"--with {secret}"],
                **NUMBERS,
            },
            error=f"failed with {secret}",
            events=[
                ("exception", {sc.EXCEPTION_MESSAGE: f"no access with {secret}"}),
                (f"event with {secret}", {}),
            ],
        ),
        {"process.command_line": f"python train.py {secret}", "service.name": "leaking"},
    )
    for bare in BARE:
        assert bare not in text
    for key, value in NUMBERS.items():
        assert left.attributes[key] == value
    assert left.attributes["redaction.masked.count"] >= 4
    assert left.name.startswith("call with ")
    assert left.raw["status"]["message"].startswith("failed with ")
    assert left.resource["service.name"] == "leaking"
    assert [event["name"][:11] for event in left.raw["events"]] == ["exception", "event with "]
    assert "text." not in text


@pytest.mark.parametrize(
    "innocent",
    [
        "chat gpt-5-2025-08-07",
        "task-aaaaaaaaaaaaaaaaaaaaaaaa",
        "Basic understanding of tokens",
        "https://api.example.com:8080/v1/chat?limit=10",
        "no tokens left: 4096 of 4096 used",
        "A PAR - BUR, F MAO S A SPA",
        "invoke_agent FRANCE",
        "Traceback (most recent call last):\n  File 'x.py', line 1",
    ],
)
def test_what_is_no_secret_stays(gateway: Collector, innocent: str) -> None:
    left, _ = through(gateway, Span(name=innocent, attributes={sc.ERROR_MESSAGE: innocent}, error=innocent))
    assert left.name == innocent
    assert left.attributes == {sc.ERROR_MESSAGE: innocent}
    assert left.raw["status"]["message"] == innocent


def test_a_long_text_is_cut_between_characters(gateway: Collector) -> None:
    long = "ö" * 10_000
    left, _ = through(
        gateway,
        Span(
            name=long,
            attributes={sc.ERROR_MESSAGE: long},
            error=long,
            events=[("exception", {sc.EXCEPTION_STACKTRACE: long})],
        ),
    )
    for text in (left.name, left.attributes[sc.ERROR_MESSAGE], left.raw["status"]["message"]):
        assert len(text.encode()) <= 4096
        assert text.strip("ö") == ""


def test_logs_lose_content_and_secrets_too(gateway: Collector, tmp_path: Path) -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.body.string_value = f"retrying with {SECRETS['openai']} " + "ö" * 10_000
    fleet.set_attributes(record.attributes, {sc.INPUT_MESSAGES: SAID, sc.USAGE_INPUT_TOKENS: 12})
    assert fleet.post(gateway.otlp, request.SerializeToString(), fleet.TOKEN, "/v1/logs") == 200
    archive = gateway.folder / "archive" / "logs.jsonl"
    text = fleet.eventually(lambda: archive.exists() and archive.read_text())
    assert "retrying with ****" in text
    assert SAID not in text
    assert sc.USAGE_INPUT_TOKENS in text
    assert "�" not in text


def test_events_whose_body_is_what_was_said_lose_it(gateway: Collector) -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    of_resource = request.resource_logs.add()
    of_scope = of_resource.scope_logs.add()
    fleet.set_attributes(of_resource.resource.attributes, {sc.INPUT_MESSAGES: SAID})
    fleet.set_attributes(of_scope.scope.attributes, {sc.INPUT_MESSAGES: SAID})
    user = of_scope.log_records.add(event_name="gen_ai.user.message")
    user.body.kvlist_value.values.add(key="content").value.string_value = SAID
    user.body.kvlist_value.values.add(key="role").value.string_value = "user of bodies"
    choice = of_scope.log_records.add()
    fleet.set_attributes(choice.attributes, {"event.name": "gen_ai.choice"})
    message = choice.body.kvlist_value.values.add(key="message").value.kvlist_value
    message.values.add(key="content").value.string_value = SAID
    choice.body.kvlist_value.values.add(key="finish_reason").value.string_value = "stop of bodies"
    of_scope.log_records.add(event_name="gen_ai.user.message").body.string_value = SAID
    theirs = of_scope.log_records.add(event_name="app.started")
    theirs.body.kvlist_value.values.add(key="message").value.string_value = "an app of bodies"
    theirs.body.kvlist_value.values.add(key="long").value.string_value = "ü" * 10_000
    of_scope.log_records.add(event_name=f"app {SECRETS['openai']}").body.int_value = 1
    assert fleet.post(gateway.otlp, request.SerializeToString(), fleet.TOKEN, "/v1/logs") == 200
    archive = gateway.folder / "archive" / "logs.jsonl"

    def left() -> str:
        lines = archive.read_text().splitlines() if archive.exists() else []
        return "\n".join(line for line in lines if "of bodies" in line)

    text = fleet.eventually(left)
    assert SAID not in text
    for kept in (
        "user of bodies",
        "stop of bodies",
        "an app of bodies",
        "gen_ai.choice",
        "app.started",
        "app ****",
    ):
        assert kept in text
    assert "ü" in text
    assert "ü" * 2050 not in text
    assert "text." not in text
