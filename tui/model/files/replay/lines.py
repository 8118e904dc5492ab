"""The lines of a pipe, of standard input or of a file that may still grow, as they arrive."""

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

from execwhy.tui.model.files.json_lines import MAX_LINE_BYTES

_CHUNK: Final = 256 << 10
"""Bytes to read at once: some hundred records."""

_LOOK_AGAIN: Final = 0.25
"""Seconds between two checks whether a file has grown: inotify does not work on network file systems."""

_OWN_DESCRIPTOR: Final = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,9})", re.ASCII)
"""The name that a shell gives to the pipe of ``<(command)``."""


class Shrunk(OSError):
    """A part of the file that has been read is no longer there."""


class Lines:
    """The lines of one input.

    Attributes:
        grows: Whether to wait for more at the end of a regular file. A pipe ends with its last writer.
        brought: Bytes read so far.
    """

    def __init__(self, path: str, *, standard_input: int = 0) -> None:
        """Open the input.

        Args:
            path: The file, or "-".
            standard_input: The descriptor that "-" stands for; it is closed at the end.

        Raises:
            OSError: It cannot be opened.
            ValueError: The path is not the name of a file.
        """
        self._descriptor = _opened(path, standard_input)
        self.is_regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self.grows = False
        self.brought = 0
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._rest = b""
        self._skipping = False

    def stop(self) -> None:
        """End the iteration soon; may be called from another thread until ``close``."""
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
        """Whether the last line is still incomplete."""
        return bool(self._rest)

    @property
    def has_writer(self) -> bool | None:
        """Whether a process of this machine has a regular file open for writing; None if that is not known.

        A read lease (fcntl(2)) is granted only if no process has: to the file's owner, on file systems
        that have leases. It is released at once; a process that opens the file meanwhile waits that long.
        """
        try:
            # The signal that the holder of a lease gets by default would end the process.
            fcntl.fcntl(self._descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except BlockingIOError:
            return True
        except OSError:
            return None
        return False

    def __iter__(self) -> Iterator[tuple[int, bytes] | None]:
        """Yield the number and the text of each line that is not blank; None before waiting for more.

        A line that is too long is cut after ``MAX_LINE_BYTES`` + 1 bytes. The last line may lack its newline.

        Raises:
            OSError: Reading failed.
            Shrunk: The file became shorter.
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
        """Yield the lines that are complete now, with their newlines."""
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
        """Wait until there is something to read, the input ends, or ``stop`` is called."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if not self.is_regular:
            poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    def _check_size(self) -> None:
        """Drop the part of a line that a writer without room has removed again; raise ``Shrunk`` for more."""
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
        # Duplicated, because a pipe that is opened again by name after its writer has finished never ends.
        return os.dup(int(own[1]))
    # Without O_NONBLOCK, open(2) would wait for a writer of a named pipe.
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
