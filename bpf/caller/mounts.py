"""The mounts of a process, from /proc/PID/mountinfo (proc(5)), and what of them may be looked into.

A file system that another process serves can let a lookup wait for ever, and a wait for a FUSE server
that has taken the request ends by no signal. So nothing is looked at that does not lie on a mount known
to be safe: ``safety`` says which are. The mount of an O_PATH descriptor is known to the kernel itself:
statx(2) with AT_STATX_DONT_SYNC and /proc/self/fdinfo, unlike fstat(2), ask no server. Its id is good for as
long as the descriptor is open.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.caller import safety
from execwhy.bpf.caller.own_time import own_time
from execwhy.bpf.caller.safety import Access
from execwhy.bpf.events import clock

MAX_BYTES: Final = 4 << 20
"""Of our own mounts. Hosts with many containers have some thousand, of about 300 bytes a line."""

MAX_FOREIGN_BYTES: Final = 1 << 20
"""Of another namespace's: some 3,000 mounts, which take the kernel 30 ms. Any user can mount 100,000."""

MAX_SECONDS: Final = 0.25
"""How long the mounts of another namespace may take to read."""

UNKNOWN: Final = -1
"""No mount's id."""

_POINTS: Final = 4096
"""Places that are remembered with what is mounted there, if anything is: any exec can name more."""

_ESCAPED: Final = re.compile(rb"\\([0-7]{3})")
_ESCAPES: Final = re.compile(rb"[ \t\n\\]")
_AT_ROOT: Final = re.compile(rb"^\d+ \d+ \S+ \S+ / ", re.MULTILINE)
_STATX_MNT_ID: Final = 0x1000
_STATX_ATTR_ENCRYPTED: Final = 0x800
_STATX_ATTRIBUTES, _STATX_DEVICE, _STATX_MOUNT = 0x08, 0x88, 0x90
"""Where struct statx has stx_attributes, stx_dev_major and stx_mnt_id (statx(2))."""

_AT_EMPTY_PATH, _AT_STATX_DONT_SYNC = 0x1000, 0x4000


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount.

    Attributes:
        id: Mount id, as in /proc/PID/fdinfo. The kernel gives it to another one after an umount.
        device: The file system's s_dev, "major:minor".
        point: Where it is mounted, below the root directory of the process that was asked.
        options: Options of the mount: "noexec", "nosuid".
        file_system: Its type: "ext4".
        parent: Id of the mount that it is mounted on.
        root: The directory of the file system that is mounted: "/", of a bind mount its source.
        access: What of it may be looked at.
        layers: The options of an overlay in mountinfo, which name its layers; b"" of all others.
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
        """A look into it may wait for a network or for another process as long as that likes."""
        return self.access is Access.NONE


@dataclass(frozen=True, slots=True)
class Place:
    """On which mount a descriptor is.

    Attributes:
        mount_id: The mount's id; ``UNKNOWN`` where there is no /proc.
        mount: The mount; None where the table does not list it.
        access: What may be done there.
    """

    mount_id: int
    mount: Mount | None
    access: Access


