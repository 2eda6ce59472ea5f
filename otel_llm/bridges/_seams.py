"""Replacing methods of a class when its module is imported, reversibly; the module is never imported for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import wrapt

from otel_llm import drops

Wrap = Callable[[Any], Any]


class Seam:
    """The methods of one class that were replaced, and the way back.

    Args:
        module: name of the module.
        owner: name of the class in it.
        wraps: per method, what makes the replacement of the original.
    """

    def __init__(self, module: str, owner: str, wraps: dict[str, Wrap]) -> None:
        self.module = module
        self._owner = owner
        self._wraps = wraps
        self._enabled = False
        self._hooked = False
        self._replaced: list[tuple[type, str, Any, Any]] = []
        self.report = "not imported"

    def install(self) -> None:
        """Patch when the module is imported; at once where it already is."""
        self._enabled = True
        if self._hooked:  # an import hook cannot be taken back: it has stayed, and looks at `_enabled`
            if self.module in sys.modules:
                self._patch(sys.modules[self.module])
            return
        self._hooked = True
        wrapt.when_imported(self.module)(self._patch)

    def _patch(self, module: Any) -> None:
        if not self._enabled or self._replaced:
            return
        try:
            owner = getattr(module, self._owner)
            missing = [name for name in self._wraps if name not in vars(owner)]
            for name, wrap in self._wraps.items():
                if name not in missing:
                    original = vars(owner)[name]
                    replacement = wrap(original)
                    setattr(owner, name, replacement)
                    self._replaced.append((owner, name, original, replacement))
            self.report = f"patched, without {', '.join(missing)}" if missing else "patched"
            self.patched()
        except Exception as error:
            self.report = f"failed: {error!r}"
            drops.internal_error(f"patching {self.module}")

    def patched(self) -> None:
        """Do what else there is to do once the module is patched."""

    def after_fork_in_child(self) -> None:
        """Make what another thread of the parent may have held fresh."""

    def original_of(self, function: Any) -> Any:
        """Return what stood in the place of a replacement of ours; None for anything else."""
        return next((o for _, _, o, replacement in self._replaced if replacement is function), None)

    def replacement_of(self, function: Any) -> Any:
        """Return what stands in the place of an original; None for anything else."""
        return next((r for _, _, original, r in self._replaced if original is function), None)

    def remove(self) -> None:
        """Put every method back that is still ours; one that others wrapped since stays, and does nothing."""
        self._enabled = False
        for owner, name, original, replacement in reversed(self._replaced):
            if vars(owner).get(name) is replacement:
                setattr(owner, name, original)
        if self._replaced:
            self.report = "not patched"
        self._replaced.clear()
