"""In the driver: what `ray.init` is told so that the job's workers are seen too."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from otel_llm import drops, runtime
from otel_llm.context import carrier
from otel_llm.redaction import Scrubber
from otel_llm.training.runs import RUN_VARIABLE
from otel_llm_ray.portable import guard, worker_hook
from otel_llm_ray.settings import RaySettings

CONFIGURATION: Final = "OTEL_LLM_RAY_CONFIGURATION"
"""The driver's settings, as JSON, in the workers' environment."""

_HOOK: Final = "worker_process_setup_hook"
_JOB: Final = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""What Ray tells a driver that was submitted as a job."""

_SENT: Final = (
    "content",
    "store_content",
    "exporters",
    "instrumentations",
    "semconv",
    "metrics",
    "game_traces",
    "drop_attributes",
    "max_content_length",
    "preview_length",
    "max_queue_bytes",
    "redact_patterns",
    "propagate_hosts",
)
_SECRET: Final = ("HEADERS", "TOKEN", "KEY", "SECRET", "PASSWORD")
"""A job's runtime environment is shown on Ray's dashboard; set such variables where the nodes are set up."""


def wrapped_init(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `ray.init` that also sets up the job's workers."""

    @wraps(original)
    def init(*args: Any, **kwargs: Any) -> Any:
        prepared, reaches_workers = kwargs, False
        try:
            if not _is_initialized():  # else it only says so, or does nothing
                prepared, reaches_workers = _prepared(args, kwargs)
        except Exception:
            drops.internal_error("preparing ray.init")
        result = original(*args, **prepared)
        try:
            if reaches_workers:
                _enable()  # only where workers can do it too: Ray's wrappers fail in those that cannot
        except Exception:
            drops.internal_error("after ray.init")
        return result

    return init


def _is_initialized() -> bool:
    ray: Any = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _prepared(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the arguments with our part of the job's runtime environment, and whether workers run our hook.

    What the program and the job say wins. `ray job submit` has told a runtime environment already; Ray refuses to
    start where a variable or a field is in both.
    """
    if runtime.current() is None:
        return kwargs, False
    # Ray takes the argument, if there is one, instead of what a JobConfig has.
    told = kwargs.get("runtime_env") or getattr(kwargs.get("job_config"), "runtime_env", None)
    given, of_job = dict(told or {}), _of_job()
    theirs = of_job.get("env_vars") or {}
    ours = {name: value for name, value in _environment().items() if name not in theirs}
    made: dict[str, Any] = {**given, "env_vars": {**ours, **(given.get("env_vars") or {})}}
    if _is_client(args, kwargs):
        drops.warn_once(
            "ray-client", "workers of a ray:// client are not seen; start the driver in the cluster"
        )
        return {**kwargs, "runtime_env": made}, False
    if _HOOK in of_job:
        drops.warn_once(
            "ray-job-hook",
            "the job was submitted with a worker_process_setup_hook of its own, and Ray takes only one: its workers "
            "are not seen; let the hook call otel_llm_ray.workers.start()",
        )
        return {**kwargs, "runtime_env": made}, False
    made[_HOOK] = worker_hook(given.get(_HOOK))
    return {**kwargs, "runtime_env": made}, True


def _of_job() -> dict[str, Any]:
    """Return the runtime environment that the job was submitted with."""
    try:
        found = json.loads(os.environ.get(_JOB) or "{}").get("runtime_env")
    except (ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_client(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Say whether a client from outside the cluster connects, whose job cannot be set up."""
    address = kwargs.get("address", args[0] if args else None)
    if address is None:
        address = os.environ.get("RAY_ADDRESS")
    return isinstance(address, str) and "://" in address


def _environment() -> dict[str, str]:
    """Return what workers need: settings, run id, and OpenTelemetry's own variables of this process."""
    active = runtime.current()
    assert active is not None  # noqa: S101 (the caller has looked)
    settings = active.settings
    told: dict[str, Any] = {}
    for name in _SENT:
        value = getattr(settings, name, None)
        if isinstance(value, str | int | float | bool):
            told[name] = str(value) if isinstance(value, str) else value
        elif isinstance(value, tuple | list | frozenset):
            told[name] = [str(item) for item in value]
    told["store"] = None if settings.store is None else str(settings.store.absolute())
    url = Scrubber().url
    found = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("OTEL_")
        and name != CONFIGURATION
        and not any(word in name for word in _SECRET)
        and url(value) == value
    }
    found[CONFIGURATION] = json.dumps(told)
    from otel_llm.training.loops import current_run

    run = current_run()
    if run is not None:
        found.setdefault(RUN_VARIABLE, run.run_id)
    return found


def _enable() -> None:
    """Turn Ray's own tracing on in this process: it carries the context into tasks and actors."""
    if not RaySettings.from_environment().tracing:
        return
    from ray.util.tracing import tracing_helper

    guard()
    tracing_helper._enable_tracing()
    carry_scopes(tracing_helper)


def carry_scopes(helper: Any) -> None:
    """Let what scopes hand down go along with the context, as baggage."""
    propagator = getattr(helper, "_DictPropagator", None)
    if propagator is None or getattr(propagator.inject_current_context, "_otel_llm", False):
        return
    original = propagator.inject_current_context

    def inject_current_context() -> dict[Any, Any]:
        try:
            return carrier()
        except Exception:
            drops.internal_error("carrying the context into a Ray call")
            found: dict[Any, Any] = original()
            return found

    inject_current_context._otel_llm = True  # type: ignore[attr-defined]
    propagator.inject_current_context = inject_current_context


def disable() -> None:
    """Turn Ray's own tracing off again in this process."""
    helper: Any = sys.modules.get("ray.util.tracing.tracing_helper")
    if helper is not None:
        helper._global_is_tracing_enabled = False
