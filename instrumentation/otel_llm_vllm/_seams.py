"""Replacing members of vLLM's classes and modules, reversibly, when they are imported; one at a time.

A seam that this release of vLLM lacks switches off what hangs on it, and only that; `report` says which.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import wrapt

from otel_llm import drops

_ABSENT: Final = object()


class Seam(NamedTuple):
    """One member to replace.

    Attributes:
        module: name of the module; it is not imported for the program.
        path: dotted path of the member in it.
        wrap: makes the replacement of the original; it may raise where the original is not as expected.
    """

    module: str
    path: str
    wrap: Callable[[Any], Any]


class Seams:
    """The members that were replaced, and the way back.

    Args:
        seams: what is to be replaced.
    """

    def __init__(self, seams: Iterable[Seam]) -> None:
        self._seams: dict[str, list[Seam]] = {}
        for seam in seams:
            self._seams.setdefault(seam.module, []).append(seam)
        self._enabled = False
        self._hooked = False
        self._replaced: list[tuple[Any, str, Any, Any]] = []
        self._report: dict[str, str] = {
            f"{seam.module}.{seam.path}": "not imported" for found in self._seams.values() for seam in found
        }

    def install(self) -> None:
        """Patch each module when it is imported; at once where it already is."""
        self._enabled = True
        for name in self._seams:
            if not self._hooked:
                wrapt.when_imported(name)(self._run)
            elif name in sys.modules:  # an import hook cannot be taken back: it has stayed
                self._run(sys.modules[name])
        self._hooked = True

    def _run(self, module: Any) -> None:
        if not self._enabled:
            return
        for seam in self._seams.get(module.__name__, ()):
            key = f"{seam.module}.{seam.path}"
            if self._report[key] == "patched":
                continue
            try:
                found = self._replace(module, seam)
            except Exception as error:
                self._report[key] = f"failed: {error!r}"
                drops.internal_error(f"patching {key}")
            else:
                self._report[key] = "patched" if found else "not in this vLLM"

    def _replace(self, module: Any, seam: Seam) -> bool:
        owner = module
        *above, name = seam.path.split(".")
        for part in above:
            owner = getattr(owner, part, None)
        original = _ABSENT if owner is None else owner.__dict__.get(name, _ABSENT)
        if original is _ABSENT:
            return False
        replacement = seam.wrap(original)
        setattr(owner, name, replacement)
        self._replaced.append((owner, name, original, replacement))
        return True

    def remove(self) -> None:
        """Put every member back that is still ours; one that others wrapped since stays, and does nothing."""
        self._enabled = False
        for owner, name, original, replacement in reversed(self._replaced):
            if owner.__dict__.get(name) is replacement:
                setattr(owner, name, original)
        self._replaced.clear()
        for key, text in self._report.items():
            if text == "patched":
                self._report[key] = "not patched"

    def report(self) -> dict[str, str]:
        """Return what became of each: `patched`, `not imported`, `not in this vLLM`, `not patched`, `failed: …`."""
        return dict(self._report)
