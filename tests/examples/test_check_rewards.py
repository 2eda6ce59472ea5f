"""check_rewards.py reads the rewards of each loop by the name that its trainer gives them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

GRPO = Path(__file__).parents[2] / "examples" / "grpo"
PROGRAM = """
import sys
import types

import otel_llm

_, folder, loop, name = sys.argv
sys.path.insert(0, folder)
import check_rewards


def main(argv):
    otel_llm.instrument(metrics=False)
    for step, value in enumerate((0.25, 0.5), 1):
        otel_llm.log_metrics({name: value, "other": 7.0}, step=step)
    otel_llm.shutdown()


sys.modules[loop] = types.SimpleNamespace(main=main)
print(*check_rewards.train(check_rewards.Training(loop, 1, is_frozen=False), []).rewards, file=sys.stderr)
"""


@pytest.mark.parametrize(("loop", "name"), [("base", "rollouts/returns_mean"), ("trl_grpo", "reward")])
def test_the_rewards_of_a_loop_are_found_in_its_store(tmp_path: Path, loop: str, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(GRPO), loop, name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "0.25 0.5\n")
