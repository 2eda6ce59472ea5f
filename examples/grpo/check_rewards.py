"""Do rewards rise? Every loop with several seeds, learning and frozen: a table, and a picture.

python check_rewards.py --picture docs/images/grpo_rewards.png
"""

import argparse
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Final

from otel_llm.store import StoreReader

LOOPS: Final = (
    "base",
    "dr_grpo",
    "accelerate_loop",
    "accelerate_ddp",
    "multiturn_qa",
    "math_python",
    "diplomacy_grpo",
    "trl_grpo",
)
OWN_LOOPS: Final = tuple(loop for loop in LOOPS if loop != "trl_grpo")
"""Those that are trained unless told otherwise: all but TRL's, which has more steps."""
REWARD: Final = {"trl_grpo": "reward"}
"""What the mean reward of a step is called, where it is not `rollouts/returns_mean`."""

SHARE: Final = 5
"""The first and the last fifth of the steps are compared."""

ENOUGH: Final = 0.2
"""By how much the mean reward of the last steps has to be above that of the same run with a frozen model."""


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
    """Train, in a process forked for this, and read the rewards from its store."""
    argv = ["--no-wandb", "--seed", str(one.seed), "--checkpoint-interval", "0", *more]
    argv += ["--frozen"] if one.is_frozen else []
    with TemporaryDirectory() as directory:
        os.chdir(directory)
        with Path("printed").open("w") as printed:
            os.dup2(printed.fileno(), sys.stdout.fileno())
        main = partial(import_module(one.loop).main, argv)
        if one.loop == "accelerate_ddp":
            on_two_ranks(main)
        else:
            main()
        name = REWARD.get(one.loop, "rollouts/returns_mean")
        rows = sorted(StoreReader(Path(".otel_llm")).series(name), key=lambda row: row.time_ns)
        os.chdir("/")
    return replace(one, rewards=[row.value for row in rows])


def on_two_ranks(main: Callable[[], None]) -> None:
    """Do what `torchrun --nproc_per_node 2` does, without importing everything again.

    Raises:
        RuntimeError: the other rank has failed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }
    other = os.fork()
    os.environ["RANK"] = os.environ["LOCAL_RANK"] = "0" if other else "1"
    if not other:
        code = 1
        try:
            main()
            code = 0
        finally:
            os._exit(code)
    main()
    if os.waitpid(other, 0)[1]:
        raise RuntimeError("rank 1 has failed")


def kept(results: Path | None) -> list[Training]:
    """Return what was trained before."""
    if results is None or not results.exists():
        return []
    return [Training(**run) for run in json.loads(results.read_text())]


def table(runs: Sequence[Training]) -> str:
    """Return the runs as a table in Markdown: mean reward in the first and the last fifth of the steps."""
    lines = ["| loop | seed | first | last | frozen: first | last | |", "|---|---|---|---|---|---|---|"]
    found = {(one.loop, one.seed, one.is_frozen): one for one in runs}
    for one in runs:
        if one.is_frozen:
            continue
        still = found[one.loop, one.seed, True]
        is_better = one.last > one.first and one.last - still.last > ENOUGH
        verdict = "rises" if is_better else "does **not** rise"
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
    for axis in axes.flat[len(loops) :]:
        axis.remove()
    shown = dict(zip(*reversed(axes.flat[0].get_legend_handles_labels()), strict=False))
    axes.flat[0].legend(shown.values(), shown.keys(), fontsize=7, frameon=False)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


def main() -> int:
    """Train, and say what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--loops", nargs="+", choices=LOOPS, default=OWN_LOOPS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3))
    parser.add_argument("--jobs", type=int, default=2, help="how many train at a time")
    parser.add_argument("--picture", type=Path, help="where to draw them; needs matplotlib")
    parser.add_argument(
        "--results", type=Path, help="keeps what was trained: what it has is not trained again"
    )
    args, more = parser.parse_known_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    import accelerate  # noqa: F401 (imported once, for all processes that are forked)
    import transformers  # noqa: F401

    asked = [
        Training(loop, seed, is_frozen)
        for loop, seed, is_frozen in product(args.loops, args.seeds, (False, True))
    ]
    runs = kept(args.results)
    known = {(one.loop, one.seed, one.is_frozen) for one in runs}
    missing = [one for one in asked if (one.loop, one.seed, one.is_frozen) not in known]
    with get_context("fork").Pool(args.jobs, maxtasksperchild=1) as pool:
        for one in pool.imap_unordered(partial(train, more=more), missing):
            how = "frozen" if one.is_frozen else "learning"
            print(f"{one.loop} {one.seed} {how}: {one.first:.2f} to {one.last:.2f}", flush=True)
            runs.append(one)
            if args.results:
                args.results.write_text(json.dumps([asdict(run) for run in runs]))
    runs.sort(key=lambda one: (LOOPS.index(one.loop), one.seed, one.is_frozen))
    found = table(runs)
    print(f"\n{found}")
    if args.picture:
        draw(runs, args.picture)
    return 1 if "not" in found else 0


if __name__ == "__main__":
    sys.exit(main())
