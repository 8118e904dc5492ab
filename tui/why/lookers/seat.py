"""One looker as the monitor sees it: a connection, and what it was asked for."""

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
"""Deadlines after which a look ends even if it hardly ran: nobody else uses the looker meanwhile."""

_SEE_AGAIN: Final = 0.05
"""Seconds between two looks at whether one that waits for a processor has got it."""

_CHUNK: Final = 1 << 16

_numbers: Final = itertools.count(1)


class Spawning(Protocol):
    """Where lookers come from: ``spawner.Spawner``, or a test.

    Attributes:
        undead: The numbers of the lookers that were killed and had not died, when that was last asked.
    """

    undead: frozenset[int]

    def spawn(self) -> Spawned | None:
        """Return a new looker; None where none can be had now.

        Raises:
            OSError: None can be had any more.
        """

    def kill(self, number: int) -> None:
        """Kill a looker."""

    def look_for_undead(self) -> None:
        """Bring ``undead`` up to date.

        Raises:
            OSError: It cannot be known.
        """

    def end(self) -> None:
        """End all of them, and whatever waits for one in another thread."""

    def close(self) -> None:
        """End all of them, and let go of what is held."""


@dataclass
class Asked:
    """One look that a looker was asked for.

    Attributes:
        group: The group that it is for.
        failure: The one of the group that is looked at.
        ids: The events that get what is found.
        is_oldest: It is the group's oldest failure.
        number: That of this request alone, greater than those of all before; the answer has it as well.
    """

    group: Group
    failure: Failure
    ids: EventIds
    is_oldest: bool
    number: int = field(default_factory=lambda: next(_numbers))

    @classmethod
    def for_oldest(cls, group: Group) -> Asked:
        """Return a look at the oldest failure of a group, for all of them."""
        return cls(group, group.oldest[1], group.ids, is_oldest=True)

    @functools.cached_property
    def frame(self) -> bytes:
        """The frame that asks for it."""
        return framed(record_to_wire(self.failure.materialize()), self.number)


@dataclass(slots=True, eq=False)
class Seat:
    """A looker.

    Attributes:
        connection: To it.
        number: By which ``Spawning`` knows it.
        owner: Whose failures it looks at.
        asked: What it was asked for, in the order in which it answers.
        postponed: What it will be asked for once there is room for that in its socket's buffer.
        has_answered: It has looked at something.
        since: When its current look began, on the clock of time.monotonic().
        due: When to see whether that takes too long, on the same clock.
        clock: Its own time; None where only the wall clock is there to go by.
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
        """Note that a look begins now, which may take so many seconds."""
        self.since = time.monotonic()
        self.due = self.since + deadline
        if self.clock is not None:
            self.clock.begin()

    def is_late(self, deadline: float) -> bool:
        """Return whether its look takes too long, now that it is due; else it is due again later.

        A look has ``deadline`` seconds for what it does and waits for. Time in which it only waits for a
        processor is added to that, but not without end.
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
        """Let go of it."""
        self.connection.close()
        if self.clock is not None:
            self.clock.close()

    def ask(self, batch: Sequence[Asked]) -> bool:
        """Ask for looks, of which only a single one may be long; False where the looker is gone."""
        self.asked.extend(batch)
        try:
            self.connection.sendall(b"".join(asked.frame for asked in batch))
        except OSError:
            return False
        return True

    def ask_postponed(self) -> bool:
        """Ask for what was postponed, as far as sending does not wait; False where the looker is gone.

        A looker that is at work reads nothing, so that the sender would wait for room in its socket's buffer.
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
        """Return the looks that have come, whether it ends of its own accord, and whether it is gone.

        An answer to an earlier request than the present one is none to that: it is passed over. A looker that
        answers with more than it may counts as gone.
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
