"""Events on their way to a file: each is written when it is complete, whatever others wait for.

A record is complete when it has been looked at and, if it may be a try of a PATH search, when that search has
ended. Neither takes longer than ``LOOK_WAIT`` or the search's own limit, so no failure can hold up another.
Lines are in the order in which they became complete, which differs from the order of their times by seconds.

Room and turns are shared between users: the events of a user whose share of the room is full wait in the
source (``held_up``), and an event of one user waits for at most one turn of each other user.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from execwhy.bpf.events.arrivals import Event, Failure, Occurrence, Report, SearchEnd, expand_bursts
from execwhy.bpf.events.record import ExecFailure, Look
from execwhy.tui.model.history.resident import Resident
from execwhy.tui.model.search.searches import Searches
from execwhy.tui.recording.held import LOOK, SEARCH, Held, Share
from execwhy.tui.recording.looks import Looks
from execwhy.tui.why.lookers.ready import Ready

MOST_HELD: Final = 65_536
"""Events held at most: 2 s of a storm may bring more. Beyond that, the user who has the most waits."""

MAX_BYTES: Final = 16 << 20
"""Bytes that held events may weigh."""

LOOK_WAIT: Final = 2_000_000_000
"""Nanoseconds for which an event waits for its look."""

_GIVEN_UP: Final = 64
"""Events to write unlooked at a time, if there is no room to wait for their looks."""

EventIds = npt.NDArray[np.int64]


class HoldBackQueue:
    """Holds events back until nothing more can change them.

    Args:
        unlooked: Returns what to write about a failure that was not looked at in time.
        resident: The memory of the whole process; less is held if that is large.
    """

    def __init__(self, unlooked: Callable[[ExecFailure], Look], resident: Resident | None = None) -> None:
        self._resident = resident
        self._max_bytes = MAX_BYTES
        self._looks = Looks(unlooked)
        self._searches = Searches(on_closed=self._close_searches)
        self._end = 0
        self._held: dict[int, Held] = {}
        self._shares: dict[int, Share] = {}
        self._bytes = 0
        # By number, in the order of arrival; those that have been looked at since are skipped.
        self._unlooked_at: deque[int] = deque()
        self._looks_missing = 0
        self._tries: dict[int, set[int]] = {}
        self._ready = Ready()

    def __len__(self) -> int:
        """Return how many events are held, including complete ones."""
        return len(self._held)

    @property
    def waits_for_looks(self) -> bool:
        """Whether some events have not been looked at yet."""
        return bool(self._looks_missing)

    @property
    def has_complete(self) -> bool:
        """Whether some events can be written."""
        return bool(self._ready)

    @property
    def held_up(self) -> frozenset[int]:
        """The users (``user_of``) of whom nothing more should be taken in, because their share is full."""
        if not self._is_full:
            return frozenset()
        most_events, most_bytes = MOST_HELD // len(self._shares), self._max_bytes // len(self._shares)
        return frozenset(
            user
            for user, share in self._shares.items()
            if share.count > most_events or share.bytes > most_bytes
        )

    def take(
        self,
        reports: Sequence[Event | Occurrence | SearchEnd],
        now: int,
        untold: int = 0,
        behind: Collection[int] | None = (),
    ) -> list[tuple[int, Failure]]:
        """Process arrivals (see ``Searches.take``). Call this at least every second.

        Returns:
            The failures to look at, each with its number.
        """
        wanted: list[tuple[int, Failure]] = []
        for event in expand_bursts(self._searches.take(list[Report](reports), now, untold, behind)):
            number, self._end = self._end, self._end + 1
            waits = 0
            if (failure := event.failure) is not None:
                if failure.template.diagnosis is None:
                    waits = LOOK
                    wanted.append((number, failure))
                if self._searches.is_open(failure.task, number):
                    waits |= SEARCH
            self._hold(number, Held(event, now, waits))
        self._add_searches()
        return wanted

    def add_looks(self, looks: Iterable[tuple[EventIds, Look]]) -> None:
        """Apply the results of looks by number; drop results for events that were given back."""
        for numbers, look in looks:
            for number in numbers.tolist():
                held = self._held.get(number)
                if held is not None and not held.is_looked_at:
                    failure = held.event.failure
                    assert failure is not None
                    held.event = self._looks.add(failure, look)
                    held.is_looked_at = True
                    self._end_look(number, held)

    def expire(self, now: int) -> None:
        """Give up looks that have not finished in time."""
        if self._resident is not None:
            self._max_bytes = self._resident.allowed(MAX_BYTES, self._bytes)
        waiting = self._unlooked_at
        while waiting:
            held = self._held.get(waiting[0])
            if held is not None and held.waits & LOOK:
                if now - held.since < LOOK_WAIT:
                    return
                self._end_look(waiting[0], held)
            waiting.popleft()

    def next_turn(self) -> list[Event | Occurrence]:
        """Return complete events of the user whose turn it is, the oldest first; they are no longer held.

        If nothing is complete and there is no room, the oldest events of the user who has the most complete.
        """
        if not self._ready and self._is_full:
            self._give_up_oldest()
        turn = map(self._forget, self._ready.next_turn())
        return [held.event if held.is_looked_at else self._looks.add_none(held.event) for held in turn]

    def rest(self) -> Iterator[list[Event | Occurrence]]:
        """Yield all held events as they are, without a diagnosis if they were not looked at."""
        self.give_up()
        while numbers := self._ready.next_turn():
            yield [self._forget(number).event for number in numbers]

    def take_all(self) -> list[Event | Occurrence]:
        """Return all held events as they are, after a fault, even if a search or a look is broken."""
        events = [held.event for held in self._held.values()]
        self._held.clear()
        return events

    def tries_of(self, search_id: int) -> list[ExecFailure]:
        """Return the held tries of a search."""
        tries = [self._held[number].event for number in sorted(self._tries.get(search_id, ()))]
        return [event.failure.materialize() for event in tries if event.failure is not None]

    def give_up(self) -> None:
        """Stop waiting, so that all held events are complete. Searches that go on count as "open"."""
        self._searches.give_up()
        self._add_searches()
        for number in self._unlooked_at:
            if (held := self._held.get(number)) is not None:
                self._end_look(number, held)
        self._unlooked_at.clear()

    @property
    def _is_full(self) -> bool:
        return self._bytes > self._max_bytes or len(self._held) > MOST_HELD

    def _hold(self, number: int, held: Held) -> None:
        self._held[number] = held
        share = self._shares.get(held.user)
        if share is None:
            share = self._shares[held.user] = Share()
        share.count += 1
        share.bytes += held.weight
        self._bytes += held.weight
        self._note_search(number, held.event)
        if held.waits:
            share.waiting.append(number)
        else:
            self._ready.put(held.user, number, held.weight)
        if held.waits & LOOK:
            self._looks_missing += 1
            self._unlooked_at.append(number)

    def _forget(self, number: int) -> Held:
        held = self._held.pop(number)
        share = self._shares[held.user]
        share.count -= 1
        share.bytes -= held.weight
        self._bytes -= held.weight
        if not share.count:
            del self._shares[held.user]
        elif share.waiting and not self._waits(share.waiting[0]):
            share.waiting.popleft()
        if held.event.search is not None:
            tries = self._tries[held.event.search.id]
            tries.discard(number)
            if not tries:
                del self._tries[held.event.search.id]
        return held

    def _waits(self, number: int) -> bool:
        held = self._held.get(number)
        return held is not None and bool(held.waits)

    def _end_wait(self, number: int, held: Held, what: int) -> None:
        held.waits &= ~what
        if not held.waits:
            self._ready.put(held.user, number, held.weight)

    def _close_searches(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            # The latest arrivals are not held yet; their searches are checked when they are.
            held = self._held.get(number)
            if held is not None and held.waits & SEARCH:
                self._end_wait(number, held, SEARCH)

    def _add_searches(self) -> None:
        for number, search in self._searches.ended():
            # The search of a file may be reported again after its first tries were given back.
            if (held := self._held.get(number)) is not None:
                failure = held.event.failure
                assert failure is not None
                held.event = replace(failure.materialize(), search=search)
                self._note_search(number, held.event)

    def _note_search(self, number: int, event: Event | Occurrence) -> None:
        if event.search is not None:
            self._tries.setdefault(event.search.id, set()).add(number)

    def _end_look(self, number: int, held: Held) -> None:
        """Stop waiting for a look, whether it has finished or not."""
        if held.waits & LOOK:
            self._looks_missing -= 1
            self._end_wait(number, held, LOOK)

    def _give_up_oldest(self) -> None:
        """Complete some events of the user who has the most: a flood costs only the user who causes it."""
        share = max(self._shares.values(), key=lambda share: (share.bytes, share.count))
        most, most_bytes = len(self._held) - MOST_HELD, self._bytes - self._max_bytes
        while share.waiting and len(self._ready) < _GIVEN_UP:
            if len(self._ready) >= most and self._ready.bytes >= most_bytes:
                break
            number = share.waiting.popleft()
            held = self._held.get(number)
            if held is None or not held.waits:
                continue
            if (failure := held.event.failure) is not None:
                self._searches.give_up_try(failure.task, number)
            self._end_look(number, held)
        self._add_searches()
