"""The events in memory: a bounded, columnar store."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Final

import numpy as np

from execwhy.bpf.events.arrivals import Arrival, Burst, Event, Occurrence
from execwhy.bpf.events.record import Look, Search
from execwhy.tui.model.history.block import BYTES_AN_EVENT, Block, Mask, Numbers, Pools
from execwhy.tui.model.history.block_list import BlockList
from execwhy.tui.model.history.eviction import Eviction
from execwhy.tui.model.history.resident import Resident

DEFAULT_MAX_EVENTS: Final = 1_000_000
DEFAULT_MAX_BYTES: Final = 384 * 1024 * 1024
"""A million events whose environments repeat take well under half of this; if none repeat, they fill it."""

_LARGEST_BLOCK: Final = 16_384
"""Events: large enough that values repeat within a block, small enough to filter in 2 ms."""

_SHARE: Final = 32
"""A block is at most this part of a bound, so that an eviction never drops much at once."""

_MOST_LONG: Final = 2 << 20
"""The most bytes of long values in a block: a filter takes some 20 ms for them, while keys wait."""

_NEAR: Final = 32_768
"""Events on each side of a try that are searched for the others, which come within moments."""

_STEP: Final = 256
"""Events between two checks of the byte bound: any excess in between comes from the caller."""


class History:
    """Keeps events within two bounds, a number of events and a number of bytes.

    When it is full, it first drops events that an older one can represent, as in a storm (see
    ``condensed``), except among the newest; then the oldest events of the users who have the most (see
    ``shares``), one block at a time. Ids grow by one with each event and are never reused.

    Args:
        max_events: The most events to keep.
        max_bytes: The most bytes that they may take.
        process: Lowers the bound in bytes while the whole process takes too much memory; None: nothing does.
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
        self._kept = BlockList()
        self._eviction = Eviction(self._kept, self._capacity, self._pools)
        self._growth = 0
        self._came = 0

    @property
    def blocks(self) -> Sequence[Block]:
        """The blocks, oldest first; only the last one grows."""
        return self._kept.blocks

    @property
    def arrangement(self) -> int:
        """A number that changes when a block takes the place of another one."""
        return self._kept.arrangement

    @property
    def first_id(self) -> int:
        """The id of the oldest event held."""
        return self._kept.first_id

    @property
    def end_id(self) -> int:
        """The id that the next event will get."""
        return self._kept.end_id

    @property
    def evicted(self) -> int:
        """How many events have been dropped to stay within the bounds."""
        return self._kept.end_id - self._kept.held

    @property
    def nbytes(self) -> int:
        """Bytes in use, as Python counts them."""
        kept = self._kept
        growing = kept.blocks[-1].nbytes if kept.blocks else 0
        others = sum(into.nbytes for into in self._eviction.growing)
        return self._pools.nbytes + kept.sealed_bytes + others + growing

    @property
    def losses(self) -> int:
        """How many of the events held are losses."""
        return self._kept.losses

    @property
    def failures(self) -> int:
        """How many of the events held are failed execs."""
        return self._kept.held - self._kept.losses

    def __len__(self) -> int:
        return self._kept.held

    def __contains__(self, event_id: int) -> bool:
        return self._kept.place_of(event_id) is not None

    def append(self, events: Sequence[Arrival]) -> range:
        """Append events, oldest first, and drop older ones as the bounds require.

        Returns:
            Their ids. If the batch alone exceeds a bound, its first events are evicted already.

        Raises:
            OverflowError: A time, a pid or a search's id needs more than 64 bits.
        """
        before = self._kept.end_id
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
        return range(before, self._kept.end_id)

    def _append_each(self, events: Sequence[Event | Occurrence]) -> None:
        at = 0
        while at < len(events):
            block = self._growing()
            step = events[at : at + min(_STEP, block.capacity - len(block))]
            with self._grown_by(len(step)):
                block.append(step)
                self._kept.losses += sum(event.failure is None for event in step)
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
        """Count the events that are appended within, then enforce the bounds."""
        before = self._pools.nbytes
        yield
        self._growth += self._pools.nbytes - before
        self._kept.end_id += count
        self._kept.held += count
        self._hold_bounds()

    def __getitem__(self, event_id: int) -> Event:
        place = self._kept.place_of(event_id)
        if place is None:
            raise KeyError(event_id)
        block, offset = place
        return block[offset]

    def holds(self, event_ids: Numbers) -> Mask:
        """Return which of these events are held; the ids ascend."""
        return self._kept.holds(event_ids)

    def is_loss(self, event_id: int) -> bool:
        """Return whether this event is a loss; False where it is not held."""
        place = self._kept.place_of(event_id)
        return place is not None and place[1] in place[0].losses

    def set_looks(self, event_ids: Sequence[int] | Numbers, look: Look) -> None:
        """Add what one look found to the events that it is for; skip those that have been evicted.

        Args:
            event_ids: The events, in ascending order.
            look: Its diagnosis replaces theirs, and so do its other facts where it has them.

        Raises:
            ValueError: One of them is a loss, or has not been appended yet.
        """
        kept = self._kept
        if len(event_ids) and event_ids[-1] >= kept.end_id:
            raise ValueError(f"no event has the id {event_ids[-1]} yet")
        at = bisect_left(event_ids, kept.first_id)
        while at < len(event_ids):
            block = kept.block_of(event_ids[at])
            assert block is not None
            end = bisect_left(event_ids, block.end_id, lo=at)
            if end > at:
                offsets = block.offsets_of(np.asarray(event_ids[at:end]))
                if len(offsets):
                    self._amend(block, offsets, partial(block.set_look, offsets, look))
                at = end
            else:
                # It was in a later block, which has been evicted.
                at = bisect_left(event_ids, kept.first_id_after(block), lo=at)
        self._hold_bounds()

    def set_search(self, event_id: int, search: Search) -> None:
        """Replace the search of an event; do nothing if the event has been evicted.

        Raises:
            ValueError: The event is a loss, or has not been appended yet.
        """
        if event_id >= self._kept.end_id:
            raise ValueError(f"no event has the id {event_id} yet")
        place = self._kept.place_of(event_id)
        if place is not None:
            block, offset = place
            self._eviction.search_changed(block)
            self._amend(block, [offset], partial(block.set_search, offset, search))
            self._hold_bounds()

    def representative_of(self, event_id: int) -> int:
        """Return the event whose row stands for a folded try; of any other event its own id."""
        place = self._kept.place_of(event_id)
        if place is None or not place[0].is_folded(place[1]):
            return event_id
        home, at = place
        search_id = int(home.numbers["search_id"][at])
        blocks = self._kept.blocks
        first, last = (
            bisect_right(blocks, near, key=lambda block: block.first_id)
            for near in (event_id - _NEAR, event_id + _NEAR)
        )
        for block in islice(blocks, max(0, first - 1), last):
            for offset in block.tries_of(search_id):
                if not block.is_folded(offset):
                    return block.id_of(offset)
        return event_id

    def _amend(self, block: Block, offsets: Sequence[int] | Numbers, change: Callable[[], None]) -> None:
        if block.losses and np.isin(list(block.losses), offsets).any():
            raise ValueError("a loss has neither a diagnosis nor a search")
        is_sealed = block is not self._kept.blocks[-1] and block not in self._eviction.growing
        before = block.nbytes if is_sealed else 0
        change()
        if is_sealed:
            self._kept.sealed_bytes += block.nbytes - before

    def _growing(self) -> Block:
        """Return the last block, or a new one if that one is full or has brought many new values."""
        kept = self._kept
        before = kept.blocks[-1] if kept.blocks else None
        is_full = before is None or len(before) == before.capacity
        is_new = self._growth > self.max_bytes // _SHARE or self._pools.came - self._came > _MOST_LONG
        if before is not None and not is_full and not is_new:
            return before
        self._growth, self._came = 0, self._pools.came
        block = Block(kept.end_id, self._capacity, self._pools, before)
        if before is not None:
            before.seal()
            kept.sealed_bytes += before.nbytes
            self._eviction.sealed(before)
        kept.blocks.append(block)
        return block

    def _hold_bounds(self) -> None:
        kept = self._kept
        while kept.blocks and (kept.held > self.max_events or self.nbytes > self._allowed_bytes):
            self._eviction.make_room(by_bytes=kept.held <= self.max_events)
