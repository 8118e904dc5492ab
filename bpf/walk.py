"""A walk along a path, component by component, as the kernel goes (path_resolution(7)).

Nothing is opened but O_PATH descriptors, so that no FIFO, device or lease is touched, and every
component that was passed is kept: that is what names the first one that is missing.
"""

from __future__ import annotations

import enum
import errno
import functools
import os
import stat
import time
from dataclasses import dataclass
from typing import Final

from bpf.mounts import MountTable

MAX_LINKS: Final = 40
"""MAXSYMLINKS of include/linux/namei.h."""

MAX_STEPS: Final = 4096
"""More components than PATH_MAX can hold, so only chains of links with long targets reach it."""

NAME_MAX: Final = 255
"""Longest component in bytes, on nearly every file system (limits.h)."""

_O_COMPONENT: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_ACL: Final = "system.posix_acl_access"


class End(enum.Enum):
    """How a walk ended."""

    FOUND = "found"
    MISSING = "missing"
    NOT_A_DIRECTORY = "not a directory"
    TOO_MANY_LINKS = "too many links"
    NAME_TOO_LONG = "name too long"
    NOT_FOLLOWED = "a link that was not to be followed"
    MAY_BLOCK = "on a file system that is not looked into"
    UNREADABLE = "not readable"
    OUT_OF_TIME = "out of time"


@dataclass(frozen=True, slots=True)
class Step:
    """A component that exists.

    Attributes:
        path: Its path below the root of the walk, every link before it followed.
        stat: What it is (of a link: the link itself).
        target: What a link names, else None.
        acl: The raw POSIX ACL of a directory, where there is one and it was asked for.
    """

    path: str
    stat: os.stat_result
    target: str | None = None
    acl: bytes | None = None

    @property
    def is_directory(self) -> bool:
        """It is a directory."""
        return stat.S_ISDIR(self.stat.st_mode)


