"""Which losses have been told of: each is one, at its place among the events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from execwhy.bpf.events.loss import Loss

UNDECODABLE: Final = "record that could not be decoded"
"""The name of a loss that only a defect of this program, or of memory, brings."""
READER_STOPPED: Final = "reader stopped"
"""The name of what was recorded and can no longer be handed over, because of an error that is told too."""


class Losses:
    """Tells of what the kernel program has lost, once.

    Args:
        counted: How many events were lost by now, by the name of the loss.
    """

    def __init__(self, counted: Callable[[], Mapping[str, int]]) -> None:
        self._counted = counted
        self._announced: dict[str, int] = {}
        self._told = 0
        self._undecodable = 0

    def before(self, lost: int, timestamp: int) -> list[Loss]:
        """So many events were lost right before a record of this time, as the kernel program tells with it.

        Which loss that was is not in the record: the names are given out as they are counted.
        """
        self._told += lost
        return self._announce(self._told - sum(self._announced.values()), timestamp)

    def not_decoded(self, count: int) -> None:
        """So many records could not be decoded."""
        self._undecodable += count

    def silent(self, now: int) -> list[Loss]:
        """Losses after which no record came on their CPU, and so none that tells of them."""
        losses = self._announce(None, now)
        if self._undecodable:
            losses.append(Loss(now, self._undecodable, UNDECODABLE))
            self._undecodable = 0
        return losses

    def _announce(self, most: int | None, timestamp: int) -> list[Loss]:
        """Tell of losses that have not been told of: of so many, or of all."""
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
