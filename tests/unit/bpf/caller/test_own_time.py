"""Time spent waiting for a processor does not count; other time does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from execwhy.bpf.caller import own_time as module
from execwhy.bpf.caller.own_time import own_time, slowness
from tests.unit.crowd import crowded_child
from tests.unit.waiting import PATIENCE


@pytest.fixture(autouse=True)
def usual_pace(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "slowness", lambda: 1.0)
    module._forget()
    yield
    module._forget()


def test_waiting_for_anything_other_than_a_processor_counts() -> None:
    before = own_time()
    time.sleep(0.2)
    assert own_time() - before > 0.19


def starved_by_a_second() -> None:
    """Return once the wall clock is a second ahead of our own, by which no more than we ran has passed."""
    began, own, ran = time.monotonic(), own_time(), time.thread_time()
    while True:
        passed, ours = time.monotonic() - began, own_time() - own
        # Time that was not read yet, and a tick.
        assert ours <= time.thread_time() - ran + 0.05
        if passed - ours > 1.0:
            return
        assert passed < PATIENCE


def test_waiting_for_a_processor_does_not_count() -> None:
    with crowded_child(starved_by_a_second) as child:
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_without_scheduler_statistics_the_wall_clock_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SCHEDSTAT", "/nonexistent")
    before, began = own_time(), time.monotonic()
    time.sleep(0.05)
    assert own_time() - before == pytest.approx(time.monotonic() - began, abs=1.0)
    assert module._read(7.0) == 7.0


def test_a_slow_machine_gets_more_time_for_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "slowness", lambda: 4.0)
    monkeypatch.setattr(module, "_SCHEDSTAT", "/nonexistent")
    module._forget()
    began, before = time.monotonic(), own_time()
    time.sleep(0.2)
    assert 0.2 / 4 - 0.01 < own_time() - before <= (time.monotonic() - began) / 4


@pytest.mark.parametrize(("seconds", "expected"), [(1e-9, 1.0), (0.003, 2.0), (7.0, 10.0)])
def test_the_extra_time_of_a_slow_machine_is_bounded(
    seconds: float, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_work", lambda: seconds)
    slowness.cache_clear()
    assert slowness() == pytest.approx(expected)
    slowness.cache_clear()
