"""The loop that docs/training-loops.md begins with, as printed: what it says is there is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import otel_llm
from otel_llm import semconv as sc
from otel_llm.store import StoreReader

PAGE = Path(__file__).parents[2] / "docs" / "training-loops.md"


class Optimizer:
    def step(self) -> None:
        pass


def test_the_least_code_gives_the_whole_picture(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    exec(
        code[1],
        {
            "batches": [["a", "b"], ["c", "d"]],
            "group_size": 2,
            "sample": lambda prompt: prompt + "!",
            "grade": lambda prompt, _: float(prompt in "ac"),
            "advantages": lambda rollouts: [index - 1.5 for index in range(len(rollouts))],
            "compute": lambda rollouts: 0.25,
            "optimizer": Optimizer(),
            "returns": [1.0, 0.0],
        },
    )
    otel_llm.shutdown()
    reader = StoreReader(tmp_path / ".otel_llm")
    spans = list(reader.spans())
    assert reader.open_spans() == []
    for step in (1, 2):
        of_step = [span for span in spans if span.attributes.get(sc.TRAIN_STEP) == step]
        rollouts = {span.span_id: span for span in of_step if span.name == "rollout"}
        assert sorted(span.attributes[sc.SAMPLE_ADVANTAGE] for span in rollouts.values()) == [
            -1.5,
            -0.5,
            0.5,
            1.5,
        ]
        assert sorted(
            span.attributes[sc.SAMPLE_REWARDS_PREFIX + "correct"] for span in rollouts.values()
        ) == [0, 0, 1, 1]
        (loss,) = (span for span in of_step if span.name == "loss")
        assert {link.span_id for link in loss.links} == set(rollouts)
        (root,) = (span for span in of_step if span.name == "training_step")
        assert sc.TRAIN_TIME_PREFIX + "optimizer" in root.attributes
        assert {link.span_id for link in root.links} > set(rollouts)
    assert {row.step: row.value for row in reader.series("training_step/loss")} == {1: 0.25, 2: 0.25}
