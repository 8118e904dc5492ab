"""Lookers: nobody waits for a look, each user has a fair share, and a storm takes few looks."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from execwhy.bpf.events.arrivals import Burst, Occurrence
from execwhy.bpf.events.record import Diagnosis, ExecFailure, Look
from execwhy.tui.why.causes import unseen
from execwhy.tui.why.lookers import fair_queue
from execwhy.tui.why.lookers.dispatcher import Lookers
from execwhy.tui.why.lookers.done import Done
from execwhy.tui.why.lookers.fair_queue import Group
from execwhy.tui.why.lookers.grouping import Owner, owner_of
from execwhy.tui.why.lookers.pace import PACE, SHUN_SECONDS, Pace, Shunned
from execwhy.tui.why.lookers.spawner import Spawned
from execwhy.tui.why.lookers.wire import Frames, framed, look_to_wire, record_from_wire
from tests.looks import ThreadSpawner
from tests.unit.tui.why.failing import a_failure
from tests.unit.waiting import PATIENCE, wait_for

GENEROUS = PATIENCE
"""Seconds for a look that a test holds up on purpose and that is to end all the same."""


class Slow:
    """A look that waits until it may go on, and remembers what it was asked."""

    def __init__(self, *, certain: bool = True) -> None:
        self.asked: list[str | None] = []
        self.may_go_on = threading.Semaphore(0)
        self._certain = certain

    def __call__(self, record: ExecFailure) -> Look:
        self.asked.append(record.path)
        assert self.may_go_on.acquire(timeout=PATIENCE)
        return Look(Diagnosis("code", f"{record.path}.", certain=self._certain))


def failure(number: int, **facts: Any) -> ExecFailure:
    return a_failure(f"/missing/{number}", errno.ENOENT, **{"uid": 1000, **facts})


def weight_of(one: ExecFailure) -> int:
    """What a group takes that has one failure."""
    group = Group(owner_of(one), "key")
    group.add(1, one)
    return group.weight


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def opened() -> Iterator[Callable[..., Lookers]]:
    made: list[Lookers] = []

    def make(look_at: Callable[[ExecFailure], Look], deadline: float = GENEROUS) -> Lookers:
        lookers = Lookers(ThreadSpawner(look_at), deadline=deadline)
        made.append(lookers)
        return lookers

    yield make
    for lookers in made:
        lookers.close()


@pytest.fixture
def lookers(slow: Slow, opened: Callable[..., Lookers]) -> Iterator[Lookers]:
    yield opened(slow)
    slow.may_go_on.release(10_000)


def all_of(lookers: Lookers, count: int) -> list[tuple[int, Look]]:
    results: list[tuple[int, Look]] = []

    def enough() -> bool:
        results.extend((int(event_id), look) for ids, look in lookers.results() for event_id in ids)
        return len(results) >= count

    wait_for(enough)
    return results


def burst(path: str, error: int, times: range) -> Burst:
    first = a_failure(path, error, uid=1000)
    return Burst(Occurrence(first, times[-1], 1, 1, 1, None), np.array(times))


def test_the_newest_goes_first_after_those_that_are_preferred(slow: Slow, lookers: Lookers) -> None:
    lookers.submit([(0, failure(0))])
    wait_for(lambda: len(slow.asked) == 1)
    lookers.submit([(number, failure(number)) for number in range(1, 6)])
    lookers.prefer([(number, failure(number)) for number in (2, 3)])
    slow.may_go_on.release(6)
    assert [event_id for event_id, _ in all_of(lookers, 6)] == [0, 2, 3, 5, 4, 1]


def test_beyond_the_bound_the_oldest_is_dropped_and_counts_as_not_looked_at_in_time(
    slow: Slow, lookers: Lookers
) -> None:
    lookers.submit([(0, failure(0))])
    wait_for(lambda: len(slow.asked) == 1)
    lookers._backlog._queue._max_bytes = 4 * weight_of(failure(1))
    lookers.submit([(number, failure(number)) for number in range(1, 10)])
    assert lookers.waiting == 4
    dropped = all_of(lookers, 5)
    assert [event_id for event_id, _ in dropped] == [1, 2, 3, 4, 5]
    for _, look in dropped:
        assert look.diagnosis.code == "not-looked-at" and not look.diagnosis.certain
        assert look.diagnosis.summary.startswith("The exec failed with ENOENT")
        assert unseen.was_dropped(look.diagnosis)
    slow.may_go_on.release(100)
    assert {event_id for event_id, _ in all_of(lookers, 5)} == {0, 6, 7, 8, 9}


def test_all_that_is_dropped_is_named_by_its_error_and_each_event_once(slow: Slow, lookers: Lookers) -> None:
    lookers.submit([(0, failure(0))])
    wait_for(lambda: len(slow.asked) == 1)
    lookers._backlog._queue._max_bytes = 0
    lookers.submit([(1, burst("/one", errno.ENOENT, range(100))), (101, failure(1))])
    lookers.submit([(102, a_failure("/two", errno.EACCES, uid=1000))])
    results = lookers.results()
    assert [(ids.tolist(), look.diagnosis.brief) for ids, look in results] == [
        (list(range(1, 102)), "no such file or directory; not looked at in time"),
        ([102], "permission denied; not looked at in time"),
    ]
    slow.may_go_on.release()


def test_what_was_dropped_is_looked_at_once_it_is_on_screen(slow: Slow, lookers: Lookers) -> None:
    lookers.submit([(0, failure(0))])
    wait_for(lambda: len(slow.asked) == 1)
    bound, lookers._backlog._queue._max_bytes = lookers._backlog._queue._max_bytes, 0
    lookers.submit([(1, failure(1))])
    lookers._backlog._queue._max_bytes = bound
    lookers.prefer([(1, failure(1))])
    slow.may_go_on.release(2)
    results = all_of(lookers, 3)
    assert [(event_id, look.diagnosis.code) for event_id, look in results] == [
        (1, "not-looked-at"),
        (0, "code"),
        (1, "code"),
    ]


def test_a_storm_of_one_failure_takes_a_look_for_all_that_came_meanwhile(
    slow: Slow, lookers: Lookers
) -> None:
    lookers.submit([(0, a_failure("/missing/one", errno.ENOENT, uid=1000))])
    wait_for(lambda: len(slow.asked) == 1)
    for number in range(1, 500):
        lookers.submit([(number, a_failure("/missing/one", errno.ENOENT, uid=1000, pid=number))])
    slow.may_go_on.release(1000)
    assert sorted(event_id for event_id, _ in all_of(lookers, 500)) == list(range(500))
    assert len(slow.asked) == 2


def test_where_the_oldest_is_not_certain_the_newest_has_a_look_of_its_own(
    opened: Callable[..., Lookers],
) -> None:
    slow = Slow(certain=False)
    lookers = opened(slow)
    lookers.submit([(0, failure(0))])
    wait_for(lambda: len(slow.asked) == 1)
    lookers.submit([(number, a_failure("/one", errno.ENOENT, uid=1000, pid=number)) for number in (1, 2, 3)])
    slow.may_go_on.release(1000)
    assert sorted(event_id for event_id, _ in all_of(lookers, 4)) == [0, 1, 2, 3]
    assert slow.asked == ["/missing/0", "/one", "/one"]


def test_a_burst_is_looked_at_as_its_execs_would_be_one_by_one(slow: Slow, lookers: Lookers) -> None:
    lookers.submit([(0, failure(0))])
    wait_for(lambda: len(slow.asked) == 1)
    lookers.submit([(1, burst("/missing/one", errno.ENOENT, range(100))), (101, failure(2))])
    lookers.submit([(102, burst("/missing/one", errno.ENOENT, range(200, 250)))])
    slow.may_go_on.release(1000)
    assert sorted(event_id for event_id, _ in all_of(lookers, 152)) == list(range(152))
    assert sorted(map(str, slow.asked)) == ["/missing/0", "/missing/2", "/missing/one"]


def test_what_is_looked_at_or_was_found_is_not_looked_at_once_more(slow: Slow, lookers: Lookers) -> None:
    lookers.submit([(0, failure(0))])
    wait_for(lambda: len(slow.asked) == 1)
    for _ in range(3):
        lookers.prefer([(0, failure(0)), (1, failure(1)), (1, failure(1))])
    assert lookers.waiting == 1
    slow.may_go_on.release(1000)
    wait_for(lambda: len(slow.asked) == 2)
    lookers.prefer([(0, failure(0))])
    assert sorted(event_id for event_id, _ in all_of(lookers, 2)) == [0, 1]
    assert slow.asked == ["/missing/0", "/missing/1"]


def test_failures_that_differ_in_what_matters_are_each_looked_at(slow: Slow, lookers: Lookers) -> None:
    slow.may_go_on.release(1000)
    variants: list[dict[str, Any]] = [
        {},
        {"fsuid": 7},
        {"groups": (1,)},
        {"capabilities": 2},
        {"mount_ns": 5},
        {"root": "/srv"},
        {"flags": 0x100},
    ]
    lookers.submit([
        (number, a_failure("/x", errno.EACCES, **{"timestamp": 1, **variant}))
        for number, variant in enumerate(variants)
    ])  # fmt: skip
    all_of(lookers, len(variants))
    assert len(slow.asked) == len(variants)


def test_a_path_search_is_not_given_what_was_suggested_to_a_caller_with_another_path(
    slow: Slow, lookers: Lookers
) -> None:
    slow.may_go_on.release(1000)
    lookers.submit([
        (number, a_failure("/x", errno.ENOENT, environment=(f"PATH={path}",)))
        for number, path in enumerate(("/a", "/b"))
    ])  # fmt: skip
    all_of(lookers, 2)
    assert len(slow.asked) == 2


# Who holds up whom


def looks_of(user: int, hangs: threading.Event) -> Callable[[ExecFailure], Look]:
    """Looks at this user's failures do not end before the event is set."""

    def look_at(record: ExecFailure) -> Look:
        if record.uid == user:
            hangs.wait(PATIENCE)
        return Look(Diagnosis("code", f"{record.path}."))

    return look_at


