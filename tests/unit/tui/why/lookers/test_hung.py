"""A user whose lookers cannot be killed takes one, after minutes another one, and no more."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from execwhy.bpf.caller.namespaces import own_mount_ns
from execwhy.bpf.events.record import Diagnosis, ExecFailure, Look
from execwhy.tui.why.lookers.dispatcher import Lookers
from execwhy.tui.why.lookers.grouping import Owner
from execwhy.tui.why.lookers.hung import DYING_SECONDS, LEFT_ALONE_SECONDS, Hung
from tests.looks import ThreadSpawner
from tests.unit.tui.why.lookers.test_lookers import all_of, failure
from tests.unit.waiting import PATIENCE, wait_for

HOME = own_mount_ns()
USER: Owner = (666, HOME)


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass."""
    now = 1000.0
    monkeypatch.setattr("execwhy.tui.why.lookers.hung.time.monotonic", lambda: now)

    def passes(seconds: float) -> None:
        nonlocal now
        now += seconds

    return passes


def test_one_that_dies_costs_its_user_nothing(wait: Callable[[float], None]) -> None:
    hung = Hung()
    hung.killed(1, USER)
    assert hung.is_pending(USER) and hung.next_due is not None
    wait(DYING_SECONDS)
    hung.see({2, 3})
    assert not hung.is_pending(USER) and not hung.leaves_alone(USER)
    assert hung.next_due is None


def test_it_has_some_time_to_die(wait: Callable[[float], None]) -> None:
    hung = Hung()
    hung.killed(1, USER)
    hung.see({1})
    assert hung.is_pending(USER) and not hung.leaves_alone(USER)
    hung.see(())
    assert not hung.is_pending(USER)


def test_after_the_first_its_user_is_left_alone_for_minutes_and_after_the_second_for_good(
    wait: Callable[[float], None],
) -> None:
    hung = Hung()
    elsewhere, other = (666, 4711), (7, HOME)
    for number, for_good in ((1, False), (2, True)):
        hung.killed(number, USER)
        wait(DYING_SECONDS)
        hung.see({1, 2})
        for owner in (USER, elsewhere):
            assert hung.leaves_alone(owner) and hung.is_for_good(owner) is for_good
        assert not hung.leaves_alone(other)
        wait(LEFT_ALONE_SECONDS + 1)
        assert hung.leaves_alone(USER) is for_good


def test_the_hosts_root_is_never_left_alone_for_good_and_not_for_what_a_container_does(
    wait: Callable[[float], None],
) -> None:
    hung = Hung()
    root, container, another = (0, HOME), (0, 4711), (0, 4712)
    for number in (1, 2):
        hung.killed(number, container)
        wait(DYING_SECONDS)
        hung.see({1, 2})
    assert hung.is_for_good(container)
    assert not hung.leaves_alone(root) and not hung.leaves_alone(another)
    for number in (3, 4):
        hung.killed(number, root)
        wait(DYING_SECONDS)
        hung.see({3, 4})
    assert hung.leaves_alone(root) and not hung.is_for_good(root)
    wait(LEFT_ALONE_SECONDS + 1)
    assert not hung.leaves_alone(root)


class Undying(ThreadSpawner):
    """None of its lookers dies of being killed."""

    def look_for_undead(self) -> None:
        self.undead = frozenset(self.killed)


def test_lookers_that_do_not_die_cost_their_user_alone() -> None:
    """In our own namespace, where each failure is a place of its own."""
    released = threading.Event()

    def look_at(record: ExecFailure) -> Look:
        if record.uid == 666:
            released.wait(PATIENCE)
        return Look(Diagnosis("code", "x."))

    hangs = Undying(look_at)
    lookers = Lookers(hangs, deadline=0.3)
    try:
        lookers.submit([(number, failure(number, uid=666)) for number in range(20)])
        results = dict(all_of(lookers, 20))
        wait_for(lambda: len(hangs.killed) == 1)
        told = [look.diagnosis.evidence[0] for look in results.values()]
        assert sum("for the same user" in reason and "for some minutes" in reason for reason in told) == 19
        lookers.submit([(100, failure(100, uid=1000))])
        assert dict(all_of(lookers, 1))[100].diagnosis.code == "code"
        assert len(hangs.killed) == 1
    finally:
        released.set()
        lookers.close()
