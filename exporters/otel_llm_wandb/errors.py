"""What can go wrong with a W&B run, by what is to be done about it.

    BrokenError     W&B's core died or hangs: start the run again, under the same id
    OverError       the run is over, and not by us: nothing more goes there; `replay` completes it
    FullError       no room on the disk: wait

Imports W&B only where it has been imported.
"""

from __future__ import annotations

import errno
import sys
from typing import Any, Final


class BrokenError(Exception):
    """The connection to W&B's core is gone."""


class OverError(Exception):
    """The run was finished by somebody else, or is not ours to repair."""


class FullError(Exception):
    """The disk has no room."""


_BROKEN: Final = (
    "HandleAbandonedError",
    "MailboxClosedError",
    "ServerResponseError",
    "WandbServiceConnectionError",
)


def classified(error: Exception | SystemExit, run: Any) -> Exception | SystemExit:
    """Return one of the errors above for what a call of W&B raised; other errors as they are.

    Args:
        error: what was raised.
        run: the run that was called, None before there is one.
    """
    if getattr(run, "_is_finished", False) or (_is_usage(error) and "finished" in str(error)):
        return OverError("the W&B run was finished by somebody else")
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return FullError("the disk is full")
    if isinstance(error, ConnectionError | TimeoutError | BrokenPipeError) or type(error).__name__ in _BROKEN:
        return BrokenError(f"W&B's core is gone ({type(error).__name__})")
    return error


def is_unreachable(error: Exception) -> bool:
    """Say whether `wandb.init` failed because there is no login or no network."""
    errors = getattr(sys.modules.get("wandb"), "errors", None)
    known = tuple(
        kind
        for name in ("CommError", "UsageError", "AuthenticationError")
        if isinstance(kind := getattr(errors, name, None), type)
    )
    return isinstance(error, (*known, TimeoutError))


def _is_usage(error: BaseException) -> bool:
    return type(error).__name__ in {"UsageError", "Error"}
