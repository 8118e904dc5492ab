"""What a full history keeps of a block of which some events go: those of users who have less."""

from __future__ import annotations

import numpy as np

from execwhy.tui.model.history.block import Block, Mask, Pools
from execwhy.tui.model.history.condensed import CondensedBlock, go_on


class Carrier:
    """Carries events of blocks over into a block of their own, as long as these follow one another.

    Attributes:
        into: The block that still grows; None where there is none.
    """

    def __init__(self, capacity: int, pools: Pools) -> None:
        self._capacity = capacity
        self._pools = pools
        self.into: CondensedBlock | None = None

    def end(self) -> None:
        """The block that still grows has left the history."""
        self.into = None

    def carry(self, block: Block, is_kept: Mask, before: Block | None, behind: Block) -> CondensedBlock:
        """Keep these events of a block, in the block before where that is one which still grows.

        Args:
            block: The block; it can be released afterwards.
            is_kept: Which ones. Of a run that is all events, or none: a run is of one user.
            before: The one before it.
            behind: The one behind it, whose runs go on from where they are now.

        Returns:
            Where they are now.
        """
        kept = np.flatnonzero(is_kept)
        into = self.into
        if into is None or into is not before or into.capacity - len(into) < len(kept):
            if into is not None:
                into.seal()
            into = self.into = CondensedBlock(block.first_id, self._capacity, self._pools)
        runs, firsts, of_each = np.unique(block.runs[kept], return_index=True, return_inverse=True)
        run_of = {
            run: go_on(into, len(into) + first, block.continued.get(run), before)
            for run, first in zip(runs.tolist(), firsts.tolist(), strict=True)
        }
        numbers = np.fromiter(run_of.values(), np.uint16, len(run_of))
        alike, lasts = block.alike, block.lasts
        into.take(
            block,
            kept,
            np.zeros(len(kept), np.int64) if alike is None else alike[kept],
            (block.numbers["timestamp"] if lasts is None else lasts)[kept],
            numbers[of_each],
        )
        there = {here: run_of[run] for here, run in behind.continued.items() if run in run_of}
        behind.continued.clear()
        behind.continued.update(there)
        return into
