"""Which failed execs are one and the same again: of a crash loop, a fork storm, a probe tried over and over.

Those of one caller for one file with one error are a run, for a minute from its first; then the next run
begins, so that what goes on has a row in sight. Each block of the history has runs of its own; it knows which
of them had begun in the block before.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

import numpy as np
import numpy.typing as npt

from execwhy.bpf.events.identity import OF_THE_STRINGS, ON_SCREEN
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.history.columns import COLUMN_FIELDS

RUN: Final = 60_000_000_000
"""Nanoseconds from the first one of a run: what the status line's sparkline spans."""

TOLD_BY, _REST = ON_SCREEN.columns(COLUMN_FIELDS)
"""The columns in which they agree, beside ``told_by_facts``."""

_surroundings: Final = attrgetter(*_REST)
_strings: Final = ON_SCREEN.key_if(OF_THE_STRINGS)
_OF_THE_STRINGS: Final = frozenset({-errno.E2BIG, -errno.EFAULT})


def told_by_facts(record: ExecFailure) -> tuple[object, ...]:
    """The other facts of a record in which they agree; its pid may differ.

    So may its arguments and its environment, but where the error is theirs: their hash stands for them, since
    they may be large. The cgroup's path may, too: where v1 hierarchies are mounted, it is not always known.
    """
    strings = hash(_strings(record)) if record.return_value in _OF_THE_STRINGS else 0
    return (*_surroundings(record), strings)


Runs = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Repeats:
    """What a row tells beside its own event.

    Attributes:
        times: How many failed execs it stands for, its own included.
        last: Timestamp of the last one, nanoseconds since 1970 UTC.
    """

    times: int
    last: int


class RunFinder:
    """Finds the runs of one block, as its events come.

    Args:
        before: What found those of the block before.

    Attributes:
        continued: Which runs had begun in the block before: the offset of their first event here, and there.
    """

    def __init__(self, before: RunFinder | None = None) -> None:
        self.continued: dict[int, int] = {}
        self._first: dict[tuple[object, ...], tuple[int, int]] = {}
        self._before = {} if before is None else before._first

    def take(
        self, keys: Iterable[tuple[object, ...]], times: Sequence[int], offsets: Iterable[int]
    ) -> list[int]:
        """The offset of the first event of each one's run, which may be its own.

        Args:
            keys: What those of a run agree in.
            times: Their timestamps.
            offsets: Their offsets.
        """
        firsts: list[int] = []
        known = self._first
        for offset, key, timestamp in zip(offsets, keys, times, strict=True):
            first = known.get(key)
            if first is None:
                first = known[key] = offset, self._begun(key, timestamp, offset)
            elif abs(timestamp - first[1]) >= RUN:
                first = known[key] = offset, timestamp
            firsts.append(first[0])
        return firsts

    def _begun(self, key: tuple[object, ...], timestamp: int, offset: int) -> int:
        """When the run of the first event of its kind has begun: now, or in the block before."""
        earlier = self._before.get(key)
        if earlier is None or abs(timestamp - earlier[1]) >= RUN:
            return timestamp
        self.continued[offset] = earlier[0]
        return earlier[1]

    def take_alike(self, key: tuple[object, ...], times: npt.NDArray[np.int64], start: int) -> Runs:
        """The same of events that are one behind the other and agree in all of that; the times ascend."""
        firsts = np.empty(len(times), np.uint16)
        at = 0
        while at < len(times):
            (firsts[at],) = self.take([key], [int(times[at])], [start + at])
            end = max(at + 1, int(np.searchsorted(times, self._first[key][1] + RUN)))
            firsts[at:end] = firsts[at]
            at = end
        return firsts
