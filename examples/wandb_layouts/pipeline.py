"""One pipeline: a process with a W&B run of its own and three workers. `pipeline.py LAYOUT training|inference STEPS`."""

import queue
import sys
import threading
from pathlib import Path

import metrics

import otel_llm
import otel_llm_wandb
from otel_llm.step_series import record

WORKERS = 3
CHECKPOINT_EVERY = 10


def work(worker: int, name: str, steps: int, results: "queue.Queue[tuple[int, dict[str, float]]]") -> None:
    """Measure every step, and hand it to the pipeline."""
    measure = metrics.training if name == "training" else metrics.inference
    for step in range(steps):
        results.put((step, measure(step, worker)))


def write(name: str, steps: int, results: "queue.Queue[tuple[int, dict[str, float]]]") -> None:
    """Gather the workers' figures of each step, and log them together."""
    gathered: dict[int, list[dict[str, float]]] = {}
    for _ in range(steps * WORKERS):
        step, measured = results.get()
        gathered.setdefault(step, []).append(measured)
        if len(gathered[step]) < WORKERS:
            continue
        of_step = gathered.pop(step)
        names = {key: [one[key] for one in of_step if key in one] for one in of_step for key in one}
        record([(key, sum(some) / len(some), step) for key, some in names.items()], source="example")
        if name == "training" and (step + 1) % CHECKPOINT_EVERY == 0:
            save_checkpoint(step)
        if name == "inference":
            sample(step)


def save_checkpoint(step: int) -> None:
    """Write a checkpoint, and have it become a version of an artifact."""
    path = Path("checkpoints") / f"step-{step}.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"weights after step {step}\n")
    otel_llm_wandb.log_checkpoint(path, step=step, name="policy")


def sample(step: int) -> None:
    """Make two trajectories: rows of the table `full_trajectories`, and at the end an artifact."""
    with otel_llm.step(step):
        for number in range(2):
            with otel_llm.rollout(f"{step}-{number}", group=str(step)), otel_llm.reward("correct") as given:
                given.set(score=metrics.reward(step, number))


def main(layout: str, name: str, steps: int) -> None:
    """Run one pipeline to its end."""
    otel_llm_wandb.configure(layout=layout, pipeline=name, join=False, tags=("demo",))
    otel_llm.instrument(exporters=["wandb"], store=f"store-{name}", service_name=f"{name}-pipeline")
    results: queue.Queue[tuple[int, dict[str, float]]] = queue.Queue()
    workers = [
        threading.Thread(target=work, args=(number, name, steps, results)) for number in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    write(name, steps, results)
    for worker in workers:
        worker.join()
    otel_llm.shutdown(60)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
