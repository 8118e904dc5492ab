"""The time of another process: what it runs and waits for, without its waits for a processor."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from execwhy.tui.why.lookers import process_clock
from execwhy.tui.why.lookers.process_clock import ProcessClock, clock_of
from tests.unit.crowd import crowded_child
from tests.unit.waiting import wait_for


@pytest.fixture(autouse=True)
def usual_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_clock, "slowness", lambda: 1.0)


@pytest.fixture
def sleeper() -> Iterator[int]:
    pid = os.fork()
    if pid == 0:
        while True:
            time.sleep(3600)
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def spin() -> None:
    while True:
        pass


def test_what_a_process_waits_for_counts(sleeper: int) -> None:
    clock = ProcessClock(*clock_of(sleeper))
    wait_for(lambda: clock.spent() >= 1.0)
    clock.begin()
    assert clock.spent() < 1.0
    clock.close()


def test_what_it_runs_counts_and_what_others_run_in_its_place_does_not() -> None:
    with crowded_child(spin) as child:
        clock = ProcessClock(*clock_of(child))
        began = time.monotonic()
        wait_for(lambda: time.monotonic() - began - clock.spent() > 1.0)
        wait_for(lambda: clock.spent() > 0.1)
        clock.close()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_of_a_process_that_is_gone_there_is_only_the_wall_clock() -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
    clock = ProcessClock(*clock_of(pid))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_for(lambda: clock.spent() >= 0.1)
    clock.close()
    assert clock_of(pid) == []
