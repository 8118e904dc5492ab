"""Events on their way to a file: each is written once it is complete, whatever others wait for.

A record is complete when it was looked at and, where it may be a try of a PATH search, when that has ended.
Neither takes longer than ``LOOK_WAIT`` or the search's own limit, so that nobody's failure can hold up
another's. Lines are in the order in which they became complete, within seconds of the order of their times.

Room and turns are shared out by user: whoever has more than a fair part of what may be held waits in the
source (``held_up``), and no event of one user waits to be written behind more than a turn of another's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from execwhy.bpf.caller.cgroups import where_of
from execwhy.bpf.events.arrivals import Burst, Event, Failure, Occurrence, Report, SearchEnd
from execwhy.bpf.events.identity_memo import Enricher, IdentityMemo
from execwhy.bpf.events.record import ExecFailure, Look
from execwhy.bpf.events.users import user_of
from execwhy.tui.model.history.resident import Resident
from execwhy.tui.model.search.searches import Searches
from execwhy.tui.why.lookers.ready import Ready

MOST_HELD: Final = 65_536
"""Events: 2 s of a storm may bring more than memory should hold. Beyond it whoever has most waits."""

MAX_BYTES: Final = 16 << 20
"""What these may take, as far as their weights go."""

LOOK_WAIT: Final = 2_000_000_000
"""Nanoseconds that an event waits for its look."""

_GIVEN_UP: Final = 64
"""Events that are written as they are, at a time, where there is no room to wait for their looks."""

_HELD_BYTES: Final = 300
"""What it takes to hold an event, beside its own footprint."""

_LOOK, _SEARCH = 1, 2
"""What an event waits for."""

_NOBODY: Final = -1
"""Whose a loss is."""

EventIds = npt.NDArray[np.int64]


class _Held:
    """An event that is held, and what it waits for."""

    __slots__ = ("event", "is_looked_at", "since", "user", "waits", "weight")

    def __init__(self, event: Event | Occurrence, since: int, waits: int) -> None:
        self.event = event
        self.since = since
        self.waits = waits
        self.is_looked_at = not waits & _LOOK
        self.user = _user(event)
        self.weight = event.footprint + _HELD_BYTES


class _Share:
    """What is held of one user, and the numbers of what waits, in order, some of which wait no more."""

    __slots__ = ("bytes", "count", "waiting")

    def __init__(self) -> None:
        self.bytes = 0
        self.count = 0
        self.waiting: deque[int] = deque()


class HoldBackQueue:
    """Holds events back until nothing more can change them.

    Args:
        unlooked: What is written of a failure that was not looked at in time.
        resident: The memory of the whole process, which what is held gives way to.
    """

    def __init__(self, unlooked: Callable[[ExecFailure], Look], resident: Resident | None = None) -> None:
        self._resident = resident
        self._max_bytes = MAX_BYTES
        self._unlooked = unlooked
        self._unlooked_alike = IdentityMemo(unlooked)
        self._searches = Searches(on_closed=self._close_searches)
        self._enricher = Enricher()
        self._end = 0
        self._held: dict[int, _Held] = {}
        self._shares: dict[int, _Share] = {}
        self._bytes = 0
        # By number, in the order in which they came; those that were looked at meanwhile are passed over.
        self._unlooked_at: deque[int] = deque()
        self._looks_missing = 0
        self._tries: dict[int, set[int]] = {}
        self._ready = Ready()

    def __len__(self) -> int:
        """Return how many events are held, those that are complete included."""
        return len(self._held)

    @property
    def waits_for_looks(self) -> bool:
        """Some of it was not looked at yet."""
        return bool(self._looks_missing)

    @property
    def has_complete(self) -> bool:
        """Some of it can be written."""
        return bool(self._ready)

    @property
    def held_up(self) -> frozenset[int]:
        """The users, as of ``user_of``, of whom nothing more should be taken in: their share is full."""
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
        """Take in what has come; see ``Searches.take``. Call it every second at least.

        Returns:
            The failures that are to be looked at, each with its number.
        """
        wanted: list[tuple[int, Failure]] = []
        for event in self._searches.take(list[Report](reports), now, untold, behind):
            assert not isinstance(event, Burst)
            number, self._end = self._end, self._end + 1
            waits = 0
            if (failure := event.failure) is not None:
                if failure.template.diagnosis is None:
                    waits = _LOOK
                    wanted.append((number, failure))
                if self._searches.is_open(failure.task, number):
                    waits |= _SEARCH
            self._hold(number, _Held(event, now, waits))
        self._add_searches()
        return wanted

    def add_looks(self, looks: Iterable[tuple[EventIds, Look]]) -> None:
        """Take in what was found, by number; it is too late only for what was given back."""
        for numbers, look in looks:
            for number in numbers.tolist():
                held = self._held.get(number)
                if held is not None and not held.is_looked_at:
                    held.event = self._with_look(held.event, look)
                    held.is_looked_at = True
                    self._end_look(number, held)

    def expire(self, now: int) -> None:
        """Give up the looks that have not come in time."""
        if self._resident is not None:
            self._max_bytes = self._resident.allowed(MAX_BYTES, self._bytes)
        waiting = self._unlooked_at
        while waiting:
            held = self._held.get(waiting[0])
            if held is not None and held.waits & _LOOK:
                if now - held.since < LOOK_WAIT:
                    return
                self._end_look(waiting[0], held)
            waiting.popleft()

    def next_turn(self) -> list[Event | Occurrence]:
        """Return complete events of the user whose turn it is, oldest first; they are held no longer.

        Where nothing is complete and there is no room, the oldest of whoever has most are given up.
        """
        if not self._ready and self._is_full:
            self._give_up_oldest()
        turn = map(self._forget, self._ready.next_turn())
        return [held.event if held.is_looked_at else self._without_look(held.event) for held in turn]

    def rest(self) -> Iterator[list[Event | Occurrence]]:
        """Give back all that is held as it is, without a diagnosis where it was not looked at."""
        self.give_up()
        while numbers := self._ready.next_turn():
            yield [self._forget(number).event for number in numbers]

    def take_all(self) -> list[Event | Occurrence]:
        """Give back all that is held as it is, after a fault: even where a search or a look is broken."""
        events = [held.event for held in self._held.values()]
        self._held.clear()
        return events

    def tries_of(self, search_id: int) -> list[ExecFailure]:
        """Return the tries of a search that are held."""
        tries = [self._held[number].event for number in sorted(self._tries.get(search_id, ()))]
        return [event.failure.materialize() for event in tries if event.failure is not None]

    def give_up(self) -> None:
        """Wait for nothing any more: all that is held is complete. A search that goes on is "open"."""
        self._searches.give_up()
        self._add_searches()
        for number in self._unlooked_at:
            if (held := self._held.get(number)) is not None:
                self._end_look(number, held)
        self._unlooked_at.clear()

    @property
    def _is_full(self) -> bool:
        return self._bytes > self._max_bytes or len(self._held) > MOST_HELD

    def _hold(self, number: int, held: _Held) -> None:
        self._held[number] = held
        share = self._shares.get(held.user)
        if share is None:
            share = self._shares[held.user] = _Share()
        share.count += 1
        share.bytes += held.weight
        self._bytes += held.weight
        self._note_search(number, held.event)
        if held.waits:
            share.waiting.append(number)
        else:
            self._ready.put(held.user, number, held.weight)
        if held.waits & _LOOK:
            self._looks_missing += 1
            self._unlooked_at.append(number)

    def _forget(self, number: int) -> _Held:
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

    def _end_wait(self, number: int, held: _Held, what: int) -> None:
        held.waits &= ~what
        if not held.waits:
            self._ready.put(held.user, number, held.weight)

    def _close_searches(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            # Those that came just now are not held yet, and are asked about when they are.
            held = self._held.get(number)
            if held is not None and held.waits & _SEARCH:
                self._end_wait(number, held, _SEARCH)

    def _add_searches(self) -> None:
        for number, search in self._searches.ended():
            # A file's search may be told anew after its first tries were given back.
            if (held := self._held.get(number)) is not None:
                failure = held.event.failure
                assert failure is not None
                held.event = replace(failure.materialize(), search=search)
                self._note_search(number, held.event)

    def _note_search(self, number: int, event: Event | Occurrence) -> None:
        if event.search is not None:
            self._tries.setdefault(event.search.id, set()).add(number)

    def _end_look(self, number: int, held: _Held) -> None:
        """Wait for its look no more, be it there or not."""
        if held.waits & _LOOK:
            self._looks_missing -= 1
            self._end_wait(number, held, _LOOK)

    def _with_look(self, event: Event | Occurrence, look: Look) -> Failure:
        failure = event.failure
        assert failure is not None
        first = failure.template
        place = {} if look.cgroup is None else {"cgroup": look.cgroup, **where_of(look.cgroup)._asdict()}
        return self._enricher.enrich(
            failure,
            look,
            diagnosis=look.diagnosis,
            binary=look.binary or first.binary,
            interpreter_path=look.interpreter_path or first.interpreter_path,
            **place,
        )

    def _without_look(self, event: Event | Occurrence) -> Event | Occurrence:
        failure = event.failure
        if failure is None:
            return event
        template = failure.template
        # One look for all that are alike, so that they go on sharing a record.
        look = self._unlooked(template) if template is failure else self._unlooked_alike(template)
        return self._with_look(failure, look)

    def _give_up_oldest(self) -> None:
        """Complete some events of whoever has most, so that a flood costs only the user who makes it."""
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


def _user(event: Event | Occurrence) -> int:
    failure = event.failure
    return _NOBODY if failure is None else user_of(failure.template.uid)
