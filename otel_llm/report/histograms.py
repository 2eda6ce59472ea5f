"""Histograms of times: bins that are as wide as each other on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

BINS: Final = 36
"""Bars of a histogram."""


def edges_of(values: Sequence[float]) -> list[float]:
    """Return the edges of bins that are as wide as each other on a logarithmic axis; empty for no values."""
    if not values:
        return []
    low, high = math.log10(max(min(values), 1e-4)), math.log10(max(values))
    low, high = math.floor(low * 4) / 4, math.ceil(high * 4 + 1e-9) / 4
    if high == low:
        low, high = low - 0.25, high + 0.25
    return [float(f"{10 ** (low + (high - low) * i / BINS):.4g}") for i in range(BINS + 1)]


def bins_of(values: Sequence[float | None], edges: Sequence[float]) -> list[int]:
    """Return how many values are in each bin; those beyond the edges are in the outermost."""
    if not edges:
        return []
    counts = [0] * BINS
    low, high = math.log10(edges[0]), math.log10(edges[-1])
    for value in values:
        if value is not None and math.isfinite(value):
            place = (math.log10(max(value, edges[0])) - low) / (high - low) * BINS
            counts[min(BINS - 1, max(0, int(place)))] += 1
    return counts
