"""From where a caller's files can be seen: its root directory and mount namespace, while they exist.

The caller of a failed exec is often gone by the time it is looked at. Its mount namespace may live on
in another process, and mostly it is our own.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import sys
import threading
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final

from cachetools import TTLCache

from execwhy.bpf.caller.cached_lookup import wait_for_locks
from execwhy.bpf.caller.mounts import UNKNOWN, MountTable, Place, mount_id, mounts_of, own_mounts, own_root
from execwhy.bpf.caller.safety import Access
from execwhy.bpf.caller.walk import End, WalkContext, walk
from execwhy.bpf.events import clock
from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.record import ExecFailure

AT_FDCWD: Final = -100
MAX_PROCESSES: Final = 4096
"""Processes asked for their mount namespace, 5 us each, at first 25."""

_NS_GET_USERNS: Final = 0xB701
_NS_GET_MNTNS_ID: Final = 0x8008B705
_TABLE_SECONDS: Final = 1.0
_REFUSED_SECONDS: Final = 2.0
_TABLES: Final = 64

_TICK: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class CallerRoot:
    """A view of the caller's files; a context manager that closes its descriptor.

    Attributes:
        root: O_PATH descriptor of the caller's root directory.
        base: Path of that root in the terms of ``mounts``; "" for "/".
        mounts: Its mounts.
        own: The caller's mount namespace is ours.
        assumed: The caller's mount namespace is not known; ours is looked at.
        place: On which mount ``root`` is, where that is known already.
    """

    root: int
    base: str
    mounts: MountTable
    own: bool
    assumed: bool = False
    place: Place | None = None

    def __enter__(self) -> CallerRoot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.root)

    def context(
        self, record: ExecFailure, deadline: float = float("inf"), with_acls: bool = False
    ) -> WalkContext:
        """Where a walk for that caller takes place."""
        users = (record.uid, record.fsuid)
        return WalkContext(
            self.root, self.mounts, self.base, record.pid, record.tid, deadline, with_acls, self.place, users
        )


def reach(record: ExecFailure) -> CallerRoot | None:
    """The caller's root directory; None where neither it nor its mount namespace can be reached."""
    caller = caller_of(record)
    if record.mount_ns is None or (record.mount_ns == own_mount_ns() and not _is_chrooted()):
        caller_root = _below(_at_own_root(), record)
        if caller_root is None and caller is not None and _is_our_root(f"{caller}/root"):
            # This program is in the same chroot, whose path leads nowhere from within.
            return _below(_at_own_root(), replace(record, root=None))
        return caller_root
    if caller is not None and _mount_ns(caller) == record.mount_ns:
        caller_root = _at_root_of(caller, record)
        if caller_root is not None:
            return _judged_from_outside(caller_root, caller, record)
    neighbour = _neighbour(record)
    return None if neighbour is None else _below(_at_root_of(neighbour, record), record)


def _at_own_root() -> CallerRoot | None:
    """The view from our own root directory."""
    try:
        root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    mounts = own_mounts()
    return CallerRoot(root, "", mounts, own=True, place=mounts.place_on(own_root(), root))


