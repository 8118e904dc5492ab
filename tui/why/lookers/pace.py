"""What is not looked at now: failures that were looked at a moment ago, and places where looks do not end."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from execwhy.bpf.caller.namespaces import home_namespaces
from execwhy.tui.why.lookers.fair_queue import Group

PACE: Final = 0.1
"""Seconds between two looks at the same failure: a storm of one takes ten looks a second, each for all that
came meanwhile."""

SHUN_SECONDS: Final = 10.0
"""How long a place is not looked at after a look there did not end in time; doubled each time again, until
looks have ended there for as long as ``_LONGEST_SHUN``."""

_LONGEST_SHUN: Final = 300.0
_MOST_KNOWN: Final = 8192
"""Places: the oldest are forgotten."""


class Pace:
    """Holds back groups whose failure was looked at less than ``PACE`` ago."""

    def __init__(self) -> None:
        self._looked: OrderedDict[Hashable, float] = OrderedDict()
        self._parked: dict[Hashable, tuple[float, Group]] = {}

    def due(self, key: Hashable) -> float:
        """Return when a failure may be looked at again, on the clock of time.monotonic()."""
        return self._looked.get(key, -PACE) + PACE

    def looked(self, key: Hashable) -> None:
        """Note that a failure was looked at just now; forget those that are due again."""
        now = time.monotonic()
        self._looked[key] = now
        self._looked.move_to_end(key)
        # A key holds a path and a PATH, which may have many KiB.
        while now - next(iter(self._looked.values())) > PACE:
            self._looked.popitem(last=False)

    def park(self, due: float, group: Group) -> None:
        """Hold a group back until then."""
        if group.key in self._parked:
            due, earlier = self._parked[group.key]
            earlier.merge(group)
            group = earlier
        self._parked[group.key] = due, group

    def unpark(self, now: float) -> list[Group]:
        """Return the groups that are due at this time; they are held back no longer."""
        due = [key for key, (moment, _) in self._parked.items() if moment <= now]
        return [self._parked.pop(key)[1] for key in due]

    def find(self, key: Hashable) -> Group | None:
        """Return the group that is held back under that key."""
        parked = self._parked.get(key)
        return None if parked is None else parked[1]

    @property
    def next_due(self) -> float | None:
        """When the first of them is due; None where none is held back."""
        return min((moment for moment, _ in self._parked.values()), default=None)


class Shunned:
    """Places where a look did not end in time.

    In our own mount namespace that is the failure itself: the disk or the network is at fault. In another one
    it is all that this user has there, since whoever rules the namespace made it so.
    """

    def __init__(self) -> None:
        self._until: OrderedDict[int, tuple[float, float]] = OrderedDict()

    def add(self, group: Group) -> None:
        """Leave the place of this group alone for a while."""
        place, now = _place(group), time.monotonic()
        until, before = self._until.pop(place, (now, SHUN_SECONDS / 2))
        seconds = SHUN_SECONDS if now - until > _LONGEST_SHUN else min(_LONGEST_SHUN, before * 2)
        self._until[place] = now + seconds, seconds
        while len(self._until) > _MOST_KNOWN:
            self._until.popitem(last=False)

    def __contains__(self, group: Group) -> bool:
        until, _ = self._until.get(_place(group), (0.0, 0.0))
        return time.monotonic() < until


def _place(group: Group) -> int:
    """Return a number for a place: what it is made of may have many KiB."""
    namespace = group.newest[1].template.mount_ns
    return hash(group.key if namespace in home_namespaces() else (group.owner[0], namespace))
