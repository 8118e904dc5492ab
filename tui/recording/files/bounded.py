"""The files of a recording, within its bounds: records that do not fit are left out and counted."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from execwhy.bpf.events.arrivals import Event, Occurrence
from execwhy.bpf.events.source import Counters, Status
from execwhy.tui.model.files.json_lines import Ending, Header, ending_line, event_line, header_line
from execwhy.tui.model.files.live_file import REMOVED, TRUNCATED
from execwhy.tui.model.files.safe_file import NoRoom, SnapshotError
from execwhy.tui.recording.files.bounds import RESERVED, Bounds
from execwhy.tui.recording.files.counters import difference
from execwhy.tui.recording.files.free_space import FreeSpace
from execwhy.tui.recording.files.omissions import (
    FAILED,
    NO_ROOM,
    SIZE_BOUND,
    UNTIL_ROOM,
    Omissions,
    notice,
    without_room,
)
from execwhy.tui.recording.files.output import Output
from execwhy.tui.recording.files.shares import NOBODY

_LOOK: Final = 1.0
"""Seconds between two checks whether the file is still in its place."""

_RETRY: Final = 5.0
"""Seconds between attempts to open the next file, for which there was no room."""

_LOSSES_PART: Final = 8
"""In a day, losses take at most this part of the shares' capacity."""