class MountTable:
    """The mounts that one process can reach, read line by line as they are asked for.

    The text is read again when the kernel says that the namespace's mounts have changed (POLLPRI), so
    an id never means a mount that is gone. Safe to share between threads.

    Attributes:
        trusted: Only root of our own user namespace can mount there.
        refused: Why the mounts were not read, as a predicate: "lies in ..."; "" where they were.
    """

    def __init__(
        self,
        text: bytes = b"",
        *,
        trusted: bool = True,
        own: MountTable | None = None,
        watch: Watch | None = None,
        refused: str = "",
    ) -> None:
        """Make a table of a mountinfo text, or of what ``watch`` reads.

        Args:
            text: The mountinfo, if it is not to be read.
            trusted: See the class.
            own: Our own mounts, by which those of others are judged; None for our own.
            watch: Where the text comes from, and who knows of changes.
            refused: See the class.
        """
        self.trusted = trusted
        self.refused = refused
        self._own = own
        self._watch = watch
        self._lock = threading.RLock()
        self._read_at = clock.now()
        self._automounts: frozenset[str] | None = None
        self._set(text)
        if watch is not None:
            self._read(watch)

    def get(self, mount_id: int) -> Mount | None:
        """Return a mount by its id."""
        return self._line(self._text.find(b"\n%d " % mount_id) + 1) if mount_id >= 0 else None

    def place(self, descriptor: int) -> Place:
        """Return the mount that an open descriptor is on, without asking the file system."""
        return self.place_on(mount_id(descriptor), descriptor)

    def place_on(self, found: int, descriptor: int) -> Place:
        """Return the mount that a descriptor is on, whose id is known."""
        self._renew()
        mount = self.get(found)
        if mount is not None:
            return Place(found, mount, mount.access)
        internal = _internal_mounts().get(found)
        if internal is not None:
            return Place(found, None, internal)
        return Place(found, None, self._by_device(descriptor))

    def at(self, point: str) -> Mount | None:
        """Return the topmost mount at a mount point."""
        with self._lock:
            if point not in self._points:
                if len(self._points) >= _POINTS:
                    self._points.clear()
                stacked = list(self._having(b" %s " % _escaped(point)))
                here = [mount for mount in stacked if mount.point == point]
                covered = {mount.parent for mount in here}
                self._points[point] = next((m for m in reversed(here) if m.id not in covered), None)
            return self._points[point]

    def seen_at(self, point: str) -> bool:
        """Whether a mount was found at a mount point before: a step onto it will cross."""
        return self._points.get(point) is not None

    def on_the_way(self, path: str) -> Mount | None:
        """Return the mount that a path without links lies on; None where none is known."""
        while True:
            mount = self.at(path or "/")
            if mount is not None or path in ("", "/"):
                return mount
            path = path.rstrip("/").rpartition("/")[0]

    def types_below(self, mount: Mount) -> frozenset[str]:
        """Return the types of the file systems that an overlay's layers are on, as far as they are known."""
        return frozenset(layer.file_system for layer in self._layers(mount.layers))

    def on_device(self, device: str) -> list[Mount]:
        """Return the mounts of a file system, by its device "major:minor"."""
        return [m for m in self._having(b" %s " % os.fsencode(device)) if m.device == device]

    @property
    def has_root(self) -> bool:
        """The process is not chrooted: its root directory is where a mount begins."""
        return _AT_ROOT.search(self._text) is not None

    @property
    def root_device(self) -> str:
        """The device of the file system on "/"; "" where that is not known."""
        top = self.at("/")
        return "" if top is None else top.device

    @property
    def automounts(self) -> frozenset[str]:
        """Where an automounter is in charge: even a step onto such a place may wait for it."""
        if self._automounts is None:
            found = (mount for mount in self._having(b" - autofs ") if mount.file_system == "autofs")
            tops = (self.at(mount.point) for mount in found)
            self._automounts = frozenset(m.point for m in tops if m is not None and m.may_block)
        return self._automounts

    def unchanged_since(self, moment: int) -> bool:
        """Whether no mount of the namespace was made, moved or taken away between a moment and now.

        It is True only where that is proven: the table was read before ``moment`` (on the clock of the
        records' timestamps), was watched since, and the kernel has announced no change. Our own mounts
        are watched for as long as this program runs, those of others for a second at most, so this is
        False for the first failure in another namespace. No number of a mount proves as much: even
        STATX_MNT_ID_UNIQUE (Linux 6.8), which only grows, shows neither when an old mount was moved to its
        place nor what was unmounted from above it. Where ``trusted``, only root can have changed anything.
        """
        if self._watch is None:
            return False
        self._renew()
        return not self.refused and self._read_at <= moment

    def _layers(self, options: bytes) -> Iterator[Mount]:
        """The mounts that an overlay's layers are on.

        Where it was mounted is not known: in this namespace, or in ours, as a container's is.
        """
        for layer in safety.layers(options):
            for table in {self, self._own or self}:
                mount = table.on_the_way(_unescaped(layer))
                if mount is not None:
                    yield mount

    def _by_device(self, descriptor: int) -> Access:
        """Judge a mount that the table lacks, as in a chroot, by its file system, if we have that too."""
        own = self._own or self
        if not own._text:
            return Access.NONE
        found = own.on_device(device_of(descriptor))
        return max((mount.access for mount in found), default=Access.NONE)

    def _renew(self) -> None:
        watch = self._watch
        if watch is not None:
            with self._lock:
                if watch.has_changed():
                    self._read(watch)

    def _read(self, watch: Watch) -> None:
        self._read_at = clock.now()
        self.refused = ""
        text = watch.read(MAX_BYTES if self._own is None else MAX_FOREIGN_BYTES)
        if text is None:
            self.refused = "lies in a mount namespace with more mounts than are read"
        self._set(text or b"")

    def _set(self, text: bytes) -> None:
        # A newline in front lets every line be found by "\n" and its id.
        self._text = b"\n" + text
        self._mounts: dict[int, Mount | None] = {}
        self._points: dict[str, Mount | None] = {}
        self._automounts = None
        self._judged: dict[str, Access] = {}

    def _having(self, part: bytes) -> Iterator[Mount]:
        """The mounts whose line has a text, in order."""
        text, end = self._text, 0
        while (found := text.find(part, end)) >= 0:
            mount = self._line(text.rfind(b"\n", 0, found + 1) + 1)
            end = text.find(b"\n", found + 1)
            if mount is not None:
                yield mount
            if end < 0:
                return

    def _line(self, begin: int) -> Mount | None:
        """The mount whose line begins there."""
        if begin <= 0:
            return None
        if begin not in self._mounts:
            text = self._text
            end = text.find(b"\n", begin)
            self._mounts[begin] = self._mount(text[begin : end if end >= 0 else len(text)])
        return self._mounts[begin]

    def _mount(self, line: bytes) -> Mount | None:
        head, found, tail = line.partition(b" - ")
        fields, types = head.split(b" "), tail.split(b" ")
        if not found or len(fields) < 6 or len(types) < 3:
            return None
        device, point = fields[2].decode("ascii"), _unescaped(fields[4])
        options = frozenset(os.fsdecode(fields[5]).split(","))
        kind = os.fsdecode(types[0])
        return Mount(
            id=int(fields[0]),
            device=device,
            point=point,
            options=options,
            file_system=kind,
            parent=int(fields[1]),
            root=_unescaped(fields[3]),
            access=self._access(kind, device, point, options, types[-1]),
            layers=types[-1] if kind == "overlay" else b"",
        )

    def _access(
        self, kind: str, device: str, point: str, options: frozenset[str], super_options: bytes
    ) -> Access:
        """What may be looked at, by ``safety``; what our own root directory is on is in any case."""
        if self._own is None and point == "/":
            return Access.READ
        own = self._own or self
        if self._own is not None and device == own.root_device:
            return Access.READ
        if kind != "overlay":
            return safety.access(kind, device, options)
        if not self.trusted:
            # Its mounter chose the layers, and their paths prove nothing: something else can have been
            # mounted there at the time. An overlay of our own table, as a container's is, was made by root.
            return max(
                (m.access for m in own.on_device(device) if m.file_system == kind), default=Access.NONE
            )
        if device not in self._judged:
            # Until it is judged it counts as safe: the paths of its layers may lead back to it.
            self._judged[device] = Access.READ
            if any(mount.may_block for mount in self._layers(super_options)):
                self._judged[device] = Access.NONE
        return self._judged[device]