def _at_root_of(process: str, record: ExecFailure) -> CallerRoot | None:
    """The view from the root directory of a process in the caller's mount namespace."""
    try:
        root = os.open(f"{process}/root", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    mounts = tables.of(process, record.mount_ns or 0, root)
    return CallerRoot(root, "", mounts, own=False, place=mounts.place(root))


def _judged_from_outside(caller_root: CallerRoot, caller: str, record: ExecFailure) -> CallerRoot:
    """The view from a root directory, as one sees it who is not in that chroot, if it is one.

    In a chroot no list has the mount of the root directory, nor those that an overlay lies upon.
    """
    try:
        path = os.readlink(f"{caller}/root")
    except OSError:
        return caller_root
    if path == "/" or caller_root.mounts.refused or caller_root.place is None:
        return caller_root
    neighbour = _neighbour(record)
    better = None
    if neighbour is not None:
        better = _below(_at_root_of(neighbour, record), replace(record, root=path))
    if better is None:
        return caller_root
    if better.place is not None and better.place.access is Access.NONE:
        os.close(better.root)
        return replace(caller_root, place=better.place)
    os.close(caller_root.root)
    return better


def _below(top: CallerRoot | None, record: ExecFailure) -> CallerRoot | None:
    """The view from the root directory that the caller had, below that of its mount namespace.

    The descriptor of ``top`` is closed, or is that of the view.
    """
    if top is None:
        return None
    top = replace(top, assumed=record.mount_ns is None)
    base = "" if record.root is None or record.root == "/" else record.root
    if not base:
        return top
    resolution, inner = walk(
        WalkContext(top.root, top.mounts, place=top.place, users=(record.uid, record.fsuid)), base
    )
    if resolution.end is End.MAY_BLOCK:
        # Nothing is looked at there, which each walk will say.
        return replace(top, place=Place(UNKNOWN, resolution.refused, Access.NONE))
    os.close(top.root)
    if resolution.end is not End.FOUND:
        return None
    return replace(top, root=inner, base=base, place=resolution.steps[-1].place)


def start_of(record: ExecFailure, caller_root: CallerRoot) -> tuple[int, str] | None:
    """Where a relative path of the caller begins: a descriptor to close, and its path.

    That is the file behind execveat's dirfd, which only a living caller has, or the working directory.
    """
    if record.dirfd is not None and record.dirfd != AT_FDCWD:
        return _follow(record, caller_root, f"fd/{record.dirfd}")
    if record.cwd is None or record.cwd.endswith(" (deleted)") or not record.cwd.startswith("/"):
        # Deleted, unreachable, or too deep to be told whole: what the path names now may be another.
        return _follow(record, caller_root, "cwd")
    resolution, descriptor = walk(caller_root.context(record), record.cwd)
    return None if descriptor < 0 else (descriptor, resolution.path)


def _follow(record: ExecFailure, caller_root: CallerRoot, name: str) -> tuple[int, str] | None:
    """Follow a link of the caller's /proc directory without opening what it leads to."""
    caller = caller_of(record)
    if caller is None:
        return None
    link = f"{caller}/task/{record.tid}/{name}"
    try:
        path = os.readlink(link)
        root = os.readlink(f"{caller}/root").rstrip("/")
        descriptor = os.open(link, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    if caller_root.mounts.place(descriptor).access is Access.NONE:
        os.close(descriptor)
        return None
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    return descriptor, path


@functools.cache
def own_mount_ns() -> int:
    """Inode number of our own mount namespace; 0 where there is no /proc."""
    return _mount_ns("/proc/self") or 0


@functools.cache
def home_namespaces() -> frozenset[int | None]:
    """The mount namespaces that root alone rules: our own, that of process 1, and what is not known (None).

    A service has one of its own, beside the host's. It takes privileges to see that of process 1, so this is
    asked before they are given up.
    """
    return frozenset((None, own_mount_ns(), _mount_ns("/proc/1")))


@functools.cache
def _is_chrooted() -> bool:
    """Our "/" is not the one that the others of our mount namespace have: theirs is found by way of them."""
    if _mount_ns("/proc/1") == own_mount_ns() and os.access("/proc/1/root", os.F_OK):
        return not _is_our_root("/proc/1/root")
    return not _stands_at_its_root("/proc/self")


def _is_our_root(root: str) -> bool:
    """A process's root directory is ours. It is asked for its inode only if it lies on the same mount."""
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


@dataclass(frozen=True, slots=True)
class Namespace:
    """A mount namespace.

    Attributes:
        id: A number that no other one has had since boot (Linux 6.11); 0 where that is not known.
        trusted: It belongs to our own user namespace, so that only root mounts there.
    """

    id: int
    trusted: bool

    @staticmethod
    def of(process: str) -> Namespace:
        """Ask the kernel (ioctl_ns(2)), which takes no capability but that of opening the namespace."""
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
    """The mounts of other namespaces, kept for a moment: a storm from one reads them once.

    What is kept holds the namespace in being, so it is let go a second after it was read, storm or not.
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
            # What is kept has no descriptor, which would keep the namespace in being.
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
        """Forget everything, as a forked process must: a change is reported to one reader."""
        self._lock = threading.Lock()
        self._tables = {}
        self._timer = None
        self._refused = TTLCache(_TABLES, _REFUSED_SECONDS)


def _mount_ns(process: str) -> int | None:
    # Any user may hold the locks of these directories; see execwhy.bpf.caller.cached_lookup.
    wait_for_locks(f"{process}/ns/mnt", 2)
    try:
        return os.stat(f"{process}/ns/mnt").st_ino
    except OSError:
        return None


def caller_of(record: ExecFailure | Occurrence, *, even_dead: bool = False) -> str | None:
    """The caller's "/proc/PID", unless it is gone or its pid means another process now.

    A zombie has no files any more and counts as gone, but for who asks for what it keeps: ``even_dead``.
    """
    if record.pid <= 0:
        return None
    process = f"/proc/{record.pid}"
    wait_for_locks(f"{process}/stat", 1)
    try:
        with open(f"{process}/stat", "rb", buffering=0) as file:
            fields = file.read(1024).rpartition(b")")[2].split()
    except OSError:
        return None
    if len(fields) < 20 or (fields[0] in (b"Z", b"X") and not even_dead):
        return None
    if record.started is not None:
        started = (record.started + clock.boot_offset()) // _TICK
        if abs(int(fields[19]) - started) > 1:
            return None
    return process


def start_of_thread(thread: str) -> int | None:
    """Return when a "/proc/PID/task/TID" began, in nanoseconds of the boot clock, a tick early at most."""
    try:
        with open(f"{thread}/stat", "rb", buffering=0) as file:
            fields = file.read(1024).rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[19]) * _TICK - clock.boot_offset() if len(fields) >= 20 else None


_witnesses: Final[TTLCache[int, str]] = TTLCache(maxsize=256, ttl=60)
_forlorn: Final[TTLCache[int, bool]] = TTLCache(maxsize=256, ttl=1)


def _neighbour(record: ExecFailure) -> str | None:
    """Another process in the caller's mount namespace: a relative, the one found before, or any."""
    namespace = record.mount_ns
    if namespace is None or _forlorn.get(namespace):
        return None
    relatives = [f"/proc/{pid}" for pid in (record.ppid, *(a.pid for a in record.ancestors)) if pid > 0]
    witness = _witnesses.get(namespace)
    for process in [witness, *relatives] if witness else relatives:
        if _mount_ns(process) == namespace and _stands_at_its_root(process):
            _witnesses[namespace] = process
            return process
    with os.scandir("/proc") as entries:
        pids = sorted((int(entry.name) for entry in entries if entry.name.isdigit()), reverse=True)
    for pid in pids[:MAX_PROCESSES]:
        process = f"/proc/{pid}"
        if _mount_ns(process) == namespace and _stands_at_its_root(process):
            _witnesses[namespace] = process
            return process
    _forlorn[namespace] = True
    return None


def _stands_at_its_root(process: str) -> bool:
    """It is not chrooted: its root directory is where a mount begins, and has no other path."""
    try:
        if os.readlink(f"{process}/root") != "/":
            return False
    except OSError:
        return False
    table = own_mounts() if process == "/proc/self" else mounts_of(process, trusted=False)
    return table.has_root


tables: Final = Tables()
os.register_at_fork(after_in_child=tables.begin_anew)
os.register_at_fork(after_in_child=own_mounts.cache_clear)
