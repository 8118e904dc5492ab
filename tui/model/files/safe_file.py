"""Writing a file as root where someone else may own the directory.

Nothing is followed, nothing is overwritten unasked, and what does not fit leaves nothing behind. Each
file is opened in its directory's descriptor, so that a directory which is renamed or replaced
meanwhile cannot redirect the write.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO, Final

from execwhy.bpf.privileges import behind_sudo

_MODE: Final = 0o600
"""Arguments and environments of other users' processes are nobody else's business."""

_FULL: Final = {
    errno.ENOSPC: "there is no room for it: free some, or choose another place",
    errno.EDQUOT: "the quota is used up: free some, or choose another place",
    errno.EFBIG: "there is no room for it: free some, or choose another place",
    errno.ENFILE: "the system has as many open files as it may have: see who has them",
    errno.ENOMEM: "there is no memory for it: see what takes it",
}
"""Errors that go away once others take less."""

_NO_INODES: Final = "its file system has no inodes left: remove files, or choose another place"
_CANNOT_LINK: Final = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK))
"""What link(2) says where the file system has no hard links (vfat, some network and FUSE ones)."""

_REASONS: Final = {
    errno.ENOENT: "its directory does not exist: make it, or choose another one",
    errno.ENOTDIR: "a part of its path is no directory: choose another place",
    errno.EACCES: "this user may not write there: choose a directory of your own",
    errno.EPERM: "this user may not write there: choose a directory of your own",
    errno.EROFS: "the file system is mounted read-only: choose another place",
    errno.ENAMETOOLONG: "its name is too long: choose a shorter one",
    errno.ELOOP: "its name is a symbolic link: choose another name",
    **_FULL,
}


_FREE: Final = 256 << 20
_FREE_PART: Final = 20
"""A recording leaves this much of its file system free, or one such part of it where that is less: what else
writes there, the system's log first of all, is not to fail because of it."""

REMOVED: Final = "removed"
TRUNCATED: Final = "truncated"
RENAMED: Final = "renamed or replaced"
"""What others did to a file that is being written."""


class SnapshotError(Exception):
    """A file that could not be written or read; ``str()`` is one sentence that says what to do.

    It names the file as it was given: show it through ``printable``.
    """


class NoRoom(SnapshotError):
    """The file system, a quota or a limit has no room for it."""


class Existing(SnapshotError):
    """The file is there: ask, then write with ``overwrite=True``."""


def failure(path: str, error: OSError, directory: int | None = None) -> SnapshotError:
    """The sentence for an error of the operating system that concerns ``path``, in this directory."""
    reason = _REASONS.get(error.errno or 0)
    if error.errno == errno.ENOSPC and directory is not None and _lacks_inodes(directory):
        reason = _NO_INODES
    if reason is None:
        unknown = os.strerror(error.errno or 0)
        return SnapshotError(f"{path} could not be written ({unknown}): choose another place.")
    kind = NoRoom if error.errno in _FULL else SnapshotError
    return kind(f"{path} could not be written, since {reason}.")


def _lacks_inodes(directory: int) -> bool:
    system = os.fstatvfs(directory)
    return bool(system.f_files) and not system.f_favail


