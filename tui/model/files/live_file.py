"""A file that grows while it may be read: the output of a recording."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import Final

from execwhy.tui.model.files.safe_file import Existing, check_target, create, failure, open_directory, split

_FREE: Final = 256 << 20
_FREE_PART: Final = 20
"""A recording leaves this many bytes of its file system free, or this fraction (one twentieth) if that is
less, so that others, first of all the system's log, can still write there."""

REMOVED: Final = "removed"
TRUNCATED: Final = "truncated"
RENAMED: Final = "renamed or replaced"
"""What others did to a file that is being written."""


def room_beside(descriptor: int) -> int | None:
    """Return by how many bytes a file may grow before too little of its file system is free.

    Args:
        descriptor: The file, or a file or directory in the same file system.

    Returns:
        Bytes; None if the file system does not say what is free.
    """
    system = os.fstatvfs(descriptor)
    if not system.f_blocks:
        return None
    reserve = min(system.f_blocks * system.f_frsize // _FREE_PART, _FREE)
    return system.f_bavail * system.f_frsize - reserve


class LiveFile:
    """A new file that others may read while it grows; it always ends with a complete ``write``.

    The owner of its directory may mount a file system there whose server never answers. So once the file
    exists, only its own descriptors are used, never its path.

    Args:
        path: The file to create.
        directory: A descriptor of its directory, which remains the caller's; None to open it by its path.

    Raises (on creation):
        Existing: Something has that name: a recording never replaces anything.
        SnapshotError: The file cannot be written.
    """

    def __init__(self, path: str, directory: int | None = None) -> None:
        self._path = path
        directory_path, self._name = split(path)
        try:
            self._directory = open_directory(directory_path) if directory is None else os.dup(directory)
        except OSError as error:
            raise failure(path, error) from error
        try:
            self._descriptor = self._create(is_of_user=directory is None)
        except BaseException:
            os.close(self._directory)
            raise
        self._size = 0
        # Otherwise a file that is truncated meanwhile (logrotate's copytruncate) would begin with zeros.
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags | os.O_APPEND)
        self._place = self._known_path()

    def _create(self, *, is_of_user: bool) -> int:
        try:
            return create(self._name, self._directory)
        except FileExistsError as error:
            if is_of_user:
                # Look at a name that the user chose, to say what is there.
                with contextlib.suppress(Existing, OSError):
                    check_target(self._path, self._name, self._directory, overwrite=False)
            raise Existing(f"{self._path} exists: choose another name, or remove it.") from error
        except OSError as error:
            raise failure(self._path, error, self._directory) from error

    @property
    def name(self) -> str:
        """The path as it was given, for messages."""
        return self._path

    @property
    def is_wanted(self) -> bool:
        """Whether somebody reads it: always, since a file is read later."""
        return True

    @property
    def takes_back(self) -> bool:
        """Whether a write that did not fit leaves nothing behind: always."""
        return True

    def room(self) -> int | None:
        """Return by how many bytes the file may grow; None if the file system does not say what is free."""
        return room_beside(self._descriptor)

    def fate(self) -> str:
        """Return what others did to the file: ``REMOVED``, ``TRUNCATED`` or ``RENAMED``; "" for nothing."""
        try:
            status = os.fstat(self._descriptor)
        except OSError as error:
            return REMOVED if error.errno == errno.ESTALE else ""
        if status.st_nlink == 0:
            return REMOVED
        if status.st_size < self._size:
            return TRUNCATED
        return "" if self._known_path() == self._place else RENAMED

    def _known_path(self) -> str:
        """Return the file's path as the kernel knows it (proc_pid_fd(5)), which involves no file system."""
        try:
            return os.readlink(f"/proc/self/fd/{self._descriptor}")
        except OSError:
            return ""

    def write(self, data: bytes) -> None:
        """Append all of the data, or nothing.

        Raises:
            SnapshotError: The data did not fit, or the device failed.
        """
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise failure(self._path, error) from error
        self._size += len(data)

    def hurry(self) -> None:
        """Do nothing: a file does not wait for a reader."""

    def close(self) -> None:
        """Close the file.

        Raises:
            SnapshotError: Some of the data did not reach the disk.
        """
        try:
            try:
                os.fsync(self._descriptor)
            finally:
                os.close(self._descriptor)
                os.close(self._directory)
        except OSError as error:
            raise failure(self._path, error) from error

    def discard(self) -> None:
        """Close the file and remove it, unless another file has its name now."""
        try:
            if not self.fate():
                os.unlink(self._name, dir_fd=self._directory)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise failure(self._path, error) from error
        finally:
            os.close(self._descriptor)
            os.close(self._directory)
