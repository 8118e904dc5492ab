"""Where a recording goes."""

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
"""What to say of a recording that has nowhere to go."""

UNREAD: Final = "standard output was not read to the end: see what became of its reader."

PATIENCE: Final = 1.5
"""Seconds for a reader that takes nothing, once the recording is to end."""

_ROOM_MS: Final = 200
"""Milliseconds between two looks at whether it is to end."""


class Output(Protocol):
    """Where a recording goes."""

    @property
    def name(self) -> str:
        """What it is called in messages; show it through ``printable``."""

    def write(self, data: bytes) -> None:
        """Write all of it, at once."""

    @property
    def is_wanted(self) -> bool:
        """Whether anyone can still read what is written; False only where nobody ever will."""

    @property
    def takes_back(self) -> bool:
        """Whether a write for which there is no room leaves nothing behind, so that another may follow."""

    def room(self) -> int | None:
        """Bytes that may be written before too little of its file system is free; None for no such bound."""

    def fate(self) -> str:
        """What became of its file: ``REMOVED``, ``TRUNCATED``, ``RENAMED``, or "" while it is at its path."""

    def hurry(self) -> None:
        """Wait ``PATIENCE`` at most for a reader that takes nothing; may be called in a signal handler."""

    def close(self) -> None:
        """End it."""

    def discard(self) -> None:
        """End it where nothing was written."""


class ReaderGone(Exception):
    """Whoever read standard output has had enough."""


class StandardOutput:
    """Standard output as it is given: a pipe, a terminal or a redirected file."""

    name: Final = "standard output"
    takes_back: Final = False

    def __init__(self) -> None:
        self._deadline = math.inf

    def hurry(self) -> None:
        """Give up on a pipe that nobody reads, some seconds from now."""
        self._deadline = min(self._deadline, time.monotonic() + PATIENCE)

    def room(self) -> int | None:
        """As of any file where it is redirected to one."""
        try:
            return room_beside(STDOUT) if stat.S_ISREG(os.fstat(STDOUT).st_mode) else None
        except OSError:
            return None  # closed: writing says so

    def fate(self) -> str:
        """Its file, if it is one, is the shell's."""
        return ""

    def write(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            ReaderGone: The pipe was closed at its other end.
            SnapshotError: It did not fit, or the device failed.
        """
        rest = memoryview(data)
        is_file = self.room() is not None
        room = select.poll()
        room.register(STDOUT, select.POLLOUT)
        try:
            while rest:
                # A pipe that has any room has it for PIPE_BUF bytes (pipe(7)), so that nothing here blocks.
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
        """False once the pipe is closed at its other end, as ``head`` does; that is seen without writing."""
        poll = select.poll()
        poll.register(STDOUT, 0)
        return not poll.poll(0)

    def close(self) -> None:
        """Nothing to do: the descriptor is the shell's."""

    def discard(self) -> None:
        """Nothing to do: nothing was written."""


def open_output(path: str) -> Output:
    """Open the output of that name: a new file, or standard output for "-".

    Raises:
        SnapshotError: The file exists, or cannot be written there.
    """
    return StandardOutput() if path == "-" else LiveFile(path)
