"""The function that every worker of a job runs when it starts.

It goes to the workers as its code, not by name: a node may lack this package, or OpenTelemetry, and its workers have
to start all the same. Where Ray's tracing is on in the driver but cannot be in a worker, Ray's own wrappers would fail
there; they get a stand-in that does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

SOURCE: Final = """
def otel_llm_worker():
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
    source = SOURCE if theirs is None else SOURCE + BEFORE_THEIRS
    exec(compile(source, "<otel_llm_ray>", "exec"), names)  # noqa: S102 (our own text, above)
    name = "otel_llm_worker" if theirs is None else "otel_llm_worker_and_theirs"
    hook: Callable[[], None] = names[name]
    return hook
