"""Replacing methods of other people's classes, reversibly, once per class, when they are imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt

from otel_llm import drops


class Patches:
    """A set of replaced methods that can be put back."""

    def __init__(self) -> None:
        self._enabled = False
        self._hooked: dict[str, Callable[[Patches, Any], None]] = {}
        self._replaced: dict[tuple[type, str], tuple[Any, Any]] = {}
        self._inherited: set[tuple[type, str]] = set()
        self._report: dict[str, str] = {}

    def when_imported(self, module: str, patch: Callable[[Patches, Any], None]) -> None:
        """Call `patch(self, module)` once `module` is imported; at once if it already is."""
        self._enabled = True
        known = module in self._hooked
        self._hooked[module] = patch
        self._report.setdefault(module, "not imported")
        if known:  # an import hook cannot be taken back: it has stayed, and looks at `_enabled`
            import sys

            if module in sys.modules:
                self._run(module, sys.modules[module])
            return
        wrapt.when_imported(module)(lambda imported: self._run(module, imported))

    def _run(self, name: str, module: Any) -> None:
        if not self._enabled:
            return
        try:
            self._hooked[name](self, module)
        except Exception as error:
            self._report[name] = f"failed: {error!r}"
            drops.internal_error(f"patching {name}")
        else:
            self._report[name] = "patched"

    def replace(self, owner: type, name: str, wrap: Callable[[Any], Any]) -> None:
        """Replace `owner.name` by `wrap(original)`, unless this class object already was.

        Classes are told apart by identity: `httpx2.alias_httpx()` makes two modules share one.
        """
        if (owner, name) in self._replaced:
            return
        original = getattr(owner, name)
        if name not in owner.__dict__:
            self._inherited.add((owner, name))
        replacement = wrap(original)
        setattr(owner, name, replacement)
        self._replaced[owner, name] = original, replacement

    def remove(self) -> None:
        """Put every method back that is still ours; one that others wrapped since stays, and does nothing."""
        self._enabled = False
        for (owner, name), (original, replacement) in self._replaced.items():
            if owner.__dict__.get(name) is replacement:
                if (owner, name) in self._inherited:
                    delattr(owner, name)
                else:
                    setattr(owner, name, original)
        self._replaced.clear()
        self._inherited.clear()
        for name, text in self._report.items():
            if text == "patched":
                self._report[name] = "not patched"

    def report(self) -> dict[str, str]:
        """Return what became of each module: `patched`, `not imported`, `not patched` or `failed: …`."""
        return dict(self._report)
