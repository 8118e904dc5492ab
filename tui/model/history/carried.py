"""What a full history keeps of a block that loses events: those of users who have less."""

from __future__ import annotations

import numpy as np

from execwhy.tui.model.history.block import Block, Mask, Pools
from execwhy.tui.model.history.condensed import CondensedBlock, go_on


class Carrier:
    """Carries what is left of successive blocks over into one block.

    Attributes:
        into: The block that still grows; None where there is none.
    """

    def __init__(self, capacity: int, pools: Pools) -> None:
        self._capacity = capacity
        self._pools = pools
        self.into: CondensedBlock | None = None

    def end(self) -> None:
        """Forget the block that still grows: it has left the history."""
        self.into = None

    def carry(self, block: Block, is_kept: Mask, before: Block | None, behind: Block) -> CondensedBlock:
        """Keep these events of a block, in the block before if that one still grows and has room.

        Args:
            block: The block. It can be released afterwards.
            is_kept: Which events to keep: all events of a run or none, because a run has one user.
            before: The block before it.
            behind: The block after it, whose links to the runs in ``block`` are updated.

        Returns:
            The block that holds them now.
        """
        kept = np.flatnonzero(is_kept)
        into = self.into
        if into is None or into is not before or into.capacity - len(into) < len(kept):
            if into is not None:
                into.seal()
            into = self.into = CondensedBlock(block.first_id, self._capacity, self._pools)
        runs, firsts, indexes = np.unique(block.runs[kept], return_index=True, return_inverse=True)
        run_of = {
            run: go_on(into, len(into) + first, block.continued.get(run), before)
            for run, first in zip(runs.tolist(), firsts.tolist(), strict=True)
        }
        numbers = np.fromiter(run_of.values(), np.uint16, len(run_of))
        represented, lasts = block.represented, block.lasts
        into.take(
            block,
            kept,
            np.zeros(len(kept), np.int64) if represented is None else represented[kept],
            (block.numbers["timestamp"] if lasts is None else lasts)[kept],
            numbers[indexes],
        )
        there = {here: run_of[run] for here, run in behind.continued.items() if run in run_of}
        behind.continued.clear()
        behind.continued.update(there)
        return into
