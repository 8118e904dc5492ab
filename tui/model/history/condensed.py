"""Condensed blocks: once the history is full, one event a second of each storm, with a count.

If the oldest events were always evicted first, a storm of one failure would push out everything else within
seconds. So among the oldest events, those go first that another one can represent: the events differ only in
time and process.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from execwhy.bpf.events.identity import CONDENSED
from execwhy.tui.model.history.block import Block, Numbers, Offsets, Pools
from execwhy.tui.model.history.columns import COLUMN_FIELDS, GROUPS, NUMBERS
from execwhy.tui.model.history.repeats import Runs

_STEP: Final = 1_000_000_000
"""Nanoseconds for which one event is kept: a second, as in the counts of a group's last minute."""

_WORTH: Final = 2
"""A block is condensed if at most half of its events would be kept."""

_MOST: Final = 2048
"""The most events to keep of a block: they are handled one by one, while keys wait."""

_WHOLE, _ = CONDENSED.columns(COLUMN_FIELDS)
_FACTS: Final = tuple(name for name in GROUPS if name in _WHOLE)
"""The columns in which an event agrees with those it represents: all except those of the process."""

Kept = npt.NDArray[np.intp]


class CondensedBlock(Block):
    """Some events of successive blocks, which represent the others."""

    represented: Numbers
    lasts: Numbers

    def __init__(self, first_id: int, capacity: int, pools: Pools) -> None:
        super().__init__(first_id, capacity, pools)
        self.represented = np.zeros(capacity, np.int64)
        self.lasts = np.zeros(capacity, np.int64)
        self._ids = np.zeros(capacity, np.int64)
        self._end_id = first_id

    @property
    def end_id(self) -> int:
        """The id after the last event that the block represents."""
        return self._end_id

    @property
    def nbytes(self) -> int:
        """Bytes in use, without the values in the pools."""
        return super().nbytes + self.represented.nbytes + self.lasts.nbytes + self._ids.nbytes

    def ids_of(self, offsets: Offsets) -> Numbers:
        """Return the ids of the events at these offsets."""
        return self._ids[offsets]

    def id_of(self, offset: int) -> int:
        """Return the id of the event at an offset."""
        return int(self._ids[offset])

    def offset_of(self, event_id: int) -> int | None:
        """Return the offset of an event; None where it is not in the block."""
        offset = self.last_until(event_id)
        return offset if offset >= 0 and self._ids[offset] == event_id else None

    def offsets_of(self, event_ids: Numbers) -> Numbers:
        """Return the offsets of the events that are in the block; the ids ascend, within its range."""
        held = np.searchsorted(event_ids, ids := self._ids[: len(self)])
        found = np.flatnonzero(event_ids[np.minimum(held, len(event_ids) - 1)] == ids)
        return found.astype(np.int64)

    def last_until(self, event_id: int) -> int:
        """Return the offset of the last event up to this id; -1 where all come later."""
        return int(np.searchsorted(self._ids[: len(self)], event_id, side="right")) - 1

    def seal(self) -> None:
        """Let go of unused room: no more events are added. Diagnoses and searches may still be set."""
        super().seal()
        self.represented, self.lasts, self._ids = (
            numbers[: len(self)].copy() for numbers in (self.represented, self.lasts, self._ids)
        )

    def represent(self, offset: int, count: int, last: int) -> None:
        """Let an event represent ``count`` more, of which the latest has the timestamp ``last``."""
        self.represented[offset] += count
        self.lasts[offset] = max(int(self.lasts[offset]), last)

    def take(
        self, block: Block, kept: Kept, represented: Numbers, lasts: Numbers, runs: list[int] | Runs
    ) -> None:
        """Take in some events of the block that follows; there must be room.

        Args:
            block: The block.
            kept: The offsets of the events there, ascending.
            represented: How many events each of them represents besides itself.
            lasts: The latest timestamp of each event and those that it represents.
            runs: The run of each event.
        """
        start, stop = len(self), len(self) + len(kept)
        for name in NUMBERS:
            self.numbers[name][start:stop] = block.numbers[name][kept]
        for name, column in self.columns.items():
            codes, indexes = np.unique(block.columns[name].codes[kept], return_inverse=True)
            entries = block.columns[name].entries
            column.codes[start:stop] = np.array([column.adopt(entries[code]) for code in codes], np.uint32)[
                indexes
            ]
        self._ids[start:stop] = block.ids_of(kept)
        self.represented[start:stop], self.lasts[start:stop], self.runs[start:stop] = represented, lasts, runs
        for offset, event in enumerate(kept.tolist(), start):
            if event in block.losses:
                self.losses[offset] = block.losses[event]
        self.oldest, self.newest = min(self.oldest, block.oldest), max(self.newest, block.newest)
        self._length, self._end_id = stop, block.end_id
        self.version += 1


