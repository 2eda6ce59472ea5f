"""A driver with tasks, sync, async and threaded actors, nested calls and a pool; every actor killed at once."""

import os
import sys

import otel_llm

otel_llm.instrument(store="store")

import ray
from ray.util import ActorPool


@ray.remote
def task(name):
    with otel_llm.tool(f"in task {name}"):
        return name


class Sync:
    def work(self, name):
        with otel_llm.tool(f"in actor {name}"):
            return ray.get(task.remote(f"nested {name}"))

    def fail(self):
        raise ValueError("on purpose")

    def environment(self):
        return {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}


class Asynchronous:
    async def work(self, name):
        with otel_llm.tool(f"in async {name}"):
            return name


ray.init(num_cpus=8, include_dashboard=False)
sync = ray.remote(Sync).remote()
asynchronous = ray.remote(Asynchronous).remote()
threaded = ray.remote(max_concurrency=4)(Sync).remote()
pool = ActorPool([ray.remote(Sync).remote() for _ in range(2)])
with otel_llm.training_run("shapes"), otel_llm.step(1):
    ray.get(
        [task.remote("a"), sync.work.remote("b"), asynchronous.work.remote("c"), threaded.work.remote("d")]
    )
    list(pool.map(lambda actor, name: actor.work.remote(name), ["e", "f", "g"]))
    try:
        ray.get(sync.fail.remote())
    except ValueError:
        print("raised: ValueError", file=sys.stderr)
    told = ray.get(sync.environment.remote())
    ray.get(threaded.work.remote("last"))
    ray.kill(threaded)
    ray.kill(sync)
    ray.kill(asynchronous)
ray.shutdown()
otel_llm.shutdown()
print(sorted(told))
