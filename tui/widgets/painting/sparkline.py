"""Counts over time as a line of bars."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

_BARS: Final = "▁▂▃▄▅▆▇█"

_LOWEST_TOP: Final = 4
"""The least that the highest bar stands for, so that a lone failure is no tower."""


def sparkline(counts: Collection[int], bars: int) -> str:
    """Return the counts in ``bars`` characters, each for the sum of as many counts; 0 is the lowest bar.

    Args:
        counts: The oldest first; ``bars`` divides their number.
        bars: How many characters.
    """
    each = len(counts) // bars
    listed = list(counts)
    sums = [sum(listed[bar * each : (bar + 1) * each]) for bar in range(bars)]
    highest = max(_LOWEST_TOP, *sums)
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // highest)] for count in sums)
