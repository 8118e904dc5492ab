"""Moves events, ends of searches and looks into the history.

The screen pulls; nothing here calls the screen. Work is done in steps, so that a storm of events
never keeps a key waiting.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, Protocol

from execwhy.bpf.events.arrivals import Arrival, Burst, Failure, Occurrence, Report
from execwhy.bpf.events.record import Diagnosis, ExecFailure, Look
from execwhy.bpf.events.source import EventSource
from execwhy.tui.model.history.store import History
from execwhy.tui.model.search.searches import Searches
from execwhy.tui.why.causes import unseen
from execwhy.tui.why.lookers.fair_queue import EventIds

_STEP: Final = 256
"""Reports taken in between two checks of the clock: a few milliseconds at most."""

_STEP_EVENTS: Final = 4096
"""Events in these reports, some of which may be bursts: a few milliseconds if each is looked at."""

_LOOKS: Final = 16
"""Looks taken at a time: the rest waits in a queue where each user has a share."""


class Looking(Protocol):
    """The interface of ``tui.why.lookers.Lookers``, which has failures looked at."""

    @property
    def problem(self) -> str:
        """One sentence if causes can no longer be looked for, else ""."""

    @property
    def is_looking(self) -> bool:
        """Whether causes are being looked for, as far as is known."""

    @property
    def is_busy(self) -> bool:
        """Whether a failure waits or is being looked at."""

    def submit(self, failures: Iterable[tuple[int, Failure | Burst]]) -> None:
        """Queue failures, oldest first, each with its event id; a burst has the id of its first event."""

    def prefer(self, failures: Iterable[tuple[int, Failure]]) -> None:
        """Look at these failures first."""

    def results(self, most: int | None = None) -> Sequence[tuple[EventIds, Look]]:
        """Take about ``most`` looks that have come, in turns between users; None: all of them."""

    def close(self) -> None:
        """Stop looking."""


class Changed:
    """Ids of events that have changed, in ascending pieces: a storm has many, and only few are on screen."""

    def __init__(self, pieces: Sequence[Sequence[int] | EventIds] = ()) -> None:
        self._single = {int(piece[0]) for piece in pieces if len(piece) == 1}
        self._pieces = [piece for piece in pieces if len(piece) > 1]

    def __contains__(self, event_id: int | None) -> bool:
        if event_id is None or event_id in self._single:
            return event_id is not None
        places = ((piece, bisect_left(piece, event_id)) for piece in self._pieces)
        return any(at < len(piece) and piece[at] == event_id for piece, at in places)


class Arrivals:
    """Takes events from a source, and the results of lookers, into the history.

    Args:
        source: The source of the events.
        history: The history that takes them.
        lookers: They look at each failure; None: nothing is diagnosed.
        on_cause: Called with each cause that was found, and the number of events that it is for.
    """

    def __init__(
        self,
        source: EventSource,
        history: History,
        lookers: Looking | None,
        on_cause: Callable[[Diagnosis, int], None] | None = None,
    ) -> None:
        self._on_cause = on_cause
        self._source = source
        self._history = history
        self._lookers = lookers
        self._searches = Searches(history.end_id)
        self._ends_lost = 0
        self._behind: Collection[int] = ()
        self._taken = 0
        self._waiting: deque[Sequence[Report]] = deque()
        self._looks: deque[tuple[EventIds, Look]] = deque()
        self._has_more_looks = False
        self._diagnosed: list[EventIds] = []
        self._ended: list[int] = []
        self._step: Sequence[Report] = ()
        self._has_more = False
        # Events whose look was dropped, and that wait for a second one.
        self._second: set[int] = set()

    @property
    def are_diagnosed(self) -> bool:
        """Whether each record gets a diagnosis sooner or later."""
        return self._lookers is not None

    @property
    def lack_causes(self) -> bool:
        """Whether causes are not being found, at least for the moment."""
        return self._lookers is not None and not self._lookers.is_looking

    @property
    def problem(self) -> str:
        """One sentence if causes can no longer be looked for, else ""."""
        return "" if self._lookers is None else self._lookers.problem

    @property
    def taken(self) -> int:
        """How many failed execs have gone into the history so far."""
        return self._taken

    @property
    def wait(self) -> bool:
        """Whether the last pull ended before it had taken in everything, or looks still wait."""
        return self._has_more or self._has_more_looks

    def untaken(self) -> list[Report]:
        """Return reports that have not reached the history: a failed step, what waits, the source's rest.

        Close the source. If the source fails as well, its rest is missing.
        """
        reports = [*self._step, *(report for waiting in self._waiting for report in waiting)]
        with suppress(Exception):
            # In a storm, a source that is still open would never be empty.
            self._source.close()
            while came := self._source.drain():
                reports += came
        return reports

    def pull(self, seconds: float, is_urgent: Callable[[], bool] = lambda: False) -> bool:
        """Append what has come, for about this long; return whether there was anything.

        Args:
            seconds: How long to continue.
            is_urgent: Called between steps; returns whether to stop because something else must be done now.
        """
        # Events that cannot be taken in yet wait in the source, which bounds them and counts what is lost.
        deadline = time.monotonic() + seconds
        appended = self._has_more = False
        while self._waiting or self._drain():
            reports = self._waiting.popleft()
            step = reports[: _reports_in_step(reports)]
            if len(reports) > len(step):
                self._waiting.appendleft(reports[len(step) :])
            self._step = step
            behind = None if self._waiting else self._behind
            self._append(self._searches.take(step, time.monotonic_ns(), self._ends_lost, behind))
            self._step = ()
            appended = True
            if time.monotonic() >= deadline or is_urgent():
                self._has_more = True
                break
        else:
            self._append(self._searches.take((), time.monotonic_ns(), self._ends_lost))
        return appended

    def _drain(self) -> bool:
        came = self._source.drain()
        if came:
            self._waiting.append(came)
            status = self._source.status()
            self._ends_lost, self._behind = status.counters.ends_lost, status.behind
        return bool(came)

    def take_searches(self) -> Changed:
        """Record in the history how searches have ended; return the ids of their events.

        Raises:
            Exception: The first fault. The failed result is lost; all others are in the history.
        """
        fault = None
        for event_id, search in self._searches.ended():
            try:
                self._history.set_search(event_id, search)
            except Exception as error:
                fault = fault or error
                continue
            self._ended.append(event_id)
        if fault is not None:
            raise fault
        ended, self._ended = self._ended, []
        return Changed([sorted(ended)])

    def _append(self, events: Sequence[Arrival]) -> None:
        event_ids = self._history.append(events)
        self._taken += len(event_ids) - sum(event.failure is None for event in events)
        if self._lookers is not None and events:
            self._lookers.submit(_undiagnosed(events, event_ids.start))

    def prefer(self, event_ids: Iterable[int]) -> None:
        """Diagnose these before all others, because they are on the screen."""
        if self._lookers is None:
            return
        wanted: list[tuple[int, ExecFailure]] = []
        for event_id in event_ids:
            try:
                event = self._history[event_id]
            except KeyError:
                continue
            failure = event.failure
            if failure is None:
                continue
            if failure.diagnosis is not None and unseen.was_dropped(failure.diagnosis):
                self._second.add(event_id)
            elif failure.diagnosis is not None:
                continue
            wanted.append((event_id, failure))
        self._lookers.prefer(wanted)

    def take_diagnoses(self, seconds: float = math.inf) -> Changed:
        """Put diagnoses into the history for about this long; return the ids of the events.

        Raises:
            Exception: The first fault. The failed look is lost; all others are in the history or wait.
        """
        if self._lookers is None:
            return Changed()
        deadline, fault = time.monotonic() + seconds, None
        self._has_more_looks = False
        while self._looks or self._take_looks(self._lookers):
            event_ids, look = self._looks.popleft()
            try:
                self._history.set_looks(event_ids, look)
            except Exception as error:
                fault = fault or error
                continue
            self._diagnosed.append(event_ids)
            second = self._second.intersection(event_ids.tolist()) if self._second else ()
            self._second.difference_update(second)
            if self._on_cause is not None and len(event_ids) > len(second):
                self._on_cause(look.diagnosis, len(event_ids) - len(second))
            if time.monotonic() >= deadline:
                self._has_more_looks = True
                break
        if fault is not None:
            raise fault
        diagnosed, self._diagnosed = self._diagnosed, []
        return Changed(diagnosed)

    def _take_looks(self, lookers: Looking) -> bool:
        self._looks += lookers.results(_LOOKS)
        return bool(self._looks)

    def close(self) -> None:
        """Stop diagnosing."""
        if self._lookers is not None:
            self._lookers.close()


def _undiagnosed(
    events: Iterable[Arrival], first_id: int
) -> Iterator[tuple[int, ExecFailure | Occurrence | Burst]]:
    event_id = first_id
    for event in events:
        failure = event.failure
        if failure is not None and failure.template.diagnosis is None:
            yield event_id, failure
        event_id += event.event_count


def _reports_in_step(reports: Sequence[Report]) -> int:
    """Return how many of these reports to take in before the next check of the clock."""
    events = 0
    for number, report in enumerate(reports[:_STEP], 1):
        events += report.event_count
        if events >= _STEP_EVENTS:
            return number
    return _STEP
