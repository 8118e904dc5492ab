"""The source of a recording: one that its reader can wait for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from execwhy.bpf.events.arrivals import Report
from execwhy.bpf.events.source import EventSource


class WaitingSource(EventSource, Protocol):
    """A source that its caller can wait for, and end in order."""

    def drain(self, held_up: Collection[int] = ()) -> Sequence[Report]:
        """Return what has arrived (see ``EventSource``), except from these users (``user_of``)."""

    def wait(self, seconds: float) -> None:
        """Sleep until there is something to drain, at most this many seconds."""

    def finish(self) -> None:
        """Stop recording; what was recorded before can be drained even when the stage is ENDED."""

    def abandon(self) -> None:
        """Drop what waits to be drained, and count it as lost."""
