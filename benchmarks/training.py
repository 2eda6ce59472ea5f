"""What training costs: `python -m benchmarks.training` and, with TRL installed, `--trl`.

Without TRL: steps of 64 rollouts as a plug-in hands them over (`batch`) and as a loop of one's own writes them
(`scopes`): CPU a rollout, on the caller's thread and in the whole process; memory over many steps.

With `--trl`: GRPO of TRL with a tiny model on the CPU, each round once without and once with everything on (spans,
metrics, store, TRL's own hooks), in processes of their own and in changing order. The work of a step is stretched to
the wanted seconds by more of the same matrix products. What is compared is the process CPU of the whole training,
pair by pair; the interval holds the mean of the ratios with 95 % confidence (bootstrap over the pairs).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

import otel_llm
from otel_llm import semconv as sc
from otel_llm.training.batches import RolloutBatch

ROLLOUTS = 64
GROUP = 8
PROMPT = "What is 17 + 25? Think, then answer. " * 8
ANSWER = "<think>17 + 25 = 42</think><answer>42</answer> " * 8
COMPONENTS = ("correct", "format", "length")


def batch(step: otel_llm.Scope, number: int, rollouts: int) -> None:
    now = time.time_ns()
    made = RolloutBatch(rollouts, parent=step.span, inherited=step.inherited, start_ns=now - 1000, end_ns=now)
    each = range(rollouts)
    made.column(sc.SAMPLE_ID, [f"{number}-0-{i}" for i in each])
    made.column(sc.SAMPLE_GROUP, [f"{number}-{i // GROUP}" for i in each])
    made.column(sc.SAMPLE_INDEX, [i % GROUP for i in each])
    made.column(sc.SAMPLE_INPUT_TOKENS, [80] * rollouts)
    made.column(sc.SAMPLE_OUTPUT_TOKENS, [90] * rollouts)
    for name in COMPONENTS:
        made.rewards(name, [i / rollouts for i in each], 1.0)
    made.advantages([i / rollouts - 0.5 for i in each])
    made.texts([PROMPT] * rollouts, [ANSWER] * rollouts)
    made.submit()
    with otel_llm.loss(made) as loss:
        loss.set(loss=0.5)


def scopes(step: otel_llm.Scope, number: int, rollouts: int) -> None:  # noqa: ARG001 (as `batch`)
    made = []
    for i in range(rollouts):
        with otel_llm.rollout(f"{number}-{i}", group=f"{number}-{i // GROUP}", index=i % GROUP) as one:
            one.content(prompt=PROMPT, response=ANSWER)
        for name in COMPONENTS:
            one.reward(name, i / rollouts)
        made.append(one)
    for i, one in enumerate(made):
        one.advantage(i / rollouts - 0.5)
    with otel_llm.loss(made) as loss:
        loss.set(loss=0.5)


def resident_mib() -> float:
    """Return what the process keeps in memory, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def synthetic(kind: str, steps: int, rollouts: int, pause_s: float, *, store: bool) -> None:
    work = {"batch": batch, "scopes": scopes}[kind]
    with tempfile.TemporaryDirectory() as directory:
        otel_llm.instrument(store=directory if store else None, content="full")
        caller, memory = 0.0, []
        before = time.process_time()
        with otel_llm.training_run("benchmark"):
            for number in range(1, steps + 1):
                began = time.thread_time()
                with otel_llm.step(number) as step:
                    work(step, number, rollouts)
                caller += time.thread_time() - began
                time.sleep(pause_s)
                if number % max(1, steps // 10) == 0:
                    memory.append(resident_mib())
        otel_llm.force_flush()
        process = time.process_time() - before
        otel_llm.shutdown()
    count = steps * rollouts
    print(
        f"| {kind} | {'yes' if store else 'no'} | {steps} x {rollouts} | {caller / count * 1e6:.1f} | "
        f"{process / count * 1e6:.1f} | {memory[0]:.0f} to {memory[-1]:.0f} |",
        flush=True,
    )


# --- TRL ------------------------------------------------------------------------------------------
def products_for(seconds: float) -> int:
    """Return how many matrix products make a step take so long on this machine."""
    without, some = (trained("off", 5, products)["step_s"] for products in (0, 200))
    return max(0, round((seconds - without) / max(1e-9, (some - without) / 200)))


def paired(rounds: int, steps: int, seconds: float) -> None:
    products = products_for(seconds)
    ratios = []
    for number in range(rounds):
        modes = ["off", "on"] if number % 2 else ["on", "off"]
        cpu = {mode: trained(mode, steps, products) for mode in modes}
        ratios.append(cpu["on"]["cpu_s"] / cpu["off"]["cpu_s"] - 1)
        print(
            f"  round {number}: {cpu['off']['cpu_s']:.2f} s off, {cpu['on']['cpu_s']:.2f} s on "
            f"({ratios[-1] * 100:+.1f} %), a step takes {cpu['off']['step_s']:.2f} s; "
            f"equal losses: {cpu['on']['losses'] == cpu['off']['losses']}",
            flush=True,
        )
    low, high = interval(ratios)
    print(
        f"| {seconds} s a step | {ROLLOUTS} rollouts | {mean(ratios) * 100:+.1f} % | {low * 100:+.1f} to "
        f"{high * 100:+.1f} % | median {median(ratios) * 100:+.1f} %, {rounds} pairs of {steps} steps |"
    )


def interval(values: list[float]) -> tuple[float, float]:
    """Return where the mean lies with 95 % confidence, by resampling."""
    draw = random.Random(0)
    means = sorted(mean(draw.choices(values, k=len(values))) for _ in range(2000))
    return means[50], means[1949]


def trained(mode: str, steps: int, products: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.training_trl", mode, str(steps), str(products), str(ROLLOUTS)],
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "OTEL_LLM_STORE": f"{directory}/store",
                "HF_HUB_OFFLINE": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trl", action="store_true", help="paired trainings with TRL")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seconds", type=float, nargs="*", default=[0.5, 0.1], help="seconds a step")
    parser.add_argument("--long", action="store_true", help="10,000 steps, to see that memory stays flat")
    args = parser.parse_args()
    if args.trl:
        for seconds in args.seconds:
            paired(args.rounds, args.steps, seconds)
        return
    print(
        "| rollouts as | store | steps x rollouts | caller, µs a rollout | process, µs a rollout | memory, MiB |"
    )
    print("| --- | --- | --- | ---: | ---: | --- |")
    for kind in ("batch", "scopes"):
        for store in (False, True):
            synthetic(kind, 100, ROLLOUTS, 0.05, store=store)
    if args.long:
        synthetic("batch", 10_000, GROUP, 0.004, store=True)


if __name__ == "__main__":
    main()
