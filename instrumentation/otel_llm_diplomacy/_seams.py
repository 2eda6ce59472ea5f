"""Replacing members of the engine's classes, reversibly, when they are imported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

import wrapt

from otel_llm import drops

_ABSENT: Final = object()


class Seams:
    """The members of one module's classes that were replaced, and the way back.

    Args:
        module: name of the module; it is not imported for the program.
        patch: called with this object and the module once it is imported.
    """

    def __init__(self, module: str, patch: Callable[[Seams, Any], None]) -> None:
        self._module = module
        self._patch = patch
        self._enabled = False
        self._hooked = False
        self._missing: list[str] = []
        self._replaced: list[tuple[type, str, Any, Any]] = []
        self._report = "not imported"

    def install(self) -> None:
        """Patch the module when it is imported; at once where it already is."""
        self._enabled = True
        if self._hooked:  # an import hook cannot be taken back: it has stayed, and looks at `_enabled`
            if self._module in sys.modules:
                self._run(sys.modules[self._module])
            return
        self._hooked = True
        wrapt.when_imported(self._module)(self._run)

    def _run(self, module: Any) -> None:
        if not self._enabled or self._replaced:
            return
        self._missing = []
        try:
            self._patch(self, module)
        except Exception as error:
            self._report = f"failed: {error!r}"
            drops.internal_error(f"patching {self._module}")
        else:
            self._report = f"patched, without {', '.join(self._missing)}" if self._missing else "patched"

    def replace(self, owner: type, name: str, wrap: Callable[[Any], Any], *, may_lack: bool = False) -> None:
        """Replace `owner.name` by `wrap(original)`. A member that is missing is left so, and reported.

        Args:
            owner: the class that defines it.
            name: the member.
            wrap: gets the original; the getter of a property; None where it may be lacking and is.
            may_lack: add it where the class has none.
        """
        original = owner.__dict__.get(name, _ABSENT)
        if original is _ABSENT and not may_lack:
            self._missing.append(name)
            return
        replacement: Any
        if isinstance(original, property):
            replacement = property(wrap(original.fget), original.fset, original.fdel, original.__doc__)
        else:
            replacement = wrap(None if original is _ABSENT else original)
        setattr(owner, name, replacement)
        self._replaced.append((owner, name, original, replacement))

    def remove(self) -> None:
        """Put every member back that is still ours; one that others wrapped since stays, and does nothing."""
        self._enabled = False
        for owner, name, original, replacement in reversed(self._replaced):
            if owner.__dict__.get(name) is not replacement:
                continue
            if original is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, original)
        if self._replaced:
            self._report = "not patched"
        self._replaced.clear()

    def report(self) -> dict[str, str]:
        """Return what became of the module: `patched`, `not imported`, `not patched` or `failed: …`."""
        return {self._module: self._report}
