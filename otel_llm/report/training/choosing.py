"""Which rollouts a report has room for: the best, worst and most surprising of every step before all others."""

from __future__ import annotations

from collections.abc import Sequence

from otel_llm.report.training.gathering import Sample


def levels(samples: Sequence[Sample]) -> list[int]:
    """Return how early each rollout of one step is chosen: 0 for the best, the worst and the most surprising.

    By turns the next best, the next worst and the next surprising one go to the next level, so that whatever level a
    report has room for, each of the three is equally well told.
    """
    places = range(len(samples))
    known = [place for place in places if samples[place].reward is not None]
    best = sorted(known, key=lambda place: -(samples[place].reward or 0.0))
    surprising = sorted(known, key=lambda place: -abs(samples[place].surprise or 0.0))
    found = [-1] * len(samples)
    for level, chosen in enumerate(zip(best, reversed(best), surprising, strict=True)):
        for place in chosen:
            if found[place] < 0:
                found[place] = level
    return [len(known) if level < 0 else level for level in found]


def choose(
    samples: Sequence[Sample], ranges: Sequence[tuple[int, int]], max_characters: int
) -> tuple[set[int], int]:
    """Return the numbers of the rollouts of which a report shows what was said, and how many have no room.

    Args:
        samples: all rollouts.
        ranges: (first, behind the last) of each step's.
        max_characters: how many characters of messages there is room for.
    """
    order: list[tuple[int, int]] = []
    for first, last in ranges:
        order += zip(levels(samples[first:last]), range(first, last), strict=True)
    inside = {number for _, number in order}
    order += [(1 << 30, number) for number in range(len(samples)) if number not in inside]
    order.sort()
    chosen: set[int] = set()
    left_out = 0
    room = max_characters
    for _, number in order:
        length = samples[number].characters
        if length > room:
            # What comes later is of less interest: it must not get in because it is short.
            room = 0 if length else room
            left_out += bool(length)
            continue
        room -= length
        chosen.add(number)
    return chosen, left_out