def room_beside(descriptor: int) -> int | None:
    """Bytes that a file may grow by before too little of its file system is free; None where nobody knows."""
    system = os.fstatvfs(descriptor)
    if not system.f_blocks:
        return None
    reserve = min(system.f_blocks * system.f_frsize // _FREE_PART, _FREE)
    return system.f_bavail * system.f_frsize - reserve


def _existing(path: str) -> Existing:
    return Existing(f"{path} exists: choose another name, or say that it may be replaced.")


def _split(path: str) -> tuple[str, str]:
    """The directory and the name in it.

    Raises:
        SnapshotError: The path names no file.
    """
    directory, name = os.path.split(path)
    if name in ("", ".", "..") or "\0" in path:
        raise SnapshotError(f'"{path}" is no name of a file: give one such as execwhy.jsonl.')
    return directory or ".", name


def open_directory(path: str) -> int:
    """Open a directory, for what is done in it wherever its path leads later; return its descriptor."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


@contextlib.contextmanager
def _directory(path: str, directory: str) -> Iterator[int]:
    """The directory's descriptor; an OSError of what is done within becomes the sentence about ``path``."""
    try:
        descriptor = open_directory(directory)
    except OSError as error:
        raise failure(path, error) from error
    try:
        yield descriptor
    except OSError as error:
        raise failure(path, error, descriptor) from error
    finally:
        os.close(descriptor)


def owner_behind_sudo() -> tuple[int, int] | None:
    """The uid and gid of the user who called sudo; None without sudo, or when this is not root."""
    return behind_sudo(os.environ) if os.geteuid() == 0 else None


def _create(name: str, directory: int, mode: int = _MODE) -> int:
    """A new, empty file with the owner that all files of this program have; its descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, mode, dir_fd=directory)
    try:
        os.fchmod(descriptor, mode)
        owner = owner_behind_sudo()
        if owner is not None:
            os.fchown(descriptor, *owner)
    except BaseException:
        os.close(descriptor)
        os.unlink(name, dir_fd=directory)
        raise
    return descriptor


def _check_target(path: str, name: str, directory: int, *, overwrite: bool) -> None:
    """Refuse everything at the final name but nothing, or a regular file that may be replaced."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode):
        raise SnapshotError(f"{path} is a symbolic link: choose another name.")
    if stat.S_ISDIR(found.st_mode):
        raise SnapshotError(f"{path} is a directory: give the name of a file in it.")
    if not stat.S_ISREG(found.st_mode):
        raise SnapshotError(f"{path} is no regular file: choose another name.")
    if not overwrite:
        raise _existing(path)


def _publish(path: str, temporary: str, name: str, directory: int, *, overwrite: bool) -> None:
    """Give the finished file its name; without ``overwrite`` only if nothing has taken it meanwhile."""
    if not overwrite:
        try:
            os.link(temporary, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
            os.unlink(temporary, dir_fd=directory)
            return
        except FileExistsError as error:
            raise _existing(path) from error
        except OSError as error:
            if error.errno not in _CANNOT_LINK:
                raise
        try:
            os.close(_create(name, directory))
        except FileExistsError as error:
            raise _existing(path) from error
    os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)


@contextlib.contextmanager
def replacing(
    path: str, *, overwrite: bool = False, mode: int = _MODE, durable: bool = True
) -> Iterator[BinaryIO]:
    """A file that gets its name once it is complete and on disk, and is gone if anything fails.

    Args:
        path: Where it shall be.
        overwrite: A regular file of that name may be replaced.
        mode: Its permissions.
        durable: Wait for the disk; not for what is written anew every few seconds.

    Yields:
        The file, to be written.

    Raises:
        Existing: There is a file of that name, and ``overwrite`` is False.
        SnapshotError: It cannot be written there.
    """
    directory_path, name = _split(path)
    with _directory(path, directory_path) as directory:
        _check_target(path, name, directory, overwrite=overwrite)
        # Not derived from the name: that may be as long as a name can be.
        temporary = f".execwhy-{secrets.token_hex(8)}"
        descriptor = _create(temporary, directory, mode)
        try:
            with os.fdopen(descriptor, "wb", buffering=io.DEFAULT_BUFFER_SIZE * 16) as file:
                yield file
                file.flush()
                if durable:
                    os.fsync(descriptor)
            _check_target(path, name, directory, overwrite=overwrite)
            _publish(path, temporary, name, directory, overwrite=overwrite)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
        if durable:
            os.fsync(directory)


class LiveFile:
    """A new file that grows while others may read it; it always ends with a complete ``write``.

    Whoever owns its directory may mount a file system there whose server never answers. So nothing but its
    own descriptors is asked about it once it is there: the path by which the kernel knows it, rather than
    what its path leads to.

    Args:
        path: Where it shall be.
        directory: A descriptor of that directory, which stays the caller's; None to open it by its path.

    Raises (on creation):
        Existing: There is something of that name: a recording never replaces anything.
        SnapshotError: It cannot be written there.
    """

    def __init__(self, path: str, directory: int | None = None) -> None:
        self._path = path
        directory_path, self._name = _split(path)
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
        # Else a file that is truncated meanwhile (logrotate's copytruncate) would begin with zeros.
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags | os.O_APPEND)
        self._place = self._known_path()

    def _create(self, *, is_of_user: bool) -> int:
        try:
            return _create(self._name, self._directory)
        except FileExistsError as error:
            if is_of_user:
                # A name that an operator has chosen is looked at, to say what is there.
                with contextlib.suppress(Existing, OSError):
                    _check_target(self._path, self._name, self._directory, overwrite=False)
            raise Existing(f"{self._path} exists: choose another name, or remove it.") from error
        except OSError as error:
            raise failure(self._path, error, self._directory) from error

    @property
    def name(self) -> str:
        """What it is called in messages: its path as it was given."""
        return self._path

    @property
    def is_wanted(self) -> bool:
        """A file is read later."""
        return True

    @property
    def takes_back(self) -> bool:
        """What did not fit leaves nothing behind."""
        return True

    def room(self) -> int | None:
        """Bytes that it may grow by before too little of its file system is free; None where nobody knows."""
        return room_beside(self._descriptor)

    def fate(self) -> str:
        """What became of it: ``REMOVED``, ``TRUNCATED``, ``RENAMED``, or "" while it is as it was left."""
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
        """Return the path by which the kernel knows it (proc_pid_fd(5)); no file system is asked."""
        try:
            return os.readlink(f"/proc/self/fd/{self._descriptor}")
        except OSError:
            return ""

    def write(self, data: bytes) -> None:
        """Append all of it, or nothing.

        Raises:
            SnapshotError: It did not fit, or the device failed.
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
        """End the file.

        Raises:
            SnapshotError: What was written did not reach the disk.
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
        """Close the file and remove it, unless another file has its name by now."""
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
