"""`otel-llm tail` shows calls as they are committed."""

import json
import signal
import time

from tests.cli.spans import agent_trace, call, failed_call, span


def lines_until(process, wanted):
    return [process.stdout.readline() for _ in range(wanted)]


def wait_until_it_watches(process, store, tries=100):
    """Add calls named `probe` until one is seen: from then on nothing is missed."""
    import threading

    seen = threading.Event()

    def look():
        process.stdout.readline()
        seen.set()

    threading.Thread(target=look, daemon=True).start()
    for n in range(tries):
        store.add(call(10_000 + n, "probe"))
        if seen.wait(0.3):
            break
    assert seen.is_set()
    time.sleep(0.5)
    return n


def test_what_was_there_before_is_shown_only_when_asked_for(otel_llm, store):
    store.add(*agent_trace())
    assert otel_llm("tail", "--for", "0.3", "--store", store.path).stdout == ""
    told = otel_llm("tail", "--from-start", "--for", "0.3", "--store", store.path).stdout
    assert told.count("chat ") == 4
    assert "GET /weather" not in told
    assert (
        "GET /weather"
        in otel_llm("tail", "--all", "--from-start", "--for", "0.3", "--store", store.path).stdout
    )


def test_a_call_appears_on_one_line_with_what_matters(otel_llm, store):
    store.add(*agent_trace())
    told = otel_llm(
        "tail", "--from-start", "--for", "0", "--store", store.path, COLUMNS="200", TZ="UTC"
    ).stdout
    assert (
        "14:13:21  chat claude-5                        1.20 s  retry 1 · ttft 310 ms · 1,300 → 420 · $0.0102 · stop"
        " · 128 reasoning · by claude-5-20260901 · trace 4bf92f35\n"
    ) in told


def test_new_calls_are_seen_within_a_moment(start, store):
    process = start("tail", "--json", "--store", store.path)
    wait_until_it_watches(process, store)
    begin = time.monotonic()
    store.add(call(1, "gpt-7", trace_id="0af7651916cd43dd8448eb211c80319c"))
    while json.loads(process.stdout.readline())["model"] == "probe":
        pass
    assert time.monotonic() - begin < 2


def test_filters_apply(otel_llm, store):
    store.add(call(1, "a"), failed_call(2, "b"), call(3, "c", took_ms=900))
    told = otel_llm("tail", "--json", "--errors", "--from-start", "--for", "0", "--store", store.path).stdout
    assert [json.loads(line)["model"] for line in told.splitlines()] == ["b"]
    told = otel_llm(
        "tail", "--json", "--min-duration", "500ms", "--from-start", "--for", "0", "--store", store.path
    )
    assert [json.loads(line)["model"] for line in told.stdout.splitlines()] == ["c"]


def test_an_interrupt_is_a_clean_end(start, store):
    process = start("tail", "--store", store.path)
    assert process.stderr.readline().startswith("otel-llm: waiting for a program to write to ")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert process.stderr.read() == ""


def test_nothing_that_was_said_reaches_the_terminal_as_an_escape_sequence(otel_llm, store):
    evil = "\x1b]0;x\x07\x9b"
    store.add(failed_call(1, evil, error=evil, message=evil), span(2, evil))
    told = otel_llm("tail", "--all", "--from-start", "--for", "0", "--store", store.path).stdout
    assert not {"\x1b", "\x07", "\x9b"} & set(told)
