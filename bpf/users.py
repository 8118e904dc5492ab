"""Who a user id stands for, where users are to have equal shares.

A user may run as each of 65,536 subordinate ids. They count as one, as each would have a share. Those of
/etc/subuid are known; of those that a name service hands out (subid in nsswitch.conf(5)) each id counts as a
user.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

_SUBORDINATE_IDS: Final = "/etc/subuid"
_MOST_BYTES: Final = 1 << 20
_NO_ID: Final = 0xFFFFFFFF


@functools.lru_cache(4096)
def user_of(uid: int) -> int:
    """Return an id for the user who may run as this one: itself, or the first of the subordinate ids."""
    return _subordinate_ids().user_of(uid)


def subordinate_span() -> tuple[int, int]:
    """Return the first and the end of the longest run of subordinate ids; of none, 0 and 0."""
    return _subordinate_ids().span


class SubordinateIds:
    """The ranges of user ids that each user may run as (subuid(5)).

    Args:
        lines: Lines of /etc/subuid; those that are none are passed over.

    Attributes:
        span: The first id and the end of the longest run in which each id is somebody's subordinate one.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        first_of: dict[str, int] = {}
        ranges: list[tuple[int, int, int]] = []
        for line in lines:
            name, *numbers = line.strip().split(":")
            if len(numbers) == 2 and all(number.isdecimal() for number in numbers):
                first, count = map(int, numbers)
                ranges.append((first, first + count, first_of.setdefault(name, first)))
        self._ranges = sorted(ranges)
        self.span = self._longest_run()

    def user_of(self, uid: int) -> int:
        """Return the first id of the user who may run as this one; the id itself where it is nobody's."""
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
    try:
        with open(_SUBORDINATE_IDS, encoding="utf-8", errors="replace") as file:
            return SubordinateIds(file.read(_MOST_BYTES).splitlines())
    except OSError:
        return SubordinateIds(())
