"""The events of a recording, sorted by time; its lines are nearly in that order."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Final

from execwhy.bpf.events.arrivals import Event

WINDOW: Final = 5_000_000_000
"""Nanoseconds: a record may wait 2 s for its look and 2 s for the end of its search before it is written."""

_MOST_HELD: Final = 65_536
"""Events held at most: in a storm, events are handed on before the window has passed."""


class InOrder:
    """Sorts events that come within ``WINDOW`` of their turn; later ones are handed on out of order."""

    def __init__(self) -> None:
        self._held: list[tuple[int, int, Event, int]] = []
        self._count = 0
        self._newest = 0

    def put(self, event: Event, size: int) -> Iterator[tuple[Event, int]]:
        """Take in an event and its size in bytes; yield the events whose turn has come."""
        self._count += 1
        self._newest = max(self._newest, event.timestamp)
        heapq.heappush(self._held, (event.timestamp, self._count, event, size))
        while self._held and (self._held[0][0] < self._newest - WINDOW or len(self._held) > _MOST_HELD):
            yield self._pop()

    def rest(self) -> Iterator[tuple[Event, int]]:
        """Yield all events that are still held."""
        while self._held:
            yield self._pop()

    def _pop(self) -> tuple[Event, int]:
        _, _, event, size = heapq.heappop(self._held)
        return event, size
