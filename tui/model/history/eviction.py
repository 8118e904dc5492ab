"""How a full history makes room: it condenses storms, then evicts events of the users who have the most."""

from __future__ import annotations

from itertools import islice
from typing import Final

import numpy as np

from execwhy.tui.model.history.block import Block, Mask, Pools
from execwhy.tui.model.history.block_list import BlockList
from execwhy.tui.model.history.carried import Carrier
from execwhy.tui.model.history.condensed import CondensedBlock, Condenser
from execwhy.tui.model.history.shares import Shares

_WHOLE: Final = 4
"""The newest quarter of the events held is never condensed."""

_LOOKS: Final = 8
"""Blocks that are tried for condensing before one is evicted: a few milliseconds in all."""


class Eviction:
    """Makes room in a history, one block at a time. The last two blocks stay as they are.

    Args:
        kept: The blocks.
        capacity: Events in a block.
        pools: The values that the blocks share.
    """

    def __init__(self, kept: BlockList, capacity: int, pools: Pools) -> None:
        self._kept = kept
        self._pools = pools
        self._condenser = Condenser(capacity, pools)
        self._carrier = Carrier(capacity, pools)
        self._shares = Shares()
        self._settled = 0

    @property
    def growing(self) -> list[CondensedBlock]:
        """The blocks that still take in what is left of others."""
        return [into for into in (self._condenser.into, self._carrier.into) if into is not None]

    def sealed(self, block: Block) -> None:
        """Count what each user has in a block that takes in no more events."""
        self._shares.count(block)

    def search_changed(self, block: Block) -> None:
        """Let no event of a block represent later ones, because one of them has changed."""
        if block is self._condenser.into:
            self._condenser.forget()

    def make_room(self, *, by_bytes: bool) -> None:
        """Condense one block, or evict events of one.

        Args:
            by_bytes: Whether the bound that is exceeded is the one in bytes.
        """
        if not self._condense():
            self._evict(by_bytes)

    def _condense(self) -> bool:
        """Condense the oldest block that is worth it; return False where there is none.

        The last block still uses the one before it to find the runs that continue.
        """
        kept, condenser = self._kept, self._condenser
        blocks = kept.blocks
        for _ in range(_LOOKS):
            at = self._settled
            if at >= len(blocks) - 2:
                return False
            block, before = blocks[at], blocks[at - 1] if at else None
            if (kept.end_id - block.end_id) * _WHOLE < kept.held:
                return False
            growing = condenser.into
            length = 0 if growing is None else len(growing)
            into = condenser.condense(block, before, blocks[at + 1])
            if into is None:
                self._settled += 1
                continue
            if growing is not None and growing is not into:
                kept.sealed_bytes += growing.nbytes
            if into is before:
                del blocks[at]
            else:
                blocks[at] = into
                self._settled += 1
            kept.held -= len(block) - len(into) + (length if into is growing else 0)
            kept.sealed_bytes -= block.nbytes
            kept.arrangement += 1
            self._shares.outdate(into)
            self._release(block)
            return True
        return False

    def _evict(self, by_bytes: bool) -> None:
        """Drop the oldest events of the users who have the most from one block; keep those of others."""
        kept = self._kept
        blocks = list(islice(kept.blocks, max(0, len(kept.blocks) - 2)))
        chosen = self._shares.choose(blocks, by_bytes=by_bytes) if blocks else None
        block, is_kept = chosen or (kept.blocks[0], None)
        at = kept.blocks.index(block)
        self._stop_counting(block)
        if is_kept is None:
            del kept.blocks[at]
            self._settled -= at < self._settled
            kept.held -= len(block)
            kept.losses -= len(block.losses)
            if at:
                kept.blocks[at].continued.clear()
                kept.arrangement += 1
        else:
            self._carry_over(at, is_kept)
        self._release(block)

    def _carry_over(self, at: int, is_kept: Mask) -> None:
        kept = self._kept
        block, before = kept.blocks[at], kept.blocks[at - 1] if at else None
        growing = self._carrier.into
        into = self._carrier.carry(block, is_kept, before, kept.blocks[at + 1])
        if growing is not None and growing is not into:
            kept.sealed_bytes += growing.nbytes
        if into is before:
            del kept.blocks[at]
            self._settled -= at < self._settled
        else:
            kept.blocks[at] = into
        kept.held -= len(block) - int(np.count_nonzero(is_kept))
        kept.losses -= sum(not is_kept[offset] for offset in block.losses)
        kept.arrangement += 1
        self._shares.outdate(into)

    def _stop_counting(self, block: Block) -> None:
        """Take a block that is about to go out of ``sealed_bytes`` and out of ``growing``."""
        if block is self._condenser.into:
            self._condenser.end()
        elif block is self._carrier.into:
            self._carrier.end()
        elif block is not self._kept.blocks[-1]:
            self._kept.sealed_bytes -= block.nbytes

    def _release(self, block: Block) -> None:
        self._shares.forget(block)
        block.release()
        self._pools.tidy()
