"""What was dropped, and why: one counter for the whole process, read by `doctor` and as a metric.

Also the one place where our own failures are logged: once each, never raised. Imports nothing of ours but what
scrubs them.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Final

logger: Final = logging.getLogger("otel_llm")

_lock = threading.RLock()  # re-entrant: a finalizer may count while the same thread is counting
_counts: Counter[tuple[str, str]] = Counter()
_said: set[str] = set()
_MAX_SAID: Final = 1024
_MAX_WORDS: Final = 200

debug = False


def count(what: str, reason: str, n: int = 1) -> None:
    """Count `n` dropped things.

    Args:
        what: `span`, `body`, `metric` …
        reason: a fixed phrase such as `queue_full`; it becomes a metric label, so it must not hold an id.
        n: how many.
    """
    with _lock:
        _counts[what, reason] += n


def counts() -> dict[tuple[str, str], int]:
    """Return a copy of all counts: `{(what, reason): n}`."""
    with _lock:
        return dict(_counts)


def reset() -> None:
    """Forget all counts; a forked child and tests start from nothing."""
    global _lock
    _lock = threading.RLock()
    _counts.clear()
    _said.clear()


def warn_once(key: str, message: str, *args: object) -> None:
    """Log a warning, but only the first time for this `key`."""
    if key in _said or len(_said) >= _MAX_SAID:
        return
    _said.add(key)
    logger.warning(message, *args)


def internal_error(where: str) -> None:
    """Record that our own code failed at `where`; call it inside an `except` block.

    The program never sees the exception. It is counted, said once per place, and with `Settings.debug` logged
    with its traceback each time.
    """
    count("internal_error", where)
    if debug:
        logger.error("otel_llm failed in %s; the program is not affected", where, exc_info=True)  # noqa: LOG014
    else:
        import sys

        warn_once(
            f"internal:{where}",
            "otel_llm failed in %s (%s); the program is not affected. OTEL_LLM_DEBUG=true logs each with its traceback",
            where,
            said(sys.exc_info()[1]),
        )


def said(error: object) -> str:
    """Return an exception in a few words that may go to a log: without secrets, and never with the text it failed on.

    `repr` of a `UnicodeEncodeError` holds the whole text that could not be encoded.
    """
    from otel_llm.secret_kinds import scrub_secrets

    try:
        text = scrub_secrets(str(error))
    except Exception:
        text = ""
    if len(text) > _MAX_WORDS:
        text = f"{text[:_MAX_WORDS]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
