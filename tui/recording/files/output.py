"""The outputs of a recording: a new file, or standard output."""

from __future__ import annotations

import errno
import math
import os
import select
import stat
import time
from typing import Final, Protocol

from execwhy.tui.model.files.live_file import LiveFile, room_beside
from execwhy.tui.model.files.safe_file import SnapshotError, failure

STDOUT: Final = 1
"""The descriptor of standard output."""

CLOSED: Final = "standard output is closed: redirect it, or name a file."
"""The message for a recording without an output."""

UNREAD: Final = "standard output was not read to the end: see what became of its reader."

PATIENCE: Final = 1.5
"""Seconds to wait for a reader that reads nothing, when the recording is about to end."""

_ROOM_MS: Final = 200
"""Milliseconds between two checks whether the recording is about to end."""


class Output(Protocol):
    """An output of a recording."""

    @property
    def name(self) -> str:
        """Its name in messages; pass it through ``printable`` before showing it."""

    def write(self, data: bytes) -> None:
        """Write all of the data at once."""

    @property
    def is_wanted(self) -> bool:
        """Whether anybody can still read what is written; False only if nobody ever will."""

    @property
    def takes_back(self) -> bool:
        """Whether a write that does not fit leaves nothing behind, so that another may follow."""

    def room(self) -> int | None:
        """Return how many bytes may be written before the file system is too full; None for no limit."""

    def fate(self) -> str:
        """Return what others did to the file: ``REMOVED``, ``TRUNCATED`` or ``RENAMED``; "" for nothing."""

    def hurry(self) -> None:
        """Wait at most ``PATIENCE`` for a reader that reads nothing; may be called in a signal handler."""

    def close(self) -> None:
        """Close the output."""

    def discard(self) -> None:
        """Close the output, to which nothing was written."""


class ReaderGone(Exception):
    """The reader of standard output has closed it."""


class StandardOutput:
    """Standard output: a pipe, a terminal or a redirected file."""

    name: Final = "standard output"
    takes_back: Final = False

    def __init__(self) -> None:
        self._deadline = math.inf

    def hurry(self) -> None:
        """Give up a pipe that nobody reads after ``PATIENCE``."""
        self._deadline = min(self._deadline, time.monotonic() + PATIENCE)

    def room(self) -> int | None:
        """Return the room of the file that it is redirected to; None if it is not a file."""
        try:
            return room_beside(STDOUT) if stat.S_ISREG(os.fstat(STDOUT).st_mode) else None
        except OSError:
            return None  # closed: writing says so

    def fate(self) -> str:
        """Return "": if it is a file, it is the shell's."""
        return ""

    def write(self, data: bytes) -> None:
        """Write all of the data.

        Raises:
            ReaderGone: The reader has closed the pipe.
            SnapshotError: The data did not fit, or the device failed.
        """
        rest = memoryview(data)
        is_file = self.room() is not None
        room = select.poll()
        room.register(STDOUT, select.POLLOUT)
        try:
            while rest:
                # A pipe with any room has room for PIPE_BUF bytes (pipe(7)), so this does not block.
                if room.poll(_ROOM_MS):
                    rest = rest[os.write(STDOUT, rest if is_file else rest[: select.PIPE_BUF]) :]
                elif time.monotonic() > self._deadline:
                    raise SnapshotError(UNREAD)
        except BrokenPipeError:
            raise ReaderGone from None
        except OSError as error:
            if error.errno == errno.EBADF:
                raise SnapshotError(CLOSED) from error
            raise failure("standard output", error) from error

    @property
    def is_wanted(self) -> bool:
        """Whether the pipe has a reader, which can be found out without writing."""
        poll = select.poll()
        poll.register(STDOUT, 0)
        return not poll.poll(0)

    def close(self) -> None:
        """Do nothing: the descriptor is the shell's."""

    def discard(self) -> None:
        """Do nothing: nothing was written."""


def open_output(path: str) -> Output:
    """Open an output: a new file, or standard output for "-".

    Raises:
        SnapshotError: The file exists or cannot be written.
    """
    return StandardOutput() if path == "-" else LiveFile(path)
