"""Lookups of single names that another process can hold up only while it can be killed for it.

A name that is not in the kernel's cache is looked up under the lock of its directory (lookup_slow,
fs/namei.c), and no signal ends the wait for that lock. Whoever may read a directory can hold it, whoever owns
it: by getdents64 into memory that a FUSE server does not provide, and by an open with O_CREAT, which waits
for the lock before it is refused, and behind which all later readers queue.

So names are sought in the cache first (RESOLVE_CACHED, Linux 5.12). One that is not there is looked up only
in directories of root and of the caller, and only once getdents64 has returned, which waits for the same lock
but can be killed. Elsewhere, and in memory file systems, the listing says whether there is such a name.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from execwhy.bpf.caller.safety import MEMORY

COMPONENT: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC

_EXACT: Final = MEMORY | {"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "xfs"}
"""File systems that find no name but those that they list, or others that differ in case alone."""

_MOST_LISTED: Final = 20_000
"""Names of a directory among which one is sought, about 5 ms."""

_NAME_MAX: Final = 255
_FEW_BYTES: Final = 64

_ENCODING: Final = sys.getfilesystemencoding()
_RESOLVE_NO_XDEV, _RESOLVE_CACHED = 0x01, 0x20
_OPENAT2: Final = ctypes.c_long(437)


class NotCachedError(Exception):
    """A name is not in the kernel's cache, and the directory is another user's."""


class _How:
    """Arguments of openat2(2), made once: a walk takes a call for each component."""

    def __init__(self, resolve: int) -> None:
        self._bytes = ctypes.create_string_buffer(struct.pack("QQQ", COMPONENT, 0, resolve), 24)
        self.pointer = ctypes.c_void_p(ctypes.addressof(self._bytes))
        self.size = ctypes.c_size_t(len(self._bytes))


_ANYWHERE, _WITHIN = _How(0), _How(_RESOLVE_NO_XDEV)
_CACHED_ANYWHERE, _CACHED_WITHIN = _How(_RESOLVE_CACHED), _How(_RESOLVE_CACHED | _RESOLVE_NO_XDEV)


def can_stay_on_mount() -> bool:
    """Return whether a step can be kept from crossing onto another mount (Linux 5.6)."""
    return _openat2() is not None


def open_name(name: str, directory: int, file_system: str, *, crossing: bool, trusted: bool) -> int:
    """Open a component with O_PATH; -1 where a mount begins, unless that may be crossed.

    Args:
        name: The component.
        directory: An O_PATH descriptor of its directory.
        file_system: The type of the file system there; "" where it is not known.
        crossing: Whether the step may lead onto another mount.
        trusted: The directory is root's or the caller's: a name that is not cached may be looked up.

    Raises:
        OSError: It is not there, or not to be reached.
        NotCachedError: It would have to be looked up, and must not be.
    """
    call = _openat2()
    if call is None:
        return os.open(name, COMPONENT, dir_fd=directory) if crossing else -1
    encoded = name.encode(_ENCODING, "surrogateescape")
    open_as = functools.partial(_open, call, directory, encoded)
    if name != ".." and _knows_cached():
        try:
            return open_as(_CACHED_ANYWHERE if crossing else _CACHED_WITHIN)
        except BlockingIOError:
            pass
        in_full = file_system in MEMORY or (not trusted and file_system in _EXACT)
        if not _may_be_listed(directory, encoded, in_full=in_full):
            number = errno.ENAMETOOLONG if len(encoded) > _NAME_MAX else errno.ENOENT
            raise OSError(number, os.strerror(number))
        if not trusted:
            return _open_cached(open_as, crossing=crossing)
    return open_as(_ANYWHERE if crossing else _WITHIN)


def wait_for_lock(directory: str | int) -> None:
    """Wait until the lock of a directory is free for a lookup; a process that waits here can be killed.

    Args:
        directory: A path, or a descriptor, also one with O_PATH.
    """
    with suppress(OSError):
        descriptor = _open_to_list(directory)
        try:
            _list_little(descriptor)
        finally:
            os.close(descriptor)


def wait_for_locks(path: str, count: int) -> None:
    """Wait for the locks that a lookup of the last names of a path would take, unless all names are cached.

    Args:
        path: An absolute path without links but for the last component.
        count: How many names count; those before are root's to hold up.
    """
    call = _openat2()
    if call is not None and _knows_cached():
        with suppress(OSError):
            os.close(_open(call, -1, os.fsencode(path), _CACHED_ANYWHERE))
            return
    names = path.split("/")
    for end in range(len(names) - count, len(names)):
        wait_for_lock("/".join(names[:end]))


def _open_cached(open_as: Callable[[_How], int], *, crossing: bool) -> int:
    """Open what may be cached nevertheless: where a mount begins, the kernel does not say so at once."""
    try:
        descriptor = open_as(_CACHED_ANYWHERE)
    except BlockingIOError as error:
        raise NotCachedError from error
    if crossing:
        return descriptor
    os.close(descriptor)
    return -1


def _open(call: Callable[..., int], directory: int, name: bytes, how: _How) -> int:
    descriptor: int = call(_OPENAT2, directory, name, how.pointer, how.size)
    if descriptor >= 0:
        return descriptor
    number = ctypes.get_errno()
    if number == errno.EXDEV:
        return -1
    raise OSError(number, os.strerror(number))


def _may_be_listed(directory: int, name: bytes, *, in_full: bool) -> bool:
    """Wait for the lock of a directory; return False if it surely has no such name.

    A file system may take names for the same that differ in case, or in how letters are composed.
    """
    if not in_full or not name.isascii():
        wait_for_lock(directory)
        return True
    try:
        descriptor = _open_to_list(directory)
    except OSError:
        # Who may not list it cannot hold its lock by that either.
        return True
    wanted = name.lower()
    try:
        with os.scandir(descriptor) as entries:
            for count, entry in enumerate(entries):
                if count >= _MOST_LISTED or os.fsencode(entry.name).lower() == wanted:
                    return True
    finally:
        os.close(descriptor)
    return False


def _open_to_list(directory: str | int) -> int:
    if isinstance(directory, str):
        return os.open(directory, _LIST)
    return os.open(".", _LIST, dir_fd=directory)


def _list_little(descriptor: int) -> None:
    """Call getdents64 for what fits into a few bytes, be it nothing (iterate_dir)."""
    getdents = _getdents64()
    if getdents is not None:
        getdents(descriptor, ctypes.create_string_buffer(_FEW_BYTES), ctypes.c_size_t(_FEW_BYTES))
        return
    with os.scandir(descriptor) as entries:
        next(entries, None)


@functools.cache
def _getdents64() -> Callable[..., int] | None:
    """getdents64(3), which glibc has since 2.30."""
    return getattr(ctypes.CDLL(None), "getdents64", None)


@functools.cache
def _openat2() -> Callable[..., int] | None:
    """syscall(2) for openat2(2); None where the kernel does not have that, or a filter forbids it."""
    call = ctypes.CDLL(None, use_errno=True).syscall
    return None if _refusal(call, _WITHIN) in (errno.ENOSYS, errno.EPERM) else call


@functools.cache
def _knows_cached() -> bool:
    """The kernel has RESOLVE_CACHED: before Linux 5.12 it is EINVAL."""
    call = _openat2()
    return call is not None and _refusal(call, _CACHED_WITHIN) != errno.EINVAL


def _refusal(call: Callable[..., int], how: _How) -> int:
    """Return the errno with which openat2 opens "/" so; 0 where it does."""
    descriptor = call(_OPENAT2, -1, b"/", how.pointer, how.size)
    if descriptor < 0:
        return ctypes.get_errno()
    os.close(descriptor)
    return 0
