"""Whose time a look takes: the user, and the mount namespace.

Both are grouped, so that nobody can be many: a user may run as each of 65,536 subordinate ids, and may make a
mount namespace for each failure.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from bpf.record import Again, ExecFailure, first_like
from bpf.vantage import own_mount_ns

Failure = ExecFailure | Again

Owner = tuple[int, int | None]
"""A user, and a group of their mount namespaces: our own, None where it is not known, or a small number."""

NAMESPACE_GROUPS: Final = 256
"""The numbers of namespaces follow each other, so that fewer than this are mostly a group each."""

_SUBORDINATE_IDS: Final = "/etc/subuid"
_MOST_BYTES: Final = 1 << 20


def owner_of(failure: Failure) -> Owner:
    """Return whose time a look at this failure takes."""
    record = first_like(failure)
    namespace = record.mount_ns
    if namespace is not None and namespace != own_mount_ns():
        namespace %= NAMESPACE_GROUPS
    return _subordinate_ids().user_of(record.uid), namespace


class SubordinateIds:
    """The ranges of user ids that each user may run as (subuid(5)).

    Args:
        lines: Lines of /etc/subuid; those that are none are passed over.
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

    def user_of(self, uid: int) -> int:
        """Return the first id of the user who may run as this one; the id itself where it is nobody's."""
        at = bisect_right(self._ranges, uid, key=lambda each: each[0]) - 1
        return self._ranges[at][2] if at >= 0 and uid < self._ranges[at][1] else uid


@functools.cache
def _subordinate_ids() -> SubordinateIds:
    try:
        with open(_SUBORDINATE_IDS, encoding="utf-8", errors="replace") as file:
            return SubordinateIds(file.read(_MOST_BYTES).splitlines())
    except OSError:
        return SubordinateIds(())
