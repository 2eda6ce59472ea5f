"""`otel-llm demo` shows what it is all about, with no key and no network."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.cli.conftest import command

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


def run(directory, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "COLUMNS"))}
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, cwd=directory, env=environment, check=False
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    directory = tmp_path_factory.mktemp("demo")
    return directory, run(directory, "demo")


@needs_sdks
def test_the_story_has_everything_in_it(demo):
    directory, done = demo
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

    shown = json.loads(run(directory, "show", "--last", "1", "--json").stdout)["traces"][0]
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
    assert "take the funicular early" in run(directory, "show", "--last", "1", "--full").stdout


@needs_sdks
def test_it_says_the_same_each_time_apart_from_times(demo, tmp_path):
    def without_times(text):  # nor what depends on their widths: bars, and where lines break
        text = re.sub(r"<?[\d.]+ m?s( later)?", "T", text)
        return re.sub(r"[█▏│├└─·]+", "", text).split()

    assert without_times(run(tmp_path, "demo").stdout) == without_times(demo[1].stdout)


def test_without_the_sdks_it_says_how_to_get_them(otel_llm, tmp_path):
    source = (
        "import sys\n"
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'openai' else find(name, *a)\n"
        "sys.argv = ['otel-llm', 'demo']\n"
        "from otel_llm.cli import main\n"
        "main()\n"
    )
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
