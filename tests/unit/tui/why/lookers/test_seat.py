"""One looker, as the monitor sees it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from execwhy.bpf.events.record import Diagnosis, Look
from execwhy.tui.why.lookers.fair_queue import Group
from execwhy.tui.why.lookers.grouping import owner_of
from execwhy.tui.why.lookers.process_clock import ProcessClock
from execwhy.tui.why.lookers.seat import MOST_BYTES_AT_ONCE, Asked, Seat
from execwhy.tui.why.lookers.wire import framed, look_to_wire
from tests.unit.tui.why.failing import a_failure


def asked(number: int, text: str = "") -> Asked:
    failure = a_failure(f"/missing/{number}", errno.ENOENT, uid=1000, arguments=(text,))
    group = Group(owner_of(failure), number)
    group.add(number, failure)
    return Asked.for_oldest(group)


@pytest.fixture
def seat() -> Iterator[Seat]:
    ours, theirs = socket.socketpair()
    ours.settimeout(0.001)
    with ours, theirs:
        yield Seat(ours, number=1)


@pytest.fixture
def joined() -> Iterator[tuple[Seat, socket.socket]]:
    """A looker, and its own end of the connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Seat(ours, number=1), theirs


def answer(request: Asked, code: str) -> bytes:
    return framed(look_to_wire(Look(Diagnosis(code, "It was looked at."))), request.number)


def test_what_a_busy_looker_has_no_room_for_waits_until_it_is_idle(seat: Seat) -> None:
    assert seat.ask([asked(1)])
    long = asked(2, "x" * MOST_BYTES_AT_ONCE)
    seat.postponed.extend([long, asked(3)])
    assert seat.ask_postponed()
    assert next(iter(seat.postponed)) is long, "sending it would wait for the look that goes on"
    assert len(seat.asked) == 1
    seat.asked.clear()
    seat.connection.settimeout(None)
    seat.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * MOST_BYTES_AT_ONCE)
    assert seat.ask_postponed()
    assert list(seat.asked) == [long], "a long one goes alone"


class FakeClock(ProcessClock):
    """A looker's time as a test has it."""

    def __init__(self, spent: float) -> None:
        self.now = spent

    def begin(self) -> None:
        pass

    def spent(self) -> float:
        return self.now

    def close(self) -> None:
        pass


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time on the clock of time.monotonic(), which passes as a test wants it to."""
    now = [1000.0]
    monkeypatch.setattr("execwhy.tui.why.lookers.seat.time.monotonic", lambda: now[0])
    monkeypatch.setattr("execwhy.tui.why.lookers.seat.slowness", lambda: 1.0)
    return now


def test_a_look_that_only_waits_for_a_processor_is_not_late(seat: Seat, at_once: list[float]) -> None:
    seat.clock = clock = FakeClock(0.0)
    seat.begin(1.0)
    at_once[0] += 0.9
    assert not seat.is_late(1.0)
    at_once[0] += 0.2
    assert not seat.is_late(1.0)
    assert seat.due == at_once[0] + 1.0, "it cannot have spent its second before"
    clock.now = 0.99
    at_once[0] += 1.1
    assert not seat.is_late(1.0)
    assert seat.due > at_once[0] + 0.01, "it is not asked all the time"
    clock.now = 1.01
    at_once[0] += 0.1
    assert seat.is_late(1.0)


def test_a_look_that_hardly_runs_ends_all_the_same(seat: Seat, at_once: list[float]) -> None:
    seat.clock = FakeClock(0.0)
    seat.begin(1.0)
    steps = 0
    while not seat.is_late(1.0):
        at_once[0] = seat.due + 0.001
        steps += 1
    assert 4.0 < at_once[0] - seat.since < 7.0
    assert steps < 10


def test_without_a_clock_of_its_own_the_wall_clock_counts(seat: Seat, at_once: list[float]) -> None:
    seat.begin(1.0)
    at_once[0] += 1.1
    assert seat.is_late(1.0)


def test_short_ones_go_together(seat: Seat) -> None:
    seat.postponed.extend(asked(number) for number in range(10))
    assert seat.ask_postponed()
    assert len(seat.asked) == 10
    assert not seat.postponed


def test_a_looker_that_is_gone_is_noticed(seat: Seat) -> None:
    seat.connection.shutdown(socket.SHUT_RDWR)
    seat.postponed.append(asked(1))
    assert not seat.ask_postponed()


def test_a_late_answer_is_not_taken_for_that_of_the_present_request(
    joined: tuple[Seat, socket.socket],
) -> None:
    seat, looker = joined
    earlier, present, next_one = asked(1), asked(2), asked(3)
    assert seat.ask([present, next_one])
    looker.sendall(answer(earlier, "late"))
    assert seat.read() == ([], False, False)
    looker.sendall(answer(earlier, "late") + answer(present, "right") + answer(present, "late"))
    answered, leaves, is_gone = seat.read()
    assert [(request, look.diagnosis.code) for request, look in answered] == [(present, "right")]
    assert not leaves and not is_gone
    assert list(seat.asked) == [next_one]


def test_a_late_answer_to_a_looker_that_is_idle_is_passed_over(joined: tuple[Seat, socket.socket]) -> None:
    seat, looker = joined
    looker.sendall(answer(asked(1), "late"))
    assert seat.read() == ([], False, False)


def test_an_answer_to_what_was_not_asked_yet_ends_the_looker_and_not_what_was_answered_before(
    joined: tuple[Seat, socket.socket],
) -> None:
    seat, looker = joined
    first, second, third = asked(1), asked(2), asked(3)
    assert seat.ask([first, second, third])
    looker.sendall(answer(first, "right") + answer(third, "too soon"))
    answered, _, is_gone = seat.read()
    assert [request for request, _ in answered] == [first]
    assert is_gone
    assert list(seat.asked) == [second, third]
