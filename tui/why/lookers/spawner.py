"""The monitor's side of the lookers' parent (``process``): asks it for lookers, and to kill them."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from execwhy.tui.why.lookers.process import MAX_MESSAGE
from execwhy.tui.why.lookers.process_clock import ProcessClock

ANSWER_SECONDS: Final = 10.0
"""Seconds for the parent to fork; it does nothing else, so this is for a machine that hardly runs."""

_MOST_DESCRIPTORS: Final = 3
"""Descriptors in one answer: a connection, and the two of a ``ProcessClock``."""


class Spawned(NamedTuple):
    """A looker that was forked.

    Attributes:
        connection: The socket that leads to it.
        number: Its number, which ``Spawner.kill`` takes.
        clock: The time that it has had; None if that cannot be read.
    """

    connection: socket.socket
    number: int
    clock: ProcessClock | None = None

    @classmethod
    def of(cls, number: int, descriptors: Sequence[int]) -> Spawned | None:
        """Return the looker with this connection and clock; None if there are no descriptors."""
        if not descriptors:
            return None
        connection, *times = descriptors
        clock = ProcessClock(*times) if len(times) == 2 else None
        return cls(socket.socket(fileno=connection), number, clock)

    def close(self) -> None:
        """Close its descriptors."""
        self.connection.close()
        if self.clock is not None:
            self.clock.close()


class Spawner:
    """The monitor's side of the parent: asks for lookers and has them killed.

    Attributes:
        undead: The numbers of the lookers that were killed and had not died when the parent was last asked.
    """

    def __init__(self, control: socket.socket, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._control = control
        self._control.settimeout(answer_seconds)
        self._numbers = itertools.count(1)
        self.undead: frozenset[int] = frozenset()

    def spawn(self) -> Spawned | None:
        """Return a new looker; None if none can be forked.

        Raises:
            OSError: The parent is gone, or does not answer.
        """
        return self._ask("fork")

    def look_for_undead(self) -> None:
        """Bring ``undead`` up to date.

        Raises:
            OSError: The parent is gone, or does not answer.
        """
        self._ask("undead")

    def _ask(self, what: str) -> Spawned | None:
        number = next(self._numbers)
        self._control.send(json.dumps({what: number}).encode())
        while True:
            message, fds, _, _ = socket.recv_fds(self._control, MAX_MESSAGE, _MOST_DESCRIPTORS)
            if not message:
                raise ConnectionResetError("the parent of the lookers is gone")
            answer = json.loads(message)
            spawned = Spawned.of(answer["to"], fds)
            if answer["to"] == number:
                self.undead = frozenset(answer["undead"])
                return spawned
            if spawned is not None:
                # This looker was for an earlier request that has been given up.
                spawned.close()
                self.kill(spawned.number)

    def kill(self, number: int) -> None:
        """Have a looker killed; it may take a while to die."""
        with suppress(OSError):
            self._control.send(json.dumps({"kill": number}).encode())

    def end(self) -> None:
        """End the parent and its lookers; a call that waits for it in another thread fails."""
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the parent and its lookers, and close the connection."""
        self._control.close()
