"""The events that are kept in memory: a bounded, columnar store."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Final

import numpy as np

from execwhy.bpf.events.arrivals import Arrival, Burst, Event, Occurrence
from execwhy.bpf.events.record import Look, Search
from execwhy.tui.model.history.block import BYTES_AN_EVENT, Block, Mask, Numbers, Pools
from execwhy.tui.model.history.carried import Carrier
from execwhy.tui.model.history.condensed import CondensedBlock, Condenser
from execwhy.tui.model.history.resident import Resident
from execwhy.tui.model.history.shares import Shares

DEFAULT_MAX_EVENTS: Final = 1_000_000
DEFAULT_MAX_BYTES: Final = 384 * 1024 * 1024
"""A million events whose environments repeat take well under half of it; unlike ones fill it."""

_LARGEST_BLOCK: Final = 16_384
"""Events: large enough that a value is met often within one, small enough to filter in 2 ms."""

_SHARE: Final = 32
"""A block is at most this part of a bound, so that an eviction never takes much at once."""

_MOST_LONG: Final = 2 << 20
"""Bytes of long values that a block brings, at most: a filter takes some 20 ms for them, while keys wait."""

_WHOLE: Final = 4
"""One in so many of the events held, the newest ones, is kept however many are alike."""

_LOOKS: Final = 8
"""Blocks that are looked at for events that are alike before one is evicted: some milliseconds in all."""

_NEAR: Final = 32_768
"""Events: how far from each other a search's tries are looked for, since they come within moments."""

_STEP: Final = 256
"""Events between two looks at the byte bound: what can exceed it meanwhile came from the caller."""


