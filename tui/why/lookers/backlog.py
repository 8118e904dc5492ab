"""The groups of failures on their way to a look: those that wait, those being looked at, and the answers."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Final

import numpy as np

from execwhy.bpf.events.arrivals import Burst, Failure
from execwhy.bpf.events.record import Look
from execwhy.tui.why.causes import unseen
from execwhy.tui.why.lookers.done import Done, Dropped
from execwhy.tui.why.lookers.fair_queue import EventIds, FairQueue, Group
from execwhy.tui.why.lookers.grouping import Owner, cause_key, owner_of
from execwhy.tui.why.lookers.pace import PACE, Pace

_PARKED: Final = PACE / 4
"""Least seconds for which a group is held back while a look at its failure is under way."""


class Backlog:
    """All failures that have not been answered, and the answers that have not been taken. Thread-safe.

    A group is in one place at a time: it waits in the queue, is held back because its failure was looked at a
    moment ago, or is in flight, from ``take`` until ``answer`` or ``give_back``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue = FairQueue(on_drop=self._drop)
        self._pace = Pace()
        self._in_flight: dict[Hashable, Group] = {}
        self._done = Done()
        # The answer to a dropped failure depends only on its return value, and on whether looking has ended.
        self._dropped: dict[tuple[int, bool], Dropped] = {}
        self._is_abandoned = False

    # ---- for the screen or the recording ----

    @property
    def waiting(self) -> int:
        """The number of groups that wait for a look."""
        return len(self._queue)

    @property
    def is_busy(self) -> bool:
        """Whether a group waits, is held back or is being looked at."""
        with self._lock:
            return bool(len(self._queue) or self._in_flight or self._pace.next_due is not None)

    def add(self, failures: Iterable[tuple[int, Failure | Burst]]) -> None:
        """Add failures, oldest first, each with its event id (for a burst, the id of its first event)."""
        with self._lock:
            for event_id, failure in failures:
                self._queue.add(cause_key(failure.last), event_id, failure)

    def prefer(self, failures: Iterable[tuple[int, Failure]]) -> None:
        """Move these failures to the front, in this order; this replaces the previous preference.

        A failure that was dropped in a storm is added again.
        """
        wanted: dict[Owner, list[Hashable]] = {}
        with self._lock:
            asked_for = list(failures)
            is_done = np.isin([event_id for event_id, _ in asked_for], self._done.ids).tolist()
            for (event_id, failure), done in zip(asked_for, is_done, strict=True):
                key, owner = cause_key(failure), owner_of(failure)
                if done or self._is_in_flight(key, event_id):
                    continue
                group = self._queue.find(owner, key)
                if group is None or group.get(event_id) is None:
                    self._queue.add(key, event_id, failure)
                wanted.setdefault(owner, []).append(key)
            self._queue.prefer(wanted)

    def take_answers(self, most: int | None = None) -> list[tuple[EventIds, Look]]:
        """Take about ``most`` looks, or all, a turn for each user, and the answers to all dropped failures.

        Returns:
            Ascending event ids, and what was found or is to be shown. Dropped ones come first: a failure that
            was dropped may have been looked at since.
        """
        with self._lock:
            dropped, self._dropped = self._dropped, {}
            done = self._done.take(most)
        return [(each.ids, each.look) for each in dropped.values()] + done

    def clear(self) -> None:
        """Drop all groups that wait, without an answer."""
        with self._lock:
            self._queue.clear()

    # ---- for the thread that hands out work ----

    @property
    def is_abandoned(self) -> bool:
        """Whether nothing is looked at any longer."""
        return self._is_abandoned

    @property
    def next_due(self) -> float | None:
        """When the first group that is held back is due, on the clock of time.monotonic(); None for none."""
        return self._pace.next_due

    @property
    def in_flight(self) -> list[Group]:
        """The groups that were taken and have no answer yet."""
        return list(self._in_flight.values())

    def release_due(self) -> None:
        """Put the groups that are no longer held back into the queue."""
        with self._lock:
            for group in self._pace.unpark(time.monotonic()):
                self._queue.give_back(group)

    def take(self, may_take: Callable[[Owner], bool]) -> Group | None:
        """Take the next group that may be looked at now; None if there is none.

        Args:
            may_take: Whether a group of this owner may be taken. Called with the lock held.
        """
        with self._lock:
            while True:
                group = self._queue.take(lambda owner: self._done.has_room(owner[0]) and may_take(owner))
                if group is None:
                    return None
                now = time.monotonic()
                due = self._pace.due(group.key)
                if due <= now and group.key not in self._in_flight:
                    self._in_flight[group.key] = group
                    return group
                self._pace.park(max(due, now + _PARKED), group)

    def charge(self, owner: Owner, seconds: float) -> None:
        """Count the time that was spent on this owner's failures."""
        with self._lock:
            self._queue.charge(owner, seconds)

    def answer(self, group: Group, ids: EventIds, look: Look) -> None:
        """Answer events of a group, which is no longer in flight."""
        with self._lock:
            self._in_flight.pop(group.key, None)
            self._pace.looked(group.key)
            self._done.put(group.owner[0], ids, look)

    def answer_in_part(self, group: Group, ids: EventIds, look: Look) -> None:
        """Answer events of a group that stays in flight, for a second look."""
        with self._lock:
            self._done.put(group.owner[0], ids, look)

    def give_back(self, group: Group) -> None:
        """Return a group that was taken and not looked at to the queue."""
        with self._lock:
            self._in_flight.pop(group.key, None)
            self._queue.give_back(group)

    def abandon(self) -> None:
        """Answer everything that waits, and everything that is added later, without a look."""
        with self._lock:
            self._is_abandoned = True
            self._queue.refuse()
            for group in (*self._in_flight.values(), *self._pace.unpark(math.inf)):
                self._drop(group)
            self._in_flight.clear()

    def _drop(self, group: Group) -> None:
        """Answer a group for which the queue has no room, or that nobody will look at; the lock is held."""
        _, failure = group.newest
        key = failure.template.return_value, self._is_abandoned
        if key not in self._dropped:
            look = unseen.nobody_looks(failure) if self._is_abandoned else unseen.dropped(failure)
            self._dropped[key] = Dropped(look)
        self._dropped[key].add(group.ids)

    def _is_in_flight(self, key: Hashable, event_id: int) -> bool:
        """Return whether an event is being looked at, or is held back."""
        groups = self._in_flight.get(key), self._pace.find(key)
        return any(group is not None and group.get(event_id) is not None for group in groups)
