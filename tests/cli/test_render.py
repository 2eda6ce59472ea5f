"""What a trace looks like."""
# ruff: noqa: RUF001 (the multiplication sign is meant)

import re
from textwrap import dedent

import pytest

from otel_llm import semconv as sc
from otel_llm.cli.lines import Output
from otel_llm.cli.render import Style, trace_lines
from otel_llm.cli.text import width
from tests.cli.spans import MS, T0, TRACE, agent_trace, call, span

NOW = T0 + 3000 * MS


def shown(spans, columns=140, **style):
    lines = trace_lines(TRACE, spans, Style(columns, NOW, ids=False, **style))
    return "\n".join(line.text for line in lines)


def block(text):
    return dedent(text).strip("\n")


def test_a_wide_terminal_shows_figures_in_columns_and_the_rest_behind():
    assert shown(agent_trace()) == block(
        """
        7 spans · 4 calls · 2,504 → 456 tokens · $0.0121 · 2 errors · 1 open
                                                          took    ttft      in    out       cost
        invoke_agent planner         ███████████████…                                             open since 3.00 s
        ├─ chat gpt-5                █                  200 ms           1,204     36    $0.0019  tool_calls · → get_weather ×2 · 1,024 cached
        ├─ execute_tool get_weather   ▏                  20 ms
        │  └─ GET /weather            ▏                  18 ms
        ├─ chat claude-5              ▏                  30 ms
        │     ✗ rate_limit (429): Slow down. · retry after 500 ms
        ├─ chat claude-5                 ███████        1.20 s  310 ms   1,300    420    $0.0102
        │     retry 1 after rate_limit, 505 ms later · stop · 128 reasoning · by claude-5-20260901
        └─ chat gpt-5                          ▏         12 ms
              ✗ context_length (400): This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. Please
              reduce the length of the messages.
        """
    )


def test_a_narrow_terminal_shows_the_same_facts_below_one_another():
    assert shown(agent_trace(), 50) == block(
        """
        7 spans · 4 calls · 2,504 → 456 tokens · $0.0121 ·
        2 errors · 1 open
        invoke_agent planner
        │  open since 3.00 s
        ├─ chat gpt-5  200 ms
        │     1,204 → 36 · $0.0019 · tool_calls
        │     → get_weather ×2 · 1,024 cached
        ├─ execute_tool get_weather  20 ms
        │  └─ GET /weather  18 ms
        ├─ chat claude-5  30 ms
        │     ✗ rate_limit (429): Slow down.
        │     retry after 500 ms
        ├─ chat claude-5  1.20 s
        │     ttft 310 ms · 1,300 → 420 · $0.0102
        │     retry 1 after rate_limit, 505 ms later
        │     stop · 128 reasoning · by claude-5-20260901
        └─ chat gpt-5  12 ms
              ✗ context_length (400): This model's maximum
              context length is 8192 tokens. However, your
              messages resulted in 9001 tokens. Please
              reduce the length of the messages.
        """
    )


@pytest.mark.parametrize("columns", [24, 40, 71, 72, 80, 99, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(columns):
    lines = trace_lines(TRACE, agent_trace(), Style(columns, NOW, full=True))
    assert max(width(line.text) for line in lines) <= columns


def test_in_full_what_was_said_is_shown_below_the_call():
    assert shown(agent_trace()[5:6], 100, full=True).splitlines()[-5:] == [
        "   user       Plan a walk.",
        "              Be brief.",
        "   assistant  (thinks) Rain at noon.",
        "   assistant  Go early.",
        "   gen_ai.provider.name=openai  gen_ai.response.model=claude-5-20260901",
    ]


def test_content_that_was_cut_off_in_the_middle_of_its_json_is_shown_as_it_is():
    cut = call(
        1, more={sc.INPUT_MESSAGES: '[{"role": "user", "parts": [{"ty...[truncated, original 300 chars]'}
    )
    assert "original 300 chars]" in shown([cut], full=True)


@pytest.mark.parametrize(
    "value",
    [
        "[1, null, {}]",
        '{"a": 1}',
        '[{"role": 7, "parts": [3, {"type": "blob", "content": null}, []]}]',
        "[" * 9000,
    ],
)
def test_content_of_any_other_shape_does_no_harm(value):
    shown([call(1, more={sc.INPUT_MESSAGES: value, sc.OUTPUT_MESSAGES: 7})], full=True)


@pytest.mark.parametrize("colours", ["", "1"])
def test_nothing_that_was_said_reaches_the_terminal_as_an_escape_sequence(capsys, monkeypatch, colours):
    monkeypatch.setenv("FORCE_COLOR", colours)
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m[red]x[/red]\u202e"
    trap = span(
        1,
        f"chat {evil}",
        attributes={
            sc.OPERATION_NAME: sc.CHAT,
            sc.REQUEST_MODEL: evil,
            sc.RESPONSE_MODEL: evil + "2",
            sc.RESPONSE_FINISH_REASONS: (evil,),
            sc.OUTPUT_TOOL_CALLS: (evil,),
            sc.ERROR_TYPE: evil,
            sc.ERROR_MESSAGE: evil,
            sc.INPUT_MESSAGES: f'[{{"role": "{evil}", "parts": [{{"type": "text", "content": "{evil}"}}]}}]',
            evil: evil,
        },
        resource={"service.name": evil},
    )
    Output(width=90).write_all(trace_lines(TRACE, [trap], Style(90, NOW, full=True)))
    text = capsys.readouterr().out
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text
    assert not {"\x07", "\x9b", "\u202e"} & set(text)
    assert "[red]x[/red]" in text
    assert bool(re.search(r"\x1b\[[0-9;]*m", text)) == bool(colours)
    assert "\x1b" not in re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_large_trace_is_folded_with_the_sums_of_what_is_not_shown():
    spans = [span(1, "game", took_ms=3000)] + [call(n, parent=1, start_ms=n) for n in range(2, 202)]
    text = shown(spans, 110)
    assert len(text.splitlines()) <= 62
    assert "… 160 more" in text
    assert "160 × chat gpt-5" in text
    assert "16,000  1,600    $0.1600" in text


def test_spans_nested_beyond_the_screen_are_still_legible():
    spans = [span(1, "root")] + [span(n, f"level {n}", parent=n - 1, start_ms=n) for n in range(2, 300)]
    text = shown(spans, 100, full=True)
    assert "level 299" in text
    assert max(map(width, text.splitlines())) <= 100


def test_a_retry_of_a_call_in_another_trace_names_that_trace():
    first = call(1, more={sc.HTTP_RESEND_COUNT: 2}, retry_of=77)
    assert f"retry 2 of trace {TRACE}" in shown([first])


def test_tokens_that_an_agent_repeats_from_its_calls_are_not_counted_twice():
    agent = span(
        1, "invoke_agent a", attributes={sc.OPERATION_NAME: sc.INVOKE_AGENT, sc.USAGE_INPUT_TOKENS: 100}
    )
    assert "1 call · 100 → 10 tokens" in shown([agent, call(2, parent=1)])


def test_attributes_of_the_wrong_type_are_left_out():
    odd = {sc.USAGE_INPUT_TOKENS: "many", sc.COST_TOTAL: float("nan"), sc.RESPONSE_FINISH_REASONS: 3}
    assert "nan" not in shown([call(1, more=odd)])
