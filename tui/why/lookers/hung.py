"""Users whose looks hang in lookers that cannot be killed: they are left alone for a while, or for good.

No signal ends a process that waits for the lock of a directory, or for a FUSE server that has its request.
A user who can block one look could block all of them, and only a few lookers may hang at a time. So a user
may block one, minutes later a second one, and no more.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.caller.namespaces import home_namespaces
from execwhy.tui.why.lookers.grouping import Owner

LEFT_ALONE_SECONDS: Final = 300.0
"""How long a user is left alone after their first look that could not be ended."""

DYING_SECONDS: Final = 1.0
"""Seconds after which a killed looker counts as hung if it is still there. Until then its user is left alone,
too."""

_ASK_SECONDS: Final = 0.1
"""Seconds between two checks whether a killed looker has died."""

_MOST_AT_ALL: Final = 2
"""Hung looks of a user after which that user is left alone for good."""

_MOST_KNOWN: Final = 4096


@dataclass(slots=True)
class _Past:
    count: int = 0
    until: float = 0.0


class Hung:
    """Knows whose lookers were killed, and which of them did not die. Not safe to share between threads."""

    def __init__(self) -> None:
        self._killed: dict[int, tuple[float, Owner]] = {}
        self._next_due: float | None = None
        self._past: dict[Owner, _Past] = {}

    def killed(self, number: int, owner: Owner) -> None:
        """Note that the looker of this number was killed in the middle of a look for this owner."""
        self._killed[number] = time.monotonic(), _who(owner)
        self.ask_later()

    @property
    def next_due(self) -> float | None:
        """When to check which of them have died, on the clock of time.monotonic(); None if all have."""
        return self._next_due

    def ask_later(self) -> None:
        """Schedule the next check."""
        self._next_due = time.monotonic() + _ASK_SECONDS if self._killed else None

    def see(self, undead: Collection[int]) -> None:
        """Take note of which killed lookers have not died by now."""
        now = time.monotonic()
        for number, (since, who) in list(self._killed.items()):
            if number not in undead:
                del self._killed[number]
            elif now - since >= DYING_SECONDS:
                del self._killed[number]
                past = self._past.pop(who, _Past())
                past.count += 1
                past.until = now + LEFT_ALONE_SECONDS
                self._past[who] = past
        self.ask_later()
        while len(self._past) > _MOST_KNOWN:
            del self._past[next(iter(self._past))]

    def is_pending(self, owner: Owner) -> bool:
        """Return whether a looker of this owner was killed a moment ago and may still die."""
        who = _who(owner)
        return any(who == other for _, other in self._killed.values())

    def leaves_alone(self, owner: Owner) -> bool:
        """Return whether this owner is left alone now."""
        who = _who(owner)
        past = self._past.get(who)
        return past is not None and (time.monotonic() < past.until or self.is_for_good(owner))

    def is_for_good(self, owner: Owner) -> bool:
        """Return whether this owner is left alone for good; the host's root never is."""
        who = _who(owner)
        past = self._past.get(who)
        return past is not None and past.count >= _MOST_AT_ALL and who != _ROOT


_ROOT: Final[Owner] = (0, None)


def _who(owner: Owner) -> Owner:
    """Return who is responsible for a look: the user; for root in another mount namespace, the namespace."""
    uid, namespace = owner
    return (uid, None) if uid or namespace in home_namespaces() else owner
