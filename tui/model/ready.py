"""Events that are complete and wait to be written, with a fair share for each user."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from bpf.record import Again, Event, Loss, first_like

_TURN: Final = 16
"""Events of one user that are written before it is the next one's turn."""


class Ready:
    """A queue with a lane for each user, and one for losses."""

    def __init__(self) -> None:
        # The order is that of the turns.
        self._lanes: dict[int | None, deque[Event | Again]] = {}
        self._length = 0
        self.records = 0
        """How many of them are no losses."""

    def __len__(self) -> int:
        return self._length

    def put(self, events: Iterable[Event | Again]) -> None:
        """Add events."""
        for event in events:
            is_loss = isinstance(event, Loss)
            uid = None if isinstance(event, Loss) else first_like(event).uid
            self._lanes.setdefault(uid, deque()).append(event)
            self._length += 1
            self.records += not is_loss

    def take(self, most: int) -> list[Event | Again]:
        """Take out so many, or all there are: each user in turn, each one's oldest first."""
        taken: list[Event | Again] = []
        while self._lanes and len(taken) < most:
            uid = next(iter(self._lanes))
            lane = self._lanes.pop(uid)
            for _ in range(min(_TURN, most - len(taken), len(lane))):
                taken.append(lane.popleft())
            if lane:
                self._lanes[uid] = lane
        self._length -= len(taken)
        self.records -= sum(not isinstance(event, Loss) for event in taken)
        return taken
