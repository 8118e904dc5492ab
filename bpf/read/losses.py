"""Report each loss once, at its place among the events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from execwhy.bpf.events.loss import Loss

UNDECODABLE: Final = "record that could not be decoded"
"""The name of a loss that is caused only by a defect of this program or of memory."""
READER_STOPPED: Final = "reader stopped"
"""The name of a loss of recorded events that were not handed over, because of an error that is shown, too."""


class Losses:
    """Report the events that the kernel program has lost, each once.

    Args:
        counted: Return the number of lost events, by the name of the loss.
    """

    def __init__(self, counted: Callable[[], Mapping[str, int]]) -> None:
        self._counted = counted
        self._announced: dict[str, int] = {}
        self._reported = 0
        self._undecodable = 0

    def before(self, lost: int, timestamp: int) -> list[Loss]:
        """Return the losses right before a record, which has their number and this timestamp.

        The record does not say which losses these are: the names come from the counters.
        """
        self._reported += lost
        return self._announce(self._reported - sum(self._announced.values()), timestamp)

    def not_decoded(self, count: int) -> None:
        """Count records that could not be decoded."""
        self._undecodable += count

    def silent(self, now: int) -> list[Loss]:
        """Return the losses that no record has reported, since none came after them on their CPU."""
        losses = self._announce(None, now)
        if self._undecodable:
            losses.append(Loss(now, self._undecodable, UNDECODABLE))
            self._undecodable = 0
        return losses

    def _announce(self, most: int | None, timestamp: int) -> list[Loss]:
        """Return losses that have not been reported, at most ``most`` of them; None means all."""
        counted = self._counted()
        room = sum(counted.values()) if most is None else most
        losses: list[Loss] = []
        for name, lost in counted.items():
            new = min(lost - self._announced.get(name, 0), room)
            if new > 0:
                losses.append(Loss(timestamp, new, name))
                self._announced[name] = self._announced.get(name, 0) + new
                room -= new
        return losses
