"""`otel-llm demo` shows what it is all about, with no key and no network."""

import json
import re
import sys

import pytest

SDKS = ("openai", "anthropic", "google.genai")


def installed():
    import importlib.util

    try:
        return all(importlib.util.find_spec(name) for name in SDKS)
    except ModuleNotFoundError:
        return False


needs_sdks = pytest.mark.skipif(
    not installed(), reason="needs the extra `demo`: the openai, anthropic and google SDKs"
)


@needs_sdks
def test_the_story_has_everything_in_it(otel_llm):
    done = otel_llm("demo")
    assert (done.stderr, done.returncode) == ("", 0)
    assert "\x1b" not in done.stdout
    for text in (
        "invoke_agent planner",
        "→ get_weather",
        "✗ rate_limit (429)",
        "retry 1 after rate_limit",
        "✗ context_length (400)",
        "embeddings text-embedding-3-small",
        "otel-llm show --last 1 --full",
    ):
        assert text in done.stdout

    shown = json.loads(otel_llm("show", "--last", "1", "--json").stdout)["traces"][0]
    assert shown["name"] == "invoke_agent planner"
    assert (shown["calls"], shown["errors"], shown["open"]) == (7, 2, 0)
    assert shown["cost_usd"] > 0
    calls = [s for s in shown["spans"] if s["model"]]
    assert [(s["operation"], s["model"], (s["error"] or {}).get("type"), s["retry"]) for s in calls] == [
        ("chat", "gpt-5-mini", None, 0),
        ("chat", "gpt-5-mini", None, 0),
        ("chat", "claude-sonnet-4-5", "rate_limit", 0),
        ("chat", "claude-sonnet-4-5", None, 1),
        ("generate_content", "gemini-2.5-flash", None, 0),
        ("chat", "gpt-5-mini", "context_length", 0),
        ("embeddings", "text-embedding-3-small", None, 0),
    ]
    assert calls[3]["retry_of"]["span_id"] == calls[2]["span_id"]
    assert all(s["time_to_first_chunk_s"] for s in (calls[1], calls[4]))
    assert "funicular" in otel_llm("show", "--last", "1", "--full").stdout


@needs_sdks
def test_it_says_the_same_each_time_apart_from_times(otel_llm):
    def told():
        text = otel_llm("demo", COLUMNS="80").stdout
        return re.sub(r" +(<?[\d.]+ m?s)(, [\d.]+ m?s later)?", " T", re.sub(r"[\d.]+ m?s later", "T", text))

    assert told() == told()


def test_without_the_sdks_it_says_how_to_get_them(otel_llm, tmp_path):
    (tmp_path / "hide.py").write_text("")
    source = (
        "import sys\n"
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'openai' else find(name, *a)\n"
        "sys.argv = ['otel-llm', 'demo']\n"
        "from otel_llm.cli import main\n"
        "main()\n"
    )
    import os
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'otel-llm[demo]'" in done.stderr
    assert done.stderr.count("\n") == 1
