"""The mounts of a process, from /proc/PID/mountinfo (proc(5))."""

from __future__ import annotations

import functools
import os
import re
import select
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 4 << 20
"""Hosts with many containers have some thousand mounts of about 300 bytes a line."""

_MAY_BLOCK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "ceph", "afs", "coda", "lustre", "gpfs", "beegfs", "glusterfs", "autofs"}
)
_UNKNOWN: Final = -1
"""No mount's id."""
_ESCAPED: Final = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount.

    Attributes:
        id: Mount id, as in /proc/PID/fdinfo.
        device: The file system's s_dev, "major:minor".
        point: Where it is mounted, below the root directory of the process that was asked.
        options: Options of the mount: "noexec", "nosuid".
        file_system: Its type: "ext4".
    """

    id: int
    device: str
    point: str
    options: frozenset[str]
    file_system: str

    @property
    def device_id(self) -> int:
        """The kernel's s_dev: major << 20 | minor."""
        major, _, minor = self.device.partition(":")
        return int(major) << 20 | int(minor)

    @property
    def may_block(self) -> bool:
        """A look into it may wait for a network or for another process (FUSE) as long as that likes."""
        return self.file_system in _MAY_BLOCK or self.file_system.split(".")[0] in ("fuse", "fuseblk")


@dataclass(frozen=True, slots=True)
class MountTable:
    """The mounts that one process can reach.

    Attributes:
        by_id: Every mount, by its id.
        blocking: Mount points on which a file system lies that is not looked into. The root directory's
            is looked into whatever it is: without it nothing runs.
    """

    by_id: Mapping[int, Mount]
    blocking: frozenset[str]

    def of(self, descriptor: int) -> Mount | None:
        """The mount that a descriptor was opened through; None where it is none of these."""
        return self.by_id.get(_mount_id(descriptor))

    def may_enter(self, descriptor: int, link: str, root: int) -> bool:
        """Whether what a link of /proc/PID led to can be looked at without waiting for anyone.

        Args:
            descriptor: Of what it led to.
            link: What the link said.
            root: Descriptor of the root directory. In a chroot no list has its mount.
        """
        mount = self.of(descriptor)
        if mount is not None:
            return not mount.may_block or mount.point == "/"
        # Pipes, sockets and memfds lie on mounts of the kernel's own, which no list has either.
        of_kernel = not link.startswith("/") or link.startswith("/memfd:")
        return of_kernel or _mount_id(descriptor) == _mount_id(root) != _UNKNOWN


def _mount_id(descriptor: int) -> int:
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", "rb", buffering=0) as file:
            text = file.read(512)
        return int(text.partition(b"mnt_id:")[2].split(None, 1)[0])
    except (OSError, ValueError, IndexError):
        return _UNKNOWN


def mounts_of(process: str) -> MountTable:
    """The mounts of a process such as "/proc/42", as they are now; an empty table where it is gone."""
    try:
        descriptor = os.open(f"{process}/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return MountTable({}, frozenset())
    try:
        return _parse(_read_all(descriptor))
    except OSError:
        return MountTable({}, frozenset())
    finally:
        os.close(descriptor)


class OwnMounts:
    """Our own mounts, read again only when the kernel says that they have changed (proc(5))."""

    def __init__(self) -> None:
        self._descriptor = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLPRI)
        self._lock = threading.Lock()
        self._table = _parse(_read_all(self._descriptor))

    def now(self) -> MountTable:
        """The mounts as they are now."""
        with self._lock:
            if self._poll.poll(0):
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                self._table = _parse(_read_all(self._descriptor))
            return self._table


@functools.lru_cache(maxsize=32)
def _parse(text: bytes) -> MountTable:
    mounts = [mount for mount in map(_mount, text.splitlines()) if mount is not None]
    topmost = {mount.point: mount for mount in mounts}
    blocking = frozenset(point for point, mount in topmost.items() if mount.may_block and point != "/")
    return MountTable({mount.id: mount for mount in mounts}, blocking)


def _read_all(descriptor: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size < MAX_BYTES and (part := os.read(descriptor, 1 << 16)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _mount(line: bytes) -> Mount | None:
    head, found, tail = line.partition(b" - ")
    fields, types = head.split(b" "), tail.split(b" ")
    if not found or len(fields) < 6 or len(types) < 3:
        return None
    return Mount(
        id=int(fields[0]),
        device=fields[2].decode("ascii"),
        point=os.fsdecode(_ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), fields[4])),
        options=frozenset(os.fsdecode(fields[5]).split(",")),
        file_system=os.fsdecode(types[0]),
    )
