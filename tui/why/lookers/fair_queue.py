"""Which failure is looked at next: each user has a fair share of the time that looks take.

Time is shared among users first, then among the mount namespaces of one user, so a user who makes looks slow,
or floods the queue, delays only themselves. Within a namespace, failures on screen come first, then the
newest. Failures that share a cause (``cause_key``) are one group, and take one or two looks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from execwhy.bpf.events.arrivals import Burst, Failure
from execwhy.tui.why.lookers.grouping import Owner, owner_of

MAX_BYTES: Final = 8 << 20
"""Most bytes of the records that wait, by their footprints."""

_GROUP_BYTES: Final = 1100
"""Bytes of a group besides its failures: its key, its dicts, and its entries in others."""

_OCCURRENCE_BYTES: Final = 160
"""Bytes of one more failure of a group: a tuple, and its entry in a dict."""

_TIME_BYTES: Final = 8
"""Bytes of one more failure of a burst: its time."""

EventIds = npt.NDArray[np.int64]

K = TypeVar("K", bound=Hashable)


class Group:
    """Failures that wait and, as far as is known before the look, share a cause.

    Attributes:
        owner: Whose they are.
        key: Their common ``cause_key``.
        weight: About how many bytes they take.
    """

    def __init__(self, owner: Owner, key: Hashable) -> None:
        self.owner = owner
        self.key = key
        self.weight = _GROUP_BYTES
        # By event id; for a burst, the id of its first event.
        self._failures: dict[int, Failure | Burst] = {}
        self._bursts: list[int] = []

    def add(self, event_id: int, failure: Failure | Burst) -> None:
        """Add a failure, or a burst by the id of its first event."""
        if event_id in self._failures:
            return
        if failure.event_count > 1:
            self._bursts.append(event_id)
        if not self._failures or failure.template is failure:
            self.weight += failure.template.footprint
        self._failures[event_id] = failure
        self.weight += _OCCURRENCE_BYTES + _TIME_BYTES * (failure.event_count - 1)

    def get(self, event_id: int) -> Failure | None:
        """Return the failure with this event id; None if it is not in the group."""
        if (failure := self._failures.get(event_id)) is not None:
            return failure.first
        for first in self._bursts:
            burst = self._failures[first]
            if first <= event_id < first + burst.event_count:
                return burst.at(event_id - first)
        return None

    def merge(self, later: Group) -> None:
        """Take over the failures of a group with the same key."""
        for event_id, failure in later._failures.items():
            self.add(event_id, failure)

    @property
    def oldest(self) -> tuple[int, Failure]:
        """The event id of the first failure, and the failure."""
        event_id = min(self._failures)
        return event_id, self._failures[event_id].first

    @property
    def newest(self) -> tuple[int, Failure]:
        """The event id of the last failure, and the failure."""
        event_id, failure = max(self._failures.items())
        return event_id + failure.event_count - 1, failure.last

    @property
    def ids(self) -> EventIds:
        """The ids of all its events, ascending, each once."""
        if not self._bursts:
            return np.array(sorted(self._failures), np.int64)
        pieces = [np.arange(first, first + self._failures[first].event_count) for first in self._bursts]
        ids: EventIds = np.unique(np.concatenate([np.fromiter(self._failures, np.int64), *pieces]))
        return ids


class _Shares(Generic[K]):
    """The time that each key has used: the one that has used the least is next.

    A key that was idle for a while starts level with the others, so it cannot save up time. What it had used
    before is forgotten once the others have used as much.
    """

    def __init__(self) -> None:
        self._used: dict[K, float] = {}
        self._floor = 0.0

    def in_order(self, keys: Collection[K]) -> list[K]:
        """Return these keys, the one that has used the least first."""
        ordered = sorted(keys, key=self._used_by)
        if ordered:
            self._floor = self._used_by(ordered[0])
        return ordered

    def charge(self, key: K, seconds: float) -> None:
        """Count time that a key has used."""
        self._used[key] = self._used_by(key) + seconds
        if len(self._used) > _MOST_REMEMBERED:
            owing = {key: used for key, used in self._used.items() if used > self._floor}
            self._used = owing if len(owing) <= _MOST_REMEMBERED else {}

    def _used_by(self, key: K) -> float:
        return max(self._used.get(key, 0.0), self._floor)


_MOST_REMEMBERED: Final = 4096
"""Keys whose time is remembered."""

_MOST_USERS: Final = 256
"""Users for whose namespaces time is remembered, besides users with waiting failures."""


class _Lane:
    """The groups of one user in one mount namespace, the newest last."""

    def __init__(self) -> None:
        self.groups: OrderedDict[Hashable, Group] = OrderedDict()
        self.weight = 0


class _Lanes(dict[int | None, _Lane]):
    """The lanes of one user, by mount namespace."""

    __slots__ = ("weight",)

    def __init__(self) -> None:
        super().__init__()
        self.weight = 0

    @property
    def heaviest(self) -> int | None:
        """The namespace whose groups weigh most."""
        return max(self, key=lambda namespace: self[namespace].weight)


class FairQueue:
    """The failures that wait for a look. Not safe to share between threads.

    Args:
        max_bytes: Most bytes that they may take.
        on_drop: Called with each group that is dropped because of that.
    """

    def __init__(
        self, max_bytes: int = MAX_BYTES, on_drop: Callable[[Group], None] = lambda _group: None
    ) -> None:
        self._max_bytes = max_bytes
        self._on_drop = on_drop
        self._users: dict[int, _Lanes] = {}
        self._user_shares: _Shares[int] = _Shares()
        # One for each user: a new namespace starts level with that user's others.
        self._lane_shares: dict[int, _Shares[int | None]] = {}
        self._preferred: dict[Owner, list[Hashable]] = {}
        self._weight = 0
        self._length = 0

    def __len__(self) -> int:
        """Return the number of groups that wait."""
        return self._length

    @property
    def weight(self) -> int:
        """About how many bytes the groups that wait take."""
        return self._weight

    def add(self, key: Hashable, event_id: int, failure: Failure | Burst) -> None:
        """Add a failure. Beyond the limit, the oldest groups of the user with most waiting are dropped."""
        owner = owner_of(failure.last)
        lane = self._lane(owner)
        group = lane.groups.pop(key, None)
        if group is None:
            group = Group(owner, key)
        else:
            self._count(group, -1)
        group.add(event_id, failure)
        lane.groups[key] = group
        self._count(group, 1)
        self._hold_bound()

    def give_back(self, group: Group) -> None:
        """Put back a group that was taken and not looked at, merged with what has arrived since."""
        lane = self._lane(group.owner)
        later = lane.groups.pop(group.key, None)
        if later is not None:
            self._count(later, -1)
            group.merge(later)
        lane.groups[group.key] = group
        self._count(group, 1)

    def _count(self, group: Group, sign: int) -> None:
        uid, namespace = group.owner
        lanes = self._users[uid]
        self._length += sign
        self._weight += sign * group.weight
        lanes.weight += sign * group.weight
        lanes[namespace].weight += sign * group.weight

    def find(self, owner: Owner, key: Hashable) -> Group | None:
        """Return the group that waits under this key; None if there is none."""
        lanes = self._users.get(owner[0])
        lane = None if lanes is None else lanes.get(owner[1])
        return None if lane is None else lane.groups.get(key)

    def prefer(self, wanted: Mapping[Owner, Sequence[Hashable]]) -> None:
        """Put these first among their owner's, in this order; this replaces the previous preference."""
        self._preferred = {owner: list(keys) for owner, keys in wanted.items()}

    def take(self, may_take: Callable[[Owner], bool] = lambda _owner: True) -> Group | None:
        """Remove and return the next group of an owner whom ``may_take`` allows; None if there is none."""
        for uid in self._user_shares.in_order(self._users):
            lanes = self._users[uid]
            for namespace in self._shares_of_lanes(uid).in_order(lanes):
                if may_take((uid, namespace)):
                    return self._take_from((uid, namespace), lanes[namespace])
        return None

    def charge(self, owner: Owner, seconds: float) -> None:
        """Count the time that a look at a failure of this owner took."""
        uid, namespace = owner
        self._user_shares.charge(uid, seconds)
        self._shares_of_lanes(uid).charge(namespace, seconds)

    def clear(self) -> None:
        """Drop everything that waits."""
        self._users.clear()
        self._weight = self._length = 0

    def refuse(self) -> None:
        """Drop everything that waits, and everything that is added later."""
        self._max_bytes = 0
        self._hold_bound()

    def _shares_of_lanes(self, uid: int) -> _Shares[int | None]:
        shares = self._lane_shares.pop(uid, None) or _Shares()
        self._lane_shares[uid] = shares
        if len(self._lane_shares) > _MOST_USERS:
            idle = [user for user in self._lane_shares if user != uid and user not in self._users]
            for user in idle[: len(self._lane_shares) - _MOST_USERS]:
                del self._lane_shares[user]
        return shares

    def _lane(self, owner: Owner) -> _Lane:
        uid, namespace = owner
        lanes = self._users.setdefault(uid, _Lanes())
        lane = lanes.get(namespace)
        if lane is None:
            lane = lanes[namespace] = _Lane()
        return lane

    def _take_from(self, owner: Owner, lane: _Lane) -> Group:
        preferred = self._preferred.get(owner, [])
        while preferred:
            key = preferred.pop(0)
            if key in lane.groups:
                return self._remove(owner, lane, key)
        return self._remove(owner, lane, next(reversed(lane.groups)))

    def _remove(self, owner: Owner, lane: _Lane, key: Hashable) -> Group:
        group = lane.groups.pop(key)
        self._count(group, -1)
        if not lane.groups:
            uid, namespace = owner
            del self._users[uid][namespace]
            if not self._users[uid]:
                del self._users[uid]
        return group

    def _hold_bound(self) -> None:
        while self._weight > self._max_bytes:
            # Not simply the heaviest lane: a user with many namespaces has a light lane in each.
            uid, lanes = max(self._users.items(), key=lambda each: each[1].weight)
            namespace = lanes.heaviest
            lane = lanes[namespace]
            self._on_drop(self._remove((uid, namespace), lane, next(iter(lane.groups))))
