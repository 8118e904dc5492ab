"""How many execs failed in each second of the last minute."""

from __future__ import annotations

from collections import deque
from typing import Final

from execwhy.tui.widgets.painting.sparkline import sparkline

SECONDS: Final = 60
"""What the sparkline spans."""

_RECENT: Final = 3
"""Seconds of which the rate is the mean, so that it neither flickers nor lags."""


class Rate:
    """Counts by second, from a counter that only grows."""

    def __init__(self) -> None:
        self._counts: deque[int] = deque([0] * SECONDS, maxlen=SECONDS)
        self._last: int | None = None
        self._reads = False

    def tick(self, total: int, *, reads: bool = False) -> None:
        """Update the rate from the counter; call this once a second.

        Args:
            total: Its value.
            reads: Old events are being read; how fast is no rate of failures.
        """
        came = 0 if self._last is None or reads or self._reads else max(0, total - self._last)
        self._counts.append(came)
        self._last, self._reads = total, reads

    @property
    def now(self) -> float:
        """Failed execs a second, over the last few seconds."""
        return sum(list(self._counts)[-_RECENT:]) / _RECENT

    def sparkline(self, bars: int) -> str:
        """Return the last minute in ``bars`` characters."""
        return sparkline(self._counts, bars)
