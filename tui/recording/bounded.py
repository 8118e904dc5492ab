"""The file of a recording within its bounds: what does not fit is left out, counted and named."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.events.arrivals import Event, Occurrence
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.source import Counters, Status
from execwhy.tui.model.files.json_lines import Ending, Header, ending_line, event_line, header_line
from execwhy.tui.model.files.live_file import REMOVED, TRUNCATED
from execwhy.tui.model.files.safe_file import NoRoom, SnapshotError
from execwhy.tui.recording.output import Output
from execwhy.tui.recording.shares import DAY, NOBODY, Shares

SIZE_BOUND: Final = "recording's size bound"
NO_ROOM: Final = "no room for the recording"
NO_TIME: Final = "no time left for the recording"
FAILED: Final = "recording had failed"
"""Reasons of losses, and names in an ending: what a record was left out for."""

_RESERVED: Final = 8 << 10
"""Bytes for the losses and the ending of a file, which are written whatever was left out."""

_FLOOR: Final = 32 << 10
"""Bytes that each user has whatever others do, unless the files are very small: ten records of usual size."""

_FLOOR_PARTS: Final = (256, 32)
"""The part of a capacity that a floor is at least, and of all bytes at most where it is below ``_FLOOR``."""

_FLOODS: Final = 10
"""Users who have written all that they may, beside whom each other user still has the floor."""

LEAST_FLOOR: Final = 30 << 10
"""Bytes of the floor that the files of a recording are to have room for, if they are kept for a day."""

_LOOK: Final = 1.0
"""Seconds between looks at a file's name, and at a file system that had no room."""

_UNSEEN: Final = 1 << 20
"""Bytes that are written at most before the free space is looked at again."""

_LOSSES: Final = 60.0
"""Seconds at least between losses that say what is left out: else each line of others' would have one."""

_LOSSES_PART: Final = 8
"""The part of the shares' capacity that losses take in a day at most."""

_RETRY: Final = 5.0
"""Seconds between attempts to begin the next file, for which there was no room."""


