"""Lookers as processes: what one that was forked later knows, and what it is asked."""

from __future__ import annotations

import errno
import mmap
import struct
import time
from collections.abc import Iterator

import pytest

from bpf import clock
from bpf.record import Diagnosis, ExecFailure, Look
from tests.unit.waiting import PATIENCE
from tests.unit.why.failing import a_failure
from tui.why.lookers.process import Begin, LookAt, Spawner, start_parent
from tui.why.lookers.wire import Frames, framed, look_from_wire, record_to_wire
from tui.why.moment import Moment

SECOND = 1_000_000_000
HOUR = 3600 * SECOND


class WallClock:
    """A wall clock that a test sets, for all processes that are forked from here."""

    def __init__(self, true: int) -> None:
        self._shared = mmap.mmap(-1, 8)
        self.origin = true - clock.boot_clock()

    def set_ahead(self, nanoseconds: int) -> None:
        self._shared[:] = struct.pack("q", nanoseconds)

    def __call__(self) -> int:
        (ahead,) = struct.unpack("q", self._shared)
        return int(clock.boot_clock() + self.origin + ahead)


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    clock.boot_time()
    wall_clock = WallClock(time.time_ns())
    monkeypatch.setattr(time, "time_ns", wall_clock)
    return wall_clock


def is_unchanged(record: ExecFailure) -> Look:
    """Compare the ctime that the record has as its argument with the time of the exec."""
    unchanged = Moment(record.timestamp).is_unchanged(int(record.arguments[0] or ""))
    return Look(Diagnosis(str(unchanged), "It was compared."))


def begin() -> LookAt:
    return is_unchanged


def prepare() -> Begin:
    return begin


@pytest.fixture
def spawner(wall_clock: WallClock) -> Iterator[Spawner]:
    spawner = Spawner(start_parent(prepare))
    yield spawner
    spawner.close()


def answer_of_new(spawner: Spawner, record: ExecFailure) -> str:
    """Have a new looker look, and return the code of what it finds."""
    spawned = spawner.spawn()
    assert spawned is not None
    connection, pid = spawned
    frames = Frames()
    with connection:
        connection.settimeout(PATIENCE)
        connection.sendall(framed(record_to_wire(record)))
        payloads: list[bytes] = []
        while not payloads:
            data = connection.recv(1 << 16)
            assert data, "the looker has ended"
            payloads = frames.feed(data)
    spawner.kill(pid)
    return look_from_wire(payloads[0]).diagnosis.code


def test_a_looker_that_begins_after_the_clock_was_set_knows_how_it_was_before(
    spawner: Spawner, wall_clock: WallClock
) -> None:
    long_before = time.time_ns() - HOUR
    assert answer_of_new(spawner, record(time.time_ns(), long_before)) == "True"
    exec_failed, changed_after = clock.now(), time.time_ns() + SECOND
    wall_clock.set_ahead(HOUR)
    assert answer_of_new(spawner, record(exec_failed, changed_after)) == "False"
    assert answer_of_new(spawner, record(exec_failed, long_before)) == "True"


def record(timestamp: int, ctime: int) -> ExecFailure:
    return a_failure("/x", errno.ENOENT, timestamp=timestamp, arguments=(str(ctime),))
