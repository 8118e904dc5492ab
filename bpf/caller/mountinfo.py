"""/proc/PID/mountinfo (proc(5)): its lines, and the kernel's notice that it has changed."""

from __future__ import annotations

import os
import re
import select
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.caller.own_time import own_time
from execwhy.bpf.caller.safety import Access

MAX_BYTES: Final = 4 << 20
"""Most bytes of our own mountinfo. Hosts with many containers have some thousand lines of about 300 bytes."""

MAX_FOREIGN_BYTES: Final = 1 << 20
"""Most bytes of another namespace's: some 3,000 mounts, which take the kernel 30 ms.

Any user can mount 100,000."""

MAX_SECONDS: Final = 0.25
"""How long reading the mounts of another namespace may take."""

UNKNOWN: Final = -1
"""The id of no mount."""

_ESCAPED: Final = re.compile(rb"\\([0-7]{3})")
_ESCAPES: Final = re.compile(rb"[ \t\n\\]")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount.

    Attributes:
        id: Mount id, as in /proc/PID/fdinfo. The kernel reuses it after an umount.
        device: The file system's s_dev, "major:minor".
        point: Where it is mounted, below the root directory of the process whose mountinfo this is.
        options: Options of the mount: "noexec", "nosuid".
        file_system: Its type: "ext4".
        parent: Id of the mount that it is mounted on.
        root: The directory of the file system that is mounted: "/", or the source of a bind mount.
        access: What may be looked at there.
        layers: The options of an overlay, which name its layers; b"" for other types.
    """

    id: int
    device: str
    point: str
    options: frozenset[str]
    file_system: str
    parent: int = UNKNOWN
    root: str = "/"
    access: Access = Access.NONE
    layers: bytes = b""

    @property
    def device_id(self) -> int:
        """The kernel's s_dev: major << 20 | minor."""
        major, _, minor = self.device.partition(":")
        return int(major) << 20 | int(minor)

    @property
    def may_block(self) -> bool:
        """Whether a look into it may wait for a network or for another process, without a limit."""
        return self.access is Access.NONE


@dataclass(frozen=True, slots=True)
class Place:
    """The mount that a descriptor is on.

    Attributes:
        mount_id: The mount's id; ``UNKNOWN`` if there is no /proc.
        mount: The mount; None if the table does not list it.
        access: What may be done there.
    """

    mount_id: int
    mount: Mount | None
    access: Access

    @property
    def is_proc(self) -> bool:
        """Whether the mount is a /proc."""
        return self.mount is not None and self.mount.file_system == "proc"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of mountinfo.

    Attributes:
        mount: The mount, whose ``access`` has not been judged.
        super_options: The options of its file system; those of an overlay name its layers.
    """

    mount: Mount
    super_options: bytes

    @classmethod
    def parse(cls, line: bytes) -> Line | None:
        """Parse a line; return None if it is not complete."""
        head, found, tail = line.partition(b" - ")
        fields, types = head.split(b" "), tail.split(b" ")
        if not found or len(fields) < 6 or len(types) < 3:
            return None
        file_system = os.fsdecode(types[0])
        mount = Mount(
            id=int(fields[0]),
            device=fields[2].decode("ascii"),
            point=unescaped(fields[4]),
            options=frozenset(os.fsdecode(fields[5]).split(",")),
            file_system=file_system,
            parent=int(fields[1]),
            root=unescaped(fields[3]),
            layers=types[-1] if file_system == "overlay" else b"",
        )
        return cls(mount, types[-1])


class Watch:
    """A mountinfo that is held open, by which the kernel reports changes of the namespace's mounts.

    It keeps the namespace alive, so that of another namespace may be held for a moment only.
    """

    def __init__(self, process: str) -> None:
        """Open the mountinfo of a process such as "/proc/42".

        Raises:
            OSError: The process is gone, or may not be looked at.
        """
        self._descriptor = os.open(f"{process}/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLPRI)

    def __del__(self) -> None:
        try:
            os.close(self._descriptor)
        except (AttributeError, OSError):  # it was never opened, or the interpreter is ending
            return

    def has_changed(self) -> bool:
        """Return whether a mount was added, moved or removed since the last call, or since it was opened."""
        return bool(self._poll.poll(0))

    def read(self, limit: int) -> bytes | None:
        """Read the mounts; return None if they have more than ``limit`` bytes, or take too long."""
        deadline = own_time() + MAX_SECONDS
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        parts: list[bytes] = []
        size = 0
        while part := os.read(self._descriptor, 1 << 16):
            parts.append(part)
            size += len(part)
            if size > limit or (limit < MAX_BYTES and own_time() > deadline):
                return None
        return b"".join(parts)


def escaped(path: str) -> bytes:
    """Return a path as mountinfo writes it."""
    return _ESCAPES.sub(lambda match: b"\\%03o" % match[0][0], os.fsencode(path))


def unescaped(text: bytes) -> str:
    """Return the path that mountinfo has written."""
    return os.fsdecode(_ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), text))
