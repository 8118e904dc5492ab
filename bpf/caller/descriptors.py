"""Facts about an O_PATH descriptor that the kernel itself knows, so that no file server is asked.

statx(2) with AT_STATX_DONT_SYNC and /proc/self/fdinfo, unlike fstat(2), send no request to a FUSE server.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import socket
import struct
from collections.abc import Callable
from typing import Final

from execwhy.bpf.caller.mountinfo import UNKNOWN
from execwhy.bpf.caller.safety import Access

_STATX_MNT_ID: Final = 0x1000
_STATX_ATTR_ENCRYPTED: Final = 0x800
_STATX_ATTRIBUTES, _STATX_DEVICE, _STATX_MOUNT = 0x08, 0x88, 0x90
"""Offsets of stx_attributes, stx_dev_major and stx_mnt_id in struct statx (statx(2))."""

_AT_EMPTY_PATH, _AT_STATX_DONT_SYNC = 0x1000, 0x4000


def mount_id(descriptor: int) -> int:
    """Return the id of the mount that a descriptor is on."""
    if _statx_has_mount_id():
        return _mount_id_by_statx(descriptor)
    return _mount_id_by_fdinfo(descriptor)


def device_of(descriptor: int) -> str:
    """Return the st_dev of a descriptor as "major:minor"; "" if only a server knows it."""
    found = _statx(descriptor, 0)
    if found is None:
        return ""
    major, minor = struct.unpack_from("II", found, _STATX_DEVICE)
    return f"{major}:{minor}"


def is_encrypted(descriptor: int) -> bool:
    """Return whether its file system encrypts the file or directory (fscrypt)."""
    found = _statx(descriptor, 0)
    return found is not None and bool(
        struct.unpack_from("Q", found, _STATX_ATTRIBUTES)[0] & _STATX_ATTR_ENCRYPTED
    )


def _mount_id_by_statx(descriptor: int) -> int:
    found = _statx(descriptor, _STATX_MNT_ID)
    if found is None or not struct.unpack_from("I", found)[0] & _STATX_MNT_ID:
        return UNKNOWN
    number: int = struct.unpack_from("Q", found, _STATX_MOUNT)[0]
    return number


def _mount_id_by_fdinfo(descriptor: int) -> int:
    try:
        file = os.open(f"/proc/self/fdinfo/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return UNKNOWN
    try:
        text = os.read(file, 512)
        return int(text[text.index(b"mnt_id:") + 7 :].split(None, 1)[0])
    except (OSError, ValueError, IndexError):
        return UNKNOWN
    finally:
        os.close(file)


def _statx(descriptor: int, wanted: int) -> ctypes.Array[ctypes.c_char] | None:
    """Call statx for what the kernel itself knows: AT_STATX_DONT_SYNC asks no server, not even one below."""
    buffer = ctypes.create_string_buffer(256)
    try:
        failed = _libc().statx(descriptor, b"", _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC, wanted, buffer)
    except AttributeError:  # a C library without it
        return None
    return None if failed else buffer


@functools.cache
def _statx_has_mount_id() -> bool:
    """Return whether the kernel has STATX_MNT_ID (Linux 5.8)."""
    return _of_own_root(_mount_id_by_statx) != UNKNOWN


def _of_own_root(mount_id_of: Callable[[int], int]) -> int:
    """Return the mount id of our own root directory, as this function finds it."""
    try:
        root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return UNKNOWN
    try:
        return mount_id_of(root)
    finally:
        os.close(root)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@functools.cache
def internal_mounts() -> dict[int, Access]:
    """Return the kernel's internal mounts, which no table lists: for memfds, pipes, sockets and so on.

    Each is found by a sample, since the text of a link in /proc/PID/fd could also be the name of a file.
    """
    found: dict[int, Access] = {}
    for access, sample in _SAMPLES:
        with contextlib.suppress(OSError):
            descriptor = sample()
            found[mount_id(descriptor)] = access
            os.close(descriptor)
    found.pop(UNKNOWN, None)
    return found


def extended_attribute(descriptor: int, name: str) -> bytes | None:
    """Return an extended attribute of the file behind a descriptor; None if it has none. It asks a server."""
    try:
        return os.getxattr(f"/proc/self/fd/{descriptor}", name)
    except OSError:
        return None


def is_memfd_mount(number: int) -> bool:
    """Return whether a mount id is that of the kernel's internal mount for memfds (memfd_create(2))."""
    return internal_mounts().get(number) is Access.READ


@functools.cache
def own_root() -> int:
    """Return the id of the mount that our own root directory is on, which never changes."""
    return _of_own_root(mount_id)


def _pipe() -> int:
    reading, writing = os.pipe()
    os.close(writing)
    return reading


_SAMPLES: Final[tuple[tuple[Access, Callable[[], int]], ...]] = (
    (Access.READ, lambda: os.memfd_create("sample")),
    (Access.WALK, _pipe),
    (Access.WALK, lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach()),
    (Access.WALK, lambda: os.eventfd(0, os.EFD_CLOEXEC)),
    (Access.WALK, lambda: os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)),
)
