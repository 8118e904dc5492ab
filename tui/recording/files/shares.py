"""Shares by user of what a recording writes, so that nobody can fill it, or rotate it away, for all others.

What a user wrote is its account. It may write as long as its account is at most three times what is left of
the capacity: alone it gets three quarters, and each user who begins to write later gets three quarters of
what is left then. Whoever has less than the floor may always write, beyond the capacity as well.

Where the oldest files go, accounts shrink: by a factor of e in a day. All of them together are at most the
capacity C and a floor F for each user. With ten of them at most C + 10 F is written in a day besides the
C + 10 F that is in the accounts. As these begin at 0 with the program, which may be started again once a day,
one user and others who write little can write 3 C at most. What fits into the files that are kept is thus a
day's records (``bounded.Bounds.shares``).
"""

from __future__ import annotations

import math
import time
from typing import Final

NOBODY: Final = -1
"""Whose a line is that has no share, such as a loss."""

DAY: Final = 86_400.0
"""Seconds in which an account shrinks by a factor of e."""

_TIMES: Final = 3
"""How many times what is left an account may be."""

_STEP: Final = 60.0
"""Seconds between which accounts do not shrink."""

_NEGLIGIBLE: Final = 64
"""Bytes of an account that is forgotten: a record has more, and takes days to become so little."""

_MOST_NAMED: Final = 16
"""Users that are counted by their id: all that was left out is to fit into an ending."""

_OTHERS: Final = "shares of other users"


class Shares:
    """What each user wrote, and may still write.

    Args:
        capacity: Bytes for all; None where only the free space is a bound.
        seconds: In which accounts shrink by a factor of e; None where they do not.
        floor: Bytes that each user may write whatever others do.

    Attributes:
        floor: The same.
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
        """Return whether a user, as of ``bpf.events.users.user_of``, may write so many bytes.

        Args:
            user: Who; ``NOBODY`` always may.
            size: How many bytes.
            room: Bytes for which there is free space; None where that is no bound.
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
        """Return in how many seconds so many bytes are written by who writes the capacity in a day."""
        return DAY * size / self._capacity if self._capacity else 0.0

    def name_of(self, user: int) -> str:
        """Return by which name records are counted that are left out of a user's share."""
        if user not in self._names and len(self._names) < _MOST_NAMED:
            self._names[user] = f"share of user {user}"
        return self._names.get(user, _OTHERS)

    def is_name(self, reason: str) -> bool:
        """Return whether it is one of those names."""
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
