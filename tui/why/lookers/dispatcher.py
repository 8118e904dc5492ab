"""The monitor's side of the lookers: a thread that hands them failures and takes their looks."""

from __future__ import annotations

import math
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from typing import Final

import numpy as np

from execwhy.bpf.caller.namespaces import home_namespaces
from execwhy.bpf.events.arrivals import Burst, Failure
from execwhy.bpf.events.record import Look
from execwhy.tui.model.text.counted import counted
from execwhy.tui.why.causes import unseen
from execwhy.tui.why.lookers.cause_key import cause_key
from execwhy.tui.why.lookers.done import Done
from execwhy.tui.why.lookers.dropped import Dropped
from execwhy.tui.why.lookers.fair_queue import EventIds, FairQueue, Group
from execwhy.tui.why.lookers.hung import Hung
from execwhy.tui.why.lookers.owner import Owner, owner_of
from execwhy.tui.why.lookers.pace import PACE, Pace, Shunned
from execwhy.tui.why.lookers.seat import MOST_BYTES_AT_ONCE, Asked, Seat, Spawning

SEATS: Final = 2
"""Lookers at work: while one waits for something that a process holds up, the other goes on."""

DEADLINE: Final = 0.7
"""Seconds for one look, but for those in which it waits for a processor; then its looker is killed.
A look itself stops at 0.25 s (``scene.SECONDS``)."""

_SLICE: Final = 0.04
"""Seconds of work that a looker is given at a time: so long does the next user wait for a seat at least."""

_MOST_AT_ONCE: Final = 32
"""Looks that one looker is asked for at a time."""

_FEW_SEATS_LEFT: Final = 3
"""Lookers that cannot die: from then on only our own mount namespace is looked at, until they have."""

_RESPAWN_SECONDS: Final = 1.0
"""Seconds between two tries to get a looker where none could be had, or to go on after a fault."""

_FAULT_PAUSE: Final = 0.1
"""Seconds after a fault before anything else is done."""


