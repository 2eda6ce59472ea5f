"""Every SDK, as its users call it, against a server that knows what it sent.

The environments come from `tests/sdks/environments.sh`; a row whose environment is not there is skipped and
says so. Each test looks at all scenarios of one program and tells everything that is wrong at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import matrix
import pytest
from matrix import Call, Row, Scenario

OFF = ("ANTHROPIC_OPEN_TELEMETRY", "false")
OURS = (
    Row("newest", "openai_sdk"),
    Row("aiohttp", "openai_sdk"),
    Row("newest", "anthropic_sdk", (OFF,)),
    Row("newest", "google_sdk"),
    Row("aiohttp", "google_sdk"),
    Row("newest", "groq_sdk"),
    Row("aiohttp", "together_sdk"),
    Row("newest", "cohere_sdk"),
    Row("newest", "ollama_sdk"),
    Row("aiohttp", "litellm_sdk"),
    Row("newest", "raw_clients"),
    Row("aiohttp", "raw_clients"),
)
"""Programs whose calls only we record."""

COVERED = (
    Row("newest", "anthropic_sdk"),
    Row("newest", "mistral_sdk"),
    Row("instrumentors", "others", (("OTEL_LLM_TEST_OTHER", "genai"),)),
    Row("instrumentors", "others", (("OTEL_LLM_TEST_OTHER", "openinference"),)),
)
"""Programs whose calls somebody else records too: the SDK itself, or another instrumentor."""

ERRORS = {"server_error": "overloaded"}
"""Kinds of the loopback server's errors that our taxonomy calls otherwise."""

pytestmark = [pytest.mark.sdks, pytest.mark.slow]
ours = pytest.mark.parametrize("row", OURS, ids=str)
every = pytest.mark.parametrize("row", OURS + COVERED, ids=str)


def scenarios(row: Row) -> list[Scenario]:
    try:
        return matrix.run(row)
    except matrix.MissingEnvironmentError:
        pytest.skip(f"no environment {row.environment!r}: run tests/sdks/environments.sh {row.environment}")


def listed(wrong: list) -> str:
    more = [f"and {len(wrong) - 10} more"] if len(wrong) > 10 else []
    return "\n" + "\n".join([*map(str, wrong[:10]), *more])


def calls(row: Row) -> Iterator[Call]:
    for scenario in scenarios(row):
        yield from scenario.calls()


def expected_error(call: Call) -> str | None:
    """What `error.type` must be."""
    if call.expect.get("broken_off"):
        return "cancelled"
    planned = call.sent["error"]
    return call.expect.get("sent_error") or ERRORS.get(planned, planned)


def whole(call: Call) -> bool:
    """Whether the program got all that the server had to say."""
    return expected_error(call) is None


def is_model_call(span: dict) -> bool:
    attributes = span["attributes"]
    return "gen_ai.operation.name" in attributes or attributes.get("openinference.span.kind") in {
        "LLM",
        "EMBEDDING",
    }


@every
def test_the_program_gets_what_it_gets_without_us(row):
    told = scenarios(row)
    assert told
    failed = [
        (s.name, s.output["failed"]) for s in told if isinstance(s.output, dict) and "failed" in s.output
    ]
    assert not failed, "\n".join(map("\n".join, failed))
    assert [(s.name, s.output) for s in told] == [(s.name, s.plain_output) for s in told]


@every
def test_the_server_saw_the_calls_that_the_scenario_makes(row):
    assert [(s.name, len(s.exchanges)) for s in scenarios(row)] == [
        (s.name, s.expect["calls"]) for s in scenarios(row)
    ]


@ours
def test_each_exchange_is_one_span_and_nothing_else_is(row):
    wrong = [
        (s.name, len(s.exchanges), [span["name"] for span in s.spans])
        for s in scenarios(row)
        if len(s.spans) != len(s.exchanges)
    ]
    assert not wrong, listed(wrong)


@ours
def test_spans_are_clients_below_what_made_the_call_and_each_has_an_id_of_its_own(row):
    for scenario in scenarios(row):
        for span in scenario.spans:
            assert (span["kind"], span["parent_id"]) == ("SpanKind.CLIENT", f"0x{scenario.span_id}"), (
                scenario.name
            )
        ids = [span["context"]["span_id"] for span in scenario.spans]
        assert len(set(ids)) == len(ids), scenario.name


@ours
def test_spans_name_operation_provider_models_and_host(row):
    wrong = []
    for call in calls(row):
        model, host = call.expect.get("model"), call.request["host"]
        want = {
            "gen_ai.operation.name": call.expect["operation"],
            "gen_ai.provider.name": call.expect["provider"],
            "gen_ai.request.model": model,
            "server.address": host,
            "name": f"{call.expect['operation']} {model}" if model else call.expect["operation"],
        }
        if whole(call):
            want |= {"gen_ai.response.model": call.sent["model"], "gen_ai.response.id": call.sent["id"]}
        got = {key: call.attributes.get(key) for key in want} | {"name": call.span.get("name")}
        if got != want:
            wrong.append((str(call), {key: (got[key], want[key]) for key in want if got[key] != want[key]}))
    assert not wrong, listed(wrong)


