"""Writing files as root in directories that another user may own.

No symbolic link is followed, no file is replaced without asking, and a file that does not fit leaves nothing
behind. Each file is opened relative to its directory's descriptor, so that renaming or replacing the
directory in the meantime cannot redirect the write.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO, Final

from execwhy.bpf.privileges import behind_sudo

_MODE: Final = 0o600
"""Files hold arguments and environments of other users' processes: only their owner may read them."""

_FULL: Final = {
    errno.ENOSPC: "there is no room for it: free some, or choose another place",
    errno.EDQUOT: "the quota is used up: free some, or choose another place",
    errno.EFBIG: "there is no room for it: free some, or choose another place",
    errno.ENFILE: "the system has as many open files as it may have: see who has them",
    errno.ENOMEM: "there is no memory for it: see what takes it",
}
"""Errors that end when others use less."""

_NO_INODES: Final = "its file system has no inodes left: remove files, or choose another place"
_CANNOT_LINK: Final = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK))
"""Errors of link(2) on file systems without hard links (vfat, some network and FUSE file systems)."""

_REASONS: Final = {
    errno.ENOENT: "its directory does not exist: make it, or choose another one",
    errno.ENOTDIR: "a part of its path is not a directory: choose another place",
    errno.EACCES: "this user may not write there: choose a directory of your own",
    errno.EPERM: "this user may not write there: choose a directory of your own",
    errno.EROFS: "the file system is mounted read-only: choose another place",
    errno.ENAMETOOLONG: "its name is too long: choose a shorter one",
    errno.ELOOP: "its name is a symbolic link: choose another name",
    **_FULL,
}


class SnapshotError(Exception):
    """A file that could not be written or read; ``str()`` is one sentence that says what to do.

    The sentence names the file as it was given: pass it through ``printable`` before showing it.
    """


class NoRoom(SnapshotError):
    """The file system, a quota or a limit leaves no room for the file."""


class Existing(SnapshotError):
    """The file exists: ask the user, then write with ``overwrite=True``."""


def failure(path: str, error: OSError, directory: int | None = None) -> SnapshotError:
    """Return the exception for an error of the operating system.

    Args:
        path: The file, as it was given.
        error: The error.
        directory: A descriptor of the file's directory, to find out whether inodes are lacking; or None.
    """
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


def _existing(path: str) -> Existing:
    return Existing(f"{path} exists: choose another name, or say that it may be replaced.")


def split(path: str) -> tuple[str, str]:
    """Split a path into a directory and a name in it.

    Raises:
        SnapshotError: The path does not name a file.
    """
    directory, name = os.path.split(path)
    if name in ("", ".", "..") or "\0" in path:
        raise SnapshotError(f'"{path}" is not the name of a file: give one such as execwhy.jsonl.')
    return directory or ".", name


def open_directory(path: str) -> int:
    """Return a descriptor of a directory, which stays valid wherever its path leads later."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


@contextlib.contextmanager
def _directory(path: str, directory: str) -> Iterator[int]:
    """Yield a descriptor of the directory; an OSError inside becomes a ``SnapshotError`` about ``path``."""
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
    """Return the uid and gid of the user who called sudo; None without sudo, or if not root."""
    return behind_sudo(os.environ) if os.geteuid() == 0 else None


def create(name: str, directory: int, mode: int = _MODE) -> int:
    """Create an empty file that belongs to the user behind sudo; return its descriptor."""
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


def check_target(path: str, name: str, directory: int, *, overwrite: bool) -> None:
    """Check that the name is free, or that of a regular file that may be replaced.

    Raises:
        Existing: A regular file has the name, and ``overwrite`` is False.
        SnapshotError: Something else has the name.
    """
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode):
        raise SnapshotError(f"{path} is a symbolic link: choose another name.")
    if stat.S_ISDIR(found.st_mode):
        raise SnapshotError(f"{path} is a directory: give the name of a file in it.")
    if not stat.S_ISREG(found.st_mode):
        raise SnapshotError(f"{path} is not a regular file: choose another name.")
    if not overwrite:
        raise _existing(path)


def _publish(path: str, temporary: str, name: str, directory: int, *, overwrite: bool) -> None:
    """Give the finished file its name; without ``overwrite``, only if the name is still free."""
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
            os.close(create(name, directory))
        except FileExistsError as error:
            raise _existing(path) from error
    os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)


@contextlib.contextmanager
def replacing(
    path: str, *, overwrite: bool = False, mode: int = _MODE, durable: bool = True
) -> Iterator[BinaryIO]:
    """Yield a file to write, which gets its name when it is complete and on disk.

    If anything fails, the file is removed.

    Args:
        path: The file's final name.
        overwrite: Whether a regular file of that name may be replaced.
        mode: The file's permissions.
        durable: Whether to wait for the disk; unnecessary for a file that is written every few seconds.

    Raises:
        Existing: A file of that name exists, and ``overwrite`` is False.
        SnapshotError: The file cannot be written.
    """
    directory_path, name = split(path)
    with _directory(path, directory_path) as directory:
        check_target(path, name, directory, overwrite=overwrite)
        # Not derived from the name, which may already have the maximum length.
        temporary = f".execwhy-{secrets.token_hex(8)}"
        descriptor = create(temporary, directory, mode)
        try:
            with os.fdopen(descriptor, "wb", buffering=io.DEFAULT_BUFFER_SIZE * 16) as file:
                yield file
                file.flush()
                if durable:
                    os.fsync(descriptor)
            check_target(path, name, directory, overwrite=overwrite)
            _publish(path, temporary, name, directory, overwrite=overwrite)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
        if durable:
            os.fsync(directory)
