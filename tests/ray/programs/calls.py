"""Every way to call: what works without us works with us. Prints one line a way."""

import asyncio
import json
import os

# As for a driver that `ray job submit` started.
os.environ["RAY_JOB_CONFIG_JSON_ENV_VAR"] = json.dumps(
    {"runtime_env": {"env_vars": {"OTEL_SERVICE_NAME": "cluster", "MINE": "1"}}, "metadata": {}}
)
os.environ["OTEL_SERVICE_NAME"] = "cluster"

import otel_llm

otel_llm.instrument(store="store")

import ray


@ray.remote
def numbers(n):
    for number in range(n):
        yield number + 0


@ray.remote
class Actor:
    def numbers(self, n):
        for number in range(n):
            yield number + 0

    def names(self, **named):
        yield sorted(named)

    @staticmethod
    def static(x):
        return x

    @classmethod
    def of_class(cls, x):
        return x

    def caught(self, **named):
        return sorted(named)

    def others(self, other):
        return [ray.get(x) for x in other.numbers.remote(2)]


@ray.remote
class Asynchronous:
    async def numbers(self, n):
        for number in range(n):
            await asyncio.sleep(0)
            yield number


@ray.remote
def environment():
    return os.environ["MINE"], os.environ["OTEL_SERVICE_NAME"], "OTEL_LLM_RAY_CONFIGURATION" in os.environ


def all_of(generator):
    return [ray.get(one) for one in generator]


ray.init(num_cpus=4, include_dashboard=False)
actor, asynchronous = Actor.remote(), Asynchronous.remote()
with otel_llm.training_run("calls"), otel_llm.step(1):
    print("task", all_of(numbers.remote(2)))
    print("actor", all_of(actor.numbers.remote(2)))
    print("named", all_of(actor.names.remote(a=1)))
    print("asynchronous", all_of(asynchronous.numbers.remote(2)))
    print("static", ray.get(actor.static.remote(3)))
    print("class", ray.get(actor.of_class.remote(3)))
    print("caught", ray.get(actor.caught.remote(a=1)))
    print("nested", ray.get(actor.others.remote(Actor.remote())))
    print("environment", ray.get(environment.remote()))
ray.shutdown()
