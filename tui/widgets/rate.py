"""How many execs failed in each second of the last minute."""

from __future__ import annotations

from collections import deque
from typing import Final

SECONDS: Final = 60
"""What the sparkline spans."""

_RECENT: Final = 3
"""Seconds that the rate is the mean of: it neither flickers nor lags."""

_BARS: Final = "▁▂▃▄▅▆▇█"


class Rate:
    """Counts by second, from a counter that only grows."""

    def __init__(self) -> None:
        self._counts: deque[int] = deque([0] * SECONDS, maxlen=SECONDS)
        self._last: int | None = None

    def tick(self, total: int) -> None:
        """Take in the counter; to be called once a second."""
        self._counts.append(0 if self._last is None else max(0, total - self._last))
        self._last = total

    @property
    def now(self) -> float:
        """Failed execs a second, over the last seconds."""
        return sum(list(self._counts)[-_RECENT:]) / _RECENT

    def sparkline(self, bars: int) -> str:
        """The last minute in ``bars`` characters; nothing is the lowest bar."""
        counts = list(self._counts)
        each = SECONDS // bars
        sums = [sum(counts[SECONDS - (bar + 1) * each : SECONDS - bar * each]) for bar in range(bars)][::-1]
        highest = max(sums)
        if not highest:
            return _BARS[0] * bars
        return "".join(_BARS[-(-count * (len(_BARS) - 1) // highest)] for count in sums)