class History:
    """Keeps events within both bounds.

    Those go first that an older one tells, as in a storm (see ``condensed``), but for the newest;
    then the oldest ones of the users who have most (see ``shares``), a block's at a time. Ids grow
    by one for each event, for ever, and are never given twice.

    Args:
        max_events: How many, at most.
        max_bytes: What they may take.
        process: Says whether they may take that much, as the whole process's memory is; None where only they
            are bounded.

    Attributes:
        arrangement: Changes when a block takes the place of another one.
    """

    def __init__(
        self,
        max_events: int = DEFAULT_MAX_EVENTS,
        max_bytes: int = DEFAULT_MAX_BYTES,
        process: Resident | None = None,
    ) -> None:
        if max_events < 1 or max_bytes < 1:
            raise ValueError("the history needs room for at least one event and one byte")
        self.max_events = max_events
        self.max_bytes = max_bytes
        self._allowed_bytes = max_bytes
        self._process = process
        room = min(max_events // _SHARE, max_bytes // _SHARE // BYTES_AN_EVENT)
        self._capacity = max(1, min(room, _LARGEST_BLOCK))
        self._pools = Pools(max_bytes)
        self._blocks: deque[Block] = deque()
        self._condenser = Condenser(self._capacity, self._pools)
        self._carrier = Carrier(self._capacity, self._pools)
        self._shares = Shares()
        self.arrangement = 0
        self._settled = 0
        self._held = 0
        self._sealed_bytes = 0
        self._growth = 0
        self._came = 0
        self._end_id = 0
        self._losses = 0

    @property
    def blocks(self) -> Sequence[Block]:
        """The blocks, oldest first; only the last one grows."""
        return self._blocks

    @property
    def first_id(self) -> int:
        """The id of the oldest event held."""
        return self._blocks[0].first_id if self._blocks else self._end_id

    @property
    def end_id(self) -> int:
        """The id that the next event will get."""
        return self._end_id

    @property
    def evicted(self) -> int:
        """How many events have been dropped to hold the bounds."""
        return self._end_id - self._held

    @property
    def nbytes(self) -> int:
        """Bytes in use, as far as Python tells."""
        growing = self._blocks[-1].nbytes if self._blocks else 0
        others = sum(into.nbytes for into in self._still_growing())
        return self._pools.nbytes + self._sealed_bytes + others + growing

    @property
    def losses(self) -> int:
        """How many of the events held are losses."""
        return self._losses

    @property
    def failures(self) -> int:
        """How many of the events held are failed execs."""
        return len(self) - self._losses

    def __len__(self) -> int:
        return self._held

    def __contains__(self, event_id: int) -> bool:
        return self._place_of(event_id) is not None

    def append(self, events: Sequence[Arrival]) -> range:
        """Take in events, oldest first, and drop the oldest ones where a bound asks for it.

        Returns:
            Their ids. Where the batch alone exceeds a bound, its first ones are evicted already.

        Raises:
            OverflowError: A time, a pid or a search's id needs more than 64 bits.
        """
        before = self._end_id
        single: list[Event | Occurrence] = []
        for event in events:
            if isinstance(event, Burst):
                self._append_each(single)
                single.clear()
                self._append_burst(event)
            else:
                single.append(event)
        self._append_each(single)
        if self._process is not None:
            self._allowed_bytes = self._process.allowed(self.max_bytes, self.nbytes)
            self._hold_bounds()
        return range(before, self._end_id)

    def _append_each(self, events: Sequence[Event | Occurrence]) -> None:
        at = 0
        while at < len(events):
            block = self._growing()
            step = events[at : at + min(_STEP, block.capacity - len(block))]
            with self._grown_by(len(step)):
                block.append(step)
                self._losses += sum(event.failure is None for event in step)
            at += len(step)

    def _append_burst(self, burst: Burst) -> None:
        rest: Burst | None = burst
        while rest is not None:
            block = self._growing()
            room = block.capacity - len(block)
            part, rest = rest.split(room) if len(rest) > room else (rest, None)
            with self._grown_by(len(part)):
                block.append_burst(part)

    @contextmanager
    def _grown_by(self, count: int) -> Iterator[None]:
        """Within, so many events are appended; afterwards the bounds hold."""
        before = self._pools.nbytes
        yield
        self._growth += self._pools.nbytes - before
        self._end_id += count
        self._held += count
        self._hold_bounds()

    def __getitem__(self, event_id: int) -> Event:
        place = self._place_of(event_id)
        if place is None:
            raise KeyError(event_id)
        block, offset = place
        return block[offset]

    def holds(self, event_ids: Numbers) -> Mask:
        """Which of these events are held; the ids ascend."""
        held = np.zeros(len(event_ids), np.bool_)
        for block in self._blocks:
            start, stop = np.searchsorted(event_ids, (block.first_id, block.end_id)).tolist()
            if start < stop:
                within = event_ids[start:stop]
                held[start:stop] = np.isin(within, block.ids_of(block.offsets_of(within)))
        return held

    def is_loss(self, event_id: int) -> bool:
        """Whether this event is a loss; False where it is not held."""
        place = self._place_of(event_id)
        return place is not None and place[1] in place[0].losses

    def set_looks(self, event_ids: Sequence[int] | Numbers, look: Look) -> None:
        """Add what one look found to all events that it is for, but for those that have been evicted.

        Args:
            event_ids: Which ones; each is greater than the one before.
            look: Its diagnosis replaces theirs, and its other facts do where it has them.

        Raises:
            ValueError: One of them is a loss, or has not been appended yet.
        """
        if len(event_ids) and event_ids[-1] >= self._end_id:
            raise ValueError(f"no event has the id {event_ids[-1]} yet")
        at = bisect_left(event_ids, self.first_id)
        while at < len(event_ids):
            block = self._block_of(event_ids[at])
            assert block is not None
            end = bisect_left(event_ids, block.end_id, lo=at)
            if end > at:
                offsets = block.offsets_of(np.asarray(event_ids[at:end]))
                if len(offsets):
                    self._amend(block, offsets, partial(block.set_look, offsets, look))
                at = end
            else:
                # It is none of the block, but of one behind it that has been evicted.
                at = bisect_left(event_ids, self._first_id_behind(block), lo=at)
        self._hold_bounds()

    def set_search(self, event_id: int, search: Search) -> None:
        """Replace an event's search; one that comes after the eviction is dropped.

        Raises:
            ValueError: The event is a loss, or has not been appended yet.
        """
        if event_id >= self._end_id:
            raise ValueError(f"no event has the id {event_id} yet")
        place = self._place_of(event_id)
        if place is not None:
            block, offset = place
            if block is self._condenser.into:
                self._condenser.forget()
            self._amend(block, [offset], partial(block.set_search, offset, search))
            self._hold_bounds()

    def told_by(self, event_id: int) -> int:
        """The event whose row tells this one: of a folded try the one that stands for its search."""
        place = self._place_of(event_id)
        if place is None or not place[0].is_folded(place[1]):
            return event_id
        home, at = place
        search_id = int(home.numbers["search_id"][at])
        first, last = (
            bisect_right(self._blocks, near, key=lambda block: block.first_id)
            for near in (event_id - _NEAR, event_id + _NEAR)
        )
        for block in islice(self._blocks, max(0, first - 1), last):
            for offset in block.tries_of(search_id):
                if not block.is_folded(offset):
                    return block.id_of(offset)
        return event_id

    def _amend(self, block: Block, offsets: Sequence[int] | Numbers, change: Callable[[], None]) -> None:
        if block.losses and np.isin(list(block.losses), offsets).any():
            raise ValueError("a loss has neither a diagnosis nor a search")
        is_sealed = block is not self._blocks[-1] and block not in self._still_growing()
        before = block.nbytes if is_sealed else 0
        change()
        if is_sealed:
            self._sealed_bytes += block.nbytes - before

    def _block_of(self, event_id: int) -> Block | None:
        if not self.first_id <= event_id < self._end_id:
            return None
        return self._blocks[bisect_right(self._blocks, event_id, key=lambda block: block.first_id) - 1]

    def _first_id_behind(self, block: Block) -> int:
        at = bisect_right(self._blocks, block.first_id, key=lambda each: each.first_id)
        return self._blocks[at].first_id if at < len(self._blocks) else self._end_id

    def _still_growing(self) -> list[CondensedBlock]:
        """The blocks beside the last one that others are condensed in, or carried over to."""
        return [into for into in (self._condenser.into, self._carrier.into) if into is not None]

    def _growing(self) -> Block:
        """The last block, or a new one where that is full or has brought much that is new."""
        before = self._blocks[-1] if self._blocks else None
        is_full = before is None or len(before) == before.capacity
        is_new = self._growth > self.max_bytes // _SHARE or self._pools.came - self._came > _MOST_LONG
        if before is not None and not is_full and not is_new:
            return before
        self._growth, self._came = 0, self._pools.came
        block = Block(self._end_id, self._capacity, self._pools, before)
        if before is not None:
            before.seal()
            self._sealed_bytes += before.nbytes
            self._shares.count(before)
        self._blocks.append(block)
        return block

    def _place_of(self, event_id: int) -> tuple[Block, int] | None:
        block = self._block_of(event_id)
        offset = None if block is None else block.offset_of(event_id)
        return None if block is None or offset is None else (block, offset)

    def _hold_bounds(self) -> None:
        while self._blocks and (len(self) > self.max_events or self.nbytes > self._allowed_bytes):
            if not self._condense():
                self._evict()

    def _condense(self) -> bool:
        """Keep but a part of the oldest block that is worth it; False where there is none.

        The last two stay as they are: by the last but one the last one still tells which runs go on.
        """
        blocks, condenser = self._blocks, self._condenser
        for _ in range(_LOOKS):
            at = self._settled
            if at >= len(blocks) - 2:
                return False
            block, before = blocks[at], blocks[at - 1] if at else None
            if (self._end_id - block.end_id) * _WHOLE < self._held:
                return False
            growing = condenser.into
            length = 0 if growing is None else len(growing)
            into = condenser.condense(block, before, blocks[at + 1])
            if into is None:
                self._settled += 1
                continue
            if growing is not None and growing is not into:
                self._sealed_bytes += growing.nbytes
            if into is before:
                del blocks[at]
            else:
                blocks[at] = into
                self._settled += 1
            self._held -= len(block) - len(into) + (length if into is growing else 0)
            self._sealed_bytes -= block.nbytes
            self.arrangement += 1
            self._shares.outdate(into)
            self._release(block)
            return True
        return False

    def _evict(self) -> None:
        """Drop the oldest events of the users who have most, a block's; what others have there is kept."""
        # The last two stay as they are, as in ``_condense``.
        blocks = list(islice(self._blocks, max(0, len(self._blocks) - 2)))
        chosen = self._shares.choose(blocks, by_bytes=len(self) <= self.max_events) if blocks else None
        block, is_kept = chosen or (self._blocks[0], None)
        at = self._blocks.index(block)
        self._stop_counting(block)
        if is_kept is None:
            del self._blocks[at]
            self._settled -= at < self._settled
            self._held -= len(block)
            self._losses -= len(block.losses)
            if at:
                self._blocks[at].continued.clear()
                self.arrangement += 1
        else:
            self._carry_over(at, is_kept)
        self._release(block)

    def _carry_over(self, at: int, is_kept: Mask) -> None:
        block, before = self._blocks[at], self._blocks[at - 1] if at else None
        growing = self._carrier.into
        into = self._carrier.carry(block, is_kept, before, self._blocks[at + 1])
        if growing is not None and growing is not into:
            self._sealed_bytes += growing.nbytes
        if into is before:
            del self._blocks[at]
            self._settled -= at < self._settled
        else:
            self._blocks[at] = into
        self._held -= len(block) - int(np.count_nonzero(is_kept))
        self._losses -= sum(not is_kept[offset] for offset in block.losses)
        self.arrangement += 1
        self._shares.outdate(into)

    def _stop_counting(self, block: Block) -> None:
        """Leave a block that is about to go out of the bytes that are counted beside those of the pools."""
        if block is self._condenser.into:
            self._condenser.end()
        elif block is self._carrier.into:
            self._carrier.end()
        elif block is not self._blocks[-1]:
            self._sealed_bytes -= block.nbytes

    def _release(self, block: Block) -> None:
        self._shares.forget(block)
        block.release()
        self._pools.tidy()
