"""The caller's root directory and mount namespace, from which its files are seen while they exist.

The caller of a failed exec is often gone by the time it is looked at. Its mount namespace may live on
in another process, and mostly it is our own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final

from execwhy.bpf.caller.descriptors import own_root
from execwhy.bpf.caller.mountinfo import UNKNOWN, Place
from execwhy.bpf.caller.mounts import MountTable, own_mounts
from execwhy.bpf.caller.namespaces import (
    is_chrooted,
    is_our_root,
    mount_ns_of,
    neighbour_of,
    own_mount_ns,
    tables,
)
from execwhy.bpf.caller.processes import caller_of
from execwhy.bpf.caller.resolution import End, WalkContext
from execwhy.bpf.caller.safety import Access
from execwhy.bpf.caller.walk import walk
from execwhy.bpf.events.record import ExecFailure

AT_FDCWD: Final = -100


@dataclass(frozen=True, slots=True)
class CallerRoot:
    """The caller's root directory; a context manager that closes its descriptor.

    Attributes:
        root: O_PATH descriptor of the caller's root directory.
        base: Path of that root as in ``mounts``; "" for "/".
        mounts: The mounts there.
        own: The caller's mount namespace is ours.
        assumed: The caller's mount namespace is not known; ours is used.
        place: The mount that ``root`` is on, if it is known.
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
        """Return the context of a walk for that caller."""
        users = (record.uid, record.fsuid)
        return WalkContext(
            self.root, self.mounts, self.base, record.pid, record.tid, deadline, with_acls, self.place, users
        )


def reach(record: ExecFailure) -> CallerRoot | None:
    """Return the caller's root directory; None if neither it nor its mount namespace can be reached."""
    caller = caller_of(record)
    if record.mount_ns is None or (record.mount_ns == own_mount_ns() and not is_chrooted()):
        caller_root = _below(_at_own_root(), record)
        if caller_root is None and caller is not None and is_our_root(f"{caller}/root"):
            # This program is in the same chroot. From inside, the chroot's path does not exist.
            return _below(_at_own_root(), replace(record, root=None))
        return caller_root
    if caller is not None and mount_ns_of(caller) == record.mount_ns:
        caller_root = _at_root_of(caller, record)
        if caller_root is not None:
            return _judged_from_outside(caller_root, caller, record)
    neighbour = neighbour_of(record)
    return None if neighbour is None else _below(_at_root_of(neighbour, record), record)


def _at_own_root() -> CallerRoot | None:
    """Return our own root directory."""
    try:
        root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    mounts = own_mounts()
    return CallerRoot(root, "", mounts, own=True, place=mounts.place_on(own_root(), root))


def _at_root_of(process: str, record: ExecFailure) -> CallerRoot | None:
    """Return the root directory of a process in the caller's mount namespace."""
    try:
        root = os.open(f"{process}/root", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    mounts = tables.of(process, record.mount_ns or 0, root)
    return CallerRoot(root, "", mounts, own=False, place=mounts.place(root))


def _judged_from_outside(caller_root: CallerRoot, caller: str, record: ExecFailure) -> CallerRoot:
    """Return a root directory as seen from outside, if it is that of a chroot.

    Inside a chroot, mountinfo lists neither the mount of the root directory nor those of an overlay's layers.
    """
    try:
        path = os.readlink(f"{caller}/root")
    except OSError:
        return caller_root
    if path == "/" or caller_root.mounts.refused or caller_root.place is None:
        return caller_root
    neighbour = neighbour_of(record)
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
    """Return the caller's root directory below that of its mount namespace.

    The descriptor of ``top`` is closed, or is the result's.
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
        # Nothing is looked at there, and each walk will say so.
        return replace(top, place=Place(UNKNOWN, resolution.refused, Access.NONE))
    os.close(top.root)
    if resolution.end is not End.FOUND:
        return None
    return replace(top, root=inner, base=base, place=resolution.steps[-1].place)


def start_of(record: ExecFailure, caller_root: CallerRoot) -> tuple[int, str] | None:
    """Return where a relative path of the caller begins: a descriptor to close, and its path.

    That is the file behind execveat's dirfd, which exists only as long as the caller, or the working
    directory.
    """
    if record.dirfd is not None and record.dirfd != AT_FDCWD:
        return _follow(record, caller_root, f"fd/{record.dirfd}")
    if record.cwd is None or record.cwd.endswith(" (deleted)") or not record.cwd.startswith("/"):
        # Deleted, unreachable, or too deep for a whole path: by now the path may name another directory.
        return _follow(record, caller_root, "cwd")
    resolution, descriptor = walk(caller_root.context(record), record.cwd)
    return None if descriptor < 0 else (descriptor, resolution.path)


def _follow(record: ExecFailure, caller_root: CallerRoot, name: str) -> tuple[int, str] | None:
    """Follow a link in the caller's /proc directory without opening its target for reading."""
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
