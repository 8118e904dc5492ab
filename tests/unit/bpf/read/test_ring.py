from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwhy.bpf.read.ring import RecordRun, Ring

PAGE = os.sysconf("SC_PAGE_SIZE")
SIZE = PAGE
BUSY, DISCARDED = 1 << 31, 1 << 30


class Kernel:
    """The producer's side, in a file with the layout of a ring buffer's mapping."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * SIZE)
        self.memory = mmap.mmap(self.fd, 0)
        self.position = 0

    def write(self, data: bytes, flags: int = 0) -> int:
        at = self.position
        record = struct.pack("<II", len(data) | flags, 0) + data
        for i, byte in enumerate(record):
            offset = (at + i) % SIZE
            for copy in (0, SIZE):  # the kernel maps the data twice
                self.memory[2 * PAGE + copy + offset] = byte
        self.position += (len(record) + 7) & ~7
        self.memory[PAGE : PAGE + 8] = struct.pack("<Q", self.position)
        return at

    def close(self) -> None:
        self.memory.close()
        os.close(self.fd)

    def commit(self, at: int, length: int) -> None:
        for copy in (0, SIZE):
            offset = 2 * PAGE + copy + at % SIZE
            self.memory[offset : offset + 4] = struct.pack("<I", length)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


@pytest.fixture
def ring(kernel: Kernel) -> Iterator[Ring]:
    made = Ring(kernel.fd, SIZE)
    yield made
    made.close()


def test_records_come_in_order_and_once(kernel: Kernel, ring: Ring) -> None:
    for text in (b"a", b"bb" * 40, b""):
        kernel.write(text)
    assert ring.consume(1 << 20) == [b"a", b"bb" * 40, b""]
    assert ring.consume(1 << 20) == []
    assert ring.pending == 0


def test_a_record_that_wraps_around_is_read_completely(kernel: Kernel, ring: Ring) -> None:
    kernel.write(b"x" * (SIZE - 100))
    ring.consume(1 << 20)
    kernel.write(b"y" * 300)
    assert ring.consume(1 << 20) == [b"y" * 300]


@pytest.mark.parametrize("left", [8, 16, 24, 64, 296, 304])
def test_a_wrapped_record_is_read_completely_wherever_it_wraps(kernel: Kernel, ring: Ring, left: int) -> None:
    kernel.write(b"x" * (SIZE - left - 8))
    ring.consume(1 << 20)
    written = [bytes(range(251)), b"", b"behind it"]
    for data in written:
        kernel.write(data)
    assert ring.consume(1 << 20) == written


def test_the_data_is_mapped_once() -> None:
    kernel, large = Kernel(), 1 << 20
    os.ftruncate(kernel.fd, 2 * PAGE + 2 * large)
    ring = Ring(kernel.fd, large)
    assert len(ring._data) == PAGE + large
    ring.close()
    kernel.close()


def test_a_storm_that_wraps_around_is_read_completely(kernel: Kernel, ring: Ring) -> None:
    kernel.write(b"x" * (SIZE // 2))
    ring.consume(1 << 20)
    written = storm(b"the same", SIZE // 24 - 10)
    for raw in written:
        kernel.write(raw)
    taken = ring.consume(1 << 20)
    assert expand_bursts(taken) == written
    assert sum(isinstance(piece, RecordRun) for piece in taken) == 2


def test_an_unfinished_record_and_those_behind_it_are_not_read_yet(kernel: Kernel, ring: Ring) -> None:
    kernel.write(b"first")
    at = kernel.write(b"later", BUSY)
    kernel.write(b"third")
    assert ring.consume(1 << 20) == [b"first"]
    kernel.commit(at, 5)
    assert ring.consume(1 << 20) == [b"later", b"third"]


def test_a_discarded_record_is_skipped(kernel: Kernel, ring: Ring) -> None:
    kernel.write(b"gone", DISCARDED)
    kernel.write(b"here")
    assert ring.consume(1 << 20) == [b"here"]


def test_a_batch_ends_at_its_limit_and_the_rest_follows(kernel: Kernel, ring: Ring) -> None:
    for number in range(10):
        kernel.write(b"%d" % number * 56)
    assert len(ring.consume(3 * 64)) == 3
    assert len(ring.consume(1 << 20)) == 7


def expand_bursts(records: Sequence[bytes | RecordRun]) -> list[bytes]:
    return [
        raw
        for record in records
        for raw in (
            [record]
            if isinstance(record, bytes)
            else [time.tobytes() + record.raw[8:] for time in record.times]
        )
    ]


def storm(body: bytes, count: int) -> list[bytes]:
    return [struct.pack("<Q", 1 + number) + body for number in range(count)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"", b"a", b"b", b"seven..", b"eight...", b"another!"]), st.integers(0, 30)
        ),
        max_size=6,
    ),
    st.sampled_from([0, 8, 1000, SIZE - 200]),
    st.integers(100, 1 << 20),
)
def test_records_that_differ_only_in_time_form_a_run_equal_to_what_was_written(
    storms: list[tuple[bytes, int]], before: int, max_bytes: int
) -> None:
    kernel = Kernel()
    ring = Ring(kernel.fd, SIZE)
    if before:
        kernel.write(b"x" * before)
        ring.consume(1 << 20)
    written = [raw for body, count in storms for raw in storm(body, count)][:150]
    for raw in written:
        kernel.write(raw)
    taken: list[bytes] = []
    while records := ring.consume(max_bytes):
        taken += expand_bursts(records)
    ring.close()
    kernel.close()
    assert taken == written


def test_a_storm_is_one_run_up_to_the_first_different_record(kernel: Kernel, ring: Ring) -> None:
    for raw in storm(b"the same", 100):
        kernel.write(raw)
    kernel.write(b"the last", DISCARDED)
    at = kernel.write(storm(b"the same", 1)[0], BUSY)
    kernel.write(storm(b"the same", 2)[1])
    first, rest = ring.consume(1 << 20)
    assert first == storm(b"the same", 1)[0]
    assert isinstance(rest, RecordRun) and rest.times.tolist() == list(range(2, 101))
    kernel.commit(at, 16)
    assert expand_bursts(ring.consume(1 << 20)) == storm(b"the same", 2)


def test_closing_twice_does_no_harm(kernel: Kernel) -> None:
    ring = Ring(kernel.fd, SIZE)
    ring.close()
    ring.close()
