"""Where events come from: the interface that the kernel's reader, a file and a test's script share."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from execwhy.bpf.events.arrivals import Report


class Stage(enum.Enum):
    """What a source is doing; the value is the word that the operator reads."""

    STARTING = "starting"
    COMPILING = "compiling"
    ATTACHING = "attaching"
    LIVE = "live"
    READING = "reading"
    WAITING = "waiting"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Counters:
    """How many failed execs there were, and what became of them.

    ``seen == recorded + suppressed + lost`` holds in every instance that a source hands out.

    Attributes:
        seen: Failed execs that the kernel program saw.
        recorded: Written to the buffer.
        suppressed: Skipped by the capture filter.
        lost: Not written, for want of room.
        losses: ``lost``, by name of the cause.
        untold: Ends of PATH searches that were lost, in the kernel or afterwards; they are no failed execs.
        untracked: Recorded, but of tasks whose searches could not be followed: the table was full.
        incomplete: Execs of which the kernel's own facts (binary, interpreter, its copy of argv) may be
            missing, since the hook that has them did not run or had no room; by name of the cause.
        unreadable: Lines of a file that could not be read; whatever was in them, no other counter has it.
    """

    seen: int = 0
    recorded: int = 0
    suppressed: int = 0
    lost: int = 0
    losses: Mapping[str, int] = field(default_factory=dict)
    untold: int = 0
    untracked: int = 0
    incomplete: Mapping[str, int] = field(default_factory=dict)
    unreadable: int = 0

    @property
    def ends_lost(self) -> int:
        """Return how many ends of PATH searches may be missing: lost, or of tasks not followed."""
        return self.untold + self.untracked


@dataclass(frozen=True, slots=True)
class Capture:
    """What the kernel program records; the rest is counted as suppressed. All conditions must hold.

    Attributes:
        uid_ranges: The caller's real uid lies in one of these (both ends included); () is any uid.
        paths: The path as the caller gave it is one of these; with ``path_prefixes`` () is any path.
        path_prefixes: Or it begins with one of these.
        excluded_paths: The path is none of these.
        excluded_prefixes: And it begins with none of these.
    """

    uid_ranges: tuple[tuple[int, int], ...] = ()
    paths: tuple[str, ...] = ()
    path_prefixes: tuple[str, ...] = ()
    excluded_paths: tuple[str, ...] = ()
    excluded_prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and how events were captured; a snapshot's header is made of it.

    Attributes:
        host: Host name.
        kernel: Kernel release.
        boot_time: Nanoseconds since 1970 UTC.
        plan: Hook plan, or None before one was chosen.
    """

    host: str
    kernel: str
    boot_time: int
    plan: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """A source's state at one moment.

    Attributes:
        stage: What it is doing.
        detail: One sentence for the operator: why it failed, or which file is read. May be "".
        counters: The counters.
        origin: Where the events come from.
        problem: One sentence where something went wrong, and events come all the same; else "".
        is_merged: The events come from several hosts or files, and each says from which.
        behind: Users, as of ``bpf.events.users.user_of``, of whom something waits to be drained.
    """

    stage: Stage
    detail: str
    counters: Counters
    origin: Origin
    problem: str = ""
    is_merged: bool = False
    behind: frozenset[int] = frozenset()


class EventSource(Protocol):
    """Hands over events in batches. All methods are called from one thread, and none blocks long."""

    def start(self) -> None:
        """Start producing in the background. Errors show in ``status``, never here."""

    def drain(self) -> Sequence[Report]:
        """Return some of the events since the last call; nothing is left once it returns none."""

    def status(self) -> Status:
        """Return the current state."""

    def set_capture(self, capture: Capture | None) -> None:
        """Apply a capture filter from now on; None records everything.

        Raises:
            ValueError: This source cannot; the message is one sentence.
        """

    def close(self) -> None:
        """Stop and free everything; may be called twice. Events still queued can be drained."""
