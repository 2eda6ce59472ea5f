"""A node that lacks otel_llm, or where our part fails: the job runs as it would without us."""

import sys

import otel_llm

otel_llm.instrument(store="store")

import ray

HOW = sys.argv[1]
environment = {"missing": {"OTEL_LLM_TEST_BREAK": "missing"}, "own-hook": {}}[HOW]
if HOW == "missing":
    from otel_llm_ray import portable

    # As on a node where the package is not installed.
    portable.SOURCE = portable.SOURCE.replace("from otel_llm_ray.workers import start", "raise ImportError")
    more = {}
else:

    def hook():
        import os

        os.environ["OWN_HOOK_RAN"] = "yes"

    more = {"worker_process_setup_hook": hook}

ray.init(num_cpus=2, include_dashboard=False, runtime_env=more)


@ray.remote
def task(x):
    import os

    return x + 1, os.environ.get("OWN_HOOK_RAN")


with otel_llm.step(1):
    print(ray.get([task.remote(x) for x in range(3)]))
ray.shutdown()
