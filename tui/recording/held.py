"""A held event, and what is held of one user."""

from __future__ import annotations

from collections import deque
from typing import Final

from execwhy.bpf.events.arrivals import Event, Occurrence
from execwhy.bpf.events.users import user_of

LOOK, SEARCH = 1, 2
"""What an event waits for: bits of ``Held.waits``."""

_HELD_BYTES: Final = 300
"""Bytes that it takes to hold an event, without its own footprint."""

_NOBODY: Final = -1
"""The user of a loss."""


class Held:
    """An event that is held, and what it waits for."""

    __slots__ = ("event", "is_looked_at", "since", "user", "waits", "weight")

    def __init__(self, event: Event | Occurrence, since: int, waits: int) -> None:
        self.event = event
        self.since = since
        self.waits = waits
        self.is_looked_at = not waits & LOOK
        self.user = _user(event)
        self.weight = event.footprint + _HELD_BYTES


class Share:
    """What is held of one user.

    Attributes:
        bytes: The weight of its events.
        count: The number of its events.
        waiting: Numbers of events in the order of their arrival, of which some no longer wait.
    """

    __slots__ = ("bytes", "count", "waiting")

    def __init__(self) -> None:
        self.bytes = 0
        self.count = 0
        self.waiting: deque[int] = deque()


def _user(event: Event | Occurrence) -> int:
    failure = event.failure
    return _NOBODY if failure is None else user_of(failure.template.uid)
