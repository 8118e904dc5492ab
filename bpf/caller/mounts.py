"""The mounts of a process, and which of them may be looked into.

A file system that another process serves can make a lookup wait forever, and once a FUSE server has taken the
request, no signal ends the wait. So nothing is looked at unless it lies on a mount that ``safety`` calls
safe. The kernel itself knows the mount of an O_PATH descriptor (``descriptors``); the mount's id stays valid
for as long as the descriptor is open.
"""

from __future__ import annotations

import functools
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from execwhy.bpf.caller import safety
from execwhy.bpf.caller.descriptors import device_of, internal_mounts, mount_id
from execwhy.bpf.caller.mountinfo import (
    MAX_BYTES,
    MAX_FOREIGN_BYTES,
    Line,
    Mount,
    Place,
    Watch,
    escaped,
    unescaped,
)
from execwhy.bpf.caller.safety import Access
from execwhy.bpf.events import clock

_POINTS: Final = 4096
"""Mount points that are remembered with the mount there, if any. An exec can name any number of them."""

_AT_ROOT: Final = re.compile(rb"^\d+ \d+ \S+ \S+ / ", re.MULTILINE)


class NotEnteredError(Exception):
    """A mount or directory that is not looked into.

    Attributes:
        mount: The mount; None if another reason forbids it.
        why: That reason, as a predicate: "lies in ..."; else "".
    """

    def __init__(self, mount: Mount | None, why: str = "") -> None:
        super().__init__(why)
        self.mount = mount
        self.why = why


def check_mount(mount: Mount | None) -> None:
    """Raise NotEnteredError if it is known that a mount may block."""
    if mount is not None and mount.may_block:
        raise NotEnteredError(mount)


