"""Names of phases as numbers: `S1901M`, `FALL 1901 RETREATS`, `FORMING`, and whatever other games call theirs.

Pure; imports the standard library alone.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

SPRING: Final = 0
FALL: Final = 1
WINTER: Final = 2

MAX_NAME: Final = 128
"""Longest name that is kept, in characters."""

_SEASONS: Final = {
    "S": SPRING, "SPRING": SPRING,
    "F": FALL, "FALL": FALL, "AUTUMN": FALL,
    "W": WINTER, "WINTER": WINTER,
}  # fmt: skip
_TYPES: Final = {
    "M": "movement", "MOVEMENT": "movement", "MOVEMENTS": "movement",
    "R": "retreats", "RETREAT": "retreats", "RETREATS": "retreats",
    "A": "adjustments", "ADJUSTMENT": "adjustments", "ADJUSTMENTS": "adjustments", "BUILDS": "adjustments",
}  # fmt: skip
_ORDER: Final = {"movement": 0, "retreats": 1, "adjustments": 2}
_SHORT: Final = re.compile(r"([SFW])(\d{4})([MRA])", re.IGNORECASE)
_LONG: Final = re.compile(r"(SPRING|FALL|AUTUMN|WINTER)\W+(\d{4})\W+([A-Z]+)", re.IGNORECASE)


class Phase(NamedTuple):
    """One phase of a game.

    Attributes:
        name: as the program calls it, at most `MAX_NAME` characters.
        year: the year in the game; None where the name tells none.
        season: 0 spring, 1 fall, 2 winter; None where the name tells none.
        type: `movement`, `retreats`, `adjustments`, `forming`, `completed`, or `other` for the phases of other
            games and of training loops.
    """

    name: str
    year: int | None = None
    season: int | None = None
    type: str = "other"

    @property
    def order(self) -> tuple[int, int, int] | None:
        """Where the phase stands in its game, to compare; None where its name does not tell."""
        if self.year is None or self.season is None:
            return None
        return self.year, self.season, _ORDER[self.type]


def parse_phase(name: object) -> Phase:
    """Return what a phase's name tells. Never raises; what is no text is taken by its text.

    Args:
        name: `S1901M`, `SPRING 1901 MOVEMENT` (either in any case), `FORMING`, `COMPLETED`, or any other name.
    """
    return _parsed(name if isinstance(name, str) else _text(name))


def _text(name: object) -> str:
    try:
        return "" if name is None else str(name)
    except Exception:
        return f"<{type(name).__name__}>"


@lru_cache(maxsize=1024)
def _parsed(name: str) -> Phase:
    kept = name.strip()[:MAX_NAME] or "unnamed"
    known = _SHORT.fullmatch(kept) or _LONG.fullmatch(kept)
    if known is not None and (kind := _TYPES.get(known[3].upper())) is not None:
        return Phase(kept, int(known[2]), _SEASONS[known[1].upper()], kind)
    lowered = kept.lower()
    return Phase(kept, type=lowered if lowered in {"forming", "completed"} else "other")
