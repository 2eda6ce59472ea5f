"""Which units are kept: always what is wrong, slow or rare; of the rest a share that follows the volume.

Units that are alike form a stratum. Each second, and after each burst, what is wanted is spread over the strata as
water over a floor: small ones are kept whole, and large ones get the same number of kept units each. A unit is kept
if a hash of its id lies below its probability, which is fixed before that id is looked at; so the kept ones, each
counted 1/probability times, add up to the truth on average (Horvitz-Thompson), and no random generator is drawn from.

Single-threaded; imports the names and `targets` alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

from otel_llm.sampling.targets import Target

RARE: Final = 10
"""A stratum of which fewer were seen lately is kept whole."""

_RARE_HALF_LIFE_S: Final = 300.0
_VOLUME_HALF_LIFE_S: Final = 20.0
_REBALANCE_S: Final = 1.0
_REBALANCE_UNITS: Final = 256
_MAX_STRATA: Final = 512
_MIN_PROBABILITY: Final = 1e-5
_FLOOR: Final = 0.25  # of the target, for ordinary units, however many others there are
_MAX_SLOW_SHARE: Final = 0.01
_SLOW_SHARE_OF_KEPT: Final = 0.25
_ENOUGH_FOR_QUANTILE: Final = 200
_ENOUGH_FOR_MEDIAN: Final = 20
_SLOW_MEDIANS: Final = 4
_STEPS: Final = 8  # duration buckets for each doubling: 9 % wide
_HISTORY: Final = 8192
_FORGOTTEN: Final = 0.1
_MASK: Final = (1 << 64) - 1


class Unit(NamedTuple):
    """What is known of a unit when it is decided on.

    Attributes:
        stratum: what it is like.
        id: a number that identifies it.
        duration_ns: None where it has not ended.
        failed: whether anything in it went wrong.
        forced: whether the program asked for it.
        progress: number of the training episode or step; None outside training.
    """

    stratum: Hashable
    id: int
    duration_ns: int | None
    failed: bool = False
    forced: bool = False
    progress: int | None = None


class Verdict(NamedTuple):
    """What becomes of a unit.

    Attributes:
        keep: whether it is exported.
        weight: how many units it stands for.
        reason: why it is kept: error, forced, slow, rare, share.
    """

    keep: bool
    weight: float
    reason: str


class Sampler:
    """Decides about units, one after the other.

    Args:
        target: what is wanted.
        clock: seconds, never backwards.
    """

    def __init__(self, target: Target, clock: Callable[[], float] = time.monotonic) -> None:
        self._target = target
        self._clock = clock
        self._strata: dict[Hashable, _Stratum] = {}
        self._others = _Stratum()
        self._at = clock()
        self._new = 0
        self._weight_s = 0.0
        self._always = 0.0
        self._slow_share = _MAX_SLOW_SHARE
        self.kept = 0
        self.dropped = 0

    def judge(self, unit: Unit) -> Verdict:
        """Decide about `unit`, and learn from it for later ones."""
        now = self._clock()
        self._new += 1
        if self._new >= _REBALANCE_UNITS or now - self._at >= _REBALANCE_S:
            self._rebalance(now)
        stratum = self._stratum(unit.stratum)
        reason = (
            "error"
            if unit.failed
            else "forced"
            if unit.forced
            else "slow"
            if stratum.is_slow(unit.duration_ns)
            else "rare"
            if stratum.is_rare(now)
            else None
        )
        stratum.learn(unit.duration_ns, now, self._slow_share)
        if reason is not None:
            self._always += 1
            self.kept += 1
            return Verdict(True, 1.0, reason)
        stratum.volume += 1
        p = min(1.0, stratum.probability * self._early(unit.progress))
        if spread(unit.id) >= p:
            self.dropped += 1
            return Verdict(False, 0.0, "share")
        self.kept += 1
        return Verdict(True, 1 / p, "share")

    @property
    def strata(self) -> int:
        """How many strata there are."""
        return len(self._strata)

    def _early(self, progress: int | None) -> float:
        if progress is None or self._target.early == 1:
            return 1.0
        return 1 + (self._target.early - 1) * math.exp2(-max(0, progress) / self._target.decay)

    def _stratum(self, key: Hashable) -> _Stratum:
        found = self._strata.get(key)
        if found is None:
            if len(self._strata) >= _MAX_STRATA:
                return self._others
            found = self._strata[key] = _Stratum()
            found.probability = self._target.share or 1.0
        return found

    def _rebalance(self, now: float) -> None:
        """Set the probabilities from the volumes so far, which then fade."""
        elapsed, self._at, self._new = max(1e-9, now - self._at), now, 0
        seconds = max(1.0, self._weight_s + elapsed)
        strata = [*self._strata.values(), self._others]
        always = self._always / seconds
        ordinary = sum(stratum.volume for stratum in strata) / seconds
        total = always + ordinary
        if self._target.per_second is not None:
            wanted = self._target.per_second
        else:
            wanted = (self._target.share or 1.0) * total
        if total:
            self._slow_share = min(_MAX_SLOW_SHARE, _SLOW_SHARE_OF_KEPT * wanted / total)
        level = _level([s.volume / seconds for s in strata], max(wanted - always, wanted * _FLOOR))
        fade = math.exp2(-elapsed / _VOLUME_HALF_LIFE_S)
        for stratum in strata:
            stratum.rebalance(level, seconds, fade)
        self._always *= fade
        self._weight_s = (self._weight_s + elapsed) * fade
        self._strata = {
            key: stratum
            for key, stratum in self._strata.items()
            if stratum.volume > _FORGOTTEN or stratum.recent(now) > _FORGOTTEN  # else it is as good as new
        }


class _Stratum:
    """What is known of units that are alike."""

    __slots__ = ("_buckets", "_recent", "_seen", "_slow_above", "_when", "probability", "volume")

    def __init__(self) -> None:
        self.probability = 1.0
        self.volume = 0.0  # ordinary units, fading
        self._recent = 0.0  # all units, fading slowly
        self._when = 0.0
        self._buckets: dict[int, int] = {}
        self._seen = 0
        self._slow_above: int | None = None

    def is_slow(self, duration_ns: int | None) -> bool:
        above = self._slow_above
        return above is not None and duration_ns is not None and _bucket(duration_ns) > above

    def is_rare(self, now: float) -> bool:
        return self.recent(now) < RARE

    def recent(self, now: float) -> float:
        return self._recent * math.exp2((self._when - now) / _RARE_HALF_LIFE_S)

    def rebalance(self, level: float, seconds: float, fade: float) -> None:
        volume = self.volume / seconds
        self.probability = max(_MIN_PROBABILITY, min(1.0, level / volume)) if volume else 1.0
        self.volume *= fade

    def learn(self, duration_ns: int | None, now: float, slow_share: float) -> None:
        self._recent = self.recent(now) + 1
        self._when = now
        if duration_ns is None:
            return
        bucket = _bucket(duration_ns)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self._seen += 1
        if self._seen >= _HISTORY:
            self._buckets = {b: n // 2 for b, n in self._buckets.items() if n > 1}
            self._seen = sum(self._buckets.values())
        if self._seen % 64 == 0 or self._seen == _ENOUGH_FOR_MEDIAN:
            self._slow_above = self._limit(slow_share)

    def _limit(self, slow_share: float) -> int:
        """Return the bucket above which a unit is slow."""
        if self._seen < _ENOUGH_FOR_QUANTILE:
            return self._quantile(0.5) + int(math.log2(_SLOW_MEDIANS) * _STEPS)
        return self._quantile(1 - slow_share)

    def _quantile(self, q: float) -> int:
        left = q * self._seen
        bucket = 0
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                break
        return bucket


def spread(number: int) -> float:
    """Return a number from 0 to below 1 that depends on every bit of `number` (splitmix64's last steps)."""
    x = (number ^ (number >> 64)) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((x ^ (x >> 31)) >> 11) / (1 << 53)


def _bucket(duration_ns: int) -> int:
    return int(math.log2(duration_ns) * _STEPS) if duration_ns > 0 else 0


def _level(volumes: list[float], budget: float) -> float:
    """Return the height `h` at which the sum of `min(volume, h)` is `budget`; infinite where all fit."""
    left = budget
    ordered = sorted(volumes)
    for done, volume in enumerate(ordered):
        share = left / (len(ordered) - done)
        if volume > share:
            return share
        left -= volume
    return math.inf
