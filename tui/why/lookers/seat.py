"""One looker as the monitor sees it: a connection, and what it was asked for."""

from __future__ import annotations

import socket
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

from bpf.record import Again, Look
from tui.why.lookers.fair_queue import EventIds, Failure, Group, Owner
from tui.why.lookers.wire import LEAVING, Frames, WireError, framed, look_from_wire, record_to_wire

MOST_BYTES_AT_ONCE: Final = 96 << 10
"""Bytes of records that a looker is asked for at a time: they fit into its socket's buffer, so that sending
does not wait."""

_CHUNK: Final = 1 << 16


class Spawning(Protocol):
    """Where lookers come from: ``process.Spawner``, or a test.

    Attributes:
        undead: How many lookers were killed and have not died, when last asked for one.
    """

    undead: int

    def spawn(self) -> tuple[socket.socket, int] | None:
        """Return a connection to a new looker, and its pid; None where none can be had now.

        Raises:
            OSError: None can be had any more.
        """

    def kill(self, pid: int) -> None:
        """Kill a looker."""

    def close(self) -> None:
        """End all of them."""


@dataclass(slots=True)
class Asked:
    """One look that a looker was asked for.

    Attributes:
        group: The group that it is for.
        failure: The one of the group that is looked at.
        ids: The events that get what is found.
        is_oldest: It is the group's oldest failure.
    """

    group: Group
    failure: Failure
    ids: EventIds
    is_oldest: bool

    @classmethod
    def for_oldest(cls, group: Group) -> Asked:
        """A look at the oldest failure of a group, for all of them."""
        return cls(group, group.oldest[1], group.ids, is_oldest=True)

    def encoded(self) -> bytes:
        """Return the frame that asks for it."""
        failure = self.failure
        return framed(record_to_wire(failure.whole() if isinstance(failure, Again) else failure))


@dataclass(slots=True, eq=False)
class Seat:
    """A looker.

    Attributes:
        connection: To it.
        pid: Its pid.
        owner: Whose failures it looks at.
        asked: What it was asked for, in the order in which it answers.
        since: When its current look began, on the clock of time.monotonic().
    """

    connection: socket.socket
    pid: int
    owner: Owner = (0, None)
    asked: deque[Asked] = field(default_factory=deque)
    since: float = 0.0
    _frames: Frames = field(default_factory=Frames)

    def read(self) -> tuple[list[Look], bool, bool]:
        """Return the looks that have come, whether it ends of its own accord, and whether it is gone."""
        try:
            data = self.connection.recv(_CHUNK, socket.MSG_DONTWAIT)
            payloads = self._frames.feed(data)
            leaves = payloads[-1:] == [LEAVING]
            looks = [look_from_wire(payload) for payload in payloads if payload != LEAVING]
        except BlockingIOError:
            return [], False, False
        except (OSError, WireError):
            return [], False, True
        return looks, leaves, not data or len(looks) > len(self.asked)