def test_a_look_that_does_not_end_holds_up_nobody_else(opened: Callable[..., Lookers]) -> None:
    hangs = threading.Event()
    lookers = opened(looks_of(666, hangs))
    lookers.submit([(number, failure(number, uid=666)) for number in range(50)])
    lookers.submit([(100, failure(100, uid=1000))])
    assert [event_id for event_id, _ in all_of(lookers, 1)] == [100]
    hangs.set()


def test_of_a_user_whose_looks_wait_to_be_taken_nothing_more_is_looked_at(
    opened: Callable[..., Lookers],
) -> None:
    lookers = opened(lambda record: Look(Diagnosis("code", f"{record.path}.")))
    lookers._backlog._done = Done(max_bytes=20_000)
    lookers.submit([(number, failure(number, uid=1)) for number in range(300)])
    wait_for(lambda: not lookers._backlog._done.has_room(1))
    lookers.submit([(1000, failure(1000, uid=2))])
    wait_for(lambda: 1000 in lookers._backlog._done.ids)
    assert lookers.is_busy
    assert len(lookers._backlog._done) < 200, "the others wait where they are bounded, and have a share"
    came = all_of(lookers, 301)
    assert {event_id for event_id, _ in came} == {*range(300), 1000}


def test_a_look_that_does_not_end_is_given_up_and_its_place_left_alone(
    opened: Callable[..., Lookers],
) -> None:
    hangs = threading.Event()
    lookers = opened(looks_of(666, hangs), deadline=0.3)
    lookers.submit([(number, failure(number, uid=666, mount_ns=12345)) for number in range(20)])
    results = dict(all_of(lookers, 20))
    assert {look.diagnosis.code for look in results.values()} == {"not-looked-at"}
    assert not any(look.diagnosis.certain for look in results.values())
    spawner = lookers._spawner
    assert isinstance(spawner, ThreadSpawner)
    assert len(spawner.killed) == 1, "the others of that namespace were not even tried"
    lookers.submit([(100, failure(100, uid=1000))])
    assert dict(all_of(lookers, 1))[100].diagnosis.code == "code"
    hangs.set()


