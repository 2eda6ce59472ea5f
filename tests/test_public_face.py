"""What people import."""

from __future__ import annotations

import importlib.metadata
import inspect
import tomllib
from pathlib import Path

import otel_llm

ROOT = Path(__file__).parent.parent


def test_every_public_name_is_there_and_documented() -> None:
    for name in otel_llm.__all__:
        value = getattr(otel_llm, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name
    assert dir(otel_llm) == sorted(otel_llm.__all__)


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert otel_llm.__version__ == project["version"] == importlib.metadata.version("otel-llm")
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_changelog_and_the_code_name_no_place_of_a_machine() -> None:
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *(ROOT / "constraints").iterdir()]:
        text = path.read_text()
        assert "/root/" not in text, path
        assert "/work/" not in text, path
        assert "pypi.org" not in text, path