class BoundedOutput:
    """Writes the header, records and ending of a recording, in as many files as necessary.

    Args:
        output: The first file.
        bounds: How much may be written.
        status: Returns the state of the source, for headers and endings.
        query: The filter's text, for the header.
        on_notice: Called with a sentence that the user should see at once.

    Attributes:
        written: Records in all files.
        files: Files written so far.
        problem: A sentence if the recording is not what was requested, else "".
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
        self.written = 0
        self._omissions = Omissions(on_notice)
        self.files = 1
        self.problem = ""
        self._base = Counters()
        self._before = (0, Counter[str]())
        self._size = 0
        self._is_empty = True
        self._is_over = False
        self._known_fate = ""
        self._free_space = FreeSpace()
        self._next_file_at = 0.0
        self._shares = bounds.shares()
        self._next_look = 0.0

    @property
    def left_out(self) -> Counter[str]:
        """Records that are in no file, by reason."""
        return self._omissions.counts

    @property
    def name(self) -> str:
        """The name of the current file."""
        return self._output.name

    @property
    def kept(self) -> int:
        """The number of files that have been kept."""
        return min(self.files, self._bounds.files)

    @property
    def fate(self) -> str:
        """What others did to the current file; see ``Output``."""
        return self._output.fate()

    @property
    def is_wanted(self) -> bool:
        """Whether anybody can still read what is written."""
        return self._output.is_wanted

    def begin(self) -> None:
        """Write the header of the first file.

        Raises:
            SnapshotError: The file cannot be written.
        """
        self._put(self._header(self._base))

    def write(self, line: bytes, timestamp: int, *, is_record: bool, user: int = NOBODY) -> None:
        """Write a line, or count its record as left out.

        Args:
            line: The line with its newline.
            timestamp: The time of the event.
            is_record: Whether it is a record. Losses that are left out are only in the ending's counters.
            user: The user whose share it takes (``bpf.events.users.user_of``).

        Raises:
            SnapshotError: The file is gone, the device failed, or the next file cannot be opened.
        """
        reason = self._obstacle(len(line), user)
        if not reason:
            try:
                self._write_losses()
                self._put(line)
            except NoRoom:
                if not self._output.takes_back:
                    raise
                self._free_space.ran_out()
                reason = NO_ROOM
            else:
                self._shares.add(user, len(line))
                self.written += is_record
                self._is_empty = False
                return
        if is_record:
            self._leave_out(reason, timestamp)

    def leave_out(self, reason: str, events: Iterable[Event | Occurrence]) -> None:
        """Count events as left out for this reason. Losses are only in the ending's counters."""
        times = [event.timestamp for event in events if event.failure is not None]
        if times:
            self._leave_out(reason, times[0], len(times))

    def look(self) -> None:
        """Check, once a second, whether the file is still in its place.

        Raises:
            SnapshotError: It has been removed or truncated.
        """
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK
            self._check_name()

    def end(self) -> None:
        """Write the last losses and the ending.

        Raises:
            SnapshotError: The file has been removed or truncated, or cannot be written.
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
        """Do not wait long for a reader, because the recording is about to end."""
        self._output.hurry()

    def close(self) -> None:
        """Close the file."""
        self._output.close()

    def discard(self) -> None:
        """Close the file, to which nothing was written, and remove it."""
        self._output.discard()

    def _obstacle(self, size: int, user: int) -> str:
        """Return why a line of this size cannot be written; "" if it can, perhaps in a new file."""
        if self._is_over:
            return SIZE_BOUND
        if not self._free_space.admits(self._output, size):
            return NO_ROOM
        if not self._shares.admits(user, size):
            return self._shares.name_of(user)
        if not self._shares.admits(user, size, self._free_space.room):
            self._free_space.check_soon()
            return NO_ROOM
        open_next = self._bounds.open_next
        if self._exceeds(size) and open_next and not self._is_empty and not self._rotate(open_next):
            return NO_ROOM
        if self._exceeds(size):
            # If only this record is too large for a file, the next ones may still fit.
            self._is_over = self._bounds.open_next is None
            return SIZE_BOUND
        return ""

    def _exceeds(self, size: int) -> bool:
        return self._bounds.max_bytes is not None and self._size + size + RESERVED > self._bounds.max_bytes

    def _rotate(self, open_next: Callable[[], Output]) -> bool:
        """End this file and begin the next one; return False, and keep this one, if there is no room."""
        if time.monotonic() < self._next_file_at:
            return False
        now = self._status().counters
        fresh: Output | None = None
        try:
            # Opened before this one is ended: if the last inode is taken, the recording still has a file.
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
            self._omissions.announce(NO_ROOM, f"{incomplete} {UNTIL_ROOM}")
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
        self._free_space.check_next()
        return True

    def _close(self, full: Output) -> None:
        try:
            full.close()
        except NoRoom as error:
            # Some file systems report this only when they write to the disk.
            self.problem = self.problem or str(error)
            self._omissions.announce(full.name, str(error))

    def _header(self, base: Counters) -> bytes:
        status = self._status()
        counters = difference(status.counters, base)
        header = Header(status.origin, self._query, counters, time.time_ns(), recording=True)
        return header_line(header).encode()

    def _put(self, data: bytes) -> None:
        self._output.write(data)
        self._size += len(data)
        self._free_space.wrote(len(data))

    def _leave_out(self, reason: str, timestamp: int, count: int = 1) -> None:
        self._omissions.add(reason, timestamp, count)
        if reason != FAILED:
            self._omissions.announce(reason, notice(reason, self.name, is_share=self._shares.is_name(reason)))
        if reason == NO_ROOM and not self.problem:
            self.problem = without_room(self.name)

    def _write_losses(self, *, is_last: bool = False) -> None:
        """Write, about once a minute, how many records were left out."""
        size = self._size
        for loss in self._omissions.due(is_last=is_last):
            self._put(event_line(loss, show_secrets=False).encode())
        if self._size > size:
            self._omissions.postpone(self._shares.seconds_for(_LOSSES_PART * (self._size - size)))

    def _check_name(self) -> None:
        fate = self._output.fate()
        if fate in (REMOVED, TRUNCATED):
            raise SnapshotError(
                f"{self.name} was {fate} while it was written, and its content is lost: start execwhy again."
            )
        if fate and fate != self._known_fate:
            self._known_fate = fate
            self.problem = (
                f"{self.name} was {fate} while it was written: recording continued in that same file."
            )
            self._omissions.announce(fate, self.problem)
