"""Look up single names so that a process that has to wait for a directory's lock can be killed.

The kernel looks up a name that is not in its cache under the lock of the directory (lookup_slow, fs/namei.c),
and no signal ends the wait for that lock. Anyone who may read a directory can hold its lock, even if it
belongs to somebody else: with getdents64 into memory that a FUSE server does not provide, or with an open
with O_CREAT, which waits for the lock before it is refused, and behind which all later readers queue.

So the cache is searched first (RESOLVE_CACHED, Linux 5.12). A name that is not there is looked up only in
directories of root and of the caller, and only after getdents64 has returned, which waits for the same lock
but can be killed. Elsewhere, and in memory file systems, the listing shows whether there is such a name.
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
"""File systems that find only the names that they list, or names that differ from these in case."""

_MOST_LISTED: Final = 20_000
"""Most names of a directory that are searched, in about 5 ms."""

_NAME_MAX: Final = 255
_FEW_BYTES: Final = 64

_ENCODING: Final = sys.getfilesystemencoding()
_RESOLVE_NO_XDEV, _RESOLVE_CACHED = 0x01, 0x20
_OPENAT2: Final = ctypes.c_long(437)


class NotCachedError(Exception):
    """A name is not in the kernel's cache, and the directory is another user's."""


class _How:
    """Arguments of openat2(2), prepared once, since a walk makes a call for each component."""

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
    """Open a component with O_PATH; return -1 if a mount begins there that may not be crossed.

    Args:
        name: The component.
        directory: An O_PATH descriptor of its directory.
        file_system: The type of the file system there; "" if it is not known.
        crossing: Whether the step may lead onto another mount.
        trusted: The directory is root's or the caller's, so a name that is not cached may be looked up.

    Raises:
        OSError: It does not exist, or cannot be reached.
        NotCachedError: It is not cached, and must not be looked up.
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
    """Wait until the lock of a directory is free for a lookup. A process that waits here can be killed.

    Args:
        directory: A path, or a descriptor (O_PATH will do).
    """
    with suppress(OSError):
        descriptor = _open_to_list(directory)
        try:
            _list_little(descriptor)
        finally:
            os.close(descriptor)


def wait_for_locks(path: str, count: int) -> None:
    """Wait for the locks that a lookup of a path's last names takes, unless all names are cached.

    Args:
        path: An absolute path; only its last component may be a link.
        count: The number of last names. Only root can hold up the lookup of those before.
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
    """Open a name that may be cached after all: the kernel hides that if a mount begins there."""
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
    """Wait for the lock of a directory; return False only if it certainly has no such name.

    A file system may treat names as equal that differ in case, or in how letters are composed.
    """
    if not in_full or not name.isascii():
        wait_for_lock(directory)
        return True
    try:
        descriptor = _open_to_list(directory)
    except OSError:
        # Those who may not list it cannot hold its lock by listing it.
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
    """Call getdents64 with room for a few bytes, even if no entry fits (iterate_dir)."""
    getdents = _getdents64()
    if getdents is not None:
        getdents(descriptor, ctypes.create_string_buffer(_FEW_BYTES), ctypes.c_size_t(_FEW_BYTES))
        return
    with os.scandir(descriptor) as entries:
        next(entries, None)


@functools.cache
def _getdents64() -> Callable[..., int] | None:
    """Return getdents64(3), which glibc has since 2.30."""
    return getattr(ctypes.CDLL(None), "getdents64", None)


@functools.cache
def _openat2() -> Callable[..., int] | None:
    """Return syscall(2) for openat2(2); None if the kernel lacks that, or a filter forbids it."""
    call = ctypes.CDLL(None, use_errno=True).syscall
    return None if _refusal(call, _WITHIN) in (errno.ENOSYS, errno.EPERM) else call


@functools.cache
def _knows_cached() -> bool:
    """Return whether the kernel has RESOLVE_CACHED, which is EINVAL before Linux 5.12."""
    call = _openat2()
    return call is not None and _refusal(call, _CACHED_WITHIN) != errno.EINVAL


def _refusal(call: Callable[..., int], how: _How) -> int:
    """Return the errno of openat2 of "/" with these arguments; 0 if it succeeds."""
    descriptor = call(_OPENAT2, -1, b"/", how.pointer, how.size)
    if descriptor < 0:
        return ctypes.get_errno()
    os.close(descriptor)
    return 0