def test_what_is_left_alone_counts_as_time_of_its_user(
    opened: Callable[..., Lookers], monkeypatch: pytest.MonkeyPatch
) -> None:
    charged: list[tuple[int, float]] = []
    monkeypatch.setattr(
        fair_queue.FairQueue, "charge", lambda _queue, owner, seconds: charged.append((owner[0], seconds))
    )
    hangs = threading.Event()
    lookers = opened(looks_of(666, hangs), deadline=0.3)
    lookers.submit([(number, failure(number, uid=666, mount_ns=12345)) for number in range(20)])
    all_of(lookers, 20)
    wait_for(lambda: len(charged) == 20)
    assert all(user == 666 and seconds > 0 for user, seconds in charged)
    hangs.set()


def test_what_was_looked_at_is_remembered_for_no_longer_than_it_matters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("execwhy.tui.why.lookers.pace.time.monotonic", lambda: now)
    pace = Pace()
    for number in range(100):
        now += PACE / 4
        pace.looked(number)
    assert pace.due(99) == now + PACE
    assert len(pace._looked) <= 6


def test_a_place_that_was_left_alone_long_ago_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("execwhy.tui.why.lookers.pace.time.monotonic", lambda: now)
    group = fair_queue.Group((666, 57), "key")
    group.add(1, failure(1, uid=666, mount_ns=12345))
    shunned = Shunned()
    for seconds in (SHUN_SECONDS, 2 * SHUN_SECONDS, 4 * SHUN_SECONDS):
        shunned.add(group)
        now += seconds - 1
        assert group in shunned
        now += 2
        assert group not in shunned
    now += 1000
    shunned.add(group)
    now += SHUN_SECONDS + 1
    assert group not in shunned


