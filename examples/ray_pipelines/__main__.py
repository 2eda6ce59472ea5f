"""Training and inference on Ray, each with a W&B run of its own: `python examples/ray_pipelines groups`.

Two pipelines of two workers each (actors), a pipeline actor that owns the run, made-up metrics (those of
`examples/wandb_layouts`), in one of four layouts; offline unless `--online`.
"""

import argparse
import os
import sys
import uuid
from pathlib import Path

import otel_llm

LAYOUTS = ("pipelines", "job_types", "hierarchy", "groups")
METRICS = str(Path(__file__).resolve().parents[1] / "wandb_layouts")  # where the made-up metrics are


class Worker:
    """Measures, asks a model now and then, and sends what it measured to its pipeline."""

    def __init__(self, pipeline: str, number: int, url: str | None) -> None:
        self.pipeline, self.number, self.url = pipeline, number, url

    def step(self, step: int, run: object) -> None:
        """Take one step."""
        import metrics
        import ray

        if self.url is not None:
            import httpx

            with httpx.Client(base_url=self.url) as client:
                answer = client.post(
                    "/v1/chat/completions",
                    json={"model": "tiny", "messages": [{"role": "user", "content": f"step {step}"}]},
                )
                answer.raise_for_status()
        measured = (metrics.training if self.pipeline == "training" else metrics.inference)(step, self.number)
        ray.get(run.aggregate_worker_metrics.remote(measured, step=step, worker=self.number))  # type: ignore[attr-defined]


def main() -> int:
    """Play one layout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("layout", choices=LAYOUTS)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--online", action="store_true", help="write to W&B; needs WANDB_API_KEY")
    parser.add_argument(
        "--directory", type=Path, default=Path("ray_pipelines"), help="where runs and store go"
    )
    parser.add_argument("--url", help="an OpenAI-compatible server that workers ask; default: none is asked")
    asked = parser.parse_args()
    directory = asked.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    os.environ["WANDB_MODE"] = "online" if asked.online else "offline"
    os.environ["WANDB_DIR"] = str(directory)

    otel_llm.instrument(store=directory / "store")
    import ray

    from otel_llm_ray.pipelines import InferencePipelineActor, TrainingPipelineActor

    paths = os.pathsep.join(filter(None, [METRICS, os.environ.get("PYTHONPATH")]))
    ray.init(num_cpus=8, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": paths}})
    experiment = f"experiment-{uuid.uuid4().hex[:8]}"
    with otel_llm.training_run(experiment, name=asked.layout):
        common = {"layout": asked.layout, "tags": ("demo", "ray")}
        if asked.layout == "groups":
            common["group"] = experiment
        runs = {
            "training": ray.remote(max_concurrency=4)(TrainingPipelineActor).remote(**common),
            "inference": ray.remote(max_concurrency=4)(InferencePipelineActor).remote(**common),
        }
        workers = {
            name: [ray.remote(Worker).remote(name, number, asked.url) for number in range(2)] for name in runs
        }
        for step in range(asked.steps):
            with otel_llm.step(step):
                calls = [
                    worker.step.remote(step, runs[name]) for name, some in workers.items() for worker in some
                ]
                ray.get(calls)
                ray.get([run.flush_aggregated_metrics.remote(step=step) for run in runs.values()])
        for worker in (*workers["training"], *workers["inference"]):
            ray.kill(worker)  # as schedulers do: nothing is lost
        complete = all(ray.get([run.finish.remote() for run in runs.values()]))
    ray.shutdown()
    otel_llm.shutdown()
    print(f"{asked.layout}: the runs are in {directory / 'wandb'}, the spans in {directory / 'store'}")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
