"""The intake from the source, the source's state as the screen shows it, and its rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from execwhy.bpf.events.source import EventSource, Stage, Status
from execwhy.tui.arrivals import Arrivals
from execwhy.tui.widgets.bars.rate import Rate

_FEW: Final = 100
"""Failures that the screen may be behind without saying so."""


class Intake:
    """Takes events from the source, and knows how far that has progressed.

    Attributes:
        arrivals: Puts what comes into the history.
        rate: Failures in each second of the last minute.
    """

    def __init__(self, source: EventSource, arrivals: Arrivals) -> None:
        self._source = source
        self.arrivals = arrivals
        self.rate = Rate()
        self._has_ended = self._has_all = False

    def pull(self, seconds: float, is_urgent: Callable[[], bool]) -> bool:
        """Process arrivals for about this long; return True if there were any, or if no more will come."""
        came = self.arrivals.pull(seconds, is_urgent)
        if self._has_ended and not self._has_all and not self.arrivals.wait:
            # It had ended before this step, which found nothing behind what it took in.
            self._has_all = True
            return True
        return came

    def status(self) -> Status:
        """Return the source's state; it is reading until all that it has read is in the history."""
        status = self._source.status()
        self._has_ended = status.stage is Stage.ENDED
        if self._has_ended and not self._has_all:
            return replace(status, stage=Stage.READING)
        return status

    def count(self) -> None:
        """Count what came in the last second; to be called once a second."""
        status = self._source.status()
        self.rate.tick(status.counters.seen, reads=status.stage in (Stage.READING, Stage.WAITING))

    def behind(self, status: Status) -> int:
        """Return how many failures wait for the screen, if that is more than a second brings."""
        behind = status.counters.recorded - self.arrivals.taken
        return behind if status.stage is Stage.LIVE and behind > max(_FEW, self.rate.now) else 0
