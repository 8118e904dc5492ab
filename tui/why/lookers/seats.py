"""The lookers that run, as the monitor sees them: started, killed and replaced."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from execwhy.bpf.caller.namespaces import home_namespaces
from execwhy.tui.model.text.counted import counted
from execwhy.tui.why.lookers.grouping import Owner
from execwhy.tui.why.lookers.hung import Hung
from execwhy.tui.why.lookers.seat import MOST_BYTES_AT_ONCE, Seat, Spawning

SEATS: Final = 2
"""Lookers at work: while one waits for something that a process holds up, the other goes on."""

_FEW_SEATS_LEFT: Final = 3
"""Lookers that do not die: from this number on, until some die, only our own mount namespace is looked at."""

_RESPAWN_SECONDS: Final = 1.0
"""Seconds to wait after a looker could not be started, or after a fault, before trying again."""


class Seats:
    """The lookers that run. Not safe to share between threads.

    Args:
        spawner: Starts and kills lookers.
        selector: Reports when a looker's connection can be read; its data is the ``Seat``.
        deadline: Seconds for which sending to a looker may wait.

    Attributes:
        running: The lookers that run.
        hung: Whose lookers were killed and do not die.
        problem: A sentence on why there are no lookers, or "".
    """

    def __init__(self, spawner: Spawning, selector: selectors.BaseSelector, deadline: float) -> None:
        self.running: list[Seat] = []
        self.hung = Hung()
        self.problem = ""
        self._spawner = spawner
        self._selector = selector
        self._deadline = deadline
        self._next_spawn = 0.0

    @property
    def idle(self) -> list[Seat]:
        """The lookers that have nothing to do."""
        return [seat for seat in self.running if not seat.asked]

    @property
    def busy(self) -> list[Seat]:
        """The lookers that are at work."""
        return [seat for seat in self.running if seat.asked]

    def moments(self) -> Iterator[float]:
        """Yield when something must be done even if nothing arrives, on the clock of time.monotonic()."""
        yield from (seat.due for seat in self.busy)
        if (due := self.hung.next_due) is not None:
            yield due
        if len(self.running) < SEATS:
            yield self._next_spawn

    def fill(self) -> None:
        """Start lookers until there are ``SEATS``, or until none can be had for now.

        Raises:
            ConnectionError: The lookers' parent is gone.
        """
        while len(self.running) < SEATS and self._spawn():
            pass

    def may_take(self, owner: Owner) -> bool:
        """Return whether an owner may have one more looker: its user has none, or is root."""
        uid, namespace = owner
        if self.hung.is_pending(owner):
            return False
        if len(self._spawner.undead) >= _FEW_SEATS_LEFT and namespace not in home_namespaces():
            return False
        return uid == 0 or all(seat.owner[0] != uid for seat in self.busy)

    def end(self, seat: Seat) -> None:
        """Kill a looker."""
        self._spawner.kill(seat.number)
        self._selector.unregister(seat.connection)
        seat.close()
        self.running.remove(seat)

    def end_all(self) -> None:
        """Kill all lookers after a fault; new ones are started a little later."""
        for seat in self.running:
            self._spawner.kill(seat.number)
            if seat.asked:
                self.hung.killed(seat.number, seat.owner)
            with suppress(KeyError, ValueError):
                self._selector.unregister(seat.connection)
            seat.close()
        self.running.clear()
        self.pause()

    def pause(self) -> None:
        """Start no looker for a while."""
        self._next_spawn = time.monotonic() + _RESPAWN_SECONDS

    def check_killed(self) -> None:
        """Find out which killed lookers have not died although they had the time to."""
        due = self.hung.next_due
        if due is None or due > time.monotonic():
            return
        try:
            self._spawner.look_for_undead()
        except OSError:
            self.hung.ask_later()
        else:
            self.hung.see(self._spawner.undead)

    def close(self) -> None:
        """Close the connections, which ends the lookers."""
        for seat in self.running:
            seat.close()

    def _spawn(self) -> bool:
        """Start a looker; return whether there is one more.

        Raises:
            ConnectionError: The lookers' parent is gone.
        """
        if time.monotonic() < self._next_spawn:
            return False
        self._next_spawn = 0.0
        try:
            spawned = self._spawner.spawn()
        except ConnectionError:
            self.pause()
            raise
        except OSError:
            spawned = None
            self.problem = (
                "the processes that look for causes do not answer: no cause is looked for until they do."
            )
        if spawned is None:
            self.pause()
            if not self.problem and self._spawner.undead:
                hung = len(self._spawner.undead)
                one, many = "process that looked at files hangs", "processes that looked at files hang"
                self.problem = (
                    f"{counted(hung, one, many)} there and cannot be killed:"
                    " until these file systems answer, no cause is looked for."
                )
            return False
        self.problem = ""
        connection = spawned.connection
        connection.settimeout(self._deadline)
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MOST_BYTES_AT_ONCE)
        seat = Seat(*spawned)
        self.running.append(seat)
        self._selector.register(connection, selectors.EVENT_READ, seat)
        return True
