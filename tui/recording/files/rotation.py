"""Rotation: a recording begins a new file whenever one is full, and keeps the newest ones.

The files are numbered: the first one of ``fails.jsonl`` is ``fails.000001.jsonl``. A later run continues the
numbers, so that the limit holds however often the program is started. Nothing is renamed, so readers keep
their file.

The owner of the directory may put anything there, such as a mount whose server never answers. So files are
found by the directory's descriptor, and nothing on another mount is looked at.
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
"""How the header of a recording begins. Other files are not ours, and are kept."""

_LAST: Final = 10**12 - 1
"""The last number: files with more digits would not be recognized as ours."""


class Rotation:
    """Opens and removes the files.

    Args:
        path: The name of all files, without the number before its extension.
        keep: Files to keep, including the current one.

    Raises:
        SnapshotError: The directory cannot be opened.
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
        """Remove the oldest files until there is room for one more, and open a new one.

        Raises:
            NoRoom: There is no room for a new file; try again later.
            SnapshotError: A file cannot be removed, or the new one cannot be created.
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
        # Others may take any numbers, also while this runs.
        for number in range(first, _LAST + 1):
            if number not in taken:
                with contextlib.suppress(Existing):
                    return LiveFile(f"{self._stem}.{number:06d}{self._ending}", self._directory)
        raise SnapshotError(f"{self._path} has no number left: choose another name.")

    def _found(self) -> tuple[list[tuple[int, str]], set[int]]:
        """Return the number and name of this user's recordings, the oldest first, and all numbers in use."""
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
        """Return whether a name is that of a regular file of this user that begins as a recording does."""
        try:
            # O_PATH involves no file system, wherever the name leads.
            place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError as error:
            if error.errno in (errno.ENFILE, errno.ENOMEM):
                raise  # otherwise it would count as another user's, and be kept
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
    """Return the line with a descriptor's mount id (proc_pid_fdinfo(5)), which involves no file system."""
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
        return next((line for line in file if line.startswith(b"mnt_id:")), b"")


def _owners() -> set[int]:
    behind = owner_behind_sudo()
    return {os.geteuid()} if behind is None else {os.geteuid(), behind[0]}
