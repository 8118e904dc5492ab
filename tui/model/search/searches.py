"""PATH searches: which failed execs are tries of one, and how it ended.

execvp(3) and its kin try a name in each directory of PATH: successive execs of one task for one name
in different directories. The kernel program reports when a task whose last exec failed has succeeded
with another or has ended. A search ends with that, with a failure for another name or in a directory
that was tried before (a new search, or a retry) or that is none of PATH, or 2 s after its last try.
Losses do not end it.

It has found nothing if its end was seen and was no success, or if its last try was in the last directory of
PATH. If time has run out before that, the task may still find its program: the search is "open". It is also
"open" if its true end may be among those that were lost.

It has found its program if what succeeds is of that name, and further on in PATH than what was tried.
A try whose error ends execvp(3) is never hidden: it stands for a search that found nothing, or is none.
A single try is a search only where the name was then found. Where PATH was not read, a search has tries
in two directories at least.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from execwhy.bpf.events.arrivals import Arrival, Burst, Failure, Report, SearchEnd, expand_bursts
from execwhy.bpf.events.record import Attempt, ExecFailure, Outcome, Search
from execwhy.bpf.events.users import user_of
from execwhy.tui.model.search.refolding import Refolding
from execwhy.tui.model.search.representative import MOST_ATTEMPTS, supersedes
from execwhy.tui.model.search.search_path import CONTINUING, SearchPath, Try, as_try, in_default_path, name_of

TIMEOUT: Final = 2_000_000_000
"""Nanoseconds to wait for the next try. It usually follows within microseconds, but a slow network disk can
hold it up for longer."""

MOST_OPEN: Final = 16_384
"""Searches at once: as many tasks as the kernel program follows. Beyond that, and beyond ``MOST_TRIES``,
the oldest ones end of the user who has most."""

MOST_TRIES: Final = 65_536
"""Tries of all open searches, of 64 bytes of path each: what a process can take by trying new ones."""

_PATH_OF_ONE: Final = 64

_ENDED_AT_ONCE: Final = 64
"""One in so many of ``MOST_OPEN`` is ended at a time, so that the user is looked for once for many."""


class _Tries:
    """Successive failed execs of one task for one name.

    Attributes:
        name: What was searched for.
        user: Whose they are, as of ``user_of``.
        last: Timestamp of the last try.
        weight: How much they are of ``MOST_TRIES``.
    """

    def __init__(self, name: str, user: int, tid: int, path: SearchPath | None) -> None:
        self.name = name
        self.user = user
        self.last = 0
        self._tid = tid
        self._path = path
        self._own_weight = 0 if path is None else len(path.value) // _PATH_OF_ONE
        self.weight = self._own_weight
        self._made: list[tuple[int, Attempt]] = []
        self._times: dict[str, int] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._made)

    def has(self, number: int) -> bool:
        """Whether the event of that number is one of them."""
        at = bisect_left(self._made, number, key=lambda one: one[0])
        return at < len(self._made) and self._made[at][0] == number

    def add(self, path: str, return_value: int, timestamp: int, number: int) -> None:
        """One more try."""
        self._made.append((number, Attempt(path, return_value)))
        self.weight += _weight_of(path)
        self._times[path] = self._times.get(path, 0) + 1
        self.last = timestamp

    def is_of(self, tid: int) -> bool:
        """Whether this exec's task is the same, as far as one can tell: a task's address is used again."""
        return tid == self._tid

    @property
    def numbers(self) -> list[int]:
        """Those of their events."""
        return [number for number, _ in self._made]

    def retried(self, timestamp: int, number: int) -> None:
        """Its only try was made once more; the new one stands for it."""
        self._made[0] = number, self._made[0][1]
        self.last = timestamp

    def goes_on(self, path: str, tried: Try) -> bool:
        """Whether this exec is the next try. PATH may name a directory twice."""
        if tried.name != self.name:
            return False
        times = self._times.get(path, 0)
        return not times or times < tried.times

    def is_over(self, timestamp: int) -> bool:
        """Whether too much time had gone by then."""
        return timestamp - self.last >= TIMEOUT

    def forget(self) -> None:
        """Begin anew, for the same name."""
        self.weight = self._own_weight
        self._made.clear()
        self._times.clear()

    def may_find(self, path: str) -> bool:
        """Whether an exec of this path that succeeded was the next try."""
        if path in self._times and (self.in_one_place or self._path is None):
            return False
        if self._path is None:
            return in_default_path(path)
        return self._path.comes_after(path, self._made[-1][1].path)

    @property
    def is_exhausted(self) -> bool:
        """Whether the last try was in the last directory of PATH, so that nothing can be found any more."""
        last = self._made[-1][1].path
        return self._path is not None and self._path.ends_at(last, self._times[last])

    @property
    def path_is_read(self) -> bool:
        """Whether it is known where the next try may be."""
        return self._path is not None

    @property
    def in_one_place(self) -> bool:
        """Whether all tries were for one path: no search, unless it is then found elsewhere."""
        return len(self._times) < 2

    def told(self, search_id: int, outcome: Outcome, found_path: str | None) -> list[tuple[int, Search]]:
        """What each try's record is to say; nothing where they are no search."""
        made = self._passed_over() if outcome == "found" else self._with_representative()
        fewest = 1 if outcome == "found" and self._path is not None else 2
        if len({attempt.path for _, attempt in made}) < fewest:
            return []
        folded = Search(search_id, self.name, len(made), outcome, found_path, folded=True)
        attempts = tuple(attempt for _, attempt in made[:MOST_ATTEMPTS])
        stands = replace(folded, attempts=attempts, folded=False)
        representative = _representative(made)
        return [(number, stands if number == representative else folded) for number, _ in made]

    def _passed_over(self) -> list[tuple[int, Attempt]]:
        return [one for one in self._made if -one[1].return_value in CONTINUING]

    def _with_representative(self) -> list[tuple[int, Attempt]]:
        """Those after which execvp goes on, and the one whose error it reports."""
        representative = _representative(self._made)
        return [one for one in self._made if -one[1].return_value in CONTINUING or one[0] == representative]