class Watch:
    """A mountinfo that is held open: the kernel says there when the namespace's mounts change.

    It keeps the namespace in being, so nobody may hold it for longer than a moment but for our own.
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
        except (AttributeError, OSError):  # it was never opened, or the interpreter ends
            return

    def has_changed(self) -> bool:
        """Whether a mount was made, moved or taken away since this was asked last, or since it was opened."""
        return bool(self._poll.poll(0))

    def read(self, limit: int) -> bytes | None:
        """Read the mounts; None where they have more bytes than that, or take too long."""
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


@functools.cache
def own_mounts() -> MountTable:
    """Return our own mounts; empty where there is no /proc."""
    try:
        return MountTable(watch=Watch("/proc/self"))
    except OSError:
        return MountTable()


def mounts_of(process: str, trusted: bool) -> MountTable:
    """Return the mounts of a process such as "/proc/42"; an empty table where it is gone."""
    try:
        return MountTable(trusted=trusted, own=own_mounts(), watch=Watch(process))
    except OSError:
        return MountTable(trusted=trusted, own=own_mounts())


def mount_id(descriptor: int) -> int:
    """Return the id of the mount that a descriptor is on."""
    if _statx_has_mount_id():
        return _mount_id_by_statx(descriptor)
    return _mount_id_by_fdinfo(descriptor)


def device_of(descriptor: int) -> str:
    """Return the st_dev of a descriptor as "major:minor", as far as that is known without asking a server."""
    found = _statx(descriptor, 0)
    if found is None:
        return ""
    major, minor = struct.unpack_from("II", found, _STATX_DEVICE)
    return f"{major}:{minor}"


def is_encrypted(descriptor: int) -> bool:
    """Return whether what a descriptor is on is encrypted by its file system (fscrypt)."""
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
    """Ask for what the kernel itself knows: AT_STATX_DONT_SYNC asks no FUSE server, nor one below others."""
    buffer = ctypes.create_string_buffer(256)
    try:
        failed = _libc().statx(descriptor, b"", _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC, wanted, buffer)
    except AttributeError:  # a C library without it
        return None
    return None if failed else buffer


@functools.cache
def _statx_has_mount_id() -> bool:
    """Whether the kernel has STATX_MNT_ID (Linux 5.8)."""
    return _of_own_root(_mount_id_by_statx) != UNKNOWN


def _of_own_root(mount_id_of: Callable[[int], int]) -> int:
    """Return the mount id of our own root directory, found in this way."""
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
def _internal_mounts() -> dict[int, Access]:
    """The mounts of the kernel's own, which no table lists: for memfds, pipes, sockets and the like.

    Each is known by a sample: what a link of /proc/PID/fd says of itself could be a file's name.
    """
    found: dict[int, Access] = {}
    for access, sample in _SAMPLES:
        with contextlib.suppress(OSError):
            descriptor = sample()
            found[mount_id(descriptor)] = access
            os.close(descriptor)
    found.pop(UNKNOWN, None)
    return found


def is_memfd_mount(number: int) -> bool:
    """Return whether it is the kernel's own mount that memfds are on (memfd_create(2))."""
    return _internal_mounts().get(number) is Access.READ


@functools.cache
def own_root() -> int:
    """Return the id of the mount that our own root directory is on, which stays that for good."""
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


def _escaped(path: str) -> bytes:
    return _ESCAPES.sub(lambda match: b"\\%03o" % match[0][0], os.fsencode(path))


def _unescaped(text: bytes) -> str:
    return os.fsdecode(_ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), text))
