"""PATH searches: which failed execs are tries of one, and how it ended.

execvp(3) and its relatives try a name in each directory of PATH: successive execs of one task for one name
in different directories. The kernel program reports when a task whose last exec failed succeeds with
another or ends. A search ends with that report, with a failure for another name, with a failure in a
directory that was tried before (a new search, or a retry) or that is not in PATH, or 2 s after its last try.
Losses do not end it.

A search has found nothing if its end was seen and was no success, or if its last try was in the last
directory of PATH. If it timed out before that, the task may still find its program: the search is "open".
It is also "open" if its true end may be among those that were lost.

A search has found its program if the exec that succeeds is of that name, and further on in PATH than the
tries. A try whose error ends execvp(3) is never hidden: it represents a search that found nothing, or is not
part of one. A single try is a search only if the name was then found. Where PATH was not read, a search has
tries in at least two directories.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from execwhy.bpf.events.arrivals import Arrival, Burst, Failure, Report, SearchEnd, expand_bursts
from execwhy.bpf.events.record import ExecFailure, Outcome, Search
from execwhy.bpf.events.users import user_of
from execwhy.tui.model.search.open_search import TIMEOUT, OpenSearch
from execwhy.tui.model.search.open_searches import OpenOfUser, OpenSearches
from execwhy.tui.model.search.refolding import Refolding
from execwhy.tui.model.search.search_path import as_try, name_of

MOST_OPEN: Final = 16_384
"""Searches at once: as many tasks as the kernel program follows. Beyond that, and beyond ``MOST_TRIES``,
the oldest searches of the user who has the most are ended."""

MOST_TRIES: Final = 65_536
"""Tries of all open searches, of 64 bytes of path each: the memory that a process can use up by trying new
ones."""

_ENDED_AT_ONCE: Final = 64
"""A 64th of ``MOST_OPEN`` is ended at a time, so that the largest user is looked up once for many."""


class Searches:
    """Finds the searches in the reports of a source, in the order in which they come.

    Events are numbered as ``take`` returns them. Where all of them go into one History, and nothing
    else does, the numbers are its ids.

    Args:
        first: The first event's number: the history's ``end_id``.
        on_closed: Called with the numbers of events whose search is decided: those to which neither ``take``
            nor ``ended`` gives a search have none.
    """

    def __init__(self, first: int = 0, on_closed: Callable[[Iterable[int]], None] | None = None) -> None:
        self._end = first
        self._on_closed = on_closed
        self._open = OpenSearches()
        # The record of the latest try, if it is its task's only one and PATH names its directory once.
        self._only: tuple[ExecFailure, int, int, OpenSearch] | None = None
        self._refolding = Refolding(MOST_OPEN, MOST_TRIES)
        self._ended: dict[int, Search] = {}
        self._last_id = 0
        self._ends_lost = 0
        self._lost_at = 0
        self._reached = 0
        self._since = 0

    def take(
        self, reports: Sequence[Report], now: int, ends_lost: int = 0, behind: Collection[int] | None = ()
    ) -> list[Arrival]:
        """Take in reports and return their events, with ``search`` set where it is known.

        If a burst is among them, ``ended`` returns all searches instead.

        Args:
            reports: The next reports of the source, without a gap. Empty: there are no more for now.
            now: Nanoseconds of a clock that does not jump, such as time.monotonic_ns.
            ends_lost: How many ends of searches may have been lost so far.
            behind: Users, as ``user_of`` returns them, whose reports still wait at the source: the reports of
                others do not show how far their time has advanced. None means that any user may be one.

        Returns:
            The events, in the order in which they came.
        """
        if reports:
            self._reached = max(report.timestamp for report in reports)
            self._since = now
        if ends_lost > self._ends_lost:
            self._ends_lost, self._lost_at = ends_lost, self._reached
        first = self._end
        events: list[Arrival] = []
        for report in reports:
            if isinstance(report, Burst):
                self._take_burst(report)
                events.append(report)
                continue
            if isinstance(report, SearchEnd):
                self._take_end(report)
                continue
            failure = report.failure
            if failure is not None and not self._is_retry(failure):
                self._take_failure(failure)
            events.append(report)
            self._end += 1
        self._expire(self._reached + (now - self._since), behind)
        if len(events) == self._end - first:
            for number in [number for number in self._ended if number >= first]:
                event = next(expand_bursts(events[number - first : number - first + 1]))
                failure = event.failure
                assert failure is not None
                events[number - first] = replace(failure.materialize(), search=self._ended.pop(number))
        return events

    def ended(self) -> list[tuple[int, Search]]:
        """Return the number and search of events that ``take`` returned earlier; each search once."""
        ended, self._ended = self._ended, {}
        return list(ended.items())

    def is_open(self, task: int, number: int) -> bool:
        """Return whether this event of a task may still prove to be a try of a search."""
        tries = self._open.by_task.get(task)
        return tries is not None and tries.has(number)

    def give_up(self) -> None:
        """End all searches as "open": how they end is not known."""
        for task in list(self._open.by_task):
            self._finish(task, "open")

    def give_up_try(self, task: int, number: int) -> None:
        """End the search that this event may be a try of as "open": how it ends is not known."""
        if self.is_open(task, number):
            self._finish(task, "open")

    def _take_burst(self, burst: Burst) -> None:
        """Take in the first failures of a burst, until the rest are retries; if none is a try, only one."""
        if burst.template.search is None and not as_try(burst.last).name:
            self._take_failure(burst[0])
            self._end += len(burst)
            return
        for at in range(len(burst)):
            left = len(burst) - at
            if self._is_retry(burst.last, left):
                self._end += left
                return
            self._take_failure(burst[at])
            self._end += 1

    def _is_retry(self, failure: Failure, count: int = 1) -> bool:
        """Return whether the latest task repeats its only try, as in most storms; if so, take it in.

        Args:
            failure: The failure, or the last of several that differ only in time.
            count: How many they are.
        """
        if self._only is None:
            return False
        record, task, tid, tries = self._only
        if failure.template is not record or failure.task != task or failure.tid != tid:
            return False
        if tries.is_over(failure.timestamp):
            return False
        self._close(tries)
        tries.retried(failure.timestamp, self._end + count - 1)
        return True

    def _take_failure(self, failure: Failure) -> None:
        record, task, timestamp = failure.template, failure.task, failure.timestamp
        self._only = None
        if record.search is not None:
            self._ended.update(self._refolding.take(record, record.search, self._end))
            return
        if not task:
            return
        tried = as_try(failure)
        tries = self._open.by_task.get(task)
        if tries is not None:
            if not tries.is_of(failure.tid):
                self._finish(task, "open")
            elif tries.is_over(timestamp):
                self._time_out(task)
            elif not tries.goes_on(record.path or "", tried):
                self._begin_anew(task, tries, tried.name)
        if tried.name and record.path is not None:
            # Taken out and put in again, so that the first in order is the one that has waited longest.
            known = self._open.take_out(task)
            tries = known or OpenSearch(tried.name, user_of(record.uid), failure.tid, tried.path)
            tries.add(record.path, record.return_value, timestamp, self._end)
            self._open.put_in(task, tries)
            if len(tries) == 1 and tried.times < 2:
                self._only = record, task, failure.tid, tries
            self._hold_bounds()

    def _begin_anew(self, task: int, tries: OpenSearch, name: str) -> None:
        """End a search that has found nothing: the next try is of another search, or a retry."""
        if tries.in_one_place and tries.name == name:
            # A storm does this over and over.
            self._close(tries)
            self._open.forget_tries(tries)
        else:
            self._finish_unfound(task)

    def _take_end(self, end: SearchEnd) -> None:
        tries = self._open.by_task.get(end.task)
        if tries is None:
            return
        if tries.is_over(end.timestamp):
            self._time_out(end.task)
        elif end.found_path is None or name_of(end.found_path) != tries.name:
            self._finish_unfound(end.task)
        elif tries.may_find(end.found_path):
            self._finish(end.task, "found", end.found_path)
        elif tries.path_is_read:
            self._finish_unfound(end.task)
        else:
            # Without PATH it may have been found; a row is hidden only if that is certain.
            self._finish(end.task, "open")

    def _finish_unfound(self, task: int) -> None:
        """End a search as "not-found"; as "open" if a lost report may have said that it found its program."""
        tries = self._open.by_task[task]
        may_be_lost = self._lost_at + TIMEOUT > tries.last
        self._finish(task, "open" if may_be_lost and not tries.is_exhausted else "not-found")

    def _time_out(self, task: int) -> None:
        """End a search that has timed out: its next try may still be under way."""
        self._finish(task, "not-found" if self._open.by_task[task].is_exhausted else "open")

    def _finish(self, task: int, outcome: Outcome, found_path: str | None = None) -> None:
        tries = self._open.take_out(task)
        assert tries is not None
        self._only = None
        self._close(tries)
        results = tries.results(self._last_id + 1, outcome, found_path)
        if results:
            self._last_id += 1
            self._ended.update(results)

    def _close(self, tries: OpenSearch) -> None:
        if self._on_closed is not None:
            self._on_closed(tries.numbers)

    def _hold_bounds(self) -> None:
        while len(self._open.by_task) > MOST_OPEN:
            self._end_some_of(self._open.with_most_searches())
        while self._open.weight > MOST_TRIES:
            self._end_some_of(self._open.with_most_weight())

    def _end_some_of(self, of_user: OpenOfUser) -> None:
        for task in list(islice(of_user.tasks, max(1, MOST_OPEN // _ENDED_AT_ONCE))):
            self._finish(task, "open")

    def _expire(self, reached: int, behind: Collection[int] | None) -> None:
        """End the searches that have timed out, judged by the time that their user's reports have reached."""
        for user, of_user in list(self._open.users.items()):
            until = of_user.reached if behind is None or user in behind else reached
            while of_user.tasks and self._open.by_task[longest := next(iter(of_user.tasks))].is_over(until):
                self._time_out(longest)
