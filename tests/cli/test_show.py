"""`otel-llm show` and what it prints."""

import json

import pytest

from otel_llm.cli.filters import Filters
from tests.cli.spans import MS, T0, TRACE, agent_trace, call, failed_call, span

OTHER = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def traces(store):
    store.add(*agent_trace())
    store.add(call(9, "gemini-9", trace_id=OTHER, start_ms=60_000, took_ms=4000, more={"game.id": 7}))
    return store


def ids(result):
    assert result.exit_code == 0, result.output
    return [trace["trace_id"] for trace in json.loads(result.stdout)["traces"]]


def test_the_newest_traces_are_shown_the_newest_last(invoke, traces):
    result = invoke("show", "--store", traces.path)
    assert result.exit_code == 0
    assert result.stdout.index(f"trace {TRACE}") < result.stdout.index(f"trace {OTHER}")
    assert "├─ chat gpt-5                " in result.stdout
    assert "\x1b" not in result.stdout


def test_the_configured_store_is_the_default(invoke, traces):
    assert ids(invoke("show", "--json", OTEL_LLM_STORE=str(traces.path))) == [TRACE, OTHER]


@pytest.mark.parametrize("digits", [32, 12, 4])
def test_one_trace_is_found_by_its_first_digits(invoke, traces, digits):
    assert ids(invoke("show", OTHER[:digits], "--json", "--store", traces.path)) == [OTHER]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--last", "1"], [OTHER]),
        (["--errors"], [TRACE]),
        (["--model", "gemini-9"], [OTHER]),
        (["--model", "cla*"], [TRACE]),
        (["--min-duration", "3s"], [OTHER]),
        (["-a", "game.id=7"], [OTHER]),
        (["-a", "game.id=8"], []),
        (["--since", "2100-01-01"], []),
        (["--since", "2020-01-01T00:00"], [TRACE, OTHER]),
    ],
)
def test_filters_choose_traces(invoke, store, options, expected):
    store.add(*(s for s in agent_trace() if s.end_ns is not None))
    store.add(call(9, "gemini-9", trace_id=OTHER, start_ms=60_000, took_ms=4000, more={"game.id": 7}))
    assert ids(invoke("show", "--json", "--store", store.path, *options)) == expected


def test_json_says_what_a_reader_of_calls_asks_for(invoke, store):
    store.add(*agent_trace())
    trace = json.loads(invoke("show", "--json", "--store", store.path).stdout)["traces"][0]
    spans = trace.pop("spans")
    assert trace == {
        "trace_id": TRACE,
        "name": "invoke_agent planner",
        "start": "2026-09-21T14:13:20.000000Z",
        "duration_s": None,
        "calls": 4,
        "errors": 2,
        "open": 1,
        "input_tokens": 2504,
        "output_tokens": 456,
        "cost_usd": pytest.approx(0.0121),
    }
    retry = next(s for s in spans if s["retry"])
    assert {
        key: retry[key]
        for key in ("parent_id", "name", "kind", "open", "start", "start_ns", "end_ns", "duration_s", "operation",
                    "model", "time_to_first_chunk_s", "input_tokens", "output_tokens", "cached_tokens",
                    "reasoning_tokens", "cost_usd", "finish_reasons", "tool_calls", "retry", "retry_of", "error",
                    "status", "status_description", "resource")
    } == {
        "parent_id": f"{1:016x}",
        "name": "chat claude-5",
        "kind": "client",
        "open": False,
        "start": "2026-09-21T14:13:20.775000Z",
        "start_ns": T0 + 775 * MS,
        "end_ns": T0 + 1975 * MS,
        "duration_s": 1.2,
        "operation": "chat",
        "model": "claude-5",
        "time_to_first_chunk_s": 0.31,
        "input_tokens": 1300,
        "output_tokens": 420,
        "cached_tokens": None,
        "reasoning_tokens": 128,
        "cost_usd": 0.0102,
        "finish_reasons": ["stop"],
        "tool_calls": [],
        "retry": 1,
        "retry_of": {"trace_id": TRACE, "span_id": f"{5:016x}"},
        "error": None,
        "status": "unset",
        "status_description": None,
        "resource": {"service.name": "agent"},
    }  # fmt: skip
    refused = next(s for s in spans if s["error"])
    assert refused["error"] == {"type": "rate_limit", "message": "Slow down.", "status_code": 429}


