"""The page about exports names what there is."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from otel_llm.views.tables import RESERVED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "exports.md").read_text()


def test_every_table_is_on_the_page():
    assert [name for name in sorted(RESERVED) if f"| `{name}` |" not in PAGE] == []


def test_every_variable_is_on_the_page_and_each_on_the_page_is_read():
    sources = [
        path.read_text()
        for package in ("otel_llm_tabular", "otel_llm_tensorboard")
        for path in Path(str(importlib.import_module(package).__file__)).parent.glob("*.py")
    ]
    read = set(re.findall(r"OTEL_LLM_(?:CSV|PARQUET|TENSORBOARD)_[A-Z_]+[A-Z]", "\n".join(sources)))
    named = set(re.findall(r"OTEL_LLM_(?:CSV|PARQUET|TENSORBOARD)_[A-Z_]+[A-Z]", PAGE))
    assert read == named
