"""The kept events of one source, and a way to know that no more are on their way."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from typing import Final, Protocol

from execwhy.bpf.caller.lookup import Files
from execwhy.bpf.events import clock
from execwhy.bpf.events.arrivals import Burst, Occurrence, Report, SearchEnd, expand_bursts
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import Counters, EventSource, Stage
from tests.live.exec_child import PATIENCE

_POLL = 0.2

PLAN = os.environ.get("EXECWHY_TEST_PLAN")
"""The hook plan of all test sources; None for the best one."""


_LOADING_SECONDS: Final = 600.0
"""Seconds for compiling and attaching: minutes for two plans at once in a busy emulated guest."""


class LiveSource(EventSource, Protocol):
    """The interface of the kernel's source beyond ``EventSource``."""

    def wait(self, seconds: float) -> None:
        """Sleep until there is something to drain, at most that long."""


class Listener:
    """Drains a source and keeps everything, events of other tests and programs included."""

    def __init__(self, source: LiveSource) -> None:
        self.source = source
        self.failures: list[ExecFailure] = []
        self.losses: list[Loss] = []
        self.search_ends: list[SearchEnd] = []
        self._lost_when_settled = 0
        self.in_bursts = 0

    @property
    def plan(self) -> str | None:
        """Return the hook plan of the source."""
        return self.source.status().origin.plan

    @property
    def counters(self) -> Counters:
        """Return the current counters."""
        return self.source.status().counters

    def start(self) -> None:
        """Start the source, and return once its hooks are attached.

        Raises:
            RuntimeError: It failed; the message is the source's own.
        """
        self.source.start()
        deadline = time.monotonic() + _LOADING_SECONDS
        while (status := self.source.status()).stage is not Stage.LIVE:
            if status.stage is Stage.FAILED or time.monotonic() > deadline:
                raise RuntimeError(f"{status.stage.value}: {status.detail}")
            time.sleep(_POLL)

    def take(self) -> None:
        """Take what there is."""
        reports = drained(self.source)
        self.in_bursts += sum(len(report) for report in reports if isinstance(report, Burst))
        for event in expand_bursts(reports):
            self._keep(event)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Take events until the condition holds.

        Raises:
            TimeoutError: The condition did not become true.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            self.take()
            if condition():
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {PATIENCE:.0f} s; {self.source.status()}")
            self.source.wait(_POLL)

    def catch_up(self) -> None:
        """Take every event of an exec that failed before this call.

        Make an exec fail and wait for its event: the events of earlier execs come before it. If
        something was lost, it may have been that event, so try again.
        """
        path = f"/execwhy-caught-up/{uuid.uuid4()}"
        lost = self.counters.lost
        fail_to_exec(path)

        def has_come() -> bool:
            nonlocal lost
            if any(failure.path == path for failure in reversed(self.failures)):
                return True
            if self.counters.lost != lost:
                lost = self.counters.lost
                fail_to_exec(path)
            return False

        self.until(has_come, "catching up")

    def settle(self) -> None:
        """Take what nobody has taken, such as another test's storm: else there is no room for what comes."""
        self.take()
        if self.counters.lost != self._lost_when_settled:
            self.catch_up()
            self._lost_when_settled = self.counters.lost

    def records_of(self, pid: int, since: int) -> list[ExecFailure]:
        """Return all records so far of the execs of a process since a time (CLOCK_REALTIME)."""
        self.catch_up()
        # Pids are reused; the clock may have been set by a fraction of a second in between.
        return [
            failure
            for failure in self.failures
            if failure.pid == pid and failure.timestamp > since - 1_000_000_000
        ]

    def records_with(self, argument: str) -> list[ExecFailure]:
        """Return all records so far that have this argument."""
        self.catch_up()
        return [failure for failure in self.failures if argument in failure.arguments]

    def _keep(self, event: ExecFailure | Occurrence | Loss | SearchEnd) -> None:
        if isinstance(event, ExecFailure | Occurrence):
            record = event.materialize() if isinstance(event, Occurrence) else event
            self.failures.append(completed(record))
        elif isinstance(event, Loss):
            self.losses.append(event)
        else:
            self.search_ends.append(event)


def drained(source: EventSource) -> list[Report]:
    """Return everything that a source has."""
    found: list[Report] = []
    while reports := source.drain():
        found += reports
    return found


def completed(record: ExecFailure) -> ExecFailure:
    """Return the record with the file that its path names, as a looker finds it, but without a diagnosis."""
    found = _FILES.complete(record, clock.now())
    assert isinstance(found, ExecFailure)
    return found


_FILES: Final = Files()


def fail_to_exec(path: str, *arguments: str) -> None:
    """Exec a path that does not exist, from a child of its own, in whose memory no thread of ours runs."""
    child = os.fork()
    if not child:
        try:
            os.execve(path, [path or "no path", *arguments], {})
        except FileNotFoundError:
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(f"{path} could be executed, or failed otherwise")


def add_up(counters: Counters) -> bool:
    """Return whether all execs that were seen are recorded, suppressed or lost."""
    return (
        counters.seen
        == counters.recorded + counters.suppressed + counters.lost
        == (counters.recorded + counters.suppressed + sum(counters.losses.values()))
    )
