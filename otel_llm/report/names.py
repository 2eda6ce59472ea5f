"""Names by number: a document of ten thousand rows says each name once."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """Numbers names in the order in which they are first seen.

    Args:
        first: names that come first, in this order.
    """

    def __init__(self, first: Iterable[str] = ()) -> None:
        self.known: dict[str, int] = {}
        for name in first:
            self.number(name)

    def number(self, name: str | None) -> int:
        """Return the number of a name; -1 for None."""
        if name is None:
            return -1
        return self.known.setdefault(name, len(self.known))

    def list(self) -> list[str]:
        """Return the names by their numbers."""
        return list(self.known)
