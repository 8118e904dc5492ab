"""The diagnosing thread: nobody waits for it, what is visible goes first, a storm is looked at once."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bpf.record import Again, Burst, Diagnosis, ExecFailure
from tests.unit.waiting import PATIENCE, wait_for
from tests.unit.why.failing import a_failure
from tui.why import worker
from tui.why.worker import Diagnostician


class Slow:
    """A diagnosis that waits until it may go on, and tells what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.may_go_on = threading.Semaphore(0)

    def __call__(self, record: ExecFailure) -> Diagnosis:
        self.asked.append(record.path)
        assert self.may_go_on.acquire(timeout=PATIENCE)
        return Diagnosis("code", f"{record.path}.")


def failure(number: int) -> ExecFailure:
    return a_failure(f"/missing/{number}", errno.ENOENT)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def diagnostician(slow: Slow) -> Iterator[Diagnostician]:
    made = Diagnostician(slow)
    yield made
    made.close()
    slow.may_go_on.release(1000)


def all_of(diagnostician: Diagnostician, count: int) -> list[tuple[int, Diagnosis]]:
    results: list[tuple[int, Diagnosis]] = []

    def enough() -> bool:
        results.extend(
            (event_id, diagnosis)
            for event_ids, diagnosis in diagnostician.results()
            for event_id in event_ids
        )
        return len(results) >= count

    wait_for(enough)
    return results


def test_the_newest_goes_first_after_those_that_are_preferred(
    slow: Slow, diagnostician: Diagnostician
) -> None:
    diagnostician.submit([(0, failure(0))])
    wait_for(lambda: len(slow.asked) == 1)
    for number in range(1, 6):
        diagnostician.submit([(number, failure(number))])
    diagnostician.prefer([(number, failure(number)) for number in (2, 3)])
    slow.may_go_on.release(6)
    results = all_of(diagnostician, 6)
    assert [event_id for event_id, _ in results] == [0, 2, 3, 5, 4, 1]


