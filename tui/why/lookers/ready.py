"""A queue in which users take turns."""

from __future__ import annotations

from collections import deque
from typing import Final

_TURN: Final = 16
"""Most events in one user's turn."""

_TURN_BYTES: Final = 64 << 10
"""Most weight of a turn with several events: a record of many variables takes milliseconds to write."""


class Ready:
    """A queue of event numbers with a lane for each user."""

    def __init__(self) -> None:
        # In the order of the turns.
        self._lanes: dict[int, deque[tuple[int, int]]] = {}
        self._length = 0
        self.bytes = 0
        """The weight of all events that wait."""

    def __len__(self) -> int:
        """Return the number of events that wait."""
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
        """Remove and return the next user's turn, oldest first; an empty list if nothing waits."""
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
