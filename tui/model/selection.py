"""Which events of one block are shown, and which are only counted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tui.model.block import Block, Mask
from tui.model.query import FIELDS, Query
from tui.model.query_fields import FOLDED
from tui.model.query_terms import InRanges, Term
from tui.model.query_text import equal


class Selection:
    """What is shown: what the filter selects, without what another row tells or is not asked for."""

    def __init__(self, query: Query, show_found: bool) -> None:
        self.query = query
        self.show_found = show_found
        self._own_row = Term(FOLDED, InRanges(((1, 1),)), negate=True, start=0, end=0)
        self._unfound = Term(FIELDS["search.outcome"], equal("found"), negate=True, start=0, end=0)

    def of(self, block: Block, start: int, stop: int, now: int) -> tuple[Mask, Mask, Mask]:
        """The selected events of a block, those of them that no other row tells, and those shown."""
        selected = self.query.select(block, start, stop, now)
        alone = selected & self._own_row.select(block, start, stop, now)
        shown = alone if self.show_found else alone & self._unfound.select(block, start, stop, now)
        return selected, alone, shown

    def folded(self, block: Block, stop: int) -> Mask:
        """The events of a block, before offset ``stop``, that another row tells, selected or not."""
        return ~self._own_row.select(block, 0, stop, now=0)


class Part:
    """The events of one block that are selected.

    Attributes:
        block: The block.
        offsets: Those that are shown.
        failures: How many failed execs are selected.
        folded: How many of them another row tells.
        losses: How many losses are in it; all are shown.
        end: How many of its events have been looked at.
    """

    def __init__(self, block: Block) -> None:
        self.block = block
        self.offsets: npt.NDArray[np.uint16] = np.empty(0, np.uint16)
        self.failures = 0
        self.folded = 0
        self.losses = 0
        self.end = 0
        self._versions = (0, 0)
        self._now = 0

    @property
    def shown(self) -> int:
        """How many failed execs have a row."""
        return len(self.offsets) - self.losses

    def extend(self, selection: Selection, now: int) -> bool:
        """Take in what the block has got since; True if something of it is shown."""
        start, stop = self.end, len(self.block)
        if not start:
            self._versions, self._now = (self.block.version, self.block.search_version), now
        if start == stop:
            return False
        selected, alone, shown = selection.of(self.block, start, stop, now)
        self.end = stop
        lost = len(self.block.losses) - self.losses
        self.losses += lost
        count = int(np.count_nonzero(selected))
        self.failures += count - lost
        self.folded += count - int(np.count_nonzero(alone))
        found = np.flatnonzero(shown) + start
        if not len(found):
            return False
        self.offsets = np.concatenate((self.offsets, found.astype(np.uint16)))
        return True

    def renew(self, selection: Selection, now: int) -> bool:
        """Look at the whole block again; True if other events are shown."""
        before = self.offsets
        self.offsets, self.end = before[:0], 0
        self.failures = self.folded = self.losses = 0
        self.extend(selection, now)
        return not np.array_equal(before, self.offsets)

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