def test_beyond_the_bound_the_oldest_is_dropped(
    slow: Slow, diagnostician: Diagnostician, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MAX_WAITING", 3)
    diagnostician.submit([(0, failure(0))])
    wait_for(lambda: len(slow.asked) == 1)
    for number in range(1, 10):
        diagnostician.submit([(number, failure(number))])
    assert diagnostician.waiting == 3
    slow.may_go_on.release(4)
    assert {event_id for event_id, _ in all_of(diagnostician, 4)} == {0, 7, 8, 9}


def test_a_storm_of_one_failure_is_looked_at_only_when_the_last_look_is_done(
    slow: Slow, diagnostician: Diagnostician
) -> None:
    diagnostician.submit([(0, a_failure("/missing/one", errno.ENOENT))])
    wait_for(lambda: len(slow.asked) == 1)
    for number in range(1, 500):
        diagnostician.submit([(number, a_failure("/missing/one", errno.ENOENT, pid=number))])
    slow.may_go_on.release(1000)
    assert len(all_of(diagnostician, 500)) == 500
    assert len(slow.asked) == 3, "the first, and of the others the newest and the oldest"


def burst(path: str, error: int, times: range) -> Burst:
    first = a_failure(path, error)
    return Burst(Again(first, times[-1], 1, 1, 1, None), np.array(times))


def test_a_burst_is_looked_at_as_its_execs_would_be_one_by_one(
    slow: Slow, diagnostician: Diagnostician
) -> None:
    diagnostician.submit([(0, failure(0))])
    wait_for(lambda: len(slow.asked) == 1)
    diagnostician.submit([(1, burst("/missing/one", errno.ENOENT, range(100))), (101, failure(2))])
    diagnostician.submit([(102, burst("/missing/one", errno.ENOENT, range(200, 250)))])
    assert diagnostician.waiting == 3 + 1, "a burst counts for few, since each of it takes eight bytes"
    slow.may_go_on.release(1000)
    assert sorted(event_id for event_id, _ in all_of(diagnostician, 152)) == list(range(152))
    assert slow.asked == ["/missing/0", "/missing/one", "/missing/one", "/missing/2"]
    assert diagnostician.waiting == 0


def test_bursts_are_looked_at_apart_where_the_cause_is_their_moment_s(
    slow: Slow, diagnostician: Diagnostician
) -> None:
    slow.may_go_on.release(1000)
    early, late = (burst("/bin/true", errno.E2BIG, range(at, at + 20)) for at in (0, 100))
    diagnostician.submit([(5, early), (25, late)])
    assert sorted(event_id for event_id, _ in all_of(diagnostician, 40)) == list(range(5, 45))
    assert len(slow.asked) == 4, "the newest and the oldest of each"


def test_a_burst_that_has_waited_longest_is_dropped_as_a_whole(
    slow: Slow, diagnostician: Diagnostician, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MAX_WAITING", 8)
    diagnostician.submit([(0, failure(0))])
    wait_for(lambda: len(slow.asked) == 1)
    for number in range(10):
        diagnostician.submit([(1 + number * 200, burst("/missing/one", errno.ENOENT, range(200)))])
    assert diagnostician.waiting == 8
    slow.may_go_on.release(1000)
    assert sorted(event_id for event_id, _ in all_of(diagnostician, 401)) == [0, *range(1601, 2001)]


def test_what_is_looked_at_or_was_told_is_not_looked_at_once_more(
    slow: Slow, diagnostician: Diagnostician
) -> None:
    diagnostician.submit([(0, failure(0))])
    wait_for(lambda: len(slow.asked) == 1)
    for _ in range(3):
        diagnostician.prefer([(0, failure(0)), (1, failure(1)), (1, failure(1))])
    assert diagnostician.waiting == 1
    slow.may_go_on.release(1000)
    wait_for(lambda: len(slow.asked) == 2)
    diagnostician.prefer([(0, failure(0))])
    assert sorted(event_id for event_id, _ in all_of(diagnostician, 2)) == [0, 1]
    assert slow.asked == ["/missing/0", "/missing/1"]


def test_what_is_preferred_though_it_waits_already_is_diagnosed_once(
    slow: Slow, diagnostician: Diagnostician
) -> None:
    diagnostician.submit([(0, failure(0))])
    wait_for(lambda: len(slow.asked) == 1)
    diagnostician.submit([(1, burst("/missing/one", errno.ENOENT, range(9))), (10, failure(2))])
    diagnostician.prefer([(4, burst("/missing/one", errno.ENOENT, range(9))[3])])
    slow.may_go_on.release(1000)
    results = all_of(diagnostician, 11)
    assert [event_id for event_id, _ in results[:2]] == [0, 4]
    assert slow.asked == ["/missing/0", "/missing/one", "/missing/one", "/missing/2"]
    assert sorted(event_id for event_id, _ in results) == list(range(11))


def test_failures_that_differ_in_what_matters_are_each_diagnosed(
    slow: Slow, diagnostician: Diagnostician
) -> None:
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
    for number, variant in enumerate(variants):
        diagnostician.submit([(number, a_failure("/x", errno.EACCES, **{**variant, "timestamp": 1}))])
    all_of(diagnostician, len(variants))
    assert len(slow.asked) == len(variants)


def test_an_error_inside_becomes_a_diagnosis() -> None:
    def broken(_: ExecFailure) -> Diagnosis:
        raise RuntimeError("boom")

    diagnostician = Diagnostician(broken)
    diagnostician.submit([(1, failure(1))])
    (result,) = all_of(diagnostician, 1)
    diagnostician.close()
    assert result[1].code == "diagnosis-failed"
    assert not result[1].certain


def test_closing_twice_is_no_error_and_does_not_wait(slow: Slow) -> None:
    diagnostician = Diagnostician(slow)
    diagnostician.submit([(1, failure(1))])
    wait_for(lambda: len(slow.asked) == 1)
    diagnostician.close()
    diagnostician.close()
    slow.may_go_on.release()