@ours
def test_spans_tell_the_tokens_that_the_server_sent(row):
    wrong = []
    for call in calls(row):
        if not whole(call) and call.sent["stream"] and call.sent["usage"] is None:
            continue  # broke off: what had come until then may be told
        if call.expect.get("broken_off") or call.expect.get("sent_error"):
            continue
        usage = call.sent["usage"]
        keys = {
            "gen_ai.usage.input_tokens": "input",
            "gen_ai.usage.output_tokens": "output",
            "gen_ai.usage.cache_read.input_tokens": "cache_read",
            "gen_ai.usage.cache_write.input_tokens": "cache_write",
            "gen_ai.usage.reasoning.output_tokens": "reasoning",
        }
        # Nothing cached may be told as 0 or not at all, and an embedding has no output.
        got = {key: call.attributes.get(key) or 0 for key in keys}
        want = {key: usage[name] if usage else 0 for key, name in keys.items()}
        if got != want:
            wrong.append((str(call), got, want))
        if usage and "gen_ai.usage.input_tokens" not in call.attributes:
            wrong.append((str(call), "no input tokens"))
    assert not wrong, listed(wrong)


@ours
def test_spans_tell_why_answers_ended_and_which_tools_they_call(row):
    wrong = []
    for call in calls(row):
        if not whole(call):
            continue
        got = call.attributes.get("gen_ai.response.finish_reasons", []), [
            part["name"]
            for message in json.loads(call.attributes.get("gen_ai.output.messages", "[]"))
            for part in message["parts"]
            if part["type"] == "tool_call"
        ]  # fmt: skip
        if got != (call.sent["finish_reasons"], call.sent["tool_calls"]):
            wrong.append((str(call), got, call.sent["finish_reasons"], call.sent["tool_calls"]))
    assert not wrong, listed(wrong)


@ours
def test_streams_are_streams_with_a_time_to_the_first_chunk(row):
    wrong = []
    for call in calls(row):
        first = call.attributes.get("gen_ai.response.time_to_first_chunk")
        streamed = call.sent["stream"] and call.sent["status"] == 200
        said = call.attributes.get("gen_ai.request.stream", False)
        if (said, first is not None) != (streamed, streamed) or (first is not None and not 0 < first < 60):
            wrong.append((str(call), said, first))
    assert not wrong, listed(wrong)


@ours
def test_failures_are_errors_of_the_right_type_and_the_rest_are_none(row):
    wrong = []
    for call in calls(row):
        error = expected_error(call)
        got = call.attributes.get("error.type"), call.span["status"].get("status_code")
        if got != (error, "ERROR" if error else "UNSET"):
            wrong.append((str(call), got, error))
        status = call.attributes.get("http.response.status_code")
        if (call.sent["status"] or None) != status:
            wrong.append((str(call), status, call.sent["status"]))
    assert not wrong, listed(wrong)


@ours
def test_a_retry_is_numbered_and_linked_to_the_attempt_before_it(row):
    wrong = []
    for scenario in scenarios(row):
        before = None
        for number, call in enumerate(scenario.calls()):
            links = [link["context"]["span_id"] for link in call.span.get("links", ())]
            failed = before is not None and before.sent["error"] is not None
            want = (number, [before.span["context"]["span_id"]]) if failed else (None, [])
            if (call.attributes.get("http.request.resend_count"), links) != want:
                wrong.append((str(call), call.attributes.get("http.request.resend_count"), links, want))
            before = call
    assert not wrong, listed(wrong)


@ours
def test_spans_carry_what_was_asked_and_what_was_said(row):
    wrong = []
    for call in calls(row):
        if not whole(call) or call.expect["operation"] in {"embeddings", "fetch_response"}:
            continue
        asked = json.loads(call.attributes.get("gen_ai.input.messages", "[]"))
        said = json.loads(call.attributes.get("gen_ai.output.messages", "[]"))
        if not (
            asked and asked[-1]["parts"] and said and (said[0]["parts"] or not call.sent["usage"]["output"])
        ):
            wrong.append((str(call), asked, said))
    assert not wrong, listed(wrong)


@ours
def test_the_trace_goes_on_at_a_near_host_and_is_told_to_no_provider(row):
    wrong = []
    for call in calls(row):
        near = call.request["host"] == "127.0.0.1"
        told = call.request["traceparent"]
        if (told is not None) != near or (near and call.span["context"]["span_id"][2:] not in told):
            wrong.append((str(call), call.request["host"], told))
    assert not wrong, listed(wrong)


@pytest.mark.parametrize("row", COVERED, ids=str)
def test_a_call_that_somebody_else_records_has_one_span_not_two(row):
    wrong = []
    for scenario in scenarios(row):
        spans = [span for span in scenario.spans if is_model_call(span)]
        ours = [span for span in spans if span["scope"] == "otel_llm"]
        ids = [
            s["attributes"]["gen_ai.response.id"] for s in spans if "gen_ai.response.id" in s["attributes"]
        ]
        # Whether theirs tells retries, or a stream that was broken off, is theirs to say.
        if len(ours if not scenario.exchanges else spans) > len(scenario.exchanges) or len(set(ids)) < len(
            ids
        ):
            wrong.append((scenario.name, len(scenario.exchanges), [(s["scope"], s["name"]) for s in spans]))
        if scenario.name in {"chat", "chat_async", "stream", "stream_async"} and len(spans) != 1:
            wrong.append((scenario.name, [(s["scope"], s["name"]) for s in spans]))
    assert not wrong, listed(wrong)
