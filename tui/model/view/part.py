"""The events of one block that are selected, and the rows that count them."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

import numpy as np
import numpy.typing as npt

from execwhy.bpf.events.identity import LOSSES_ON_SCREEN
from execwhy.bpf.events.loss import Loss
from execwhy.tui.model.history.block import Block, Numbers
from execwhy.tui.model.history.repeats import RUN, Repeats
from execwhy.tui.model.query import Query
from execwhy.tui.model.view.selection import Offsets, Selection


class Part:
    """The events of one block that are selected.

    Attributes:
        block: The block.
        offsets: The events that a row counts: their own row, or that of the run they are in.
        rows: The events that have a row, without runs that a row of the part before shows (see ``link``).
        failures: How many failed execs are selected.
        folded: How many of them another try of their search represents.
        hidden: How many of them are of searches that found their program and are not shown.
        losses: How many losses the part holds; a loss may share the row of the loss right before it.
        lost_rows: How many rows show losses.
        end: How many events of the block have been looked at.
    """

    def __init__(self, block: Block) -> None:
        self.block = block
        self._changes = 0
        self._clear()
        self._versions = (0, 0)
        self._represented_version = 0
        self._with_represented = False
        self._now = 0

    def _clear(self) -> None:
        self.offsets: Offsets = np.empty(0, np.uint16)
        self.rows: Offsets = self.offsets
        self.failures = self.folded = self.hidden = self.losses = self.lost_rows = self.end = 0
        # The number of the row that counts each of the offsets, and the number of each row.
        self._counted_by: Offsets = self.offsets
        self._row_numbers: Offsets = self.offsets
        self._times: npt.NDArray[np.int64] | None = None
        # The rows and their numbers before ``link`` leaves some of them to the part before.
        self._firsts: Offsets = self.offsets
        self._numbers: Offsets = self.offsets
        self._in_part_before: dict[int, int] = {}
        self._of_part_before: dict[int, int] = {}
        self._linked: tuple[object, ...] = ()
        self._changes += 1

    @property
    def counted(self) -> int:
        """How many failed execs are counted by a row."""
        return len(self.offsets) - self.losses

    @property
    def shown(self) -> int:
        """How many failed execs have a row."""
        return len(self.rows) - self.lost_rows

    def extend(self, selection: Selection, now: int) -> bool:
        """Take in what was appended to the block; return whether a row counts any of it."""
        start, stop = self.end, len(self.block)
        if not start:
            self._versions, self._now = (self.block.version, self.block.search_version), now
            self._with_represented = not selection.query.depends_on_moment
        if start == stop:
            return False
        selected, alone, shown, hidden = selection.of(self.block, start, stop, now)
        self.end = stop
        self.hidden += hidden
        lost = len(self.block.losses) - self.losses
        self.losses += lost
        count = int(np.count_nonzero(selected))
        self.failures += count - lost
        self.folded += count - int(np.count_nonzero(alone))
        found = np.flatnonzero(shown) + start
        if not len(found):
            return False
        self._add(found.astype(np.uint16), selection.row_numbers(self.block, found), selection.fold_repeats)
        return True

    def _add(self, found: Offsets, counted_by: Offsets, fold: bool) -> None:
        """Add events, and a row for the first event of each row number that is new."""
        numbers, firsts = np.unique(counted_by, return_index=True)
        new = np.sort(firsts[~np.isin(numbers, self._numbers)])
        if self.block.losses and len(new):
            new = self._own_rows(found, counted_by, new, fold)
        self.rows = np.concatenate((self.rows, found[new]))
        self._row_numbers = np.concatenate((self._row_numbers, counted_by[new]))
        self._firsts = np.concatenate((self._firsts, found[new]))
        self._numbers = np.concatenate((self._numbers, counted_by[new]))
        self.offsets = np.concatenate((self.offsets, found))
        self._counted_by = np.concatenate((self._counted_by, counted_by))
        self._times = None
        self._changes += 1

    def _own_rows(
        self, found: Offsets, counted_by: Offsets, new: npt.NDArray[np.intp], fold: bool
    ) -> npt.NDArray[np.intp]:
        """Return which new rows stay: a loss right below another one like it shares its row."""
        losses = self.block.losses
        is_loss = np.isin(found[new], np.fromiter(losses, np.int64, len(losses)))
        own = np.ones(len(new), np.bool_)
        before, number = (int(self._firsts[-1]), int(self._numbers[-1])) if len(self._firsts) else (-1, 0)
        place_before = -1
        for place in np.flatnonzero(is_loss).tolist() if fold else ():
            at, offset = new[place], int(found[new[place]])
            if place > place_before + 1:
                before = -1
            if (first := losses.get(before)) is not None and _are_one(first, losses[offset]):
                counted_by[at] = number
                own[place] = False
            else:
                before, number = offset, int(counted_by[at])
            place_before = place
        self.lost_rows += int(np.count_nonzero(is_loss & own))
        return new[own]

    def link(self, before: Part | None) -> bool:
        """Leave runs that began in the part before to its rows; return whether rows changed.

        Args:
            before: The part of the block right before this one; None where there is none, or where each
                row shows only its own event.
        """
        state = (before, self._changes, 0 if before is None else before._changes)
        if state == self._linked:
            return False
        self._linked, rows = state, self.rows
        continued = self.block.continued if before is not None else {}
        here, there = np.array([*continued.items()], np.int32).reshape(-1, 2).T
        number_there = np.full(1 << 16, -1, np.int32)
        for is_unfound in (0, 1):
            number_there[2 * here + is_unfound] = 2 * there + is_unfound
        wanted = number_there[self._numbers]
        is_left = np.isin(wanted, [] if before is None else before._numbers)
        self.rows, self._row_numbers = self._firsts[~is_left], self._numbers[~is_left]
        pairs = self._numbers[is_left].tolist(), wanted[is_left].tolist()
        self._in_part_before = dict(zip(*pairs, strict=True))
        self._of_part_before = dict(zip(*reversed(pairs), strict=True))
        return not np.array_equal(rows, self.rows)

    def number_for(self, offset: int) -> int | None:
        """Return the number of the row that counts this event; None where no row does."""
        at = int(np.searchsorted(self.offsets, offset))
        if at == len(self.offsets) or self.offsets[at] != offset:
            return None
        return int(self._counted_by[at])

    def number_of(self, row: int) -> int:
        """Return the number of a row, by its index in ``rows``."""
        return int(self._row_numbers[row])

    def row_of(self, number: int) -> int:
        """Return the offset of the event whose row has this number."""
        return int(self.rows[np.flatnonzero(self._row_numbers == number)[0]])

    def in_part_before(self, number: int) -> int | None:
        """Return the number of the row in the part before that shows this run; None where none does."""
        return self._in_part_before.get(number)

    def of_part_before(self, number: int) -> int | None:
        """Return the number here of a run that a row of the part before shows; None where there is none."""
        return self._of_part_before.get(number)

    def times(self, number: int) -> int:
        """Return how many events of this part the row with this number counts.

        That includes evicted events that one of them represents, unless the filter may have selected only
        some of those: by their time, or by their process.
        """
        if self._times is None:
            represented = self.represented
            each = None if represented is None else represented[self.offsets] + 1
            self._times = np.bincount(self._counted_by, each).astype(np.int64)
        return int(self._times[number])

    @property
    def represented(self) -> Numbers | None:
        """How many evicted events each event of the block represents for the filter; None: none does."""
        return self.block.represented if self._with_represented else None

    def repeats(self, number: int) -> Repeats:
        """Return how many events of this part the row with this number counts, and the time of the last."""
        counted = self.offsets[self._counted_by == number]
        lasts = self.block.numbers["timestamp"] if self.represented is None else self.block.lasts
        assert lasts is not None
        return Repeats(self.times(number), int(lasts[counted].max()))

    def recount(self) -> bool:
        """Take in that events of the block represent more evicted ones; return whether they do."""
        if self.block.represented is None or self._represented_version == self.block.version:
            return False
        self._represented_version, self._times = self.block.version, None
        return True

    def lost(self, row: int) -> tuple[int, int]:
        """Return how many events the losses in a row add up to, and the timestamp of the last one."""
        counted = self.offsets[self._counted_by == self._row_numbers[row]].tolist()
        losses = [self.block.losses[offset] for offset in counted]
        return sum(loss.count for loss in losses), max(loss.timestamp for loss in losses)

    def renew(self, selection: Selection, now: int) -> bool:
        """Look at the whole block again; return whether the rows or their counts have changed."""
        offsets, counted_by = self.offsets, self._counted_by
        self._clear()
        self.extend(selection, now)
        return not (np.array_equal(offsets, self.offsets) and np.array_equal(counted_by, self._counted_by))

    def is_stale(self, query: Query) -> bool:
        """Return whether a search, or a diagnosis that the filter asks for, was set since the last look."""
        diagnosed, searched = self._versions
        if searched != self.block.search_version:
            return True
        return query.depends_on_diagnosis and diagnosed != self.block.version

    def has_crossed(self, ages: tuple[int, ...], now: int) -> bool:
        """Return whether an event of the block has reached one of these ages since the last look."""
        block, then = self.block, self._now
        if now < then:
            return bool(ages)
        return any(block.oldest <= now - age + 1 and then - age - 1 <= block.newest for age in ages)


_of_loss: Final = attrgetter(*LOSSES_ON_SCREEN)


def _are_one(first: Loss, loss: Loss) -> bool:
    """Return whether a loss shares the row of an earlier one: same reason and host, within a minute."""
    return _of_loss(first) == _of_loss(loss) and abs(loss.timestamp - first.timestamp) < RUN
