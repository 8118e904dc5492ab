"""Mount namespaces: our own and others', their mounts, and the processes through which they can be seen."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import sys
import threading
from dataclasses import dataclass
from typing import Final

from cachetools import TTLCache

from execwhy.bpf.caller.cached_lookup import wait_for_locks
from execwhy.bpf.caller.descriptors import mount_id
from execwhy.bpf.caller.mounts import MountTable, mounts_of, own_mounts
from execwhy.bpf.events.record import ExecFailure

MAX_PROCESSES: Final = 4096
"""Most processes asked for their mount namespace: 5 us each, 25 the first time."""

_NS_GET_USERNS: Final = 0xB701
_NS_GET_MNTNS_ID: Final = 0x8008B705
_TABLE_SECONDS: Final = 1.0
_REFUSED_SECONDS: Final = 2.0
_TABLES: Final = 64


@functools.cache
def own_mount_ns() -> int:
    """Return the inode number of our own mount namespace; 0 if there is no /proc."""
    return mount_ns_of("/proc/self") or 0


@functools.cache
def home_namespaces() -> frozenset[int | None]:
    """Return the mount namespaces that only root controls: our own, that of process 1, and None (not known).

    A service has a namespace of its own, apart from the host's. Seeing that of process 1 takes privileges, so
    this is called before they are given up.
    """
    return frozenset((None, own_mount_ns(), mount_ns_of("/proc/1")))


@functools.cache
def is_chrooted() -> bool:
    """Return whether our "/" differs from that of our mount namespace, which other processes have."""
    if mount_ns_of("/proc/1") == own_mount_ns() and os.access("/proc/1/root", os.F_OK):
        return not is_our_root("/proc/1/root")
    return not _stands_at_its_root("/proc/self")


def mount_ns_of(process: str) -> int | None:
    """Return the inode number of the mount namespace of a process ("/proc/42"); None if it is gone."""
    # Any user can hold the locks of these directories: see execwhy.bpf.caller.cached_lookup.
    wait_for_locks(f"{process}/ns/mnt", 2)
    try:
        return os.stat(f"{process}/ns/mnt").st_ino
    except OSError:
        return None


def is_our_root(root: str) -> bool:
    """Return whether a process's root directory is ours. Its inode is read only on the same mount."""
    descriptors: list[int] = []
    try:
        descriptors += [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in (root, "/")]
        if mount_id(descriptors[0]) != mount_id(descriptors[1]):
            return False
        return os.path.samestat(os.fstat(descriptors[0]), os.fstat(descriptors[1]))
    except OSError:
        return False
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _stands_at_its_root(process: str) -> bool:
    """Return whether a process is not chrooted: a mount begins at its root directory, whose path is "/"."""
    try:
        if os.readlink(f"{process}/root") != "/":
            return False
    except OSError:
        return False
    table = own_mounts() if process == "/proc/self" else mounts_of(process, trusted=False)
    return table.has_root


@dataclass(frozen=True, slots=True)
class Namespace:
    """A mount namespace.

    Attributes:
        id: A number that is unique since boot (Linux 6.11); 0 if it is not known.
        trusted: It belongs to our own user namespace, so that only root can mount there.
    """

    id: int
    trusted: bool

    @staticmethod
    def of(process: str) -> Namespace:
        """Ask the kernel (ioctl_ns(2)). Only opening the namespace takes a capability."""
        try:
            namespace = os.open(f"{process}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return Namespace(0, False)
        number = 0
        try:
            with contextlib.suppress(OSError):
                number = int.from_bytes(fcntl.ioctl(namespace, _NS_GET_MNTNS_ID, bytes(8)), sys.byteorder)
            owner = fcntl.ioctl(namespace, _NS_GET_USERNS)
        except OSError:
            return Namespace(number, False)
        finally:
            os.close(namespace)
        try:
            return Namespace(number, os.fstat(owner).st_ino == _own_user_ns())
        finally:
            os.close(owner)


@functools.cache
def _own_user_ns() -> int:
    try:
        return os.stat("/proc/self/ns/user").st_ino
    except OSError:
        return 0


class Tables:
    """The mounts of other namespaces, kept for a moment, so that a storm reads them once.

    A table keeps its namespace alive, so all are dropped a second after the first one was read.
    """

    _lock: threading.Lock
    _tables: dict[tuple[int, int, str], MountTable]
    _timer: threading.Timer | None
    _refused: TTLCache[int, tuple[int, MountTable]]

    def __init__(self) -> None:
        self.begin_anew()

    def of(self, process: str, namespace: int, root: int) -> MountTable:
        """Return the mounts of a process, whose namespace and root directory these are."""
        refused = self._refused.get(namespace)
        if refused is not None and refused[0] == Namespace.of(process).id:
            return refused[1]
        try:
            key = (namespace, mount_id(root), os.readlink(f"{process}/root"))
        except OSError:
            return mounts_of(process, trusted=False)
        with self._lock:
            known = self._tables.get(key)
        if known is not None:
            return known
        facts = Namespace.of(process)
        table = mounts_of(process, facts.trusted)
        if table.refused:
            # The kept table has no descriptor, which would keep the namespace alive.
            empty = MountTable(trusted=False, refused=table.refused)
            self._refused[namespace] = facts.id, empty
            return empty
        with self._lock:
            if len(self._tables) < _TABLES:
                self._tables[key] = table
            if self._timer is None:
                self._timer = threading.Timer(_TABLE_SECONDS, self.let_go)
                self._timer.daemon = True
                self._timer.start()
        return table

    def let_go(self) -> None:
        """Forget all tables."""
        with self._lock:
            self._tables.clear()
            self._timer = None

    def begin_anew(self) -> None:
        """Forget everything. A forked process must do this, since a change is reported to one reader only."""
        self._lock = threading.Lock()
        self._tables = {}
        self._timer = None
        self._refused = TTLCache(_TABLES, _REFUSED_SECONDS)


_neighbours: Final[TTLCache[int, str]] = TTLCache(maxsize=256, ttl=60)
_without_neighbour: Final[TTLCache[int, bool]] = TTLCache(maxsize=256, ttl=1)


def neighbour_of(record: ExecFailure) -> str | None:
    """Return another process in the caller's mount namespace: the one found before, a relative, or any."""
    namespace = record.mount_ns
    if namespace is None or _without_neighbour.get(namespace):
        return None
    relatives = [f"/proc/{pid}" for pid in (record.ppid, *(a.pid for a in record.ancestors)) if pid > 0]
    known = _neighbours.get(namespace)
    for process in [known, *relatives] if known else relatives:
        if mount_ns_of(process) == namespace and _stands_at_its_root(process):
            _neighbours[namespace] = process
            return process
    with os.scandir("/proc") as entries:
        pids = sorted((int(entry.name) for entry in entries if entry.name.isdigit()), reverse=True)
    for pid in pids[:MAX_PROCESSES]:
        process = f"/proc/{pid}"
        if mount_ns_of(process) == namespace and _stands_at_its_root(process):
            _neighbours[namespace] = process
            return process
    _without_neighbour[namespace] = True
    return None


tables: Final = Tables()
os.register_at_fork(after_in_child=tables.begin_anew)
os.register_at_fork(after_in_child=own_mounts.cache_clear)
