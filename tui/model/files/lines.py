"""Lines of a file that may still grow, of a pipe or of standard input, as they come."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import stat
import time
from collections.abc import Iterator
from typing import Final

from execwhy.tui.model.files.snapshot import MAX_LINE_BYTES

_CHUNK: Final = 256 << 10
"""Bytes read at once: some hundred records."""

_LOOK_AGAIN: Final = 0.25
"""Seconds between two looks at a file that may have grown; inotify knows nothing of network file systems."""

_OWN_DESCRIPTOR: Final = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,9})", re.ASCII)
"""How a shell names the pipe of ``<(command)``."""


class Shrunk(OSError):
    """What was read of a file is no longer in it."""


class Lines:
    """The lines of one input.

    Attributes:
        grows: At the end of a regular file more is waited for. A pipe ends with its last writer.
        brought: Bytes that have come.
    """

    def __init__(self, path: str, *, standard_input: int = 0) -> None:
        """Open it.

        Args:
            path: The file, or "-".
            standard_input: The descriptor that "-" stands for; it is closed at the end.

        Raises:
            OSError: It cannot be opened.
            ValueError: It is no name of a file.
        """
        self._descriptor = _opened(path, standard_input)
        self.is_regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self.grows = False
        self.brought = 0
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._rest = b""
        self._skipping = False

    def stop(self) -> None:
        """Let ``lines`` end soon; may be called from another thread until ``close``."""
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Close the input."""
        os.close(self._descriptor)
        os.close(self._wake)

    @property
    def age(self) -> float:
        """Seconds since a regular file was written."""
        return max(0.0, time.time() - os.fstat(self._descriptor).st_mtime)

    @property
    def has_begun_line(self) -> bool:
        """Whether the end of the last line is still to come."""
        return bool(self._rest)

    @property
    def has_writer(self) -> bool | None:
        """Whether a process of this machine has a regular file open for writing; None where nobody tells.

        A read lease is given where none has (fcntl(2)): to who owns the file, by file systems that have
        leases. It is given back at once; a process that asks for the file meanwhile waits that long.
        """
        try:
            # What the holder of a lease is sent by default would end it.
            fcntl.fcntl(self._descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except BlockingIOError:
            return True
        except OSError:
            return None
        return False

    def __iter__(self) -> Iterator[tuple[int, bytes] | None]:
        """Each line that is not blank, with its number; None whenever it has to be waited for.

        A line that is too long is cut after ``MAX_LINE_BYTES`` and a byte. The last one may have no newline.

        Raises:
            OSError: Reading failed; ``Shrunk`` where the file became shorter.
        """
        number = 0
        while True:
            if not self.is_regular and not self._poll(0.0):
                yield None
            while not self.is_regular and not self._poll(None):
                pass
            if self._is_stopped:
                return
            try:
                chunk = os.read(self._descriptor, _CHUNK)
            except BlockingIOError:
                continue
            self.brought += len(chunk)
            if chunk:
                for line in self._split(chunk):
                    number += 1
                    if line.strip():
                        yield number, line
            elif self.is_regular and self.grows:
                self._check_size()
                yield None
                self._poll(_LOOK_AGAIN)
            else:
                break
        if self._rest.strip():
            yield number + 1, self._rest

    def _split(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that are complete now, with their newlines."""
        *complete, rest = (self._rest + chunk).split(b"\n")
        for line in complete:
            if not self._skipping:
                yield line[: MAX_LINE_BYTES + 1] + b"\n"
            self._skipping = False
        self._rest = b"" if self._skipping else rest
        if len(self._rest) > MAX_LINE_BYTES:
            yield self._rest[: MAX_LINE_BYTES + 1]
            self._rest, self._skipping = b"", True

    @property
    def _is_stopped(self) -> bool:
        return bool(select.select([self._wake], [], [], 0)[0])

    def _poll(self, seconds: float | None) -> bool:
        """Wait until there is something to read, or it is the end, or the reader is to stop."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if not self.is_regular:
            poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    def _check_size(self) -> None:
        """A writer that ran out of room takes back the line that it had begun, and nothing else."""
        excess = self.brought - os.fstat(self._descriptor).st_size
        if excess > len(self._rest):
            raise Shrunk
        if excess > 0:
            self._rest = self._rest[:-excess]
            self.brought = os.lseek(self._descriptor, -excess, os.SEEK_CUR)


def _opened(path: str, standard_input: int) -> int:
    if path == "-":
        return standard_input
    own = _OWN_DESCRIPTOR.fullmatch(path)
    if own:
        # Opened anew by its name, a pipe whose writer has finished would never tell its end.
        return os.dup(int(own[1]))
    # A named pipe without a writer would keep open(2) waiting.
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
