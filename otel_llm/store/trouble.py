"""When the store cannot be written: say it once, wait longer each time, notice when it is over."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from otel_llm import drops

_FIRST_WAIT_S: Final = 1.0
_LAST_WAIT_S: Final = 60.0

_KNOWN: Final = (
    ("database or disk is full", "store_disk_full", "the disk is full"),
    ("no space left", "store_disk_full", "the disk is full"),
    ("quota", "store_disk_full", "the disk quota is used up"),
    ("readonly", "store_read_only", "it is read-only"),
    ("read-only", "store_read_only", "it is on a read-only file system"),
    ("permission denied", "store_read_only", "permission is denied"),
    ("not a directory", "store_read_only", "a part of the path is no directory"),
    ("file exists", "store_read_only", "a file is where the directory should be"),
    ("unable to open", "store_read_only", "no file can be made there"),
    ("locked", "store_locked", "another process holds a lock"),
    ("locking protocol", "store_no_locks", "the file system has no locks"),
    ("shared memory", "store_no_locks", "the file system has no shared memory or locks"),
    ("disk i/o error", "store_io_error", "the disk fails"),
)


class Trouble:
    """The present trouble with one directory, if any.

    Attributes:
        message: what is wrong; None if nothing is.
        reason: a fixed phrase for counts of what is dropped meanwhile.
        retry_at: when to try again, in monotonic seconds.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._wait_s = 0.0
        self.message: str | None = None
        self.reason: str | None = None
        self.retry_at = 0.0

    def happened(self, error: Exception, now: float) -> None:
        """Note a failure; the first of each kind is logged."""
        text = f"{type(error).__name__}: {error}"
        lowered = text.lower()
        self.reason, why = "store_io_error", "it cannot be written"
        for part, reason, said in _KNOWN:
            if part in lowered:
                self.reason, why = reason, said
                break
        self.message = f"{why} ({text})"
        self._wait_s = min(_LAST_WAIT_S, self._wait_s * 2 or _FIRST_WAIT_S)
        self.retry_at = now + self._wait_s
        self._tell()

    def _tell(self) -> None:
        drops.warn_once(
            f"{self.reason}:{self._directory}",
            "otel_llm cannot write its store in %s: %s. The program is not affected; spans wait in memory within "
            "bounds, then are dropped and counted (`otel-llm doctor`). It is tried again from time to time",
            self._directory,
            self.message,
        )

    def is_over(self, now: float) -> bool:
        """Say whether it may be tried (again)."""
        return self.message is None or now >= self.retry_at

    def gone(self) -> None:
        """Note a success."""
        if self.message is not None:
            drops.logger.info("otel_llm writes its store in %s again", self._directory)
        self.message = self.reason = None
        self._wait_s = self.retry_at = 0.0