def test_a_flood_of_one_user_delays_that_user(
    opened: Callable[..., Lookers], monkeypatch: pytest.MonkeyPatch
) -> None:
    # In which order they are dealt out: which of two threads gets to run first is not for lookers to decide.
    order: list[int] = []
    first = threading.Event()
    take = fair_queue.FairQueue.take

    def taken(queue: fair_queue.FairQueue, may_take: Callable[[Owner], bool]) -> fair_queue.Group | None:
        group = take(queue, may_take)
        if group is not None:
            order.append(group.owner[0])
        return group

    def look_at(record: ExecFailure) -> Look:
        first.wait(PATIENCE)
        return Look(Diagnosis("code", f"{record.path}."))

    monkeypatch.setattr(fair_queue.FairQueue, "take", taken)
    lookers = opened(look_at)
    lookers.submit([(number, failure(number, uid=666)) for number in range(300)])
    wait_for(lambda: any(seat.asked for seat in lookers._seats.running))
    lookers.submit([(1000 + uid, failure(uid, uid=uid)) for uid in (7, 8)])
    first.set()
    all_of(lookers, 302)
    assert max(order.index(7), order.index(8)) < 100, "one batch or two go first"


def test_a_looker_that_dies_is_replaced_and_only_its_look_is_lost(opened: Callable[..., Lookers]) -> None:
    def look_at(record: ExecFailure) -> Look:
        if record.path == "/missing/3":
            raise BrokenPipeError
        return Look(Diagnosis("code", f"{record.path}."))

    lookers = opened(look_at)
    lookers.submit([(number, failure(number)) for number in range(10)])
    codes = {event_id: look.diagnosis.code for event_id, look in all_of(lookers, 10)}
    assert codes == {number: "not-looked-at" if number == 3 else "code" for number in range(10)}


