"""Who a user id stands for, where users are to have equal shares.

A user may run as each of 65,536 subordinate ids. They count as that user, as each would have a share; where
/etc/passwd does not have their owner's name, as one more user. Those of root count as one user that is not
root: containers run with them, whose users are no part of root. Of ids that a name service hands out (subid
in nsswitch.conf(5)) each counts as a user.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from execwhy.bpf.events.accounts import USERS, read_ids

_SUBORDINATE_IDS: Final = "/etc/subuid"
_MOST_BYTES: Final = 1 << 20
_NO_ACCOUNTS: Final[Mapping[str, int]] = MappingProxyType({})
_NO_ID: Final = 0xFFFFFFFF


@functools.lru_cache(4096)
def user_of(uid: int) -> int:
    """Return an id for the user who may run as this one: itself, or whose subordinate id it is."""
    return _subordinate_ids().user_of(uid)


def subordinate_span() -> tuple[int, int]:
    """Return the first and the end of the longest run of subordinate ids; of none, 0 and 0."""
    return _subordinate_ids().span


class SubordinateIds:
    """The ranges of user ids that each user may run as (subuid(5)).

    Args:
        lines: Lines of /etc/subuid; malformed ones are ignored.
        accounts: User ids by name.

    Attributes:
        span: The first id and the end of the longest run in which each id is somebody's subordinate one.
    """

    def __init__(self, lines: Iterable[str], accounts: Mapping[str, int] = _NO_ACCOUNTS) -> None:
        first_of: dict[str, int] = {}
        ranges: list[tuple[int, int, int]] = []
        for line in lines:
            name, *numbers = line.strip().split(":")
            if len(numbers) == 2 and all(number.isdecimal() for number in numbers):
                first, count = map(int, numbers)
                # The owner is named, or is a number.
                owner = accounts.get(name, int(name) if name.isdecimal() else 0)
                ranges.append((first, first + count, owner or first_of.setdefault(name, first)))
        self._ranges = sorted(ranges)
        self.span = self._longest_run()

    def user_of(self, uid: int) -> int:
        """Return the id of the user who may run as this one; the id itself if it is not subordinate.

        If that user is unknown or is root, return the first of their subordinate ids.
        """
        at = bisect_right(self._ranges, uid, key=lambda each: each[0]) - 1
        return self._ranges[at][2] if at >= 0 and uid < self._ranges[at][1] else uid

    def _longest_run(self) -> tuple[int, int]:
        runs = [(0, 0)]
        for first, end, _ in self._ranges:
            if 0 < first <= runs[-1][1]:
                runs[-1] = runs[-1][0], max(end, runs[-1][1])
            else:
                runs.append((first, end))
        first, end = max(runs, key=lambda run: run[1] - run[0])
        return first, min(end, _NO_ID)


@functools.cache
def _subordinate_ids() -> SubordinateIds:
    return SubordinateIds(_lines_of(_SUBORDINATE_IDS), read_ids(USERS))


def _lines_of(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(_MOST_BYTES).splitlines()
    except OSError:
        return []