class MountTable:
    """The mounts that a process can reach; each line is parsed when it is needed.

    The text is read again when the kernel reports that the namespace's mounts have changed (POLLPRI), so
    an id never means a mount that is gone. Threads may share a table.

    Attributes:
        trusted: Only root of our own user namespace can mount there.
        refused: Why the mounts were not read, as a predicate: "lies in ..."; "" if they were.
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
        """Make a table from a mountinfo text, or from what ``watch`` reads.

        Args:
            text: The mountinfo, if there is no ``watch``.
            trusted: See the class.
            own: Our own mounts, by which those of others are judged; None for our own table.
            watch: Reads the text, and knows of changes.
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
        """Return the mount that a descriptor is on, given the mount's id."""
        self._renew()
        mount = self.get(found)
        if mount is not None:
            return Place(found, mount, mount.access)
        internal = internal_mounts().get(found)
        if internal is not None:
            return Place(found, None, internal)
        return Place(found, None, self._by_device(descriptor))

    def check(self, place: Place) -> None:
        """Raise NotEnteredError unless a place may be looked into."""
        check_mount(place.mount)
        if place.access is Access.NONE:
            raise NotEnteredError(
                None, self.refused or "lies on a mount that its mount namespace does not list"
            )

    def at(self, point: str) -> Mount | None:
        """Return the topmost mount at a mount point."""
        with self._lock:
            if point not in self._points:
                if len(self._points) >= _POINTS:
                    self._points.clear()
                stacked = list(self._having(b" %s " % escaped(point)))
                here = [mount for mount in stacked if mount.point == point]
                covered = {mount.parent for mount in here}
                self._points[point] = next((m for m in reversed(here) if m.id not in covered), None)
            return self._points[point]

    def seen_at(self, point: str) -> bool:
        """Return whether a mount was found at a mount point before, so that a step onto it will cross."""
        return self._points.get(point) is not None

    def on_the_way(self, path: str) -> Mount | None:
        """Return the mount that a path without links lies on; None if it is not known."""
        while True:
            mount = self.at(path or "/")
            if mount is not None or path in ("", "/"):
                return mount
            path = path.rstrip("/").rpartition("/")[0]

    def types_below(self, mount: Mount) -> frozenset[str] | None:
        """Return the types of the file systems that an overlay's layers are on; None if one is not known."""
        types: set[str] = set()
        devices, waiting = {mount.device}, [mount]
        while waiting:
            for layer in self._layers(waiting.pop()):
                if layer is None:
                    return None
                if layer.file_system != "overlay":
                    types.add(layer.file_system)
                elif layer.device not in devices:
                    devices.add(layer.device)
                    waiting.append(layer)
        return frozenset(types)

    def on_device(self, device: str) -> list[Mount]:
        """Return the mounts of a file system, by its device "major:minor"."""
        return [m for m in self._having(b" %s " % os.fsencode(device)) if m.device == device]

    @property
    def has_root(self) -> bool:
        """Whether a mount begins at the process's root directory, so that it is not chrooted."""
        return _AT_ROOT.search(self._text) is not None

    @property
    def root_device(self) -> str:
        """The device of the file system on "/"; "" if it is not known."""
        top = self.at("/")
        return "" if top is None else top.device

    @property
    def automounts(self) -> frozenset[str]:
        """Mount points of automounters: even a step onto one may wait."""
        if self._automounts is None:
            found = (mount for mount in self._having(b" - autofs ") if mount.file_system == "autofs")
            tops = (self.at(mount.point) for mount in found)
            self._automounts = frozenset(m.point for m in tops if m is not None and m.may_block)
        return self._automounts

    def unchanged_since(self, moment: int) -> bool:
        """Return whether certainly no mount of the namespace was added, moved or removed since a moment.

        The proof: the table was read before ``moment`` (on the clock of the records' timestamps) and has been
        watched since, and the kernel has announced no change. Our own mounts are watched for as long as this
        program runs, those of others for a second at most, so this is False for the first failure in another
        namespace. A mount's id proves less: even STATX_MNT_ID_UNIQUE (Linux 6.8), which only grows, shows
        neither when an old mount was moved to its place nor what was unmounted from above it. If ``trusted``,
        only root can have changed anything.
        """
        if self._watch is None:
            return False
        self._renew()
        return not self.refused and self._read_at <= moment

    def _layers(self, mount: Mount) -> Iterator[Mount | None]:
        """Yield the mounts that an overlay's layers are on, and None for each layer whose mount is not known.

        The overlay may have been mounted in this namespace or, like a container's, in ours. Relative paths
        began at the working directory of whoever mounted it.
        """
        for layer in safety.layers(mount.layers):
            path = unescaped(layer)
            tables = {self, self._own or self} if path.startswith("/") else ()
            found = [under for table in tables if (under := table._under(path, mount.device)) is not None]
            if found:
                yield from found
            else:
                yield None

    def _under(self, path: str, device: str) -> Mount | None:
        """Return the mount that a path lies on, below the one of a device that may have been put over it."""
        mount = self.on_the_way(path)
        return self.get(mount.parent) if mount is not None and mount.device == device else mount

    def _by_device(self, descriptor: int) -> Access:
        """Judge a mount that is not in the table, as in a chroot, by our own mounts of its file system."""
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
        # With a newline in front, every line can be found by "\n" and its id.
        self._text = b"\n" + text
        self._mounts: dict[int, Mount | None] = {}
        self._points: dict[str, Mount | None] = {}
        self._automounts = None
        self._judged: dict[str, Access] = {}

    def _having(self, part: bytes) -> Iterator[Mount]:
        """Yield the mounts whose line contains a text, in order."""
        text, end = self._text, 0
        while (found := text.find(part, end)) >= 0:
            mount = self._line(text.rfind(b"\n", 0, found + 1) + 1)
            end = text.find(b"\n", found + 1)
            if mount is not None:
                yield mount
            if end < 0:
                return

    def _line(self, begin: int) -> Mount | None:
        """Return the mount whose line begins at a position."""
        if begin <= 0:
            return None
        if begin not in self._mounts:
            text = self._text
            end = text.find(b"\n", begin)
            line = Line.parse(text[begin : end if end >= 0 else len(text)])
            judged = None if line is None else replace(line.mount, access=self._access(line))
            self._mounts[begin] = judged
        return self._mounts[begin]

    def _access(self, line: Line) -> Access:
        """Judge a mount by ``safety``; the mount of our own root directory is always safe."""
        mount, device = line.mount, line.mount.device
        if self._own is None and mount.point == "/":
            return Access.READ
        own = self._own or self
        if self._own is not None and device == own.root_device:
            return Access.READ
        if mount.file_system != "overlay":
            return safety.access(mount.file_system, device, mount.options)
        if not self.trusted:
            # Its mounter chose the layers, and their paths prove nothing: something else may have been
            # mounted there at the time. An overlay in our own table, such as a container's, is root's.
            return max(
                (m.access for m in own.on_device(device) if m.file_system == mount.file_system),
                default=Access.NONE,
            )
        if device not in self._judged:
            # Until it is judged it counts as safe: the paths of its layers may lead back to it.
            self._judged[device] = Access.READ
            if any(layer is None or layer.may_block for layer in self._layers(mount)):
                self._judged[device] = Access.NONE
        return self._judged[device]


@functools.cache
def own_mounts() -> MountTable:
    """Return our own mounts; an empty table if there is no /proc."""
    try:
        return MountTable(watch=Watch("/proc/self"))
    except OSError:
        return MountTable()


def mounts_of(process: str, trusted: bool) -> MountTable:
    """Return the mounts of a process such as "/proc/42"; an empty table if it is gone."""
    try:
        return MountTable(trusted=trusted, own=own_mounts(), watch=Watch(process))
    except OSError:
        return MountTable(trusted=trusted, own=own_mounts())
