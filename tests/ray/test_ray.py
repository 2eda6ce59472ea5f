"""Ray for real: one trace through driver, tasks and actors, and nothing lost when they are killed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from otel_llm import semconv as sc
from otel_llm.loopback import LoopbackServer
from otel_llm.store import StoreReader
from tests.ray.conftest import PROGRAMS, Ray

pytestmark = pytest.mark.ray

EXAMPLES = Path(__file__).parents[2] / "examples"


def spans(tmp_path: Path, folder: str = "store") -> list[Any]:
    return list(StoreReader(tmp_path / folder).spans())


def test_one_trace_through_tasks_and_actors_of_every_kind(ray: Ray, tmp_path: Path) -> None:
    done = ray(
        PROGRAMS / "shapes.py", OTEL_EXPORTER_OTLP_HEADERS="authorization=secret", OTEL_SERVICE_NAME="cluster"
    )
    assert done.returncode == 0, done.stderr
    assert "raised: ValueError" in done.stderr
    found = spans(tmp_path)
    step = next(span for span in found if span.name == "training_step")
    tools = {
        span.name.removeprefix("execute_tool "): span
        for span in found
        if span.name.startswith("execute_tool")
    }
    assert set(tools) == {
        "in task a",
        *(f"in actor {name}" for name in "bdefg"),
        *(f"in task nested {name}" for name in "bdefg"),
        "in async c",
        "in actor last",
        "in task nested last",
    }
    by_id = {span.span_id: span for span in found}
    for tool in tools.values():
        assert tool.trace_id == step.trace_id
        assert tool.end_ns is not None
        assert (tool.attributes[sc.RUN_ID], tool.attributes[sc.TRAIN_STEP]) == ("shapes", 1)
        above, path = tool, []
        while above.parent_id is not None:
            above = by_id[above.parent_id]
            path.append(above.name)
        assert path[-1] == "training_step"
        assert tool.attributes["ray.job_id"]
        assert tool.attributes["ray.node_id"]
        assert tool.resource["service.name"] == "cluster"
    assert by_id[tools["in task nested b"].parent_id].name.endswith("ray.remote_worker")
    assert tools["in actor b"].attributes["ray.actor_id"] != tools["in actor d"].attributes["ray.actor_id"]
    failed = next(span for span in found if span.name == "Sync.fail ray.remote_worker")
    assert failed.status == "error"
    sent = json.loads(done.stdout.strip().splitlines()[-1].replace("'", '"'))
    assert "OTEL_SERVICE_NAME" in sent


@pytest.mark.parametrize("layout", ["pipelines", "job_types", "hierarchy", "groups"])
def test_two_pipelines_of_four_actors_write_two_runs_and_lose_nothing(
    ray: Ray, tmp_path: Path, layout: str
) -> None:
    if not EXAMPLES.exists():
        pytest.skip("the examples are not beside the tests")
    steps = 6
    with LoopbackServer() as server:
        done = ray(
            EXAMPLES / "ray_pipelines",
            layout,
            "--steps",
            str(steps),
            "--directory",
            str(tmp_path),
            "--url",
            server.url,
        )
        assert done.returncode == 0, done.stderr
        assert server.served == 4 * steps
    found = spans(tmp_path)
    names = [span.name for span in found]
    for name, count in (
        ("training_step", steps),
        ("Worker.step ray.remote", 4 * steps),
        ("Worker.step ray.remote_worker", 4 * steps),
        ("chat tiny", 4 * steps),
        ("TrainingPipelineActor.aggregate_worker_metrics ray.remote_worker", 2 * steps),
        ("InferencePipelineActor.flush_aggregated_metrics ray.remote_worker", steps),
    ):
        assert names.count(name) == count, name
    assert all(span.end_ns is not None for span in found)
    by_id = {span.span_id: span for span in found}
    for call in (span for span in found if span.name == "chat tiny"):
        worker = by_id[call.parent_id]
        driver = by_id[worker.parent_id]
        assert (worker.name, driver.name) == ("Worker.step ray.remote_worker", "Worker.step ray.remote")
        assert by_id[driver.parent_id].name == "training_step"
        assert len({call.trace_id, worker.trace_id, driver.trace_id}) == 1

    expected = _expected(steps)
    runs = _runs(tmp_path)
    assert set(runs) == {"training", "inference"}
    where = {
        name: (run.run["project"], run.run["job_type"], bool(run.run["group"])) for name, run in runs.items()
    }
    assert where == _WHERE[layout]
    for pipeline, run in runs.items():
        for metric, curve in expected[pipeline].items():
            found_curve = run.curve(metric, f"{pipeline}/global_step")
            assert [step for step, _ in found_curve] == [step for step, _ in curve], metric
            assert dict(found_curve) == pytest.approx(dict(curve), abs=1e-12), metric


_WHERE = {
    "pipelines": {
        "training": ("rl-training-demo", "training", False),
        "inference": ("rl-inference-demo", "inference", False),
    },
    "job_types": {
        "training": ("rl-agent", "training", False),
        "inference": ("inference-only", "inference", False),
    },
    "hierarchy": {"training": ("rl-experiments", "", False), "inference": ("rl-experiments", "", False)},
    "groups": {
        "training": ("rl-experiments", "training", True),
        "inference": ("rl-experiments", "inference", True),
    },
}


def _runs(directory: Path) -> dict[str, Any]:
    from tests.wandb.offline import runs

    return {"training" if "training/loss" in run.history[0] else "inference": run for run in runs(directory)}


def _expected(steps: int) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """The means over the two workers of each pipeline, from the generators themselves."""
    spec = importlib.util.spec_from_file_location("made_up", EXAMPLES / "wandb_layouts" / "metrics.py")
    assert spec is not None
    assert spec.loader is not None
    made_up = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made_up)
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for pipeline, measure in (("training", made_up.training), ("inference", made_up.inference)):
        curves: dict[str, list[tuple[int, float]]] = {}
        for step in range(steps):
            both = [measure(step, worker) for worker in range(2)]
            for name in {key for one in both for key in one}:
                curves.setdefault(name, []).append((step, mean(one[name] for one in both if name in one)))
        found[pipeline] = curves
    return found


@pytest.mark.parametrize("how", ["missing", "own-hook"])
def test_workers_that_cannot_be_seen_work_all_the_same(ray: Ray, tmp_path: Path, how: str) -> None:
    done = ray(PROGRAMS / "broken.py", how)
    assert done.returncode == 0, done.stderr
    ran = "'yes'" if how == "own-hook" else "None"
    assert done.stdout.strip().splitlines()[-1] == f"[(1, {ran}), (2, {ran}), (3, {ran})]"
    assert "training_step" in {span.name for span in spans(tmp_path)}


def test_every_way_to_call_works_as_without_us_also_in_a_submitted_job(ray: Ray, tmp_path: Path) -> None:
    done = ray(PROGRAMS / "calls.py")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if not line.startswith(("\x1b", "("))] == [
        "task [0, 1]",
        "actor [0, 1]",
        "named [['a']]",
        "asynchronous [0, 1]",
        "static 3",
        "class 3",
        "caught ['a']",
        "nested [0, 1]",
        "environment ('1', 'cluster', True)",
    ]
    names = {span.name for span in spans(tmp_path)}
    assert {"Actor.numbers ray.remote", "Actor.caught ray.remote_worker"} <= names
