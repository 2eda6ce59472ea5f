"""Names of what Ray tells; those that Ray's own tracing writes are Ray's."""

from typing import Final

JOB_ID: Final = "ray.job_id"
NODE_ID: Final = "ray.node_id"
ACTOR_ID: Final = "ray.actor_id"
WORKER_ID: Final = "ray.worker_id"