class Lookers:
    """Has failures looked at by other processes. Its methods are for one thread; none waits for a look.

    What comes back is the same for all failures of a group: the oldest is looked at, and what is certain of
    it is certain of all that failed after it and before the look. Where it is not certain, the newest has a
    look of its own.
    """

    def __init__(self, spawner: Spawning, *, deadline: float = DEADLINE) -> None:
        self._spawner = spawner
        self._deadline = deadline
        self._queue = FairQueue(on_drop=self._drop)
        self._pace = Pace()
        self._shunned = Shunned()
        self._hung = Hung()
        self._lock = threading.Lock()
        self._done = Done()
        # By the error, on which alone it depends what is said of them, and by whether there is a looker left.
        self._dropped: dict[tuple[int, bool], Dropped] = {}
        self._in_flight: dict[Hashable, Group] = {}
        self._seats: list[Seat] = []
        self._cost = _SLICE
        self._next_spawn = 0.0
        self._problem = ""
        self._is_abandoned = False
        self._fault = ""
        self._faults = 0
        self._closed = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="execwhy-lookers", daemon=True)
        self._thread.start()

    # ---- called by the screen or the recording ----

    @property
    def waiting(self) -> int:
        """How many groups of failures wait for a look."""
        return len(self._queue)

    @property
    def is_busy(self) -> bool:
        """Something waits, or is looked at."""
        with self._lock:
            return bool(len(self._queue) or self._in_flight or self._pace.next_due is not None)

    @property
    def is_looking(self) -> bool:
        """Causes are looked for, as far as is known."""
        return not self._problem

    @property
    def problem(self) -> str:
        """One sentence where causes are missing for another reason than the look itself, else ""."""
        return self._problem or self._fault

    def submit(self, failures: Iterable[tuple[int, Failure | Burst]]) -> None:
        """Have failures looked at: event id (of a burst its first one's) and failure, oldest first."""
        with self._lock:
            for event_id, failure in failures:
                self._queue.add(cause_key(failure.last), event_id, failure)
        self._notify()

    def prefer(self, failures: Iterable[tuple[int, Failure]]) -> None:
        """Look at these first, in this order, such as the visible rows; replaces the ones before.

        One that waits no longer, since it was dropped in a storm, waits again.
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
        self._notify()

    def results(self, most: int | None = None) -> list[tuple[EventIds, Look]]:
        """Take looks that have come, a turn for each user: event ids, ascending, and what was found.

        Args:
            most: About how many. None for all.
        """
        with self._lock:
            dropped, self._dropped = self._dropped, {}
            done = self._done.take(most)
        if done:
            # There may be room again for those of a user who had too many.
            self._notify()
        # First: one that was dropped may have had its look since.
        return [(each.ids, each.look) for each in dropped.values()] + done

    def close(self) -> None:
        """End the lookers; what still waits is dropped. May be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.clear()
            os.eventfd_write(self._wake, 1)
        self._spawner.end()
        self._thread.join()
        os.close(self._wake)

    def _drop(self, group: Group) -> None:
        """Note what the queue has no room for, or what nobody will look at; with the lock held."""
        _, failure = group.newest
        key = failure.template.return_value, self._is_abandoned
        if key not in self._dropped:
            look = unseen.nobody_looks(failure) if self._is_abandoned else unseen.dropped(failure)
            self._dropped[key] = Dropped(look)
        self._dropped[key].add(group.ids)

    def _abandon(self, problem: str) -> None:
        """Look at nothing any more: all that waits, and all that comes later, is answered without a look."""
        self._problem = problem
        with self._lock:
            self._is_abandoned = True
            self._queue.refuse()
            for group in (*self._in_flight.values(), *self._pace.unpark(math.inf)):
                self._drop(group)
            self._in_flight.clear()

    def _is_in_flight(self, key: Hashable, event_id: int) -> bool:
        """Return whether an event is being looked at, or is about to be."""
        groups = self._in_flight.get(key), self._pace.find(key)
        return any(group is not None and group.get(event_id) is not None for group in groups)

    def _notify(self) -> None:
        with self._lock, suppress(BlockingIOError):
            # Once closed, the number may be that of another file.
            if not self._closed:
                os.eventfd_write(self._wake, 1)

    # ---- the thread ----

    def _run(self) -> None:
        try:
            while not self._closed and not self._is_abandoned:
                try:
                    self._turn()
                except Exception as error:
                    self._recover(error)
        except Exception as error:
            # Not the error's own words, which may quote a process.
            self._abandon(f"looking for causes has stopped ({type(error).__name__}): start execwhy again.")
        finally:
            for seat in self._seats:
                seat.close()
            self._spawner.close()
            self._selector.close()

    def _turn(self) -> None:
        self._fill_seats()
        if self._is_abandoned:
            return
        for key, _ in self._selector.select(self._patience()):
            if isinstance(key.data, Seat):
                self._read(key.data)
            else:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
        self._end_late()
        self._see_who_hangs()

    def _recover(self, error: Exception) -> None:
        """Begin anew after a fault: what was being looked at is given up, and lookers are replaced."""
        self._faults += 1
        self._fault = (
            f"a fault in looking for causes ({type(error).__name__}) has cost some of them;"
            f" it is number {self._faults:,}."
        )
        for seat in self._seats:
            self._spawner.kill(seat.number)
            if seat.asked:
                self._hung.killed(seat.number, seat.owner)
            with suppress(KeyError, ValueError):
                self._selector.unregister(seat.connection)
            seat.close()
        self._seats.clear()
        for group in list(self._in_flight.values()):
            self._land(group, group.ids, unseen.looker_failed(group.newest[1]))
        self._next_spawn = time.monotonic() + _RESPAWN_SECONDS
        # A fault that comes again and again is to take no processor.
        time.sleep(_FAULT_PAUSE)

    def _patience(self) -> float | None:
        """Return seconds until something must be done though nothing comes."""
        moments = [seat.due for seat in self._seats if seat.asked]
        if (due := self._pace.next_due) is not None:
            moments.append(due)
        if (due := self._hung.next_due) is not None:
            moments.append(due)
        if len(self._seats) < SEATS:
            moments.append(self._next_spawn)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _fill_seats(self) -> None:
        """Give every looker that has nothing to do something, of a user whom no other one works for."""
        with self._lock:
            for group in self._pace.unpark(time.monotonic()):
                self._queue.give_back(group)
        # Not only when there is something to do: a looker knows that no mount has changed since it began.
        while len(self._seats) < SEATS and self._spawn() is not None:
            pass
        for seat in [seat for seat in self._seats if not seat.asked]:
            taken = self._next(self._may_take)
            if taken is None:
                return
            self._ask(seat, taken)

    def _may_take(self, owner: Owner) -> bool:
        """Return whether an owner may have one more looker: its user has none, or is root."""
        uid, namespace = owner
        if self._hung.is_pending(owner):
            return False
        if len(self._spawner.undead) >= _FEW_SEATS_LEFT and namespace not in home_namespaces():
            return False
        return uid == 0 or all(seat.owner[0] != uid for seat in self._seats if seat.asked)

    def _next(self, may_take: Callable[[Owner], bool]) -> Group | None:
        """Take the next group that may be looked at now; it is in flight from then on."""
        while True:
            now = time.monotonic()
            with self._lock:
                group = self._queue.take(lambda owner: self._done.has_room(owner[0]) and may_take(owner))
                if group is None:
                    return None
                due = self._pace.due(group.key)
                if due > now or group.key in self._in_flight:
                    self._pace.park(max(due, now + PACE / 4), group)
                    continue
                self._in_flight[group.key] = group
            failure = group.newest[1]
            if self._hung.leaves_alone(group.owner):
                for_good = self._hung.is_for_good(group.owner)
                self._land(group, group.ids, unseen.left_alone(failure, for_good=for_good))
            elif group in self._shunned:
                self._land(group, group.ids, unseen.shunned(failure))
            else:
                return group
            with self._lock:
                # Not for nothing: a flood of what is left alone would otherwise go before everyone else.
                self._queue.charge(group.owner, time.monotonic() - now)

    def _ask(self, seat: Seat, first: Group) -> None:
        """Ask a looker for a look at this group, and at more of its owner's as fit into a slice of time."""
        most = max(1, min(_MOST_AT_ONCE, int(_SLICE / max(self._cost, 1e-6))))
        batch = [Asked.for_oldest(first)]
        while len(batch) < most and sum(len(asked.frame) for asked in batch) < MOST_BYTES_AT_ONCE:
            group = self._next(lambda owner: owner == first.owner)
            if group is None:
                break
            asked = Asked.for_oldest(group)
            if sum(len(each.frame) for each in (*batch, asked)) > MOST_BYTES_AT_ONCE:
                self._give_back(group)
                break
            batch.append(asked)
        seat.owner = first.owner
        seat.begin(self._deadline)
        if not seat.ask(batch):
            # One that has answered before has ended between two looks, for which none of these is at fault.
            (self._leave if seat.has_answered else self._vacate)(seat)

    def _read(self, seat: Seat) -> None:
        answered, leaves, is_gone = seat.read()
        for asked, look in answered:
            took = time.monotonic() - seat.since
            seat.begin(self._deadline)
            self._cost += (took - self._cost) / 8
            with self._lock:
                self._queue.charge(seat.owner, took)
            seat.has_answered = True
            self._take_in(seat, asked, look)
        if leaves:
            self._leave(seat)
        elif is_gone or not seat.ask_postponed():
            self._vacate(seat)

    def _take_in(self, seat: Seat, asked: Asked, look: Look) -> None:
        """Give a look to the events that it is for; ask for another one where it does not hold for all."""
        if not asked.is_oldest or look.diagnosis.certain or len(asked.ids) == 1:
            self._land(asked.group, asked.ids, look)
            return
        with self._lock:
            self._done.put(asked.group.owner[0], asked.ids[:-1], look)
        seat.postponed.append(Asked(asked.group, asked.group.newest[1], asked.ids[-1:], is_oldest=False))

    def _end_late(self) -> None:
        """Have those killed whose look has taken too long."""
        for seat in [seat for seat in self._seats if seat.asked and seat.is_late(self._deadline)]:
            late = seat.asked.popleft()
            with self._lock:
                self._queue.charge(seat.owner, time.monotonic() - seat.since)
            self._shunned.add(late.group)
            self._land(late.group, late.ids, unseen.not_in_time(late.failure))
            self._leave(seat)
            self._hung.killed(seat.number, late.group.owner)

    def _see_who_hangs(self) -> None:
        """Find out whose lookers do not die, once they have had the time to."""
        due = self._hung.next_due
        if due is None or due > time.monotonic():
            return
        try:
            self._spawner.look_for_undead()
        except OSError:
            self._hung.ask_later()
        else:
            self._hung.see(self._spawner.undead)

    def _vacate(self, seat: Seat) -> None:
        """Give up a looker that is gone, and the look that it was at."""
        if seat.asked:
            lost = seat.asked.popleft()
            self._shunned.add(lost.group)
            self._land(lost.group, lost.ids, unseen.looker_failed(lost.failure))
        elif not seat.has_answered:
            # It cannot even begin; another one is not forked at once, and again and again.
            self._next_spawn = time.monotonic() + _RESPAWN_SECONDS
        self._leave(seat)

    def _leave(self, seat: Seat) -> None:
        """End a looker; what it was asked for beside the look that ended it waits again."""
        self._spawner.kill(seat.number)
        self._selector.unregister(seat.connection)
        seat.close()
        self._seats.remove(seat)
        for asked in (*seat.asked, *seat.postponed):
            self._give_back(asked.group)
        seat.asked.clear()
        seat.postponed.clear()

    def _give_back(self, group: Group) -> None:
        with self._lock:
            self._in_flight.pop(group.key, None)
            self._queue.give_back(group)

    def _land(self, group: Group, ids: EventIds, look: Look) -> None:
        """End the flight of a group: it was looked at, or given up."""
        with self._lock:
            self._in_flight.pop(group.key, None)
            self._pace.looked(group.key)
            self._done.put(group.owner[0], ids, look)

    def _spawn(self) -> Seat | None:
        if time.monotonic() < self._next_spawn:
            return None
        self._next_spawn = 0.0
        try:
            spawned = self._spawner.spawn()
        except OSError as error:
            spawned = None
            self._note_no_parent(error)
        if spawned is None:
            self._next_spawn = time.monotonic() + _RESPAWN_SECONDS
            if not self._problem and self._spawner.undead:
                hung = len(self._spawner.undead)
                one, many = "process that looked at files hangs", "processes that looked at files hang"
                self._problem = (
                    f"{counted(hung, one, many)} there and cannot be killed:"
                    " until these file systems answer, no cause is looked for."
                )
            return None
        self._problem = ""
        connection = spawned.connection
        connection.settimeout(self._deadline)
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MOST_BYTES_AT_ONCE)
        seat = Seat(*spawned)
        self._seats.append(seat)
        self._selector.register(connection, selectors.EVENT_READ, seat)
        return seat

    def _note_no_parent(self, error: OSError) -> None:
        if self._closed:
            return
        if isinstance(error, ConnectionError):
            # It took root to begin it, which the monitor is no longer.
            self._abandon("the processes that look for causes are gone: start execwhy again.")
        else:
            self._problem = (
                "the processes that look for causes do not answer: no cause is looked for until they do."
            )
