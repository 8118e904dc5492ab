"""Shares of users in a recording, so that nobody can fill it, or rotate it away, for all others.

Each user has an account of the bytes written, and may write as long as the account is at most three times
what is left of the capacity. A single user gets three quarters, and each user who begins later gets three
quarters of what is left then. A user whose account is below the floor may always write, even beyond the
capacity.

With rotation, accounts shrink by a factor of e in a day. Together they are at most the capacity C, plus a
floor F for each user. So ten users write at most C + 10 F in a day, besides the C + 10 F in their accounts.
Accounts begin at 0 when the program starts, which may happen again once a day, so one user, and others who
write little, can write 3 C at most. The files that are kept therefore hold a day's records
(``bounds.Bounds.shares``).
"""

from __future__ import annotations

import math
import time
from typing import Final

NOBODY: Final = -1
"""The user of lines that take nobody's share, such as losses."""

DAY: Final = 86_400.0
"""Seconds in which an account shrinks by a factor of e."""

_TIMES: Final = 3
"""An account may be this many times what is left."""

_STEP: Final = 60.0
"""Seconds between two steps of shrinking."""

_NEGLIGIBLE: Final = 64
"""Bytes below which an account is forgotten; one record's account shrinks to that in days."""

_MOST_NAMED: Final = 16
"""Users to count by id: an ending must have room for all reasons."""

_OTHERS: Final = "shares of other users"


class Shares:
    """What each user has written and may still write.

    Args:
        capacity: Bytes for all users; None if only the free space limits them.
        seconds: Seconds in which accounts shrink by a factor of e; None if they do not.
        floor: Bytes that each user may write, whatever others do.

    Attributes:
        floor: The floor, as given.
    """

    def __init__(self, capacity: int | None, seconds: float | None = None, *, floor: int = 0) -> None:
        self._capacity = capacity
        self._seconds = seconds
        self.floor = floor
        self._accounts: dict[int, float] = {}
        self._total = 0.0
        self._shrunk_at = time.monotonic()
        self._names: dict[int, str] = {}

    def admits(self, user: int, size: int, room: int | None = None) -> bool:
        """Return whether a user may write some bytes.

        Args:
            user: The user (``bpf.events.users.user_of``); ``NOBODY`` always may.
            size: The number of bytes.
            room: Bytes for which there is free space; None if that is not a limit.
        """
        if user == NOBODY:
            return True
        self._shrink()
        account = self._accounts.get(user, 0.0) + size
        if account <= self.floor:
            return True
        left = math.inf if self._capacity is None else self._capacity - self._total - size
        if room is not None:
            left = min(left, room - size)
        return account <= _TIMES * left

    def add(self, user: int, size: int) -> None:
        """Count bytes that were written."""
        if user != NOBODY:
            self._accounts[user] = self._accounts.get(user, 0.0) + size
            self._total += size

    def seconds_for(self, size: int) -> float:
        """Return how many seconds these bytes take at a rate of the capacity in a day."""
        return DAY * size / self._capacity if self._capacity else 0.0

    def name_of(self, user: int) -> str:
        """Return the reason under which records beyond a user's share are counted."""
        if user not in self._names and len(self._names) < _MOST_NAMED:
            self._names[user] = f"share of user {user}"
        return self._names.get(user, _OTHERS)

    def is_name(self, reason: str) -> bool:
        """Return whether a reason is that a share is used up."""
        return reason == _OTHERS or reason in self._names.values()

    def _shrink(self) -> None:
        now = time.monotonic()
        passed = now - self._shrunk_at
        if self._seconds is None or passed < _STEP:
            return
        self._shrunk_at = now
        factor = math.exp(-passed / self._seconds)
        shrunk = {user: account * factor for user, account in self._accounts.items()}
        self._accounts = {user: account for user, account in shrunk.items() if account >= _NEGLIGIBLE}
        self._total = math.fsum(self._accounts.values())
