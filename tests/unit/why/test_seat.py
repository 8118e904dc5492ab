"""One looker, as the monitor sees it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from tests.unit.why.failing import a_failure
from tui.why.lookers.fair_queue import Group
from tui.why.lookers.owner import owner_of
from tui.why.lookers.seat import MOST_BYTES_AT_ONCE, Asked, Seat


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
        yield Seat(ours, pid=1)


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


def test_short_ones_go_together(seat: Seat) -> None:
    seat.postponed.extend(asked(number) for number in range(10))
    assert seat.ask_postponed()
    assert len(seat.asked) == 10
    assert not seat.postponed


def test_a_looker_that_is_gone_is_noticed(seat: Seat) -> None:
    seat.connection.shutdown(socket.SHUT_RDWR)
    seat.postponed.append(asked(1))
    assert not seat.ask_postponed()
