"""What is not looked at now: failures that were looked at a moment ago, and places where looks hang."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from execwhy.bpf.caller.namespaces import home_namespaces
from execwhy.tui.why.lookers.fair_queue import Group

PACE: Final = 0.1
"""Seconds between two looks at the same failure: a storm of it takes ten looks a second, each for all
repeats since the last."""

SHUN_SECONDS: Final = 10.0
"""How long a place is not looked at after a look there did not end in time. Doubled each time, unless
the last time ended more than ``_LONGEST_SHUN`` ago."""

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
        """Hold a group back until ``due``."""
        if group.key in self._parked:
            due, earlier = self._parked[group.key]
            earlier.merge(group)
            group = earlier
        self._parked[group.key] = due, group

    def unpark(self, now: float) -> list[Group]:
        """Return the groups that are due at this time, and no longer hold them back."""
        due = [key for key, (moment, _) in self._parked.items() if moment <= now]
        return [self._parked.pop(key)[1] for key in due]

    def find(self, key: Hashable) -> Group | None:
        """Return the group that is held back under this key; None if there is none."""
        parked = self._parked.get(key)
        return None if parked is None else parked[1]

    @property
    def next_due(self) -> float | None:
        """When the first group is due; None if none is held back."""
        return min((moment for moment, _ in self._parked.values()), default=None)


class Shunned:
    """Places where a look did not end in time.

    In our own mount namespace a place is one failure: the disk or the network is at fault. In another one it
    is everything of this user there, since whoever controls the namespace is responsible for it.
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
    """Return a number that stands for a place: the key itself may take many KiB."""
    namespace = group.newest[1].template.mount_ns
    return hash(group.key if namespace in home_namespaces() else (group.owner[0], namespace))