_UNTIL_ROOM: Final = "What fails is left out, and counted, until there is room."
"""Ends a notice whose beginning is the recording's problem, which is then said only once."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a recording may take.

    Attributes:
        max_bytes: Bytes of one file; None for no bound but the free space.
        open_next: Begins the next file when one is full, or raises ``NoRoom``, which leaves records out
            until it can; None has them left out for good.
        files: How many of those are kept.
    """

    max_bytes: int | None = None
    open_next: Callable[[], Output] | None = None
    files: int = 1

    def shares(self) -> Shares:
        """Return what users may write of it: where files follow each other, of what is kept for a day."""
        if self.max_bytes is None:
            return Shares(None)
        size = self.max_bytes - _RESERVED
        if self.open_next is None:
            floor = _floor(size, size)
            return Shares(size - _FLOODS * floor, floor=floor)
        # The file that is being written may have little in it, and so may the one before a start.
        kept = size * (self.files - 1)
        capacity = size * max(1, self.files - 2) // 3
        floor = _floor(capacity, kept)
        return Shares(max(0, min(capacity, kept // 2 - _FLOODS * floor)), DAY, floor=floor)


def least_bytes(files: int) -> int:
    """Return how large so many files must be, so that each user has ``LEAST_FLOOR`` in them; at least two."""
    return -(-LEAST_FLOOR * _FLOOR_PARTS[1] // (files - 1)) + _RESERVED


def _floor(capacity: int, kept: int) -> int:
    """Return how many bytes of what is kept each user is to have whatever others do."""
    of_capacity, of_kept = _FLOOR_PARTS
    return max(capacity // of_capacity, min(_FLOOR, kept // of_kept))


UNBOUNDED: Final = Bounds()


class BoundedOutput:
    """Writes header, records and ending of a recording, into as many files as it takes.

    Args:
        output: The first file.
        bounds: How much may be written.
        status: The source's state, for headers and endings.
        query: The filter's text, for the header.
        on_notice: Called with a sentence about what an operator should know at once.

    Attributes:
        written: Records in all of its files.
        left_out: Records that are in none, by the reason.
        files: How many files it has had.
        problem: One sentence where it is not what was asked for, else "".
    """

    def __init__(
        self,
        output: Output,
        bounds: Bounds,
        *,
        status: Callable[[], Status],
        query: str,
        on_notice: Callable[[str], None] = lambda _notice: None,
    ) -> None:
        self._output = output
        self._bounds = bounds
        self._status = status
        self._query = query
        self._on_notice = on_notice
        self.written = 0
        self.left_out: Counter[str] = Counter()
        self.files = 1
        self.problem = ""
        self._unwritten: dict[str, Loss] = {}
        self._base = Counters()
        self._before = (0, Counter[str]())
        self._size = 0
        self._is_empty = True
        self._is_over = False
        self._noticed: set[str] = set()
        self._unseen = 0
        self._full_until = 0.0
        self._next_file_at = 0.0
        self._shares = bounds.shares()
        self._room: int | None = None
        self._room_seen_at = 0.0
        self._next_losses = 0.0
        self._next_look = 0.0

    @property
    def name(self) -> str:
        """What the file that is being written is called."""
        return self._output.name

    @property
    def kept(self) -> int:
        """How many of its files are kept."""
        return min(self.files, self._bounds.files)

    @property
    def fate(self) -> str:
        """What became of that file, as of ``Output``."""
        return self._output.fate()

    @property
    def is_wanted(self) -> bool:
        """Whether anyone can still read what is written."""
        return self._output.is_wanted

    def begin(self) -> None:
        """Write the header of the first file.

        Raises:
            SnapshotError: It cannot be written.
        """
        self._put(self._header(self._base))

    def write(self, line: bytes, timestamp: int, *, is_record: bool, user: int = NOBODY) -> None:
        """Write a line, or count its record as left out.

        Args:
            line: The line with its newline.
            timestamp: Of the event.
            is_record: Whether it is one; of a loss that is left out the ending has the counters.
            user: Of whose share it is, as of ``bpf.events.users.user_of``.

        Raises:
            SnapshotError: The file is gone, the device failed, or the next file cannot be begun.
        """
        reason = self._obstacle(len(line), user)
        if not reason:
            try:
                self._write_losses()
                self._put(line)
            except NoRoom:
                if not self._output.takes_back:
                    raise
                self._full_until, self._unseen = time.monotonic() + _LOOK, 0
                reason = NO_ROOM
            else:
                self._shares.add(user, len(line))
                self.written += is_record
                self._is_empty = False
                return
        if is_record:
            self._leave_out(reason, timestamp)

    def leave_out(self, reason: str, events: Iterable[Event | Occurrence]) -> None:
        """Count events as left out for a reason of the caller's; of losses the ending has the counters."""
        times = [event.timestamp for event in events if event.failure is not None]
        if times:
            self._leave_out(reason, times[0], len(times))

    def look(self) -> None:
        """See once a second whether the file is still where it was made.

        Raises:
            SnapshotError: It has been removed, so that nobody could read what is written, or truncated.
        """
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK
            self._check_name()

    def end(self) -> None:
        """Write what was left out, and the ending.

        Raises:
            SnapshotError: The file has been removed, or they cannot be written.
        """
        self._end(self._status().counters)

    def _end(self, now: Counters) -> None:
        self._check_name()
        self._write_losses(is_last=True)
        written, left_out = self._before
        ending = Ending(
            time.time_ns(), difference(now, self._base), self.written - written, self.left_out - left_out
        )
        self._put(ending_line(ending).encode())
        self._base, self._before = now, (self.written, self.left_out.copy())

    def hurry(self) -> None:
        """Wait for no reader for long, as the recording is to end."""
        self._output.hurry()

    def close(self) -> None:
        """Close the file."""
        self._output.close()

    def discard(self) -> None:
        """Close the file, which nothing was written to, and remove it."""
        self._output.discard()

    def _obstacle(self, size: int, user: int) -> str:
        """Return why a line of that size cannot be written; "" where it can, perhaps in a new file."""
        if self._is_over:
            return SIZE_BOUND
        if not self._has_room(size):
            return NO_ROOM
        if not self._shares.admits(user, size):
            return self._shares.name_of(user)
        if not self._shares.admits(user, size, self._room):
            self._look_at_room_again()
            return NO_ROOM
        open_next = self._bounds.open_next
        if self._exceeds(size) and open_next and not self._is_empty and not self._rotate(open_next):
            return NO_ROOM
        if self._exceeds(size):
            # A single record that is too large for a file leaves room for others.
            self._is_over = self._bounds.open_next is None
            return SIZE_BOUND
        return ""

    def _exceeds(self, size: int) -> bool:
        return self._bounds.max_bytes is not None and self._size + size + _RESERVED > self._bounds.max_bytes

    def _has_room(self, size: int) -> bool:
        """Ask whether the file system has room, after so many bytes or a second."""
        if size <= self._unseen:
            return True
        now = time.monotonic()
        if now < self._full_until:
            return False
        self._room_seen_at = now
        room = self._room = self._output.room()
        if room is not None and room < size + _RESERVED:
            self._full_until = now + _LOOK
            return False
        self._unseen = max(size, _UNSEEN if room is None else min(_UNSEEN, room // 2))
        return True

    def _look_at_room_again(self) -> None:
        """Have the free space looked at with the next line, where that is a second ago."""
        if time.monotonic() >= self._room_seen_at + _LOOK:
            self._unseen = 0

    def _rotate(self, open_next: Callable[[], Output]) -> bool:
        """End this file and begin the next one; False where there is no room for it, and this one stays."""
        if time.monotonic() < self._next_file_at:
            return False
        now = self._status().counters
        fresh: Output | None = None
        try:
            # First, as whoever takes the last inode must not leave the recording without a file.
            fresh = open_next()
            header = self._header(now)
            fresh.write(header)
            self._end(now)
        except NoRoom as error:
            self._next_file_at = time.monotonic() + _RETRY
            if fresh is not None:
                with contextlib.suppress(SnapshotError):
                    fresh.discard()
            incomplete = f"{self.name} is not complete: {error}"
            self.problem = self.problem or incomplete
            self._notice_once(NO_ROOM, f"{incomplete} {_UNTIL_ROOM}")
            return False
        except SnapshotError:
            if fresh is not None:
                fresh.discard()
            else:
                self.end()
            raise
        full, self._output = self._output, fresh
        self._close(full)
        self.files += 1
        self._size, self._is_empty = len(header), True
        self._unseen = 0
        return True

    def _close(self, full: Output) -> None:
        try:
            full.close()
        except NoRoom as error:
            # Said so late by file systems that find room only when they write to the disk.
            self.problem = self.problem or str(error)
            self._notice_once(full.name, str(error))

    def _header(self, base: Counters) -> bytes:
        status = self._status()
        counters = difference(status.counters, base)
        header = Header(status.origin, self._query, counters, time.time_ns(), recording=True)
        return header_line(header).encode()

    def _put(self, data: bytes) -> None:
        self._output.write(data)
        self._size += len(data)
        self._unseen -= len(data)
        if self._room is not None:
            self._room -= len(data)

    def _leave_out(self, reason: str, timestamp: int, more: int = 1) -> None:
        self.left_out[reason] += more
        loss = self._unwritten.get(reason)
        since, count = (timestamp, 0) if loss is None else (loss.timestamp, loss.count)
        self._unwritten[reason] = Loss(since, count + more, reason)
        if reason != FAILED:
            self._notice_once(reason, self._notice(reason))
        if reason == NO_ROOM and not self.problem:
            self.problem = self._without_room

    def _notice_once(self, kind: str, notice: str) -> None:
        if kind not in self._noticed:
            self._noticed.add(kind)
            self._on_notice(notice)

    def _notice(self, reason: str) -> str:
        if reason == SIZE_BOUND:
            return f"{self.name} is full (--max-bytes): what fails from now on is left out, and counted."
        if self._shares.is_name(reason):
            return (
                f"{self.name} has no more for the {reason}, so that others have some: what else fails there "
                "is left out, and counted."
            )
        if reason == NO_TIME:
            return f"there was no time to write all to {self.name}: what was left is counted."
        return f"{self._without_room} {_UNTIL_ROOM}"

    @property
    def _without_room(self) -> str:
        return (
            f"{self.name} is not complete, since there is too little free space for it: free some, or choose "
            "another place."
        )

    def _write_losses(self, *, is_last: bool = False) -> None:
        """Say what was left out before the next line, once a minute."""
        if not self._unwritten:
            return
        now = time.monotonic()
        if now < self._next_losses and not is_last:
            return
        size = self._size
        for reason, loss in list(self._unwritten.items()):
            self._put(event_line(loss, show_secrets=False).encode())
            del self._unwritten[reason]
        self._next_losses = now + max(_LOSSES, self._shares.seconds_for(_LOSSES_PART * (self._size - size)))

    def _check_name(self) -> None:
        fate = self._output.fate()
        if fate in (REMOVED, TRUNCATED):
            raise SnapshotError(
                f"{self.name} was {fate} while it was written, and what it held is gone from it: start "
                "execwhy again."
            )
        if fate and fate not in self._noticed:
            self._noticed.add(fate)
            self.problem = (
                f"{self.name} was {fate} while it was written: the recording went on in the file that it was."
            )
            self._on_notice(self.problem)


def difference(now: Counters, before: Counters) -> Counters:
    """Return what the counters have counted in between."""

    def by_name(names: Mapping[str, int], earlier: Mapping[str, int]) -> dict[str, int]:
        return {name: count - earlier.get(name, 0) for name, count in names.items()}

    return Counters(
        seen=now.seen - before.seen,
        recorded=now.recorded - before.recorded,
        suppressed=now.suppressed - before.suppressed,
        lost=now.lost - before.lost,
        losses=by_name(now.losses, before.losses),
        untold=now.untold - before.untold,
        untracked=now.untracked - before.untracked,
        incomplete=by_name(now.incomplete, before.incomplete),
        unreadable=now.unreadable - before.unreadable,
    )
