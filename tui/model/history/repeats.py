"""Repeats: which failed execs are the same failure again, as in a crash loop, a fork storm or a probe.

Failures of one caller with one file and one error are a run, for a minute from the first; then the next run
begins, so that a failure that continues has a recent row. Each block of the history has its own runs, and
knows which of them began in the block before.
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
"""Nanoseconds that a run lasts from its first event: the span of the status line's sparkline."""

RUN_COLUMNS, _REST = ON_SCREEN.columns(COLUMN_FIELDS)
"""The columns in which the events of a run agree, besides ``run_facts``."""

_surroundings: Final = attrgetter(*_REST)
_strings: Final = ON_SCREEN.key_if(OF_THE_STRINGS)
_OF_THE_STRINGS: Final = frozenset({-errno.E2BIG, -errno.EFAULT})


def run_facts(record: ExecFailure) -> tuple[object, ...]:
    """Return the other facts of a record in which the events of a run agree.

    The pid may differ, and so may the arguments and the environment, unless they cause the error; then their
    hash is compared, because they may be large. The path of the cgroup may differ, too: where v1 hierarchies
    are mounted, it is not always known.
    """
    strings = hash(_strings(record)) if record.return_value in _OF_THE_STRINGS else 0
    return (*_surroundings(record), strings)


Runs = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Repeats:
    """The repeats that a row counts.

    Attributes:
        times: The number of failed execs, the one shown included.
        last: Timestamp of the last one, nanoseconds since 1970 UTC.
    """

    times: int
    last: int


class RunFinder:
    """Finds the runs of one block as its events come.

    Args:
        before: The finder of the block before.

    Attributes:
        continued: The runs that began in the block before: the offset of their first event here, and there.
    """

    def __init__(self, before: RunFinder | None = None) -> None:
        self.continued: dict[int, int] = {}
        self._first: dict[tuple[object, ...], tuple[int, int]] = {}
        self._before = {} if before is None else before._first

    def take(
        self, keys: Iterable[tuple[object, ...]], times: Sequence[int], offsets: Iterable[int]
    ) -> list[int]:
        """Return for each event the offset of the first event of its run, which may be its own.

        Args:
            keys: The key of each event's run.
            times: The timestamps of the events.
            offsets: The offsets of the events.
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
        """Return when the run of the first event with this key began: now, or in the block before."""
        earlier = self._before.get(key)
        if earlier is None or abs(timestamp - earlier[1]) >= RUN:
            return timestamp
        self.continued[offset] = earlier[0]
        return earlier[1]

    def take_burst(self, key: tuple[object, ...], times: npt.NDArray[np.int64], start: int) -> Runs:
        """Do the same as ``take`` for successive events with one key; the times ascend."""
        firsts = np.empty(len(times), np.uint16)
        at = 0
        while at < len(times):
            (firsts[at],) = self.take([key], [int(times[at])], [start + at])
            end = max(at + 1, int(np.searchsorted(times, self._first[key][1] + RUN)))
            firsts[at:end] = firsts[at]
            at = end
        return firsts
