"""How much of what is exported: the setting `sampling`, as text, a number or a mapping. Imports nothing of ours.

The text form, a comma between exporters and a semicolon before options:

    0.1                                 every exporter gets a tenth of the units
    otlp=50/s                           `otlp` gets about 50 units a second, others everything
    otlp=10%;early=8;decay=100,console=off
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

ACCEPTS: Final = (
    "a share (0.1, 10%) or a rate (50/s, 600/m, 1000/h), by exporter (otlp=50/s,console=off), "
    "with options (otlp=0.1;early=4;decay=32)"
)
_PERIODS: Final = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_ALL: Final = frozenset({"off", "none", "all", "false", "1", "1.0", "100%"})


@dataclass(frozen=True, slots=True)
class Target:
    """How much one exporter gets.

    Exactly one of the first two is set.

    Attributes:
        share: of all units, above 0 and below 1.
        per_second: units a second.
        early: at the first training episode (or step) so many times as much is kept; 1 for no difference.
        decay: episodes (or steps) after which half of that extra is gone.
    """

    share: float | None = None
    per_second: float | None = None
    early: float = 4.0
    decay: float = 32.0

    @classmethod
    def parse(cls, given: object) -> Target | None:
        """Return a target from text or a number; None for everything.

        Raises:
            ValueError: it is none; the text of the error is what is accepted.
        """
        if given is None or isinstance(given, cls):
            return given
        amount, *options = str(given).strip().lower().split(";")
        amount = amount.strip()
        if amount in _ALL:
            return None
        known = {"early": 4.0, "decay": 32.0}
        for option in options:
            name, _, value = option.partition("=")
            if name.strip() not in known:
                raise ValueError(ACCEPTS)
            known[name.strip()] = _number(value)
        if known["early"] < 1:
            raise ValueError(ACCEPTS)
        number, slash, period = amount.partition("/")
        if slash:
            if period.strip() not in _PERIODS:
                raise ValueError(ACCEPTS)
            return cls(per_second=_number(number) / _PERIODS[period.strip()], **known)
        share = _number(amount.removesuffix("%")) / (100 if amount.endswith("%") else 1)
        if share >= 1:
            raise ValueError(ACCEPTS)
        return cls(share=share, **known)

    def __str__(self) -> str:
        text = f"{self.per_second:g}/s" if self.per_second is not None else f"{self.share:g}"
        return (
            text
            if (self.early, self.decay) == (4.0, 32.0)
            else f"{text};early={self.early:g};decay={self.decay:g}"
        )


@dataclass(frozen=True, slots=True)
class Sampling:
    """Targets by exporter.

    Attributes:
        default: of exporters that are not named; None for everything.
        by_sink: `(exporter, target)` pairs; a target of None is everything.
    """

    default: Target | None = None
    by_sink: tuple[tuple[str, Target | None], ...] = ()

    @classmethod
    def parse(cls, given: object) -> Sampling | None:
        """Return the setting from text, a number, or a mapping from exporter to text or number.

        Returns:
            None where everything is exported.

        Raises:
            ValueError: it is none of these; the text of the error is what is accepted.
        """
        if given is None or isinstance(given, cls):
            return given
        default: Target | None = None
        named: dict[str, Target | None] = {}
        if isinstance(given, Mapping):
            named = {str(sink).strip(): Target.parse(value) for sink, value in given.items()}
        elif isinstance(given, str):
            for piece in given.split(","):
                head, equals, tail = piece.partition("=")
                if equals and ";" not in head:
                    named[head.strip()] = Target.parse(tail)
                elif piece.strip():
                    default = Target.parse(piece)
        else:
            default = Target.parse(given)
        if "" in named or "store" in named:
            # The store is what everything else can be rebuilt from; `store_max_bytes` bounds it.
            raise ValueError(f"{ACCEPTS}; the local store keeps everything")
        return cls(default, tuple(named.items())) if default or any(named.values()) else None

    def of(self, sink: str) -> Target | None:
        """Return what the exporter `sink` gets; None for everything."""
        return dict(self.by_sink).get(sink, self.default)

    @property
    def named(self) -> frozenset[str]:
        """The exporters that are named."""
        return frozenset(sink for sink, _ in self.by_sink)

    def __str__(self) -> str:
        parts = [] if self.default is None else [str(self.default)]
        parts += [f"{sink}={'off' if target is None else target}" for sink, target in self.by_sink]
        return ",".join(parts)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(ACCEPTS)
    return value
