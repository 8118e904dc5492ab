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

from bpf.record import Again, Arrival, Burst, Diagnosis, Event, Loss, Search
from tui.model.block import BYTES_AN_EVENT, Block, Numbers, Pools

DEFAULT_MAX_EVENTS: Final = 1_000_000
DEFAULT_MAX_BYTES: Final = 384 * 1024 * 1024
"""A million events whose environments repeat take well under half of it; unlike ones fill it."""

_LARGEST_BLOCK: Final = 16_384
"""Events: large enough that a value is met often within one, small enough to filter in 2 ms."""

_SHARE: Final = 32
"""A block is at most this part of a bound, so that an eviction never takes much at once."""

_NEAR: Final = 32_768
"""Events: how far from each other a search's tries are looked for, since they come within moments."""

_STEP: Final = 256
"""Events between two looks at the byte bound: what can exceed it meanwhile came from the caller."""


class History:
    """Keeps the newest events within both bounds; the oldest block goes first, whole.

    Ids grow by one for each event, for ever, and are never given twice.
    """

    def __init__(self, max_events: int = DEFAULT_MAX_EVENTS, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        if max_events < 1 or max_bytes < 1:
            raise ValueError("the history needs room for at least one event and one byte")
        self.max_events = max_events
        self.max_bytes = max_bytes
        room = min(max_events // _SHARE, max_bytes // _SHARE // BYTES_AN_EVENT)
        self._capacity = max(1, min(room, _LARGEST_BLOCK))
        self._pools = Pools()
        self._blocks: deque[Block] = deque()
        self._sealed_bytes = 0
        self._growth = 0
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
        return self.first_id

    @property
    def nbytes(self) -> int:
        """Bytes in use, as far as Python tells."""
        growing = self._blocks[-1].nbytes if self._blocks else 0
        return self._pools.nbytes + self._sealed_bytes + growing

    @property
    def losses(self) -> int:
        """How many of the events held are losses."""
        return self._losses

    @property
    def failures(self) -> int:
        """How many of the events held are failed execs."""
        return len(self) - self._losses

    def __len__(self) -> int:
        return self._end_id - self.first_id

    def append(self, events: Sequence[Arrival]) -> range:
        """Take in events, oldest first, and drop the oldest ones where a bound asks for it.

        Returns:
            Their ids. Where the batch alone exceeds a bound, its first ones are evicted already.

        Raises:
            OverflowError: A time, a pid or a search's id needs more than 64 bits.
        """
        before = self._end_id
        single: list[Event | Again] = []
        for event in events:
            if isinstance(event, Burst):
                self._append_singly(single)
                single.clear()
                self._append_burst(event)
            else:
                single.append(event)
        self._append_singly(single)
        return range(before, self._end_id)

    def _append_singly(self, events: Sequence[Event | Again]) -> None:
        at = 0
        while at < len(events):
            block = self._growing()
            step = events[at : at + min(_STEP, block.capacity - len(block))]
            with self._grown_by(len(step)):
                block.append(step)
                self._losses += sum(isinstance(event, Loss) for event in step)
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
        self._hold_bounds()

    def __getitem__(self, event_id: int) -> Event:
        block = self._block_of(event_id)
        if block is None:
            raise KeyError(event_id)
        return block[event_id - block.first_id]

    def is_loss(self, event_id: int) -> bool:
        """Whether this event is a loss; False where it is not held."""
        block = self._block_of(event_id)
        return block is not None and event_id - block.first_id in block.losses

    def set_diagnoses(self, event_ids: Sequence[int] | Numbers, diagnosis: Diagnosis) -> None:
        """Give one diagnosis to events that failed alike, but for those that have been evicted.

        Args:
            event_ids: Which ones; each is greater than the one before.
            diagnosis: What replaces theirs.

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
            offsets = np.asarray(event_ids[at:end]) - block.first_id
            self._amend(block, offsets, partial(block.set_diagnoses, offsets, diagnosis))
            at = end
        self._hold_bounds()

    def set_search(self, event_id: int, search: Search) -> None:
        """Replace an event's search; one that comes after the eviction is dropped.

        Raises:
            ValueError: The event is a loss, or has not been appended yet.
        """
        if event_id >= self._end_id:
            raise ValueError(f"no event has the id {event_id} yet")
        block = self._block_of(event_id)
        if block is not None:
            offset = event_id - block.first_id
            self._amend(block, [offset], partial(block.set_search, offset, search))
            self._hold_bounds()

    def told_by(self, event_id: int) -> int:
        """The event whose row tells this one: of a folded try the one that stands for its search."""
        home = self._block_of(event_id)
        if home is None or not home.is_folded(event_id - home.first_id):
            return event_id
        search_id = int(home.numbers["search_id"][event_id - home.first_id])
        first, last = (
            bisect_right(self._blocks, near, key=lambda block: block.first_id)
            for near in (event_id - _NEAR, event_id + _NEAR)
        )
        for block in islice(self._blocks, max(0, first - 1), last):
            for offset in block.tries_of(search_id):
                if not block.is_folded(offset):
                    return block.first_id + offset
        return event_id

    def _amend(self, block: Block, offsets: Sequence[int] | Numbers, change: Callable[[], None]) -> None:
        if block.losses and np.isin(list(block.losses), offsets).any():
            raise ValueError("a loss has neither a diagnosis nor a search")
        is_sealed = block is not self._blocks[-1]
        before = block.nbytes if is_sealed else 0
        change()
        if is_sealed:
            self._sealed_bytes += block.nbytes - before

    def _block_of(self, event_id: int) -> Block | None:
        if not self.first_id <= event_id < self._end_id:
            return None
        return self._blocks[bisect_right(self._blocks, event_id, key=lambda block: block.first_id) - 1]

    def _growing(self) -> Block:
        """The last block, or a new one where that is full or has brought much that is new."""
        before = self._blocks[-1] if self._blocks else None
        is_full = before is None or len(before) == before.capacity
        if before is not None and not is_full and self._growth <= self.max_bytes // _SHARE:
            return before
        self._growth = 0
        block = Block(self._end_id, self._capacity, self._pools, before)
        if before is not None:
            before.seal()
            self._sealed_bytes += before.nbytes
        self._blocks.append(block)
        return block

    def _hold_bounds(self) -> None:
        while self._blocks and (len(self) > self.max_events or self.nbytes > self.max_bytes):
            oldest = self._blocks.popleft()
            if self._blocks:
                self._sealed_bytes -= oldest.nbytes
            self._losses -= len(oldest.losses)
            oldest.release()
