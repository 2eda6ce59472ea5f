"""Names of telemetry: spelled once, in `semconv` modules, and together a tree."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import itertools
import re
from pathlib import Path
from types import ModuleType

PACKAGES = (
    "otel_llm",
    "otel_llm_diplomacy",
    "otel_llm_http",
    "otel_llm_ray",
    "otel_llm_tabular",
    "otel_llm_tensorboard",
    "otel_llm_trl",
    "otel_llm_vllm",
    "otel_llm_wandb",
)
SOURCES = [Path(str(importlib.import_module(name).__file__)).parent for name in PACKAGES]
NAME = re.compile(r"(gen_ai|otel_llm|game|rl|server|error|exception|http|openai)(\.[a-z0-9_]+)+\.?")


def test_every_package_of_the_distribution_is_looked_at() -> None:
    files = importlib.metadata.files("otel-llm") or []
    installed = {
        file.parts[0] for file in files if file.parts[0].startswith("otel_llm") and len(file.parts) > 1
    }
    assert {name for name in installed if "." not in name and "-" not in name} <= set(PACKAGES)


def modules() -> list[ModuleType]:
    return [
        importlib.import_module(f"{source.name}.semconv")
        for source in SOURCES
        if (source / "semconv.py").exists()
    ]


def names(module: ModuleType) -> dict[str, str]:
    return {
        key: value
        for key, value in vars(module).items()
        if key.isupper() and isinstance(value, str) and NAME.fullmatch(value)
    }


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_no_name_is_typed_twice() -> None:
    seen: dict[str, str] = {}
    for module in modules():
        for key, value in names(module).items():
            assert value not in seen, f"{module.__name__}.{key} repeats {seen[value]}"
            seen[value] = f"{module.__name__}.{key}"
    assert len(seen) > 60


def test_attribute_keys_form_a_tree() -> None:
    """Backends that nest by dots (Elasticsearch does) refuse a key that is another key's prefix."""
    keys = sorted(
        {
            value
            for module in modules()
            for key, value in names(module).items()
            if not key.startswith("METRIC_")
        }
        | {value for module in modules() for value in getattr(module, "V1_41", {}).values()}
    )
    keys = [key for key in keys if not key.endswith(".")]
    for one, other in itertools.permutations(keys, 2):
        assert not other.startswith(one + "."), f"{one} is a key and a prefix of {other}"


def test_no_module_but_semconv_spells_a_name() -> None:
    offenders = []
    for source in SOURCES:
        for path in source.rglob("*.py"):
            if path.name == "semconv.py":
                continue
            tree = ast.parse(path.read_text())
            docstrings = {
                id(node.body[0].value)
                for node in ast.walk(tree)
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and node.body
                and isinstance(node.body[0], ast.Expr)
            }
            for node in ast.walk(tree):
                if (
                    isinstance(node, ast.Constant)
                    and isinstance(node.value, str)
                    and id(node) not in docstrings
                    and re.fullmatch(r"(gen_ai|game|rl)(\.[a-z0-9_]+)+\.?|otel_llm\.[a-z0-9_.]+", node.value)
                    and not _is_module(node.value)
                ):
                    offenders.append(f"{path.relative_to(source.parent)}:{node.lineno} {node.value}")
    assert offenders == []
