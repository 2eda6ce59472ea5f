"""Do rewards rise? Every loop with several seeds, learning and frozen: a table, and a picture.

python check_rewards.py --picture docs/images/grpo_rewards.png
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Final

from otel_llm.store import StoreReader

LOOPS: Final = ("base", "dr_grpo", "accelerate_loop", "accelerate_ddp", "multiturn_qa", "math_python")
SHARE: Final = 5
"""The first and the last fifth of the steps are compared."""

ENOUGH: Final = 0.2
"""What a mean reward has to gain beyond what that of a frozen model does."""


@dataclass(frozen=True)
class Training:
    """One run.

    Attributes:
        loop: which loop.
        seed: of everything random.
        is_frozen: whether the weights stay as they are.
        rewards: the mean of each step.
    """

    loop: str
    seed: int
    is_frozen: bool
    rewards: Sequence[float] = ()

    @property
    def first(self) -> float:
        """Mean reward of the first steps."""
        return fmean(self.rewards[: max(1, len(self.rewards) // SHARE)])

    @property
    def last(self) -> float:
        """Mean reward of the last steps."""
        return fmean(self.rewards[-max(1, len(self.rewards) // SHARE) :])


def train(one: Training, more: Sequence[str]) -> Training:
    """Train in a process of its own, as a user would, and read the rewards from its store."""
    here = Path(__file__).parent
    with TemporaryDirectory() as directory:
        command = [str(here / f"{one.loop}.py"), "--no-wandb", "--seed", str(one.seed), *more]
        command += ["--checkpoint-interval", "0", *(["--frozen"] if one.is_frozen else [])]
        if one.loop == "accelerate_ddp":
            command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *command]
        subprocess.run(
            [sys.executable, *command],
            cwd=directory,
            env={"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", **os.environ},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        rows = sorted(
            StoreReader(Path(directory) / ".otel_llm").series("rollouts/returns_mean"),
            key=lambda row: row.time_ns,
        )
    return replace(one, rewards=[row.value for row in rows])


def table(runs: Sequence[Training]) -> str:
    """Return the runs as a table in Markdown: mean reward in the first and the last fifth of the steps."""
    lines = ["| loop | seed | first | last | frozen: first | last | |", "|---|---|---|---|---|---|---|"]
    found = {(one.loop, one.seed, one.is_frozen): one for one in runs}
    for one in runs:
        if one.is_frozen:
            continue
        still = found[one.loop, one.seed, True]
        gained = (one.last - one.first) - (still.last - still.first)
        verdict = "rises" if gained > ENOUGH else "does **not** rise"
        figures = " | ".join(f"{figure:.2f}" for figure in (one.first, one.last, still.first, still.last))
        lines.append(f"| `{one.loop}.py` | {one.seed} | {figures} | {verdict} |")
    return "\n".join(lines)


def draw(runs: Sequence[Training], picture: Path) -> None:
    """Draw the rewards of all loops over their steps."""
    from matplotlib.figure import Figure

    loops = list(dict.fromkeys(one.loop for one in runs))
    columns = min(3, len(loops))
    lines = -(-len(loops) // columns)
    figure = Figure(figsize=(3.6 * columns, 2.5 * lines))
    axes = figure.subplots(lines, columns, squeeze=False)
    for axis, loop in zip(axes.flat, loops, strict=False):
        for one in (one for one in runs if one.loop == loop):
            color, label = ("#9aa0a6", "frozen") if one.is_frozen else ("#1a73e8", "learning")
            width = max(1, len(one.rewards) // 15)
            smooth = [fmean(one.rewards[max(0, i - width) : i + 1]) for i in range(len(one.rewards))]
            axis.plot(range(1, len(smooth) + 1), smooth, color=color, linewidth=1.2, label=label)
        axis.set_title(f"{loop}.py", fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.set_ylabel("mean reward", fontsize=8)
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    shown = dict(zip(*reversed(axes.flat[0].get_legend_handles_labels()), strict=False))
    axes.flat[0].legend(shown.values(), shown.keys(), fontsize=7, frameon=False)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


def main() -> int:
    """Train, and say what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--loops", nargs="+", choices=LOOPS, default=LOOPS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3))
    parser.add_argument("--jobs", type=int, default=2, help="how many train at a time")
    parser.add_argument("--picture", type=Path, help="where to draw them; needs matplotlib")
    args, more = parser.parse_known_args()
    asked = [
        Training(loop, seed, frozen) for loop, seed, frozen in product(args.loops, args.seeds, (False, True))
    ]
    with ThreadPoolExecutor(args.jobs) as pool:
        runs = []
        for one in pool.map(lambda one: train(one, more), asked):
            print(
                f"{one.loop} {one.seed} {'frozen' if one.is_frozen else ''}: {one.first:.2f} to {one.last:.2f}"
            )
            runs.append(one)
    found = table(runs)
    print(f"\n{found}")
    if args.picture:
        draw(runs, args.picture)
    return 1 if "not" in found else 0


if __name__ == "__main__":
    sys.exit(main())
