"""A queue of raw records that wait to be decoded, with a fair share for each user.

The reader moves records here from the ring at once, so that one user's records do not delay those of others.
They are taken out user by user in turn. Beyond the bound, the oldest records of the user with the most bytes
are dropped.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Collection
from typing import Final

import numpy as np

from execwhy.bpf.events.kinds import SEARCH_END_CODE
from execwhy.bpf.events.users import user_of
from execwhy.bpf.program import layout
from execwhy.bpf.read.ring import RecordRun

MAX_BYTES: Final = 12 << 20
"""Most bytes that may wait: a second of a storm that comes faster than it can be decoded."""

_QUANTUM: Final = 32 << 10
"""Bytes of one user's records in each turn; at least one record."""

_UID: Final = struct.Struct("<I")
_UID_AT: Final = layout.offset_of("uid")
_KIND_AT: Final = layout.offset_of("kind")

_TIME_BYTES: Final = 8
FEWEST: Final = 32
"""Fewest records of a run."""

Raw = bytes | RecordRun


class RawQueue:
    """A bounded queue of records with a lane for each user. Threads must not share it without a lock."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        # In the order of turns.
        self._lanes: dict[int, deque[Raw]] = {}
        self._lane_bytes: dict[int, int] = {}
        self.bytes = 0
        """Number of bytes that wait."""

    def __len__(self) -> int:
        """Return the number of users who have records waiting."""
        return len(self._lanes)

    def put(self, record: Raw) -> list[Raw]:
        """Add a record, and return those that were dropped to make room for it."""
        uid, size = _uid_of(record), _size_of(record)
        lane = self._lanes.get(uid)
        if lane is None:
            lane = self._lanes[uid] = deque()
            self._lane_bytes[uid] = 0
        lane.append(record)
        self._lane_bytes[uid] += size
        self.bytes += size
        dropped: list[Raw] = []
        while self.bytes > self._max_bytes and self.bytes > size:
            dropped.append(self._drop())
        return dropped

    @property
    def users(self) -> frozenset[int]:
        """The users who have something waiting."""
        return frozenset(self._lanes)

    def has_any(self, held_up: Collection[int] = ()) -> bool:
        """Return whether a user who is not held up has records waiting."""
        return any(uid not in held_up for uid in self._lanes)

    def take(self, max_bytes: int, held_up: Collection[int] = ()) -> list[Raw]:
        """Take records out, user by user in turn, the oldest of each first.

        Args:
            max_bytes: Stop after about this much.
            held_up: Users (``user_of``) whose records are left.
        """
        taken: list[Raw] = []
        before = self.bytes
        turns = deque(uid for uid in self._lanes if uid not in held_up)
        while turns and before - self.bytes < max_bytes:
            uid = turns.popleft()
            lane = self._lanes.pop(uid)
            of_user = self._lane_bytes.pop(uid)
            share = 0
            while lane and share < min(_QUANTUM, max_bytes):
                record = lane.popleft()
                share += _size_of(record)
                taken.append(record)
            self.bytes -= share
            if lane:
                self._lanes[uid] = lane
                self._lane_bytes[uid] = of_user - share
                turns.append(uid)
        return taken

    def _drop(self) -> Raw:
        uid = max(self._lane_bytes, key=self._lane_bytes.__getitem__)
        lane = self._lanes[uid]
        record = lane.popleft()
        size = _size_of(record)
        self._lane_bytes[uid] -= size
        self.bytes -= size
        if not lane:
            del self._lanes[uid], self._lane_bytes[uid]
        return record


def folded(records: list[Raw]) -> list[Raw]:
    """Return the records with those combined into runs that differ only in their time."""
    result: list[Raw] = []
    at = 0
    while at < len(records):
        end = at + 1
        first = records[at]
        if isinstance(first, bytes):
            body = first[_TIME_BYTES:]
            while end < len(records) and _has_body(records[end], body):
                end += 1
        if end - at >= FEWEST:
            times = np.fromiter((_time_of(record) for record in records[at:end]), np.uint64, end - at)
            assert isinstance(first, bytes)
            result.append(RecordRun(first, times))
        else:
            result += records[at:end]
        at = end
    return result


def _has_body(record: Raw, body: bytes) -> bool:
    return isinstance(record, bytes) and len(record) == len(body) + _TIME_BYTES and record.endswith(body)


def _time_of(record: Raw) -> int:
    assert isinstance(record, bytes)
    return int.from_bytes(record[:_TIME_BYTES], "little")


def failures_in(record: Raw) -> int:
    """Return the number of failed execs in a record from the ring; the end of a search is none."""
    return 0 if _is_search_end(record) else _count(record)


def search_ends_in(record: Raw) -> int:
    """Return the number of ends of searches in a record from the ring."""
    return _count(record) if _is_search_end(record) else 0


def _is_search_end(record: Raw) -> bool:
    raw = record if isinstance(record, bytes) else record.raw
    return len(raw) > _KIND_AT and raw[_KIND_AT] == SEARCH_END_CODE


def _count(record: Raw) -> int:
    return 1 if isinstance(record, bytes) else len(record.times)


def _uid_of(record: Raw) -> int:
    raw = record if isinstance(record, bytes) else record.raw
    return user_of(_UID.unpack_from(raw, _UID_AT)[0]) if len(raw) >= _UID_AT + _UID.size else 0


def _size_of(record: Raw) -> int:
    return len(record) if isinstance(record, bytes) else len(record.raw) + record.times.nbytes
