"""Every file of `collector-config/` is one that its program accepts, and says only names that we have."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from otel_llm import fields
from otel_llm import semconv as sc
from tests.collector.fleet import CONFIG, environment
from tests.test_semconv import NAME, modules

yaml = pytest.importorskip("yaml")

FILES = sorted(CONFIG.glob("*.yaml")) + sorted(CONFIG.glob("options/*.yaml"))
NEEDED = {
    "OTEL_LLM_TOKEN": "a-token",
    "WANDB_API_KEY": "a-key",
    "WANDB_ENTITY": "us",
    "WANDB_PROJECT": "ours",
    "GATEWAY_SERVICE": "peers.observability",
}
COLLECTORS = [
    ("local.yaml",),
    ("agent.yaml",),
    ("gateway.yaml",),
    ("agent.yaml", "options/agent-kafka.yaml"),
    ("gateway.yaml", "options/gateway-kafka.yaml"),
    ("gateway.yaml", "options/gateway-wandb.yaml"),
    ("gateway.yaml", "options/gateway-k8s.yaml"),
]

# What people and models wrote, of ours; another name may hold no text that was said.
CONTENT = {
    sc.INPUT_MESSAGES, sc.OUTPUT_MESSAGES, sc.SYSTEM_INSTRUCTIONS, sc.TOOL_DEFINITIONS, sc.TOOL_CALL_ARGUMENTS,
    sc.TOOL_CALL_RESULT, sc.EVALUATION_EXPLANATION, sc.MESSAGE_CONTENT, sc.SAMPLE_TASK, sc.SAMPLE_TOKEN_IDS,
    sc.SERIES_TEXT, sc.MODEL_OUTPUT_QUESTION, sc.MODEL_OUTPUT_TRUE_ANSWER, sc.MODEL_OUTPUT_REASONING,
    sc.MODEL_OUTPUT_ANSWER, *fields.TEXTS,
}  # fmt: skip


def loaded(name: str) -> Any:
    return yaml.safe_load((CONFIG / name).read_text())


def validated(binary: str, *names: str, **env: str) -> subprocess.CompletedProcess[str]:
    arguments = [argument for name in names for argument in ("--config", str(CONFIG / name))]
    return subprocess.run(
        [binary, "validate", *arguments],
        env=environment(NEEDED | env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_file_is_looked_at() -> None:
    ours = {name for names in COLLECTORS for name in names}
    others = {"compose.yaml", "jaeger.yaml", "jaeger-monitor.yaml"}
    assert {str(path.relative_to(CONFIG)) for path in FILES} == ours | others


@pytest.mark.collector
@pytest.mark.parametrize("names", COLLECTORS, ids="+".join)
def test_the_collector_accepts_its_configuration(collector: str, names: tuple[str, ...]) -> None:
    done = validated(collector, *names)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.collector
def test_a_gateway_does_not_start_without_a_token(collector: str) -> None:
    done = validated(collector, "gateway.yaml", OTEL_LLM_TOKEN="")
    assert done.returncode != 0
    assert "token" in done.stderr


# --- names ------------------------------------------------------------------------------------------------------------
def known_names() -> set[str]:
    return {
        value.rstrip(".")
        for module in modules()
        for key, value in vars(module).items()
        if key.isupper() and isinstance(value, str)
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_names_of_attributes_are_those_of_our_conventions(path: Path) -> None:
    if path.name.startswith(("compose", "jaeger")):
        return
    without_comments = re.sub(r"(^|\s)#.*", "", path.read_text())
    # The pattern of content, which has no name in full, is looked at below.
    without_pattern = re.sub(r"delete_matching_keys\(.*\)", "", without_comments)
    found = {match[0] for match in re.finditer(NAME.pattern.rstrip("?").rstrip(r"\."), without_pattern)}
    found = {name for name in found if name.startswith(("gen_ai.", "otel_llm.", "game.", "rl.", "error."))}
    assert found <= known_names()


def content_patterns() -> set[str]:
    """The patterns by which the gateway takes content out."""
    patterns = set()
    for kind in ("trace_statements", "log_statements"):
        for group in loaded("gateway.yaml")["processors"]["transform/content"][kind]:
            for statement in group["statements"]:
                if found := re.fullmatch(r'delete_matching_keys\(attributes, "(.*)"\)', statement):
                    patterns.add(found[1].replace("\\\\", "\\").replace("$$", "$"))
    return patterns


def test_the_gateway_takes_out_what_was_said_and_nothing_else() -> None:
    [pattern] = content_patterns()
    assert {name for name in known_names() if re.search(pattern, name)} == CONTENT


@pytest.mark.parametrize("key", ["input.value", "llm.input_messages.0.message.content", "gen_ai.prompt.0.content",
                                 "traceloop.entity.output", "mlflow.spanInputs", "pydantic_ai.all_messages",
                                 "gen_ai.event.content", "gen_ai.retrieval.documents", "llm.tools.0.tool.json_schema",
                                 "retrieval.documents.0.document.content", "reranker.query", "embedding.embeddings.0.embedding.text",
                                 "message.content", "traceloop.prompt.template_variables.name", "ai.prompt.messages",
                                 "ai.response.text", "langfuse.observation.input", "gcp.vertex.agent.llm_request",
                                 "haystack.component.output", "inputs", "output", "prompt", "content", "events"])  # fmt: skip
def test_the_gateway_takes_out_what_other_instrumentations_write(key: str) -> None:
    [pattern] = content_patterns()
    assert re.search(pattern, key)


@pytest.mark.parametrize("key", ["gen_ai.usage.input_tokens", "llm.token_count.prompt", "llm.model_name", "ai.usage.promptTokens",
                                 "ai.model.id", "ai.response.finishReason", "message", "exception.message", "message.role",
                                 "document.score", "retrieval.count", "embedding.model_name", "tool.name", "input.mime_type",
                                 "output_tokens", "prompt_tokens", "content_length", "gen_ai.tool.name"])  # fmt: skip
def test_the_gateway_leaves_names_counts_and_kinds(key: str) -> None:
    [pattern] = content_patterns()
    assert not re.search(pattern, key)


def test_no_pattern_of_secret_keys_hits_a_name_of_ours() -> None:
    blocked = loaded("gateway.yaml")["processors"]["redaction/secrets"]["blocked_key_patterns"]
    for pattern in blocked:
        assert not [name for name in known_names() if re.search(pattern.replace("$$", "$"), name)]


@pytest.mark.parametrize("name", ["local.yaml", "gateway.yaml"])
def test_durations_fall_into_the_buckets_of_our_metrics(name: str) -> None:
    buckets = loaded(name)["connectors"]["span_metrics"]["histogram"]["explicit"]["buckets"]
    assert [float(text.removesuffix("ms")) / 1000 for text in buckets] == list(sc.DURATION_BUCKETS)


def test_both_measure_spans_alike() -> None:
    def dimensions(name: str) -> Any:
        return loaded(name)["connectors"]["span_metrics"]["dimensions"]

    assert dimensions("local.yaml") == dimensions("gateway.yaml")


# --- compose and Grafana ----------------------------------------------------------------------------------------------
def against_composes_schema(path: Path) -> int:
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode


def test_the_compose_file_is_valid_by_composes_own_schema(tmp_path: Path) -> None:
    path = CONFIG / "compose.yaml"
    assert against_composes_schema(path) == 0
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(path.read_text().replace("restart:", "restrat:"))
    assert against_composes_schema(wrong) == 1


def test_every_image_of_the_compose_file_is_pinned_and_every_file_is_there() -> None:
    composed = loaded("compose.yaml")
    for service in composed["services"].values():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:")
        for argument in service.get("command", []):
            if "/etc/otel-llm/" in argument:
                assert (CONFIG / argument.rpartition("/")[2]).is_file()
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in composed["volumes"] or (CONFIG / source).is_dir()


def test_collector_in_compose_has_the_version_that_is_tested() -> None:
    image = loaded("compose.yaml")["services"]["collector"]["image"]
    modules_file = (CONFIG.parent / "tests/components/collector/go.mod").read_text()
    assert f"tailsamplingprocessor v{image.rpartition(':')[2]}" in modules_file


def generator() -> ModuleType:
    pytest.importorskip("grafana_foundation_sdk")
    sys.path.insert(0, str(CONFIG))  # as it is where the script is run
    spec = importlib.util.spec_from_file_location("generate_dashboards", CONFIG / "generate_dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(CONFIG))
    return module


def test_dashboards_are_what_todays_names_make() -> None:
    assert generator().main(["--check"]) == 0


@pytest.mark.parametrize("path", sorted(CONFIG.glob("dashboards/*.json")), ids=lambda path: path.stem)
def test_dashboards_read_from_the_provisioned_datasource(path: Path) -> None:
    provisioned = {
        source["uid"] for source in loaded("grafana/provisioning/datasources/otel-llm.yaml")["datasources"]
    }
    board = json.loads(path.read_text())
    assert board["panels"]
    assert {panel["datasource"]["uid"] for panel in board["panels"]} <= provisioned
