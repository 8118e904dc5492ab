"""Lookers as processes: what one that was forked later knows, and what it is asked."""

from __future__ import annotations

import errno
import functools
import json
import mmap
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from execwhy.bpf.events import clock
from execwhy.bpf.events.record import Diagnosis, ExecFailure, Look
from execwhy.tui.why.lookers.dispatcher import Lookers
from execwhy.tui.why.lookers.process import Begin, LookAt, start_parent
from execwhy.tui.why.lookers.spawner import Spawner
from execwhy.tui.why.lookers.wire import Frames, framed, look_from_wire, record_to_wire
from execwhy.tui.why.scene.moment import Moment
from tests.unit.tui.why.failing import a_failure
from tests.unit.waiting import PATIENCE, wait_for

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
    connection, frames = spawned.connection, Frames()
    with connection:
        connection.settimeout(PATIENCE)
        connection.sendall(framed(record_to_wire(record), 1))
        payloads: list[tuple[int, bytes]] = []
        while not payloads:
            data = connection.recv(1 << 16)
            assert data, "the looker has ended"
            payloads = frames.feed(data)
    spawner.kill(spawned.number)
    return look_from_wire(payloads[0][1]).diagnosis.code


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


def test_the_late_answer_to_a_request_that_was_given_up_is_not_taken_for_the_next_one() -> None:
    ours, parent = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with parent:
        spawner = Spawner(ours, answer_seconds=0.1)
        with pytest.raises(TimeoutError):
            spawner.spawn()
        late, right = socket.socketpair(), socket.socketpair()
        for number, (theirs, _) in enumerate((late, right), 1):
            message = json.dumps({"to": number, "undead": [number]}).encode()
            socket.send_fds(parent, [message], [theirs.fileno()])
            theirs.close()
        spawned = spawner.spawn()
        assert spawned is not None
        connection, number, _ = spawned
        right[1].sendall(b"right")
        assert (connection.recv(10), number, spawner.undead) == (b"right", 2, frozenset({2}))
        requests = [json.loads(parent.recv(4096)) for _ in range(3)]
        assert requests == [{"fork": 1}, {"fork": 2}, {"kill": 1}], "the late one is of no use"
        assert late[1].recv(10) == b"", "and nobody holds its connection"
        for end in (connection, late[1], right[1]):
            end.close()
        spawner.close()


def test_a_looker_comes_with_its_clock(spawner: Spawner) -> None:
    spawned = spawner.spawn()
    assert spawned is not None and spawned.clock is not None
    wait_for(lambda: spawned.clock is not None and spawned.clock.spent() > 0.1)
    spawner.kill(spawned.number)
    spawned.close()


def test_a_look_that_takes_too_much_memory_fails_alone() -> None:
    def look(record: ExecFailure) -> Look:
        size = int(record.arguments[0] or "")
        return Look(Diagnosis(f"{len(bytearray(size))}", "It had room."))

    def begin_to_look() -> LookAt:
        return look

    def prepare_to_look() -> Begin:
        return begin_to_look

    lookers = Lookers(Spawner(start_parent(prepare_to_look)), deadline=PATIENCE)
    found: dict[int, str] = {}

    def are_looked_at(number: int) -> bool:
        for ids, each in lookers.results():
            found.update(dict.fromkeys(ids.tolist(), each.diagnosis.code))
        return len(found) == number

    sizes = 1 << 20, 200 << 20, 2 << 20
    try:
        for number, size in enumerate(sizes, 1):
            failure = a_failure(f"/{number}", errno.ENOENT, arguments=(f"{size}",))
            lookers.submit([(number, failure)])
            wait_for(functools.partial(are_looked_at, number))
    finally:
        lookers.close()
    assert found == {1: f"{1 << 20}", 2: "not-looked-at", 3: f"{2 << 20}"}


