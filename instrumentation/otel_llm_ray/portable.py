"""The function that every worker of a job runs when it starts.

It goes to the workers as its code, not by name: a node may lack this package, or OpenTelemetry, and its workers have
to start all the same. Where Ray's tracing is on in the driver but cannot be in a worker, Ray's own wrappers would fail
there; they get a stand-in that does nothing.

Ray's tracing hands its context to every method of an actor, but makes only some of them take it: calls of generators,
of static and of class methods would fail with a TypeError (Ray 2.60, `_inject_tracing_into_class`). `guard` keeps it from
those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

GUARD: Final = """
def otel_llm_guard():
    from ray.actor import ActorHandle
    original = ActorHandle._actor_method_call
    if getattr(original, "_otel_llm", False):
        return
    def _actor_method_call(self, method_name, args=None, kwargs=None, *more, **named):
        try:
            if kwargs and "_ray_trace_ctx" in kwargs:
                takes = self._ray_method_signatures.get(method_name)
                if takes is not None and all(one.name != "_ray_trace_ctx" for one in takes):
                    kwargs = {name: value for name, value in kwargs.items() if name != "_ray_trace_ctx"}
        except Exception:
            pass
        return original(self, method_name, args, kwargs, *more, **named)
    _actor_method_call._otel_llm = True
    ActorHandle._actor_method_call = _actor_method_call
"""

SOURCE: Final = """
def otel_llm_worker():
    try:
        otel_llm_guard()
    except Exception:
        pass
    try:
        from otel_llm_ray.workers import start
    except ImportError:
        start = None
    try:
        if start is not None:
            start()
    except Exception:
        pass
    try:
        from ray.util.tracing import tracing_helper as helper
        if not helper._is_tracing_enabled():
            try:
                helper._enable_tracing()
            except ImportError:
                helper._global_is_tracing_enabled = False
        if helper._get_opentelemetry() is None or start is None:
            try:
                import opentelemetry.trace, opentelemetry.propagate
            except ImportError:
                class Nothing:
                    def __getattr__(self, name):
                        return self
                    def __call__(self, *args, **more):
                        return self
                    def __enter__(self):
                        return self
                    def __exit__(self, *why):
                        return False
                helper._opentelemetry = Nothing()
    except Exception:
        pass
"""


BEFORE_THEIRS: Final = """
def otel_llm_worker_and_theirs():
    otel_llm_worker()
    if isinstance(theirs, str):
        import importlib
        module, _, name = theirs.rpartition(".")
        return getattr(importlib.import_module(module), name)()
    return theirs()
"""


def worker_hook(theirs: Callable[[], object] | str | None = None) -> Callable[[], None]:
    """Return the function, in a form that is sent as its code.

    Args:
        theirs: the program's own hook, to be run after ours: a function, or `module.function`.
    """
    names: dict[str, Any] = {"__name__": "__main__", "theirs": theirs}
    source = GUARD + SOURCE if theirs is None else GUARD + SOURCE + BEFORE_THEIRS
    exec(compile(source, "<otel_llm_ray>", "exec"), names)  # noqa: S102 (our own text, above)
    name = "otel_llm_worker" if theirs is None else "otel_llm_worker_and_theirs"
    hook: Callable[[], None] = names[name]
    return hook


def guard() -> None:
    """In this process, let calls of methods that Ray's tracing leaves alone go without its context.

    Raises:
        ImportError: Ray has no such calls.
        AttributeError: likewise.
    """
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(GUARD, "<otel_llm_ray>", "exec"), names)  # noqa: S102 (our own text, above)
    names["otel_llm_guard"]()
