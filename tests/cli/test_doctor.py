"""`otel-llm doctor` says what is there and what is wrong."""

import json
import socket

import pytest

from otel_llm.version import VERSION
from tests.cli.spans import agent_trace, call


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nowhere():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def report(done):
    return json.loads(done.stdout)


def test_a_healthy_installation_has_no_problems(otel_llm, store):
    store.add(*agent_trace())
    done = otel_llm("doctor", "--json", "--store", store.path)
    found = report(done)
    assert (found["problems"], found["ok"], done.returncode) == ([], True, 0)
    assert found["versions"]["opentelemetry-sdk"]
    assert found["instrumentation"]["version"] == VERSION
    assert found["instrumentation"]["instrumented"] is True
    assert found["instrumentation"]["instrumentations"]["otel_llm_http"] == "installed"
    assert found["instrumentation"]["seams"]["otel_llm_http"]["httpx"] == "patched"
    assert found["settings"]["content"] == {
        "value": "length",
        "source": "default",
        "variable": "OTEL_LLM_CONTENT",
    }
    assert found["exporters"] == []
    assert found["store"]["files"] == 1
    assert found["store"]["spans"] == 6
    assert found["store"]["open_spans"] == 1
    assert found["store"]["dropped"] == {}


def test_it_leaves_nothing_behind(otel_llm, tmp_path):
    assert otel_llm("doctor").returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_person_reads_the_same(otel_llm, store, listener):
    store.add(*agent_trace())
    done = otel_llm(
        "doctor", "--store", store.path, OTEL_EXPORTER_OTLP_ENDPOINT=listener, OTEL_LLM_CONTENT="full"
    )
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "✓ httpx patched" in lines
    assert "content full (from OTEL_LLM_CONTENT)" in lines
    assert f"✓ traces otlp to {listener} (http/protobuf, OTEL_EXPORTER_OTLP_ENDPOINT): reachable" in lines
    assert lines[-1] == "no problems"


def test_a_backend_that_is_not_there_is_a_problem(otel_llm, nowhere):
    done = otel_llm("doctor", "--json", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=nowhere)
    assert report(done)["problems"] == [f"traces to {nowhere}: not reachable: Connection refused"]
    assert done.returncode == 1


def test_what_is_wrong_with_all_signals_is_said_once(otel_llm, nowhere):
    found = report(otel_llm("doctor", "--json", OTEL_EXPORTER_OTLP_ENDPOINT=nowhere))
    assert found["problems"] == [f"traces, metrics, logs to {nowhere}: not reachable: Connection refused"]


def test_an_exporter_that_is_not_installed_is_a_problem(otel_llm):
    done = otel_llm("doctor", OTEL_TRACES_EXPORTER="console,paper")
    assert "traces to paper: there is no exporter of this name installed" in done.stdout
    assert done.returncode == 1


def test_a_bad_setting_is_a_problem_that_names_it(otel_llm):
    done = otel_llm("doctor", "--json", OTEL_LLM_CONTENT="much")
    assert report(done)["problems"] == [
        "OTEL_LLM_CONTENT is 'much'; it accepts none, length, preview or full"
    ]


def test_a_switched_off_sdk_is_a_problem(otel_llm):
    assert (
        "OTEL_SDK_DISABLED=true switches everything off"
        in otel_llm("doctor", OTEL_SDK_DISABLED="true").stdout
    )


def test_a_file_that_cannot_be_read_is_a_problem(otel_llm, store):
    store.add(call(1))
    (store.path / "host-1-00000000.db").write_bytes(b"no database at all" * 500)
    found = report(otel_llm("doctor", "--json", "--store", store.path))
    assert len(found["problems"]) == 1
    assert "host-1-00000000.db" in found["problems"][0]


def test_no_secret_is_told(otel_llm):
    done = otel_llm(
        "doctor",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://user:sesame@127.0.0.1:9/x?key=sesame",
        OTEL_EXPORTER_OTLP_HEADERS="authorization=sesame",
        OPENAI_API_KEY="sesame",
    )
    assert "http://127.0.0.1:9/x" in done.stdout
    assert "sesame" not in done.stdout + done.stderr


def test_hooks_into_a_library_that_is_not_used_are_one_line():
    from otel_llm.cli.doctor import _patched

    def told(seams):
        status = {
            "found": {"ours": "m:C"},
            "instrumentations": {"ours": "installed"},
            "seams": {"ours": seams},
        }
        return [(label, text) for label, text, _ in _patched(status)][1:]

    absent = {
        f"trl: {n}": f"{name} is not installed" for n, name in enumerate(["transformers", "trl", "trl"])
    }
    assert told(absent) == [("  3 hooks", "not installed: transformers, trl")]
    assert told({f"vllm.{n}": "not imported" for n in range(9)}) == [("  9 hooks", "not imported")]
    mixed = absent | {"trl: loss": "not imported"}
    assert told(mixed) == [("  4 hooks", "not imported; not installed: transformers, trl")]
    for state in ("patched", "failed: TypeError", "missing in trl/trainer.py"):
        assert told(absent | {"trl: loss": state})[-1] == ("  trl: loss", state)
        assert len(told(absent | {"trl: loss": state})) == 4
