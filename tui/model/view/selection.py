"""Which events of one block are shown, and which are only counted."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

import numpy as np
import numpy.typing as npt

from execwhy.bpf.events.identity import LOSSES_ON_SCREEN
from execwhy.bpf.events.loss import Loss
from execwhy.tui.model.history.block import Block, Mask, Numbers
from execwhy.tui.model.history.repeats import RUN, Repeats
from execwhy.tui.model.query import FIELDS, Query
from execwhy.tui.model.query.fields import FOLDED
from execwhy.tui.model.query.terms import InRanges, Term
from execwhy.tui.model.query.text import equal

Offsets = npt.NDArray[np.uint16]


class Selection:
    """What is shown: what the filter selects, without what another row tells or is not asked for.

    Args:
        query: The filter.
        show_found: Searches that found their program are shown.
        fold_repeats: Of a run of failures that are alike the first one's row tells the others.
    """

    def __init__(self, query: Query, show_found: bool, fold_repeats: bool) -> None:
        self.query = query
        self.show_found = show_found
        self.fold_repeats = fold_repeats
        self._own_row = Term(FOLDED, InRanges(((1, 1),)), negate=True, start=0, end=0)
        self._unfound = Term(FIELDS["search.outcome"], equal("found"), negate=True, start=0, end=0)

    def of(self, block: Block, start: int, stop: int, now: int) -> tuple[Mask, Mask, Mask, int]:
        """The selected events of a block, those of them that no other row tells, and those shown.

        And how many are of searches that found their program and are hidden.
        """
        selected = self.query.select(block, start, stop, now)
        alone = selected & self._own_row.select(block, start, stop, now)
        if self.show_found:
            return selected, alone, alone, 0
        unfound = self._unfound.select(block, start, stop, now)
        return selected, alone, alone & unfound, int(np.count_nonzero(selected & ~unfound))

    def rows_told(self, block: Block, found: npt.NDArray[np.intp]) -> npt.NDArray[np.uint16]:
        """Of each shown event the number of the row that tells it; rows have different numbers.

        A search that found its program is never told by the row of one that did not.
        """
        if not self.fold_repeats or not len(found):
            return found.astype(np.uint16)
        numbers: npt.NDArray[np.uint16] = block.runs[found] * 2
        if self.show_found:
            start, stop = int(found[0]), int(found[-1]) + 1
            numbers = numbers + self._unfound.select(block, start, stop, now=0)[found - start].astype(
                np.uint16
            )
        return numbers

    def folded(self, block: Block, stop: int) -> Mask:
        """The events of a block, before offset ``stop``, that another row tells, selected or not."""
        return ~self._own_row.select(block, 0, stop, now=0)


class Part:
    """The events of one block that are selected.

    Attributes:
        block: The block.
        offsets: Those that are told by a row, their own or that of one that is alike.
        rows: Those that have a row, but for rows that one of the part before tells, too (see ``link``).
        failures: How many failed execs are selected.
        folded: How many of them the row of another try of their search tells.
        hidden: How many of them are of searches that found their program and are not shown.
        losses: How many losses are in it; each is told by a row, its own or that of its neighbour before.
        lost_rows: How many rows tell losses.
        end: How many of its events have been looked at.
    """

    def __init__(self, block: Block) -> None:
        self.block = block
        self._changes = 0
        self._clear()
        self._versions = (0, 0)
        self._alike_version = 0
        self._with_alike = False
        self._now = 0

    def _clear(self) -> None:
        self.offsets: Offsets = np.empty(0, np.uint16)
        self.rows: Offsets = self.offsets
        self.failures = self.folded = self.hidden = self.losses = self.lost_rows = self.end = 0
        # By which row each of the offsets is told, and the numbers of the rows.
        self._told: Offsets = self.offsets
        self._row_numbers: Offsets = self.offsets
        self._times: npt.NDArray[np.int64] | None = None
        # The same as rows and their numbers, with those that one of the part before tells, too.
        self._firsts: Offsets = self.offsets
        self._numbers: Offsets = self.offsets
        self._in_part_before: dict[int, int] = {}
        self._of_part_before: dict[int, int] = {}
        self._linked: tuple[object, ...] = ()
        self._changes += 1

    @property
    def counted(self) -> int:
        """How many failed execs a row tells."""
        return len(self.offsets) - self.losses

    @property
    def shown(self) -> int:
        """How many failed execs have a row."""
        return len(self.rows) - self.lost_rows

    def extend(self, selection: Selection, now: int) -> bool:
        """Take in what the block has got since; True if a row tells something of it."""
        start, stop = self.end, len(self.block)
        if not start:
            self._versions, self._now = (self.block.version, self.block.search_version), now
            self._with_alike = not selection.query.depends_on_moment
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
        self._tell(found.astype(np.uint16), selection.rows_told(self.block, found), selection.fold_repeats)
        return True

    def _tell(self, found: Offsets, told: Offsets, fold: bool) -> None:
        """Give rows to the first of those that are told by a row which is not there yet."""
        numbers, firsts = np.unique(told, return_index=True)
        new = np.sort(firsts[~np.isin(numbers, self._numbers)])
        if self.block.losses and len(new):
            new = self._own_rows(found, told, new, fold)
        self.rows = np.concatenate((self.rows, found[new]))
        self._row_numbers = np.concatenate((self._row_numbers, told[new]))
        self._firsts = np.concatenate((self._firsts, found[new]))
        self._numbers = np.concatenate((self._numbers, told[new]))
        self.offsets = np.concatenate((self.offsets, found))
        self._told = np.concatenate((self._told, told))
        self._times = None
        self._changes += 1

    def _own_rows(
        self, found: Offsets, told: Offsets, new: npt.NDArray[np.intp], fold: bool
    ) -> npt.NDArray[np.intp]:
        """Which of the new rows stay: a loss right below another one of that name is told by its row."""
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
                told[at] = number
                own[place] = False
            else:
                before, number = offset, int(told[at])
            place_before = place
        self.lost_rows += int(np.count_nonzero(is_loss & own))
        return new[own]

    def link(self, before: Part | None) -> bool:
        """Leave to the part before what one of its rows tells, too, as the run goes on; True if rows changed.

        Args:
            before: The part of the block right before this one's; None where there is none, or where no row
                tells more than its own event.
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
        is_told = np.isin(wanted, [] if before is None else before._numbers)
        self.rows, self._row_numbers = self._firsts[~is_told], self._numbers[~is_told]
        pairs = self._numbers[is_told].tolist(), wanted[is_told].tolist()
        self._in_part_before = dict(zip(*pairs, strict=True))
        self._of_part_before = dict(zip(*reversed(pairs), strict=True))
        return not np.array_equal(rows, self.rows)

    def number_that_tells(self, offset: int) -> int | None:
        """The number of the row that tells this event; None where no row does."""
        at = int(np.searchsorted(self.offsets, offset))
        if at == len(self.offsets) or self.offsets[at] != offset:
            return None
        return int(self._told[at])

    def number_of(self, row: int) -> int:
        """The number of a row, by its index in ``rows``."""
        return int(self._row_numbers[row])

    def row_of(self, number: int) -> int:
        """The offset of the event whose row has this number."""
        return int(self.rows[np.flatnonzero(self._row_numbers == number)[0]])

    def in_part_before(self, number: int) -> int | None:
        """The number of the row of the part before that tells what this one would; None where none does."""
        return self._in_part_before.get(number)

    def of_part_before(self, number: int) -> int | None:
        """The number of the row here that one of the part before tells, too; None where there is none."""
        return self._of_part_before.get(number)

    def times(self, number: int) -> int:
        """How many events of this part the row of a number tells.

        That includes those that are evicted but told by one of them, unless the filter may have selected some
        of these only: by their time, or by their process.
        """
        if self._times is None:
            alike = self.alike
            each = None if alike is None else alike[self.offsets] + 1
            self._times = np.bincount(self._told, each).astype(np.int64)
        return int(self._times[number])

    @property
    def alike(self) -> Numbers | None:
        """Of each event of the block, how many evicted ones its row tells as well; None for none."""
        return self.block.alike if self._with_alike else None

    def repeats(self, number: int) -> Repeats:
        """What the row of a number tells of this part."""
        told = self.offsets[self._told == number]
        lasts = self.block.numbers["timestamp"] if self.alike is None else self.block.lasts
        assert lasts is not None
        return Repeats(self.times(number), int(lasts[told].max()))

    def recount(self) -> bool:
        """Take in that events of the block tell more evicted ones; True if they do."""
        if self.block.alike is None or self._alike_version == self.block.version:
            return False
        self._alike_version, self._times = self.block.version, None
        return True

    def lost(self, row: int) -> tuple[int, int]:
        """How many events the losses that a row tells add up to, and the timestamp of the last one."""
        told = self.offsets[self._told == self._row_numbers[row]].tolist()
        losses = [self.block.losses[offset] for offset in told]
        return sum(loss.count for loss in losses), max(loss.timestamp for loss in losses)

    def renew(self, selection: Selection, now: int) -> bool:
        """Look at the whole block again; True if rows or what they tell have changed."""
        offsets, told = self.offsets, self._told
        self._clear()
        self.extend(selection, now)
        return not (np.array_equal(offsets, self.offsets) and np.array_equal(told, self._told))

    def is_stale(self, query: Query) -> bool:
        """Whether a search, or a diagnosis that the filter asks for, was set since it was looked at."""
        diagnosed, searched = self._versions
        if searched != self.block.search_version:
            return True
        return query.depends_on_diagnosis and diagnosed != self.block.version

    def has_crossed(self, ages: tuple[int, ...], now: int) -> bool:
        """Whether an event of the block has come to one of these ages since it was last looked at."""
        block, then = self.block, self._now
        if now < then:
            return bool(ages)
        return any(block.oldest <= now - age + 1 and then - age - 1 <= block.newest for age in ages)


_of_loss: Final = attrgetter(*LOSSES_ON_SCREEN)


def _are_one(first: Loss, loss: Loss) -> bool:
    """Whether a loss is told by the row of one before it: as failures that are alike, for a minute."""
    return _of_loss(first) == _of_loss(loss) and abs(loss.timestamp - first.timestamp) < RUN
