"""Perf buffers return the records of all CPUs in order of time, and join those that wrap around."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator

import pytest

from execwhy.bpf.read.perf_buffers import PerfBuffers
from tests.unit.raw_record import raw_record

PAGE = os.sysconf("SC_PAGE_SIZE")
SIZE = 4 * PAGE
SAMPLE, LOST = 9, 2
PADDING = b"\xaa" * 5


class Cpu:
    """The kernel's side of one CPU's buffer, in a file."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("perf")
        os.ftruncate(self.fd, PAGE + SIZE)
        self.head = 0

    def write(self, kind: int, content: bytes) -> None:
        event = struct.pack("<IHH", kind, 0, 8 + len(content)) + content
        for byte in event:
            os.pwrite(self.fd, bytes([byte]), PAGE + self.head % SIZE)
            self.head += 1
        os.pwrite(self.fd, struct.pack("<Q", self.head), 1024)

    def record(self, timestamp: int, path: bytes = b"/x") -> None:
        raw = raw_record({"path": path + b"\0"}, timestamp=timestamp) + PADDING
        self.write(SAMPLE, struct.pack("<I", len(raw)) + raw)

    @property
    def tail(self) -> int:
        return int(struct.unpack("<Q", os.pread(self.fd, 8, 1032))[0])


@pytest.fixture
def cpus() -> Iterator[tuple[Cpu, Cpu]]:
    made = Cpu(), Cpu()
    yield made
    for cpu in made:
        os.close(cpu.fd)


def times(records: list[bytes]) -> list[int]:
    return [struct.unpack_from("<Q", record)[0] for record in records]


def test_records_of_all_cpus_come_in_order_of_time(cpus: tuple[Cpu, Cpu]) -> None:
    for timestamp in (1, 4, 5):
        cpus[0].record(timestamp)
    for timestamp in (2, 3, 6):
        cpus[1].record(timestamp)
    buffers = PerfBuffers([cpu.fd for cpu in cpus], SIZE)
    assert times(buffers.consume(1 << 20)) == [1, 2, 3, 4, 5, 6]
    assert buffers.pending == 0
    assert [cpu.tail for cpu in cpus] == [cpu.head for cpu in cpus]
    buffers.close()
    buffers.close()


def test_a_record_is_held_while_an_earlier_one_may_still_come(cpus: tuple[Cpu, Cpu]) -> None:
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    later = now + 3600 * 10**9
    cpus[0].record(later)
    buffers = PerfBuffers([cpu.fd for cpu in cpus], SIZE)
    assert buffers.consume(1 << 20) == []
    assert buffers.is_holding and buffers.pending > 0
    cpus[1].record(later - 1)
    assert times(buffers.consume(1 << 20, at_end=True)) == [later - 1, later]
    assert not buffers.is_holding
    buffers.close()


def test_the_kernels_padding_is_not_part_of_a_record(cpus: tuple[Cpu, Cpu]) -> None:
    cpus[0].record(1, b"/a/path")
    buffers = PerfBuffers([cpus[0].fd], SIZE)
    assert buffers.consume(1 << 20) == [raw_record({"path": b"/a/path\0"}, timestamp=1)]
    buffers.close()


def test_events_other_than_samples_are_skipped(cpus: tuple[Cpu, Cpu]) -> None:
    cpus[0].write(LOST, struct.pack("<QQ", 1, 5))
    cpus[0].record(7)
    buffers = PerfBuffers([cpus[0].fd], SIZE)
    assert times(buffers.consume(1 << 20)) == [7]
    buffers.close()


def test_a_record_that_wraps_around_is_read_completely(cpus: tuple[Cpu, Cpu]) -> None:
    buffers = PerfBuffers([cpus[0].fd], SIZE)
    found = []
    for timestamp in range(1, 101):
        path = b"/" + b"p" * timestamp
        cpus[0].record(timestamp, path)
        found += buffers.consume(1 << 20)
        assert found[-1] == raw_record({"path": path + b"\0"}, timestamp=timestamp)
    assert cpus[0].head > 2 * SIZE, "the buffer was to begin anew"
    buffers.close()
