"""The queue is fair: the user with the most records waits longest, and loses records first."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwhy.bpf.events import users
from execwhy.bpf.events.kinds import EXEC, SEARCH_END_CODE
from execwhy.bpf.program import layout
from execwhy.bpf.read.raw_queue import Raw, RawQueue, failures_in, folded, search_ends_in
from execwhy.bpf.read.ring import RecordRun


def raw(uid: int, number: int = 0, size: int = 400, kind: int = EXEC.code) -> bytes:
    data = bytearray(max(size, layout.HEADER_STRUCT.size))
    struct.pack_into("<Q", data, 0, number)
    struct.pack_into("<I", data, layout.offset_of("uid"), uid)
    data[layout.offset_of("kind")] = kind
    return bytes(data)


def number_of(record: bytes) -> tuple[int, int]:
    return struct.unpack_from("<I", record, layout.offset_of("uid"))[0], struct.unpack_from("<Q", record)[0]


def test_a_flood_of_one_user_does_not_delay_the_first_record_of_another() -> None:
    queue = RawQueue()
    for number in range(10_000):
        queue.put(raw(666, number, 4000))
    queue.put(raw(7, 1))
    taken = [number_of(record) for record in queue.take(128 << 10) if isinstance(record, bytes)]
    assert (7, 1) in taken


def test_beyond_the_limit_only_the_user_with_most_records_loses_some() -> None:
    queue = RawQueue(max_bytes=100_000)
    assert queue.put(raw(7, 1)) == []
    dropped = [each for number in range(100) for each in queue.put(raw(666, number, 4000))]
    taken = queue.take(1 << 30)
    assert [*dropped, *(record for record in taken if record != raw(7, 1))] == [
        raw(666, number, 4000) for number in range(100)
    ]
    numbers = [number_of(record) for record in taken if isinstance(record, bytes)]
    assert (7, 1) in numbers
    assert numbers[-1] == (666, 99) or (666, 99) in numbers, "the oldest went"


def test_a_user_with_subordinate_ids_has_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "_subordinate_ids", lambda: users.SubordinateIds(["alice:100000:65536"]))
    queue = RawQueue()
    for number in range(1000):
        queue.put(raw(100_000 + number, number))
    queue.put(raw(7, 1))
    assert len(queue) == 2


def test_a_search_end_counts_as_no_failure_and_a_run_as_many() -> None:
    assert failures_in(raw(1)) == 1
    assert failures_in(raw(1, kind=SEARCH_END_CODE)) == 0
    assert failures_in(RecordRun(raw(1), np.arange(5, dtype=np.uint64))) == 5
    assert failures_in(b"") == 1
    assert search_ends_in(raw(1)) == search_ends_in(b"") == 0
    assert search_ends_in(raw(1, kind=SEARCH_END_CODE)) == 1
    assert search_ends_in(RecordRun(raw(1, kind=SEARCH_END_CODE), np.arange(5, dtype=np.uint64))) == 5


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(300, 9000)), max_size=60),
    st.integers(1, 50_000),
)
def test_each_users_records_come_out_in_order(puts: list[tuple[int, int]], step: int) -> None:
    queue = RawQueue()
    for number, (uid, size) in enumerate(puts):
        assert queue.put(raw(uid, number, size)) == []
    came: list[tuple[int, int]] = []
    while records := queue.take(step):
        came += [number_of(record) for record in records if isinstance(record, bytes)]
    assert sorted(came) == sorted((uid, number) for number, (uid, _) in enumerate(puts))
    for user in range(5):
        numbers = [number for uid, number in came if uid == user]
        assert numbers == sorted(numbers)
    assert (queue.bytes, len(queue)) == (0, 0)


def test_only_records_of_users_who_are_held_back_wait() -> None:
    queue = RawQueue()
    for number in range(100):
        queue.put(raw(666, number, 4000))
    queue.put(raw(7, 1))
    assert queue.has_any({666})
    assert queue.take(128 << 10, {666}) == [raw(7, 1)]
    assert not queue.has_any({666}) and queue.has_any()
    assert queue.take(1 << 20, {666}) == []
    assert len(queue.take(1 << 20)) == 100 and queue.bytes == 0


def test_records_that_differ_only_in_their_time_form_a_run() -> None:
    run: list[Raw] = [raw(1, number) for number in range(50)]
    others: list[Raw] = [raw(2, 7), raw(1, 3, size=900)]
    first, *rest = folded([*others, *run, raw(1, 99, size=900)])
    assert (first, rest[0], rest[2]) == (*others, raw(1, 99, size=900))
    assert isinstance(rest[1], RecordRun)
    assert rest[1].times.tolist() == list(range(50))
    assert folded(run[:5]) == run[:5]
