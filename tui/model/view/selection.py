"""Which events of one block are shown, and which are only counted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from execwhy.tui.model.history.block import Block, Mask
from execwhy.tui.model.query import FIELDS, Query
from execwhy.tui.model.query.fields import FOLDED
from execwhy.tui.model.query.terms import InRanges, Term
from execwhy.tui.model.query.text import equal

Offsets = npt.NDArray[np.uint16]


class Selection:
    """The events that the filter selects, without those that another row represents or that are hidden.

    Args:
        query: The filter.
        show_found: Whether searches that found their program are shown.
        fold_repeats: Whether only the first of a run of the same failure has a row.
    """

    def __init__(self, query: Query, show_found: bool, fold_repeats: bool) -> None:
        self.query = query
        self.show_found = show_found
        self.fold_repeats = fold_repeats
        self._own_row = Term(FOLDED, InRanges(((1, 1),)), negate=True, start=0, end=0)
        self._unfound = Term(FIELDS["search.outcome"], equal("found"), negate=True, start=0, end=0)

    def of(self, block: Block, start: int, stop: int, now: int) -> tuple[Mask, Mask, Mask, int]:
        """Return the selected events of a block, those that are no folded tries, those shown, and a count.

        The count is of the selected events that are hidden because their search found its program.
        """
        selected = self.query.select(block, start, stop, now)
        alone = selected & self._own_row.select(block, start, stop, now)
        if self.show_found:
            return selected, alone, alone, 0
        unfound = self._unfound.select(block, start, stop, now)
        return selected, alone, alone & unfound, int(np.count_nonzero(selected & ~unfound))

    def row_numbers(self, block: Block, found: npt.NDArray[np.intp]) -> npt.NDArray[np.uint16]:
        """Return for each shown event the number of the row that counts it; rows have distinct numbers.

        A search that found its program never shares a row with one that did not.
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
        """Return the folded tries of a block before offset ``stop``, selected or not."""
        return ~self._own_row.select(block, 0, stop, now=0)