def test_a_looker_is_killed_by_the_number_of_its_request(spawner: Spawner) -> None:
    first, second = spawner.spawn(), spawner.spawn()
    assert first is not None and second is not None
    spawner.kill(99)
    spawner.kill(first.number)
    for each in (first, second):
        each.connection.settimeout(PATIENCE)
    assert first.connection.recv(1) == b""
    second.connection.sendall(framed(record_to_wire(record(time.time_ns(), 0)), 7))
    assert Frames().feed(second.connection.recv(1 << 16))[0][0] == 7
    first.close()
    second.close()


def has_none_left(spawner: Spawner) -> bool:
    """Ask whether all that were killed have died."""
    spawner.look_for_undead()
    return not spawner.undead


def too_many(*_arguments: object, **_options: object) -> None:
    raise OSError(errno.ETOOMANYREFS, os.strerror(errno.ETOOMANYREFS))


@pytest.mark.parametrize("name", ["socketpair", "send_fds"])
def test_the_parent_goes_on_where_no_connection_can_be_made_or_sent(name: str) -> None:
    """Only the parent fails, and only the first time: later ones come from it."""

    def prepare_to_fail() -> Begin:
        right: Callable[..., object] = getattr(socket, name)

        def fail_once(*_arguments: object, **_options: object) -> None:
            setattr(socket, name, right)
            too_many()

        setattr(socket, name, fail_once)
        return begin

    spawner = Spawner(start_parent(prepare_to_fail))
    assert spawner.spawn() is None
    spawned = spawner.spawn()
    assert spawned is not None
    spawned.close()
    wait_for(lambda: has_none_left(spawner))
    spawner.close()


def test_the_parent_says_which_ones_were_killed_and_have_not_died() -> None:
    def stays() -> LookAt:
        return is_unchanged

    def prepare_to_be_deaf() -> Begin:
        # As one is that waits in the kernel: no signal comes to it.
        os.kill = lambda _pid, _signal: None
        return stays

    spawner = Spawner(start_parent(prepare_to_be_deaf))
    first, second = spawner.spawn(), spawner.spawn()
    assert first is not None and second is not None
    spawner.kill(first.number)
    spawner.look_for_undead()
    assert spawner.undead == {first.number}
    first.close()  # which ends it after all
    wait_for(lambda: has_none_left(spawner))
    second.close()
    spawner.close()


def test_closing_does_not_wait_for_a_parent_that_does_not_answer() -> None:
    ours, parent = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with parent:
        lookers = Lookers(Spawner(ours, answer_seconds=PATIENCE))
        assert json.loads(parent.recv(4096)) == {"fork": 1}
        began = time.monotonic()
        lookers.close()
        assert time.monotonic() - began < PATIENCE / 2


def test_a_parent_that_has_died_is_named() -> None:
    spawner = Spawner(start_parent(prepare))
    newest = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()[-1]
    lookers = Lookers(spawner)
    wait_for(lambda: bool(lookers._seats.running))
    os.kill(int(newest), signal.SIGKILL)
    wait_for(lambda: "are gone" in lookers.problem)
    assert not lookers.is_looking
    lookers.close()


def test_what_nobody_will_look_at_is_not_waited_for() -> None:
    ours, parent = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    lookers = Lookers(Spawner(ours, answer_seconds=PATIENCE))
    assert json.loads(parent.recv(4096)) == {"fork": 1}
    lookers.submit([(1, a_failure("/before", errno.ENOENT))])
    parent.close()
    found: dict[int, Diagnosis] = {}

    def has_answered(number: int) -> bool:
        found.update((int(event_id), look.diagnosis) for ids, look in lookers.results() for event_id in ids)
        return number in found

    wait_for(lambda: has_answered(1))
    lookers.submit([(2, a_failure("/after", errno.EACCES))])
    wait_for(lambda: has_answered(2))
    assert [found[number].code for number in (1, 2)] == ["not-looked-at"] * 2
    assert found[2].brief == "permission denied; not looked at"
    assert "start execwhy again" in found[2].evidence[0]
    wait_for(lambda: not lookers.is_busy)
    lookers.close()
