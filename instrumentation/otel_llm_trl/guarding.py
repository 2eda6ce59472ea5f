"""Where we reach into trainers: each place is a seam that works, is missing, or has failed, by itself.

A seam that fails in our half is switched off, counted and said once; the trainer's half runs exactly as without us.
Nothing here knows a trainer.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from otel_llm import drops

ACTIVE: Final = "active"
UNSEEN: Final = "not used yet"
MISSING: Final = "missing"

_ABSENT: Final = object()


class Seam:
    """One place that we reach into.

    Attributes:
        name: what it gives: `loss`, `generation` …
        gives: what is lost without it, in words.
        works: whether our half is on.
        state: `active`, `not used yet`, `missing: …` or `failed: …`.
        clear: takes away what other seams left for this one, where it is off; gets the arguments of the trainer's half.
    """

    __slots__ = ("clear", "gives", "name", "state", "works")

    def __init__(self, name: str, gives: str) -> None:
        self.name = name
        self.gives = gives
        self.works = True
        self.state = UNSEEN
        self.clear: Callable[[tuple[Any, ...], Mapping[str, Any]], None] | None = None

    def found(self) -> None:
        """Note that it is there."""
        if self.works:
            self.state = ACTIVE

    def lacking(self, where: str) -> None:
        """Note that a trainer does not have it, and say so once.

        Args:
            where: the trainer's class.
        """
        if self.state == ACTIVE:
            return
        if self.works:
            self.state = f"{MISSING} in {where}"
        drops.warn_once(
            f"trl:missing:{self.name}:{where}",
            "otel_llm: %s has no place to record %s (the seam %r is missing); the rest is recorded",
            where,
            self.gives,
            self.name,
        )

    def broke(self) -> None:
        """Switch it off; call it inside an `except` block."""
        import sys

        self.works = False
        self.state = f"failed: {sys.exc_info()[1]!r}"
        drops.count("seam", self.name)
        drops.internal_error(f"the TRL seam {self.name}")

    def reset(self) -> None:
        """Forget what became of it."""
        self.works = True
        self.state = UNSEEN


class After(Protocol):
    """What is done when the trainer's half is over."""

    def done(self, result: Any) -> None:
        """It returned."""

    def failed(self, error: BaseException) -> None:
        """It raised."""


Enter = Callable[[Any, tuple[Any, ...], Mapping[str, Any]], After | None]
"""Called before the trainer's half with the object and its arguments; None where there is nothing to record."""


def guarded(seam: Seam, act: Callable[[Any], None], value: Any) -> None:
    """Call one of our halves: whatever it raises stays with us."""
    try:
        act(value)
    except Exception:
        seam.broke()


def around(seam: Seam, enter: Enter, original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that does what `original` does, with our half before and after it.

    Args:
        seam: what fails if ours does.
        enter: our half.
        original: the trainer's.
    """

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        after: After | None = None
        try:
            if seam.works:
                after = enter(self, args, kwargs)
        except Exception:
            seam.broke()
        if not seam.works and seam.clear is not None:
            try:
                seam.clear(args, kwargs)
            except Exception:
                drops.internal_error(f"clearing up after the TRL seam {seam.name}")
        if after is None:
            return original(self, *args, **kwargs)
        try:
            result = original(self, *args, **kwargs)
        except BaseException as error:
            guarded(seam, after.failed, error)
            raise
        guarded(seam, after.done, result)
        return result

    return method


class Patches:
    """Members that were replaced, and the way back."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._replaced: list[tuple[Any, str, Any, Any]] = []
        self._known: set[tuple[int, str]] = set()

    def replace(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> bool:
        """Replace what `owner` itself defines as `name`, once.

        Args:
            owner: a class or a module.
            name: its member.
            wrap: gets the original, returns the replacement.

        Returns:
            Whether it is there.
        """
        original = vars(owner).get(name, _ABSENT)
        if original is _ABSENT or not callable(original):
            return False
        with self._lock:
            if (id(owner), name) in self._known:
                return True
            replacement = wrap(original)
            setattr(owner, name, replacement)
            self._known.add((id(owner), name))
            self._replaced.append((owner, name, original, replacement))
        return True

    def remove(self) -> None:
        """Put back what is still ours; what others have wrapped since stays, and does nothing."""
        with self._lock:
            for owner, name, original, replacement in reversed(self._replaced):
                if vars(owner).get(name) is replacement:
                    setattr(owner, name, original)
            self._replaced.clear()
            self._known.clear()