@dataclass(frozen=True, slots=True)
class Trail:
    """What a walk passed.

    Attributes:
        asked: The path that was asked for.
        steps: The directory where the walk began, then every component that exists, in order.
        end: How it ended.
        path: The file that was found, or the component at which the walk ended, every link before
            it followed.
        left: How many components lay beyond that one.
        via: The link whose target has that component; None where the path itself has it.
        personal: It went through /proc/PID, so it is true of one process only.
    """

    asked: str
    steps: tuple[Step, ...]
    end: End
    path: str
    left: int = 0
    via: Step | None = None
    personal: bool = False

    @property
    def links(self) -> tuple[Step, ...]:
        """The links that were followed, in order."""
        return tuple(step for step in self.steps if step.target is not None)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a walk takes place.

    Attributes:
        root: Descriptor of the root directory.
        mounts: The mounts there; some must not be entered.
        base: Path of that root in the terms of ``mounts``; "" for "/".
        pid: The process that /proc/self stands for.
        tid: The thread that /proc/thread-self stands for.
        deadline: On the clock of time.monotonic().
        with_acls: Read the ACL of every directory.
    """

    root: int
    mounts: MountTable
    base: str = ""
    pid: int = 0
    tid: int = 0
    deadline: float = float("inf")
    with_acls: bool = False


def walk(
    ground: Ground, path: str, start: int | None = None, start_path: str = "/", *, follow_last: bool = True
) -> tuple[Trail, int]:
    """Walk along ``path`` and return what was passed, and an O_PATH descriptor of what was found.

    The descriptor is -1 unless the walk ended with FOUND; the caller closes it. A relative path begins
    at the descriptor ``start``, whose path is ``start_path``.
    """
    walker = _Walker(ground)
    try:
        end = walker.go(path, start, start_path, follow_last)
    except OSError:
        end = End.UNREADABLE
    trail = Trail(path, tuple(walker.steps), end, walker.at, len(walker.pending), walker.via, walker.personal)
    if end is End.FOUND:
        return trail, walker.descriptor
    walker.leave()
    return trail, -1


class _Walker:
    """The state of one walk: the descriptor of the directory it stands in, and what it passed."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.steps: list[Step] = []
        self.descriptor = -1
        self.here = "/"
        self.at = "/"
        self.links = 0
        self.personal = False
        self.pending: list[tuple[str, Step | None]] = []
        self.via: Step | None = None

    def leave(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def go(self, path: str, start: int | None, start_path: str, follow_last: bool) -> End:
        if path.startswith("/") or start is None:
            self._stand_at(os.dup(self.ground.root), "/")
        else:
            self._stand_at(os.dup(start), start_path)
        self.pending = _components(path, None)
        while self.pending:
            if time.monotonic() > self.ground.deadline or len(self.steps) > MAX_STEPS:
                return End.OUT_OF_TIME
            name, self.via = self.pending.pop()
            if not self.steps[-1].is_directory:
                return End.NOT_A_DIRECTORY
            if name == ".":
                continue
            if name == "..":
                self._up()
                continue
            end = self._enter(name, follow_last)
            if end is not None:
                return end
        return End.FOUND

    def _enter(self, name: str, follow_last: bool) -> End | None:
        """Take one component; a link puts its target's components before the pending ones."""
        ground = self.ground
        self.at = f"/{name}" if self.here == "/" else f"{self.here}/{name}"
        blocking = ground.mounts.blocking
        if blocking and ground.base + self.at in blocking:
            return End.MAY_BLOCK
        try:
            descriptor = os.open(name, _O_COMPONENT, dir_fd=self.descriptor)
        except OSError as error:
            return _ENDS.get(error.errno or 0, End.UNREADABLE)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISLNK(status.st_mode):
                self._stand_at(descriptor, self.at, status)
                descriptor = -1
                return None
            if not self.pending and not follow_last:
                self.steps.append(Step(self.at, status, os.readlink("", dir_fd=descriptor)))
                return End.NOT_FOLLOWED
            return self._follow(name, descriptor, status)
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _follow(self, name: str, link: int, status: os.stat_result) -> End | None:
        self.links += 1
        target = os.readlink("", dir_fd=link)
        if status.st_dev == _proc_device():
            self.personal = True
            if name == "self":
                target = str(self.ground.pid)
            elif name == "thread-self":
                target = f"{self.ground.pid}/task/{self.ground.tid}"
            elif name in ("exe", "cwd", "root") or self.here.endswith(("/fd", "/map_files")):
                # Such a link leads to the file itself; its text may be "pipe:[1]" or a deleted path.
                self.steps.append(Step(self.at, status, target))
                reached = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=self.descriptor)
                if not self.ground.mounts.may_enter(reached, target, self.ground.root):
                    os.close(reached)
                    return End.MAY_BLOCK
                self._stand_at(reached, target)
                return None
        step = Step(self.at, status, target)
        self.steps.append(step)
        if self.links > MAX_LINKS:
            return End.TOO_MANY_LINKS
        self.pending.extend(_components(target, step))
        directory = self.descriptor
        if target.startswith("/"):
            self._stand_at(os.dup(self.ground.root), "/")
        else:
            # The link is passed: what follows is looked up in its directory again.
            self._stand_at(os.dup(directory), self.here)
        return None

    def _up(self) -> None:
        here, root = self.steps[-1].stat, os.fstat(self.ground.root)
        if (here.st_dev, here.st_ino) == (root.st_dev, root.st_ino):
            return
        parent = os.open("..", _O_COMPONENT, dir_fd=self.descriptor)
        self._stand_at(parent, self.here.rpartition("/")[0] or "/")

    def _stand_at(self, descriptor: int, path: str, status: os.stat_result | None = None) -> None:
        self.leave()
        self.descriptor = descriptor
        self.here = self.at = path
        status = status or os.fstat(descriptor)
        acl = None
        if self.ground.with_acls and stat.S_ISDIR(status.st_mode):
            acl = extended_attribute(descriptor, _ACL)
        self.steps.append(Step(path, status, None, acl))


_ENDS: Final = {
    errno.ENOENT: End.MISSING,
    errno.ENOTDIR: End.NOT_A_DIRECTORY,
    errno.ENAMETOOLONG: End.NAME_TOO_LONG,
}


def extended_attribute(descriptor: int, name: str) -> bytes | None:
    """An extended attribute of the file behind an O_PATH descriptor; None where it has none."""
    try:
        return os.getxattr(f"/proc/self/fd/{descriptor}", name)
    except OSError:
        return None


def _components(path: str, link: Step | None) -> list[tuple[str, Step | None]]:
    """The components, last first, each with the link that has it in its target.

    A slash at the end asks for a directory, as "/." does.
    """
    names = [name for name in path.split("/") if name]
    if path.endswith("/") and names:
        names.append(".")
    return [(name, link) for name in reversed(names)]


@functools.cache
def _proc_device() -> int:
    try:
        return os.stat("/proc/sys").st_dev
    except OSError:
        return -1
