"""One looker as the monitor sees it: its connection, and the looks that it was asked for."""

from __future__ import annotations

import functools
import itertools
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from execwhy.bpf.caller.own_time import slowness
from execwhy.bpf.events.arrivals import Failure
from execwhy.bpf.events.record import Look
from execwhy.tui.why.lookers.bounds import MAX_ANSWER
from execwhy.tui.why.lookers.fair_queue import EventIds, Group
from execwhy.tui.why.lookers.grouping import Owner
from execwhy.tui.why.lookers.process_clock import ProcessClock
from execwhy.tui.why.lookers.spawner import Spawned
from execwhy.tui.why.lookers.wire import LEAVING, Frames, WireError, framed, look_from_wire, record_to_wire

MOST_BYTES_AT_ONCE: Final = 96 << 10
"""Bytes of records that a looker is asked for at a time: they fit into its socket's buffer, so that sending
does not wait."""

_LONGEST: Final = 5
"""Deadlines after which a look is ended even if it hardly ran: it keeps the looker from everyone else."""

_SEE_AGAIN: Final = 0.05
"""Seconds between two checks whether a looker that waited for a processor has run."""

_CHUNK: Final = 1 << 16

_numbers: Final = itertools.count(1)


class Spawning(Protocol):
    """Where lookers come from: ``spawner.Spawner``, or a test.

    Attributes:
        undead: The numbers of the lookers that were killed and had not died at the last check.
    """

    undead: frozenset[int]

    def spawn(self) -> Spawned | None:
        """Return a new looker; None if none can be started now.

        Raises:
            ConnectionError: No looker can be started again.
            OSError: No answer has come in time.
        """

    def kill(self, number: int) -> None:
        """Kill a looker."""

    def look_for_undead(self) -> None:
        """Bring ``undead`` up to date.

        Raises:
            OSError: This cannot be found out now.
        """

    def end(self) -> None:
        """End all lookers, and any call that waits in another thread."""

    def close(self) -> None:
        """End all lookers and close all descriptors."""


@dataclass
class Asked:
    """One look that a looker was asked for.

    Attributes:
        group: The group that it is for.
        failure: The failure to look at.
        ids: The events that the answer is for.
        is_oldest: The failure is the group's oldest.
        number: The number of this request and of its answer; it is greater than all earlier ones.
    """

    group: Group
    failure: Failure
    ids: EventIds
    is_oldest: bool
    number: int = field(default_factory=lambda: next(_numbers))

    @classmethod
    def for_oldest(cls, group: Group) -> Asked:
        """Return a look at the oldest failure of a group, for all its events."""
        return cls(group, group.oldest[1], group.ids, is_oldest=True)

    @functools.cached_property
    def frame(self) -> bytes:
        """The frame that asks for it."""
        return framed(record_to_wire(self.failure.materialize()), self.number)


@dataclass(slots=True, eq=False)
class Seat:
    """A looker.

    Attributes:
        connection: The socket that leads to it.
        number: Its number, which ``Spawning.kill`` takes.
        owner: Whose failures it looks at.
        asked: The looks that it was asked for, in the order in which it answers.
        postponed: The looks to ask for once its socket's buffer has room.
        has_answered: It has answered at least once.
        since: When its current look began, on the clock of time.monotonic().
        due: When to check whether that takes too long, on the same clock.
        clock: The time that it has had; None if that cannot be read, and the wall clock has to do.
    """

    connection: socket.socket
    number: int
    clock: ProcessClock | None = None
    owner: Owner = (0, None)
    asked: deque[Asked] = field(default_factory=deque)
    postponed: deque[Asked] = field(default_factory=deque)
    has_answered: bool = False
    since: float = 0.0
    due: float = 0.0
    _frames: Frames = field(default_factory=lambda: Frames(MAX_ANSWER))

    def begin(self, deadline: float) -> None:
        """Note that a look begins now, which may take ``deadline`` seconds."""
        self.since = time.monotonic()
        self.due = self.since + deadline
        if self.clock is not None:
            self.clock.begin()

    def is_late(self, deadline: float) -> bool:
        """Return whether its look takes too long; if not, set when to check again.

        A look has ``deadline`` seconds, not counting time in which it only waits for a processor. That time
        is limited, too.
        """
        now = time.monotonic()
        if now < self.due:
            return False
        if self.clock is None or now - self.since > _LONGEST * deadline * slowness():
            return True
        left = deadline - self.clock.spent()
        self.due = now + max(_SEE_AGAIN, left)
        return left < 0

    def close(self) -> None:
        """Close its descriptors."""
        self.connection.close()
        if self.clock is not None:
            self.clock.close()

    def ask(self, batch: Sequence[Asked]) -> bool:
        """Ask for looks; return False if the looker is gone. Only a batch of one may be large."""
        self.asked.extend(batch)
        try:
            self.connection.sendall(b"".join(asked.frame for asked in batch))
        except OSError:
            return False
        return True

    def ask_postponed(self) -> bool:
        """Ask for as many postponed looks as can be sent without waiting; return False if the looker is gone.

        A looker at work reads nothing, so the sender would wait for room in its socket's buffer.
        """
        size = sum(len(asked.frame) for asked in self.asked)
        batch: list[Asked] = []
        while self.postponed:
            size += len(self.postponed[0].frame)
            if size > MOST_BYTES_AT_ONCE and (batch or self.asked):
                break
            batch.append(self.postponed.popleft())
        return not batch or self.ask(batch)

    def read(self) -> tuple[list[tuple[Asked, Look]], bool, bool]:
        """Return the looks that have arrived, whether it ends of its own accord, and whether it is gone.

        Answers to earlier requests are ignored. A looker whose answer is too long counts as gone.
        """
        answered: list[tuple[Asked, Look]] = []
        leaves = False
        try:
            data = self.connection.recv(_CHUNK, socket.MSG_DONTWAIT)
            for number, payload in self._frames.feed(data):
                if payload == LEAVING:
                    leaves = True
                elif self.asked and number >= self.asked[0].number:
                    self._check_number(number)
                    look = look_from_wire(payload)
                    answered.append((self.asked.popleft(), look))
        except BlockingIOError:
            return [], False, False
        except (OSError, WireError):
            return answered, False, True
        return answered, leaves, not data

    def _check_number(self, number: int) -> None:
        if number != self.asked[0].number:
            raise WireError(f"request {number:,} was answered before {self.asked[0].number:,}")
