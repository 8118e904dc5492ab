"""The files of one recording that begins a new one whenever the last is full, and keeps the newest of them.

They are numbered: of ``fails.jsonl`` the first is ``fails.000001.jsonl``. A later run goes on counting, so
that the bound holds however often the program is started. Nothing is renamed, so whoever reads one keeps it.

Whoever owns their directory may put anything there, such as a mount whose server never answers. They are
found by the directory's descriptor, and what is on another mount is not looked at.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from typing import Final

from execwhy.tui.model.files.live_file import LiveFile
from execwhy.tui.model.files.safe_file import (
    Existing,
    NoRoom,
    SnapshotError,
    failure,
    open_directory,
    owner_behind_sudo,
)

_BEGINNING: Final = b'{"execwhy":'
"""How the header of a recording begins. What begins otherwise is none of ours and stays."""

_LAST: Final = 10**12 - 1
"""The last number, since one with more digits would not be known again as ours."""


class Rotation:
    """Makes the files.

    Args:
        path: The name that all of them have, but for the number before its ending.
        keep: How many there may be, with the one that is being written.

    Raises:
        SnapshotError: There is no such directory.
    """

    def __init__(self, path: str, keep: int) -> None:
        try:
            self._directory = open_directory(os.path.dirname(path) or ".")
        except OSError as error:
            raise failure(path, error) from error
        self._stem, self._ending = os.path.splitext(path)
        self._pattern = re.compile(
            re.escape(os.path.basename(self._stem)) + r"\.(\d{6,12})" + re.escape(self._ending), re.ASCII
        )
        self._path = path
        self._keep = keep
        self.removed = 0

    def open_next(self) -> LiveFile:
        """Remove the oldest files until there is one less than may be kept, and begin a new one.

        Raises:
            NoRoom: There is none for a new one; try again later.
            SnapshotError: One cannot be removed, or a new one cannot be written there.
        """
        try:
            ours, taken = self._found()
            for _, name in ours[: max(0, len(ours) - self._keep + 1)]:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self._directory)
                    self.removed += 1
        except OSError as error:
            if isinstance(full := failure(self._path, error, self._directory), NoRoom):
                raise full from error
            raise SnapshotError(
                f"an older file of {self._path} could not be removed ({os.strerror(error.errno or 0)}): "
                "make its directory writable for this user."
            ) from error
        first = ours[-1][0] + 1 if ours else 1
        # Others may have taken numbers, as many as they like; and more of them meanwhile.
        for number in range(first, _LAST + 1):
            if number not in taken:
                with contextlib.suppress(Existing):
                    return LiveFile(f"{self._stem}.{number:06d}{self._ending}", self._directory)
        raise SnapshotError(f"{self._path} has no number left: choose another name.")

    def _found(self) -> tuple[list[tuple[int, str]], set[int]]:
        """Return number and name of this program's and user's files, the oldest first, and all numbers."""
        ours, taken = [], set()
        with os.scandir(self._directory) as entries:
            for entry in entries:
                match = self._pattern.fullmatch(entry.name)
                if match is None:
                    continue
                taken.add(int(match[1]))
                if self._is_recording(entry.name):
                    ours.append((int(match[1]), entry.name))
        return sorted(ours), taken

    def _is_recording(self, name: str) -> bool:
        """Return whether it is a regular file of this user's that begins as a recording does."""
        try:
            # To open it in this way asks nobody, wherever it is.
            place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError as error:
            if error.errno in (errno.ENFILE, errno.ENOMEM):
                raise  # else it would be taken for another's, and stay
            return False
        try:
            if _mount_of(place) != _mount_of(self._directory):
                return False
            status = os.fstat(place)
            if not stat.S_ISREG(status.st_mode) or status.st_uid not in _owners():
                return False
            with open(f"/proc/self/fd/{place}", "rb", buffering=0) as file:
                return file.read(len(_BEGINNING)) == _BEGINNING
        except OSError:
            return False
        finally:
            os.close(place)


def _mount_of(descriptor: int) -> bytes:
    """Return the line with the id of its mount (proc_pid_fdinfo(5)), which no file system is asked for."""
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
        return next((line for line in file if line.startswith(b"mnt_id:")), b"")


def _owners() -> set[int]:
    behind = owner_behind_sudo()
    return {os.geteuid()} if behind is None else {os.geteuid(), behind[0]}
