"""Events that are complete and wait to be written, with a fair share for each user."""

from __future__ import annotations

from collections import deque
from typing import Final

_TURN: Final = 16
"""Events of one user that are written before it is the next one's turn."""

_TURN_BYTES: Final = 64 << 10
"""And what these may weigh, but for the first one: a record of many variables takes milliseconds to write."""


class Ready:
    """A queue of events' numbers with a lane for each user."""

    def __init__(self) -> None:
        # The order is that of the turns.
        self._lanes: dict[int, deque[tuple[int, int]]] = {}
        self._length = 0
        self.bytes = 0
        """What they weigh."""

    def __len__(self) -> int:
        """Return how many events wait."""
        return self._length

    def put(self, user: int, number: int, weight: int) -> None:
        """Add an event of a user."""
        lane = self._lanes.get(user)
        if lane is None:
            lane = self._lanes[user] = deque()
        lane.append((number, weight))
        self._length += 1
        self.bytes += weight

    def next_turn(self) -> list[int]:
        """Take out the turn of the next user, oldest first; nothing where nothing waits."""
        if not self._lanes:
            return []
        user = next(iter(self._lanes))
        lane = self._lanes.pop(user)
        number, weight = lane.popleft()
        taken = [number]
        while lane and len(taken) < _TURN and weight + lane[0][1] <= _TURN_BYTES:
            number, of_one = lane.popleft()
            weight += of_one
            taken.append(number)
        if lane:
            self._lanes[user] = lane
        self._length -= len(taken)
        self.bytes -= weight
        return taken