def _representative(made: Sequence[tuple[int, Attempt]]) -> int:
    """The number of the try whose row stands for all."""
    number, value = made[0][0], made[0][1].return_value
    for later, attempt in made[1:]:
        if supersedes(attempt.return_value, value):
            number, value = later, attempt.return_value
    return number


def _weight_of(path: str) -> int:
    return 1 + len(path) // _PATH_OF_ONE


class _OpenOfUser:
    """The open searches of one user.

    Attributes:
        tasks: Their tasks, the one that waits longest first.
        weight: How much their tries are of ``MOST_TRIES``.
        reached: Timestamp of the latest try.
    """

    __slots__ = ("reached", "tasks", "weight")

    def __init__(self) -> None:
        self.reached = 0
        self.tasks: dict[int, None] = {}
        self.weight = 0


class Searches:
    """Finds the searches in what a source hands over, in the order in which it comes.

    Events are numbered as ``take`` returns them. Where all of them go into one History, and nothing
    else does, the numbers are its ids.

    Args:
        first: The first event's number: the history's ``end_id``.
        on_closed: Called with the numbers of events that can be tries of no search any more, but for what
            ``ended`` returns.
    """

    def __init__(self, first: int = 0, on_closed: Callable[[Iterable[int]], None] | None = None) -> None:
        self._end = first
        self._on_closed = on_closed
        self._open: dict[int, _Tries] = {}
        self._users: dict[int, _OpenOfUser] = {}
        # The record of the latest try, while its task has made only this one and may but make it again.
        self._only: tuple[ExecFailure, int, int, _Tries] | None = None
        self._held = 0
        self._refolding = Refolding(MOST_OPEN, MOST_TRIES)
        self._told: dict[int, Search] = {}
        self._last_id = 0
        self._untold = 0
        self._lost_at = 0
        self._reached = 0
        self._since = 0

    def take(
        self, reports: Sequence[Report], now: int, untold: int = 0, behind: Collection[int] | None = ()
    ) -> list[Arrival]:
        """The events in what has come, with ``search`` set where it is known by now and no burst has come.

        Args:
            reports: What the source handed over, without a gap. None means that it has nothing more.
            now: Nanoseconds of a clock that does not jump, such as time.monotonic_ns.
            untold: How many ends of searches may have been lost so far.
            behind: Users, as of ``user_of``, of whom more waits at the source: what has come of others says
                nothing of the time that they have reached. None means any user may be one.

        Returns:
            The events, in the order in which they came.
        """
        if reports:
            self._reached = max(report.timestamp for report in reports)
            self._since = now
        if untold > self._untold:
            self._untold, self._lost_at = untold, self._reached
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
            for number in [number for number in self._told if number >= first]:
                event = next(expand_bursts(events[number - first : number - first + 1]))
                failure = event.failure
                assert failure is not None
                events[number - first] = replace(failure.materialize(), search=self._told.pop(number))
        return events

    def ended(self) -> list[tuple[int, Search]]:
        """Number and search of events that ``take`` returned before that was known; each is told once."""
        told, self._told = self._told, {}
        return list(told.items())

    def is_open(self, task: int, number: int) -> bool:
        """Whether this event of a task may yet turn out to be a try of a search."""
        tries = self._open.get(task)
        return tries is not None and tries.has(number)

    def give_up(self) -> None:
        """End all searches: how they end is not known ("open")."""
        for task in list(self._open):
            self._finish(task, "open")

    def give_up_try(self, task: int, number: int) -> None:
        """End the search of which this event may be a try: how it ends is not known ("open")."""
        if self.is_open(task, number):
            self._finish(task, "open")

    def _take_burst(self, burst: Burst) -> None:
        """Its first ones, until all others are but retries; where it is no try, only the first."""
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
        """Whether it is the only try of the latest task, once more: what a storm mostly consists of.

        Args:
            failure: The one, or the last of several that are alike.
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
            self._told.update(self._refolding.take(record, record.search, self._end))
            return
        if not task:
            return
        tried = as_try(failure)
        tries = self._open.get(task)
        if tries is not None:
            if not tries.is_of(failure.tid):
                self._finish(task, "open")
            elif tries.is_over(timestamp):
                self._time_out(task)
            elif not tries.goes_on(record.path or "", tried):
                self._begin_anew(task, tries, tried.name)
        if tried.name and record.path is not None:
            # Taken out and put in again: the first one in order is the one that waits longest.
            known = self._take_out(task)
            tries = known or _Tries(tried.name, user_of(record.uid), failure.tid, tried.path)
            tries.add(record.path, record.return_value, timestamp, self._end)
            self._put_in(task, tries)
            if len(tries) == 1 and tried.times < 2:
                self._only = record, task, failure.tid, tries
            self._hold_bounds()

    def _begin_anew(self, task: int, tries: _Tries, name: str) -> None:
        """The tries so far have found nothing; what comes next is another search, or a retry."""
        if tries.in_one_place and tries.name == name:
            # What a storm brings over and over.
            before = tries.weight
            self._close(tries)
            tries.forget()
            self._held += tries.weight - before
            self._users[tries.user].weight += tries.weight - before
        else:
            self._finish_unfound(task)

    def _take_end(self, end: SearchEnd) -> None:
        tries = self._open.get(end.task)
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
            # Where PATH was not read it may have been found, but a row is hidden only for what is known.
            self._finish(end.task, "open")

    def _finish_unfound(self, task: int) -> None:
        """End a search without its program, unless an earlier end, which found it, may have been lost."""
        tries = self._open[task]
        may_be_lost = self._lost_at + TIMEOUT > tries.last
        self._finish(task, "open" if may_be_lost and not tries.is_exhausted else "not-found")

    def _time_out(self, task: int) -> None:
        """End a search whose end did not come in time: its next try may still be under way."""
        self._finish(task, "not-found" if self._open[task].is_exhausted else "open")

    def _finish(self, task: int, outcome: Outcome, found_path: str | None = None) -> None:
        tries = self._take_out(task)
        assert tries is not None
        self._only = None
        self._close(tries)
        told = tries.told(self._last_id + 1, outcome, found_path)
        if told:
            self._last_id += 1
            self._told.update(told)

    def _close(self, tries: _Tries) -> None:
        if self._on_closed is not None:
            self._on_closed(tries.numbers)

    def _put_in(self, task: int, tries: _Tries) -> None:
        self._open[task] = tries
        self._held += tries.weight
        of_user = self._users.get(tries.user)
        if of_user is None:
            of_user = self._users[tries.user] = _OpenOfUser()
        of_user.tasks[task] = None
        of_user.reached = max(of_user.reached, tries.last)
        of_user.weight += tries.weight

    def _take_out(self, task: int) -> _Tries | None:
        tries = self._open.pop(task, None)
        if tries is not None:
            self._held -= tries.weight
            of_user = self._users[tries.user]
            of_user.weight -= tries.weight
            del of_user.tasks[task]
            if not of_user.tasks:
                del self._users[tries.user]
        return tries

    def _hold_bounds(self) -> None:
        while len(self._open) > MOST_OPEN:
            self._end_some_of(max(self._users.values(), key=lambda each: len(each.tasks)))
        while self._held > MOST_TRIES:
            self._end_some_of(max(self._users.values(), key=lambda each: each.weight))

    def _end_some_of(self, of_user: _OpenOfUser) -> None:
        for task in list(islice(of_user.tasks, max(1, MOST_OPEN // _ENDED_AT_ONCE))):
            self._finish(task, "open")

    def _expire(self, reached: int, behind: Collection[int] | None) -> None:
        """End what has waited too long, by the time that its user's reports have reached."""
        for user, of_user in list(self._users.items()):
            until = of_user.reached if behind is None or user in behind else reached
            while of_user.tasks and self._open[longest := next(iter(of_user.tasks))].is_over(until):
                self._time_out(longest)