class Condenser:
    """Condenses blocks, one after another.

    Attributes:
        into: The condensed block that still grows; None where there is none.
    """

    def __init__(self, capacity: int, pools: Pools) -> None:
        self._capacity = capacity
        self._pools = pools
        self.into: CondensedBlock | None = None
        self._representatives: dict[tuple[int, ...], int] = {}

    def forget(self) -> None:
        """Let no event that has been kept so far represent later ones: it may have changed."""
        self._representatives.clear()

    def end(self) -> None:
        """Forget the block that still grows: it has left the history."""
        self.into = None
        self._representatives.clear()

    def condense(self, block: Block, before: Block | None, behind: Block) -> CondensedBlock | None:
        """Keep some events of a block, in the block before if that is a condensed one with room.

        Args:
            block: The block. It can be released afterwards.
            before: The block before it.
            behind: The block after it, whose links to the runs in ``block`` are updated.

        Returns:
            The block that holds them now; None if too many would be kept, and nothing was done.
        """
        if isinstance(block, CondensedBlock):
            return None
        most = min(len(block) // _WORTH, _MOST)
        if block.run_count > most:
            return None
        firsts, counts, lasts, facts = _representatives_of(block)
        if len(firsts) > most:
            return None
        into = self.into
        if into is None or into is not before or into.capacity - len(into) < len(firsts):
            if into is not None:
                into.seal()
            into = self.into = CondensedBlock(block.first_id, self._capacity, self._pools)
            self._representatives.clear()
        kept: list[int] = []
        runs: list[int] = []
        run_of: dict[int, int] = {}
        for place, (run, *others) in enumerate(facts):
            if run not in run_of:
                run_of[run] = go_on(into, len(into) + len(kept), block.continued.get(run), before)
            key = (run_of[run], *others)
            representative = self._representatives.get(key)
            if representative is None:
                self._representatives[key] = len(into) + len(kept)
                kept.append(place)
                runs.append(run_of[run])
            else:
                into.represent(representative, int(counts[place]), int(lasts[place]))
        into.take(block, firsts[kept], counts[kept] - 1, lasts[kept], runs)
        there = {here: run_of[run] for here, run in behind.continued.items()}
        behind.continued.clear()
        behind.continued.update(there)
        return into


def go_on(into: CondensedBlock, offset: int, earlier: int | None, before: Block | None) -> int:
    """Return the number of a run in the block in which it continues.

    Args:
        into: That block.
        offset: The offset there of the run's next event.
        earlier: The run's number in the block before; None where it did not begin there.
        before: The block before.
    """
    if earlier is None:
        return offset
    if into is before:
        return earlier
    into.continued[offset] = earlier
    return offset


def _representatives_of(block: Block) -> tuple[Kept, Numbers, Numbers, list[tuple[int, ...]]]:
    """Return the first event of each group of equal ones in a block.

    Returns:
        Their offsets, how many events each group has, its latest time, and its key, by which more of the same
        are recognized in the next block: run, second and facts.
    """
    length = len(block)
    times = block.numbers["timestamp"][:length]
    runs = block.runs[:length].astype(np.int64)
    steps = times // _STEP
    combined = _combined(runs, np.unique(steps, return_inverse=True)[1])
    for name in _FACTS:
        column = block.columns[name]
        if len(column.entries) > 1:
            combined = _combined(combined, column.codes[:length])
    order = np.argsort(combined, kind="stable")
    starts = np.flatnonzero(np.diff(combined[order], prepend=-1))
    firsts = order[starts]
    # In the order in which they came.
    ranks = np.argsort(firsts)
    counts = np.diff(starts, append=length)[ranks]
    lasts = np.maximum.reduceat(times[order], starts)[ranks]
    firsts = firsts[ranks]
    slots = [block.columns[name].slots[block.columns[name].codes[firsts]].tolist() for name in _FACTS]
    return (
        firsts,
        counts,
        lasts,
        list(zip(runs[firsts].tolist(), steps[firsts].tolist(), *slots, strict=True)),
    )


def _combined(numbers: Numbers, others: npt.NDArray[np.integer]) -> Numbers:
    """Return a number for each distinct pair: not negative, and below 2**40 or the number of pairs."""
    pairs: Numbers = numbers * (int(others.max(initial=0)) + 1) + others
    if int(pairs.max(initial=0)) >> 40:
        pairs = np.unique(pairs, return_inverse=True)[1].astype(np.int64)
    return pairs
