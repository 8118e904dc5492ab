"""The free space of a recording's file system, which is not checked before every line."""

from __future__ import annotations

import time
from typing import Final

from execwhy.tui.recording.files.bounds import RESERVED
from execwhy.tui.recording.files.output import Output

_INTERVAL: Final = 1.0
"""Seconds between two checks of a file system that had no room."""

_UNCHECKED: Final = 1 << 20
"""Bytes to write at most before the free space is checked again."""


class FreeSpace:
    """What is known of the free space.

    Attributes:
        room: Bytes that may still be written, as of the last check; None if there is no such limit.
    """

    def __init__(self) -> None:
        self.room: int | None = None
        self._unchecked = 0
        self._checked_at = 0.0
        self._full_until = 0.0

    def admits(self, output: Output, size: int) -> bool:
        """Return whether there is room for a line of this size; check only if that may have changed."""
        if size <= self._unchecked:
            return True
        now = time.monotonic()
        if now < self._full_until:
            return False
        self._checked_at = now
        room = self.room = output.room()
        if room is not None and room < size + RESERVED:
            self._full_until = now + _INTERVAL
            return False
        self._unchecked = max(size, _UNCHECKED if room is None else min(_UNCHECKED, room // 2))
        return True

    def wrote(self, size: int) -> None:
        """Note that bytes were written."""
        self._unchecked -= size
        if self.room is not None:
            self.room -= size

    def ran_out(self) -> None:
        """Note that a write did not fit: there is no room until the next check, a second later."""
        self._full_until, self._unchecked = time.monotonic() + _INTERVAL, 0

    def check_soon(self) -> None:
        """Check again before the next line, if the last check was a second ago."""
        if time.monotonic() >= self._checked_at + _INTERVAL:
            self._unchecked = 0

    def check_next(self) -> None:
        """Check again before the next line."""
        self._unchecked = 0
