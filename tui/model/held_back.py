"""Events on their way to a file: each is written once it is complete, whatever others wait for.

A record is complete when it was looked at and, where it may be a try of a PATH search, when that has ended.
Neither takes longer than ``LOOK_WAIT`` or the search's own limit, so that nobody's failure can hold up
another's. Lines are in the order in which they became complete, within seconds of the order of their times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from bpf.cgroups import where_of
from bpf.per_record import Added
from bpf.record import Again, Burst, Event, ExecFailure, Look, Loss, Report, SearchEnd, first_like, whole
from bpf.users import user_of
from tui.model.searches import Searches

MOST_HELD: Final = 65_536
"""Events: 2 s of a storm may bring more than memory should hold. Beyond it the oldest of the user who has
most are written as they are."""

MAX_BYTES: Final = 32 << 20
"""What these may take, as far as their footprints go."""

LOOK_WAIT: Final = 2_000_000_000
"""Nanoseconds that an event waits for its look."""

_OCCURRENCE_BYTES: Final = 200

Failure = ExecFailure | Again
EventIds = npt.NDArray[np.int64]


class _OfUser:
    """What is held of one user: the weight of each event by its number, and of all."""

    def __init__(self) -> None:
        self.weights: dict[int, int] = {}
        self.bytes = 0


class HoldBackQueue:
    """Holds events back until nothing more can change them.

    Args:
        unlooked: What is written of a failure that was not looked at in time.
    """

    def __init__(self, unlooked: Callable[[Failure], Look]) -> None:
        self._unlooked = unlooked
        self._searches = Searches()
        self._added = Added()
        self._end = 0
        self._held: dict[int, Event | Again] = {}
        # By number: when it came, of those that wait for a look.
        self._since: dict[int, int] = {}
        self._users: dict[int, _OfUser] = {}
        self._bytes = 0

    @property
    def held(self) -> Iterable[Event | Again]:
        """What has come and was not given back yet."""
        return self._held.values()

    @property
    def waits_for_looks(self) -> bool:
        """Some of it was not looked at yet."""
        return bool(self._since)

    def take(
        self, reports: Sequence[Event | Again | SearchEnd], now: int, untold: int = 0
    ) -> list[tuple[int, Failure]]:
        """Take in what has come; see ``Searches.take``. Call it every second at least.

        Returns:
            The failures that are to be looked at, each with its number.
        """
        wanted: list[tuple[int, Failure]] = []
        for event in self._searches.take(list[Report](reports), now, untold):
            assert not isinstance(event, Burst)
            number, self._end = self._end, self._end + 1
            self._held[number] = event
            self._count(number, event)
            if isinstance(event, Again) or (isinstance(event, ExecFailure) and event.diagnosis is None):
                self._since[number] = now
                wanted.append((number, event))
        return wanted

    def add_looks(self, looks: Iterable[tuple[EventIds, Look]]) -> None:
        """Take in what was found, by number; what was given back already is left alone."""
        for numbers, look in looks:
            for number in numbers.tolist():
                self._look(number, look)

    def release(self, now: int) -> list[Event | Again]:
        """Return the events that are complete by now, oldest first; they are held no longer."""
        self._add_searches()
        for number, since in list(self._since.items()):
            if now - since < LOOK_WAIT:
                break
            self._give_up_look(number)
        released = [number for number, event in self._held.items() if self._is_complete(number, event)]
        events = [self._forget(number) for number in released]
        return events + self._hold_bounds()

    def rest(self) -> list[Event | Again]:
        """Return all that is still held: nothing will come any more. A search that goes on is "open"."""
        self._searches.give_up()
        self._add_searches()
        for number in list(self._since):
            self._give_up_look(number)
        return [self._forget(number) for number in list(self._held)]

    def _is_complete(self, number: int, event: Event | Again) -> bool:
        if isinstance(event, Loss):
            return True
        return number not in self._since and not self._searches.is_open(event.task, number)

    def _add_searches(self) -> None:
        for number, search in self._searches.ended():
            # A file's search may be told anew after its first tries were given back.
            if number in self._held:
                event = whole(self._held[number])
                assert not isinstance(event, Loss)
                self._held[number] = replace(event, search=search)

    def _give_up_look(self, number: int) -> None:
        event = self._held[number]
        if number in self._since and not isinstance(event, Loss):
            self._look(number, self._unlooked(event))

    def _look(self, number: int, look: Look) -> None:
        if self._since.pop(number, None) is None:
            return
        event = self._held[number]
        assert not isinstance(event, Loss)
        first = first_like(event)
        place = {} if look.cgroup is None else {"cgroup": look.cgroup, **where_of(look.cgroup)._asdict()}
        self._held[number] = self._added.to(
            event,
            look,
            diagnosis=look.diagnosis,
            binary=look.binary or first.binary,
            interpreter_path=look.interpreter_path or first.interpreter_path,
            **place,
        )

    def _count(self, number: int, event: Event | Again) -> None:
        user = self._users.setdefault(_user(event), _OfUser())
        weight = user.weights[number] = _weight(event)
        user.bytes += weight
        self._bytes += weight

    def _forget(self, number: int) -> Event | Again:
        event = self._held.pop(number)
        uid = _user(event)
        user = self._users[uid]
        weight = user.weights.pop(number)
        user.bytes -= weight
        self._bytes -= weight
        if not user.weights:
            del self._users[uid]
        return event

    def _hold_bounds(self) -> list[Event | Again]:
        """Give up the oldest of whoever has most, so that a flood costs only the user who makes it."""
        events: list[Event | Again] = []
        while len(self._held) > MOST_HELD or self._bytes > MAX_BYTES:
            user = max(self._users.values(), key=lambda user: (user.bytes, len(user.weights)))
            number = next(iter(user.weights))
            event = self._held[number]
            if not isinstance(event, Loss):
                self._searches.give_up_try(event.task, number)
                self._add_searches()
            self._give_up_look(number)
            events.append(self._forget(number))
        return events


_NOBODY: Final = -1
"""Whose a loss is."""


def _user(event: Event | Again) -> int:
    return _NOBODY if isinstance(event, Loss) else user_of(first_like(event).uid)


def _weight(event: Event | Again) -> int:
    """About how many bytes an event takes."""
    if not isinstance(event, ExecFailure):
        return _OCCURRENCE_BYTES
    return event.footprint