def test_json_is_strict_ascii_whatever_was_stored(invoke, store):
    odd = {"nan": float("nan"), "evil": "\x1b]0;x\x07\x9b\u202e", "日本": ("é", "\ud800"), "bytes": b"\xff"}
    store.add(call(1, more=odd))
    text = invoke("show", "--json", "--store", store.path).stdout
    assert text.isascii()
    assert "\x1b" not in text
    attributes = json.loads(text, parse_constant=pytest.fail)["traces"][0]["spans"][0]["attributes"]
    assert attributes["nan"] == "nan"
    assert attributes["evil"] == "\x1b]0;x\x07\x9b\u202e"


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["xyz"], "'xyz' is no trace id", 2),
        (["ffffffff"], "there is no trace ffffffff in the store", 1),
        (["--since", "soon"], "--since is 'soon'; it accepts an age", 2),
        (["--min-duration", "-1"], "--min-duration is '-1'; it accepts seconds", 2),
        (["-a", "game"], "--attribute is 'game'; it accepts KEY=VALUE", 2),
    ],
)
def test_a_mistake_is_one_clear_line(otel_llm, traces, arguments, message, code):
    done = otel_llm("show", "--store", traces.path, *arguments)
    assert (done.stdout, done.returncode) == ("", code)
    assert done.stderr.startswith(f"otel-llm: {message}")
    assert done.stderr.count("\n") == 1


def test_without_a_store_the_way_to_one_is_said(otel_llm):
    done = otel_llm("show")
    assert done.returncode == 1
    assert done.stderr.startswith("otel-llm: there is no store at .otel_llm.")
    assert "otel-llm demo" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_store_that_is_switched_off_is_said(otel_llm):
    assert "OTEL_LLM_STORE switches the store off" in otel_llm("show", OTEL_LLM_STORE="off").stderr


def test_an_empty_store_and_a_filter_without_matches_are_told_apart(otel_llm, traces, tmp_path):
    (tmp_path / "empty").mkdir()
    assert otel_llm("show", "--store", "empty").stderr == "the store has no traces yet\n"
    assert (
        otel_llm("show", "--model", "no", "--store", traces.path).stderr == "nothing in the store matches\n"
    )


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_shown(otel_llm, traces):
    (traces.path / "host-1-00000000.db").write_bytes(b"no database at all" * 500)
    done = otel_llm("show", "--store", traces.path)
    assert f"trace {OTHER}" in done.stdout
    assert "host-1-00000000.db: " in done.stderr


def test_a_terminal_that_knows_ascii_only_gets_ascii(otel_llm, traces):
    done = otel_llm("show", "--store", traces.path, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "|- chat gpt-5" in done.stdout


def test_a_pipe_that_closes_early_is_no_error(start, store):
    store.add(span(1, "root"), *(call(n, parent=1, start_ms=n) for n in range(2, 3000)))
    process = start("show", "--full", "--store", store.path)
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()


def test_wide_pipes_are_asked_for_by_columns(otel_llm, traces):
    narrow = otel_llm("show", "--store", traces.path, COLUMNS="50").stdout
    assert max(map(len, narrow.splitlines())) <= 50


def test_two_thousand_spans_are_shown_at_once(invoke, store):
    store.add(span(1, "root"), *(call(n, parent=n // 2, start_ms=n) for n in range(2, 2001)))
    result = invoke("show", "--store", store.path)
    assert len(result.stdout.splitlines()) < 70
    assert "2,000 spans · 1,999 calls" in result.stdout


def test_help_shows_examples(invoke):
    for name in ("demo", "run", "show", "tail", "doctor", "replay"):
        text = invoke(name, "--help").stdout
        assert f"\n    otel-llm {name}" in text, text


def test_the_version_is_told(invoke):
    from otel_llm.version import VERSION

    assert invoke("--version").stdout == f"otel-llm {VERSION}\n"


def test_a_filter_matches_as_the_store_does():
    facts_of = __import__("otel_llm.cli.facts", fromlist=["Facts"]).Facts.of
    filters = Filters.parse(T0, model="gpt-*", min_duration="2ms", attributes=["k=true"], since="1h")
    good = call(1, took_ms=2, more={"k": True})
    assert filters.matches(good, facts_of(good))
    for bad in (
        call(1, "o5", took_ms=2, more={"k": True}),
        call(1, took_ms=1, more={"k": True}),
        call(1, took_ms=2),
        call(1, took_ms=2, start_ms=-3_700_000, more={"k": True}),
    ):
        assert not filters.matches(bad, facts_of(bad))
    assert not Filters(errors=True).matches(good, facts_of(good))
    assert Filters(errors=True).matches(failed_call(1), facts_of(failed_call(1)))


def test_a_terminal_gets_colours_its_own_width_and_a_hint(store, tmp_path):
    import fcntl
    import os
    import pty
    import re
    import struct
    import subprocess
    import termios

    from tests.cli.conftest import command

    store.add(*agent_trace())
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 64, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "NO_COLOR", "FORCE_COLOR"}}
    process = subprocess.Popen(
        command("show", "--store", store.path),
        stdin=child,
        stdout=child,
        stderr=child,
        cwd=tmp_path,
        env=environment | {"TERM": "xterm-256color"},
    )
    os.close(child)
    told = b""
    try:
        while data := os.read(parent, 65536):
            told += data
    except OSError:  # how the end is told
        pass
    os.close(parent)
    assert process.wait(20) == 0
    text = told.decode()
    assert "\x1b[31m" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r", "")
    assert max(map(len, plain.splitlines())) <= 64
    assert "--full shows what was said" in plain
