"""The blocks of a history in the order of their ids, and how much they hold."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

import numpy as np

from execwhy.tui.model.history.block import Block, Mask, Numbers


class BlockList:
    """The blocks of a history, oldest first.

    Attributes:
        blocks: The blocks.
        end_id: The id that the next event will get.
        held: The number of events in the blocks.
        losses: How many of these are losses.
        sealed_bytes: Bytes of the blocks that no longer grow, without the values in the pools.
        arrangement: Changes when a block takes the place of another one.
    """

    def __init__(self) -> None:
        self.blocks: deque[Block] = deque()
        self.end_id = 0
        self.held = 0
        self.losses = 0
        self.sealed_bytes = 0
        self.arrangement = 0

    @property
    def first_id(self) -> int:
        """The id of the oldest event held."""
        return self.blocks[0].first_id if self.blocks else self.end_id

    def block_of(self, event_id: int) -> Block | None:
        """Return the block whose ids include this one; None where it is not held or not given yet."""
        if not self.first_id <= event_id < self.end_id:
            return None
        return self.blocks[bisect_right(self.blocks, event_id, key=_first_id) - 1]

    def place_of(self, event_id: int) -> tuple[Block, int] | None:
        """Return the block and the offset of an event; None where it is not held."""
        block = self.block_of(event_id)
        offset = None if block is None else block.offset_of(event_id)
        return None if block is None or offset is None else (block, offset)

    def first_id_after(self, block: Block) -> int:
        """Return the first id of the block that follows; ``end_id`` where none does."""
        at = bisect_right(self.blocks, block.first_id, key=_first_id)
        return self.blocks[at].first_id if at < len(self.blocks) else self.end_id

    def holds(self, event_ids: Numbers) -> Mask:
        """Return which of these events are held; the ids ascend."""
        held = np.zeros(len(event_ids), np.bool_)
        for block in self.blocks:
            start, stop = np.searchsorted(event_ids, (block.first_id, block.end_id)).tolist()
            if start < stop:
                within = event_ids[start:stop]
                held[start:stop] = np.isin(within, block.ids_of(block.offsets_of(within)))
        return held


def _first_id(block: Block) -> int:
    return block.first_id