def test_after_a_fault_causes_are_looked_for_again(
    opened: Callable[..., Lookers], monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = Lookers._receive

    def fail(lookers: Lookers, seat: Any, asked: Any, look: Look) -> None:
        if look.diagnosis.summary == "/missing/3.":
            raise RuntimeError("what a process wrote")
        receive(lookers, seat, asked, look)

    monkeypatch.setattr(Lookers, "_receive", fail)
    lookers = opened(lambda record: Look(Diagnosis("code", f"{record.path}.")))
    lookers.submit([(3, failure(3))])
    assert dict(all_of(lookers, 1))[3].diagnosis.code == "not-looked-at"
    assert "RuntimeError" in lookers.problem and "what a process wrote" not in lookers.problem
    lookers.submit([(number, failure(number)) for number in range(10, 20)])
    assert {look.diagnosis.code for _, look in all_of(lookers, 10)} == {"code"}
    assert not lookers.is_busy


@pytest.mark.parametrize("dies", [True, False], ids=["the thread fails", "its lookers' parent is gone"])
def test_nothing_is_waited_for_once_nobody_looks(
    slow: Slow, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    class Orphaned(ThreadSpawner):
        is_orphaned = False

        def spawn(self) -> Spawned | None:
            if self.is_orphaned:
                raise RuntimeError("what a process wrote") if dies else ConnectionResetError
            return super().spawn()

    def fail(_lookers: Lookers, _error: Exception) -> None:
        raise ValueError("what a process wrote")

    monkeypatch.setattr(Lookers, "_recover", fail)
    spawner = Orphaned(slow)
    lookers = Lookers(spawner, deadline=GENEROUS)
    lookers.submit([(0, failure(0))])
    slow.may_go_on.release()
    all_of(lookers, 1)
    with lookers._backlog._lock:
        lookers._backlog._pace.park(time.monotonic() + 1e6, lookers_group(1))
    lookers.submit([(number, failure(number)) for number in range(2, 6)])
    wait_for(lambda: len(slow.asked) == 2)
    spawner.is_orphaned = True
    lookers._seats.running[0].connection.shutdown(socket.SHUT_RDWR)
    wait_for(lambda: not lookers.is_looking)
    lookers.submit([(6, failure(6)), (7, burst("/later", errno.EACCES, range(3)))])
    lookers.prefer([(10, failure(10))])
    found = dict(all_of(lookers, 10))
    assert sorted(found) == list(range(1, 11))
    assert {look.diagnosis.code for look in found.values()} == {"not-looked-at"}
    assert found[9].diagnosis.brief == "permission denied; not looked at"
    assert found[10].diagnosis.evidence == (
        "Not certain: looking for causes has stopped: start execwhy again.",
    )
    assert not any(unseen.was_dropped(look.diagnosis) for look in found.values())
    assert lookers.problem == (
        "looking for causes has stopped (ValueError): start execwhy again."
        if dies
        else "the processes that look for causes are gone: start execwhy again."
    )
    assert not lookers.is_busy
    slow.may_go_on.release(10)
    lookers.close()


def lookers_group(number: int) -> Group:
    group = Group(owner_of(failure(number)), number)
    group.add(number, failure(number))
    return group


def test_a_late_answer_is_given_to_no_other_failure() -> None:
    class AnsweringTwice(ThreadSpawner):
        def _serve(self, theirs: socket.socket) -> None:
            frames = Frames()
            while data := theirs.recv(1 << 16):
                for number, payload in frames.feed(data):
                    look = Look(Diagnosis("code", f"{record_from_wire(payload).path}."))
                    theirs.sendall(2 * framed(look_to_wire(look), number))
            theirs.close()

    lookers = Lookers(AnsweringTwice(Slow()))
    lookers.submit([(number, failure(number)) for number in range(100)])
    looks = dict(all_of(lookers, 100))
    lookers.close()
    assert {number: look.diagnosis.summary for number, look in looks.items()} == {
        number: f"/missing/{number}." for number in range(100)
    }


def test_lookers_that_cannot_begin_are_not_forked_without_end() -> None:
    class Failing(ThreadSpawner):
        def _serve(self, theirs: socket.socket) -> None:
            theirs.close()

    spawner = Failing(lambda record: Look(Diagnosis("code", f"{record.path}.")))
    lookers = Lookers(spawner)
    wait_for(lambda: spawner.spawned >= 2)
    time.sleep(0.5)
    lookers.close()
    assert spawner.spawned <= 6


def test_closing_twice_is_no_error_and_does_not_wait_for_a_look(
    slow: Slow, opened: Callable[..., Lookers]
) -> None:
    lookers = opened(slow)
    lookers.submit([(1, failure(1))])
    wait_for(lambda: len(slow.asked) == 1)
    lookers.close()
    lookers.close()
    slow.may_go_on.release()


def test_what_comes_after_closing_is_written_to_no_other_file(
    slow: Slow, opened: Callable[..., Lookers]
) -> None:
    lookers = opened(slow)
    reading, writing = os.pipe()
    lookers.close()
    os.dup2(writing, lookers._wake)
    try:
        lookers.submit([(1, failure(1))])
        os.set_blocking(reading, False)
        with pytest.raises(BlockingIOError):
            os.read(reading, 8)
    finally:
        for descriptor in {reading, writing, lookers._wake}:
            os.close(descriptor)
