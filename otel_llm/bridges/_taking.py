"""What all bridges share: when to look at a call, and what becomes of a failure of ours."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from otel_llm import drops

_here = threading.local()


@contextmanager
def ignoring() -> Iterator[None]:
    """Let what this thread logs in the block be logged, and not taken up: for sinks, which write what is known."""
    before = getattr(_here, "ignored", 0)
    _here.ignored = before + 1
    try:
        yield
    finally:
        _here.ignored = before


def is_ignored() -> bool:
    """Say whether this thread's calls are not to be taken up: in `ignoring()`, and on every thread of ours."""
    return bool(getattr(_here, "ignored", 0)) or threading.current_thread().name.startswith("otel_llm")


def looking(
    original: Callable[..., Any], look: Callable[..., None], is_on: Callable[[], bool]
) -> Callable[..., Any]:
    """Return `original`, with `look` called with the same arguments before it.

    The call, what it returns and what it raises stay the program's. A call that is made within another one (as
    libraries wrap each other) is taken up once, the outer one.

    Args:
        original: the program's function.
        look: gets all arguments; what it raises is counted and said once.
        is_on: whether to look at all.
    """

    @functools.wraps(original)
    def looked(*args: Any, **kwargs: Any) -> Any:
        if not is_on() or is_ignored():
            return original(*args, **kwargs)
        try:
            look(*args, **kwargs)
        except Exception:
            drops.internal_error(f"taking up {getattr(original, '__name__', 'a call')}")
        with ignoring():
            return original(*args, **kwargs)

    return looked
