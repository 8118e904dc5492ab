"""The monitor's side of the lookers: a thread that hands them failures and receives their looks."""

from __future__ import annotations

import os
import selectors
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from execwhy.bpf.events.arrivals import Burst, Failure
from execwhy.bpf.events.record import Look
from execwhy.tui.why.causes import unseen
from execwhy.tui.why.lookers.backlog import Backlog
from execwhy.tui.why.lookers.fair_queue import EventIds, Group
from execwhy.tui.why.lookers.grouping import Owner
from execwhy.tui.why.lookers.pace import Shunned
from execwhy.tui.why.lookers.seat import MOST_BYTES_AT_ONCE, Asked, Seat, Spawning
from execwhy.tui.why.lookers.seats import Seats

DEADLINE: Final = 0.7
"""Seconds for one look, not counting time spent waiting for a processor; then its looker is killed.
A look itself stops at 0.25 s (``scene.SECONDS``)."""

_SLICE: Final = 0.04
"""Seconds of work that a looker is given at a time: the next user waits at least this long for a seat."""

_MOST_AT_ONCE: Final = 32
"""Looks that one looker is asked for at a time."""

_FAULT_PAUSE: Final = 0.1
"""Seconds after a fault before anything else is done."""


class Lookers:
    """Has other processes look at failures. Its methods are for one thread; none waits for a look.

    The failures of a group share a look: the oldest is looked at, and a certain finding holds for all that
    failed after it and before the look. If the finding is not certain, the newest has a look of its own.
    """

    def __init__(self, spawner: Spawning, *, deadline: float = DEADLINE) -> None:
        self._spawner = spawner
        self._deadline = deadline
        self._backlog = Backlog()
        self._shunned = Shunned()
        self._cost = _SLICE
        self._problem = ""
        self._fault = ""
        self._faults = 0
        self._closed = False
        self._wake_lock = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._seats = Seats(spawner, self._selector, deadline)
        self._thread = threading.Thread(target=self._run, name="execwhy-lookers", daemon=True)
        self._thread.start()

    # ---- called by the screen or the recording ----

    @property
    def waiting(self) -> int:
        """The number of groups of failures that wait for a look."""
        return self._backlog.waiting

    @property
    def is_busy(self) -> bool:
        """Whether a failure waits or is being looked at."""
        return self._backlog.is_busy

    @property
    def is_looking(self) -> bool:
        """Whether causes are being looked for, as far as is known."""
        return not (self._problem or self._seats.problem)

    @property
    def problem(self) -> str:
        """A sentence on why causes are missing, if the reason is not the look itself; else ""."""
        return self._problem or self._seats.problem or self._fault

    def submit(self, failures: Iterable[tuple[int, Failure | Burst]]) -> None:
        """Have failures looked at, oldest first, each with its event id (a burst's is its first event's)."""
        self._backlog.add(failures)
        self._notify()

    def prefer(self, failures: Iterable[tuple[int, Failure]]) -> None:
        """Look at these first, in this order, such as the visible rows; replaces the previous preference.

        A failure that was dropped in a storm waits again.
        """
        self._backlog.prefer(failures)
        self._notify()

    def results(self, most: int | None = None) -> list[tuple[EventIds, Look]]:
        """Take the looks that have arrived, a turn for each user: ascending event ids, and what was found.

        Args:
            most: About how many. None for all.
        """
        answers = self._backlog.take_answers(most)
        if answers:
            # A user whose share of the answers was full may have room again.
            self._notify()
        return answers

    def close(self) -> None:
        """End the lookers and drop what still waits. May be called twice."""
        with self._wake_lock:
            if self._closed:
                return
            self._closed = True
            self._backlog.clear()
            os.eventfd_write(self._wake, 1)
        self._spawner.end()
        self._thread.join()
        os.close(self._wake)

    def _notify(self) -> None:
        with self._wake_lock, suppress(BlockingIOError):
            # Once closed, the descriptor's number may belong to another file.
            if not self._closed:
                os.eventfd_write(self._wake, 1)

    # ---- the thread ----

    def _run(self) -> None:
        try:
            while not self._closed and not self._backlog.is_abandoned:
                try:
                    self._turn()
                except Exception as error:
                    self._recover(error)
        except Exception as error:
            # Not the error's message, which may quote a process.
            self._abandon(f"looking for causes has stopped ({type(error).__name__}): start execwhy again.")
        finally:
            self._seats.close()
            self._spawner.close()
            self._selector.close()

    def _abandon(self, problem: str) -> None:
        """Stop looking for good, and say why."""
        self._problem = problem
        self._backlog.abandon()

    def _turn(self) -> None:
        self._fill_seats()
        if self._backlog.is_abandoned:
            return
        for key, _ in self._selector.select(self._timeout()):
            if isinstance(key.data, Seat):
                self._read(key.data)
            else:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
        self._kill_late()
        self._seats.check_killed()

    def _recover(self, error: Exception) -> None:
        """Start over after a fault: give up the current looks, and replace the lookers."""
        self._faults += 1
        self._fault = (
            f"a fault in looking for causes ({type(error).__name__}) has cost some of them;"
            f" it is number {self._faults:,}."
        )
        self._seats.end_all()
        for group in self._backlog.in_flight:
            self._backlog.answer(group, group.ids, unseen.looker_failed(group.newest[1]))
        # A fault that recurs must not keep a processor busy.
        time.sleep(_FAULT_PAUSE)

    def _timeout(self) -> float | None:
        """Return the seconds until something must be done even if nothing arrives."""
        moments = list(self._seats.moments())
        if (due := self._backlog.next_due) is not None:
            moments.append(due)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _fill_seats(self) -> None:
        """Give every idle looker work, for a user whom no other looker works for."""
        self._backlog.release_due()
        # Even when there is nothing to do: a looker knows only the mount changes since it began.
        try:
            self._seats.fill()
        except ConnectionError:
            if not self._closed:
                # Starting the parent takes root privileges, which the monitor has given up.
                self._abandon("the processes that look for causes are gone: start execwhy again.")
            return
        for seat in self._seats.idle:
            taken = self._next(self._seats.may_take)
            if taken is None:
                return
            self._ask(seat, taken)

    def _next(self, may_take: Callable[[Owner], bool]) -> Group | None:
        """Take the next group to look at; groups that are left alone are answered on the way."""
        while True:
            began = time.monotonic()
            group = self._backlog.take(may_take)
            if group is None:
                return None
            failure = group.newest[1]
            if self._seats.hung.leaves_alone(group.owner):
                for_good = self._seats.hung.is_for_good(group.owner)
                self._backlog.answer(group, group.ids, unseen.left_alone(failure, for_good=for_good))
            elif group in self._shunned:
                self._backlog.answer(group, group.ids, unseen.shunned(failure))
            else:
                return group
            # Not free: otherwise a flood of groups that are left alone would go before everyone else.
            self._backlog.charge(group.owner, time.monotonic() - began)

    def _ask(self, seat: Seat, first: Group) -> None:
        """Ask a looker to look at this group, and at as many of its owner's as fit into a slice of time."""
        most = max(1, min(_MOST_AT_ONCE, int(_SLICE / max(self._cost, 1e-6))))
        batch = [Asked.for_oldest(first)]
        while len(batch) < most and sum(len(asked.frame) for asked in batch) < MOST_BYTES_AT_ONCE:
            group = self._next(lambda owner: owner == first.owner)
            if group is None:
                break
            asked = Asked.for_oldest(group)
            if sum(len(each.frame) for each in (*batch, asked)) > MOST_BYTES_AT_ONCE:
                self._backlog.give_back(group)
                break
            batch.append(asked)
        seat.owner = first.owner
        seat.begin(self._deadline)
        if not seat.ask(batch):
            # A looker that has answered before ended between two looks, which is the fault of none of these.
            (self._end_looker if seat.has_answered else self._give_up_on)(seat)

    def _read(self, seat: Seat) -> None:
        answered, leaves, is_gone = seat.read()
        for asked, look in answered:
            took = time.monotonic() - seat.since
            seat.begin(self._deadline)
            self._cost += (took - self._cost) / 8
            self._backlog.charge(seat.owner, took)
            seat.has_answered = True
            self._receive(seat, asked, look)
        if leaves:
            self._end_looker(seat)
        elif is_gone or not seat.ask_postponed():
            self._give_up_on(seat)

    def _receive(self, seat: Seat, asked: Asked, look: Look) -> None:
        """Answer the events that a look is for; ask for a second look if it does not hold for all of them."""
        if not asked.is_oldest or look.diagnosis.certain or len(asked.ids) == 1:
            self._backlog.answer(asked.group, asked.ids, look)
            return
        self._backlog.answer_in_part(asked.group, asked.ids[:-1], look)
        seat.postponed.append(Asked(asked.group, asked.group.newest[1], asked.ids[-1:], is_oldest=False))

    def _kill_late(self) -> None:
        """Kill the lookers whose look has taken too long."""
        for seat in [seat for seat in self._seats.busy if seat.is_late(self._deadline)]:
            late = seat.asked.popleft()
            self._backlog.charge(seat.owner, time.monotonic() - seat.since)
            self._shunned.add(late.group)
            self._backlog.answer(late.group, late.ids, unseen.not_in_time(late.failure))
            self._end_looker(seat)
            self._seats.hung.killed(seat.number, late.group.owner)

    def _give_up_on(self, seat: Seat) -> None:
        """Give up a looker that is gone, and its current look."""
        if seat.asked:
            lost = seat.asked.popleft()
            self._shunned.add(lost.group)
            self._backlog.answer(lost.group, lost.ids, unseen.looker_failed(lost.failure))
        elif not seat.has_answered:
            # It could not even begin: do not fork one after another without a pause.
            self._seats.pause()
        self._end_looker(seat)

    def _end_looker(self, seat: Seat) -> None:
        """End a looker; the looks that it had not begun wait again."""
        self._seats.end(seat)
        for asked in (*seat.asked, *seat.postponed):
            self._backlog.give_back(asked.group)
        seat.asked.clear()
        seat.postponed.clear()
