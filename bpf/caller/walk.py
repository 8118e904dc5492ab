"""A walk along a path, component by component, as the kernel goes (path_resolution(7)).

Nothing is opened but O_PATH descriptors, so that no FIFO, device or lease is touched, and every
component that was passed is kept: that is what names the first one that is missing.

A step never crosses onto another mount by itself (RESOLVE_NO_XDEV). Where a mount begins, the mount is
looked up first, and the step made only onto one that may be looked into; then the mount of the new
descriptor is what counts, before anything is asked of its file system. An O_PATH descriptor of a mount's
root directory costs no request to a FUSE server; an fstat of it, or a step below it, would. How a step
keeps from waiting for the lock of a directory is in ``bpf.caller.cached_lookup``.
"""

from __future__ import annotations

import enum
import errno
import functools
import os
import stat
import sys
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.caller.cached_lookup import COMPONENT, NotCachedError, can_stay_on_mount, open_name
from execwhy.bpf.caller.mounts import UNKNOWN, Mount, MountTable, Place, is_encrypted
from execwhy.bpf.caller.own_time import own_time
from execwhy.bpf.caller.safety import Access
from execwhy.bpf.events.users import user_of

MAX_LINKS: Final = 40
"""MAXSYMLINKS of include/linux/namei.h."""

MAX_STEPS: Final = 1000
"""Components, of the path and of its links, 10 us each. Forty links of 4,000 bytes have 80,000."""

MAX_PATH_BYTES: Final = 2 << 20
"""Memory for the paths of all components that one walk passes: each has the whole path to it, and links can
lead far deeper than PATH_MAX."""

SECONDS: Final = 0.25
"""How long one walk may take, between two steps."""

NAME_MAX: Final = 255
"""Longest component in bytes, on nearly every file system (limits.h)."""

_ACL: Final = "system.posix_acl_access"

_TO_OTHERS: Final = frozenset({"exe", "cwd", "root"})
_DIRECTORIES_TO_OTHERS: Final = ("/fd", "/ns")
"""Links of /proc/PID that lead to the file itself; their text may be "pipe:[1]" or a deleted path."""

_LISTED_BY_MEMORY: Final = "/map_files"
"""A lookup there waits for the mmap_lock of the process, which its owner can keep held."""

_HELD_UP: Final = "lies in a directory where another user can hold up lookups"


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


_NO_STAT: Final = os.stat_result(range(10))
_NOWHERE: Final = Place(UNKNOWN, None, Access.NONE)


@dataclass(frozen=True, slots=True)
class Step:
    """A component that exists.

    Attributes:
        path: Its path below the root of the walk, every link before it followed.
        stat: What it is (of a link: the link itself).
        target: What a link names, else None.
        acl: The raw POSIX ACL of a directory, where there is one and it was asked for.
        place: The mount that it was reached through: its id then, and what the caller's namespace said
            of it. Another mount may have the id once this one is gone.
        encrypted: It is a directory whose names need a key (fscrypt); asked for with the ACL.
    """

    path: str
    stat: os.stat_result
    target: str | None = None
    acl: bytes | None = None
    place: Place = _NOWHERE
    encrypted: bool = False

    @property
    def mount(self) -> Mount | None:
        """The mount that it was reached through; None where the caller's namespace does not list it."""
        return self.place.mount

    @property
    def mount_id(self) -> int:
        """The id of that mount; -1 where it is not known."""
        return self.place.mount_id

    @property
    def device_id(self) -> int:
        """The kernel's s_dev, which differs from st_dev on btrfs and overlay."""
        if self.place.mount is not None:
            return self.place.mount.device_id
        return os.major(self.stat.st_dev) << 20 | os.minor(self.stat.st_dev)

    @property
    def may_read(self) -> bool:
        """Content may be read there: it lies on a file system of a disk or of memory."""
        return self.place.access is Access.READ

    @property
    def is_directory(self) -> bool:
        """It is a directory."""
        return stat.S_ISDIR(self.stat.st_mode)


@dataclass(frozen=True, slots=True)
class Resolution:
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
        refused: Of a walk that ended with MAY_BLOCK: the mount that was not entered.
        refusal: Why it was not entered, where that is no mount: "lies on a mount that ...".
    """

    asked: str
    steps: tuple[Step, ...]
    end: End
    path: str
    left: int = 0
    via: Step | None = None
    personal: bool = False
    refused: Mount | None = None
    refusal: str = ""

    @property
    def may_read(self) -> bool:
        """What was found may be opened and read, as far as its file system goes."""
        return self.end is End.FOUND and self.steps[-1].may_read

    @property
    def links(self) -> tuple[Step, ...]:
        """The links that were followed, in order."""
        return tuple(step for step in self.steps if step.target is not None)


@dataclass(frozen=True, slots=True)
class WalkContext:
    """Where a walk takes place.

    Attributes:
        root: Descriptor of the root directory.
        mounts: The mounts there; some must not be entered.
        base: Path of that root in the terms of ``mounts``; "" for "/".
        pid: The process that /proc/self stands for.
        tid: The thread that /proc/thread-self stands for.
        deadline: On the clock of ``own_time``; no walk takes longer than ``SECONDS``.
        with_acls: Read the ACL of every directory, and whether it is encrypted.
        place: Where ``root`` is, if that is known.
        users: User ids of the caller, in whose directories a name may be looked up as in root's; see
            ``bpf.caller.cached_lookup``.
    """

    root: int
    mounts: MountTable
    base: str = ""
    pid: int = 0
    tid: int = 0
    deadline: float = float("inf")
    with_acls: bool = False
    place: Place | None = None
    users: tuple[int, ...] = ()


def walk(
    context: WalkContext,
    path: str,
    start: int | None = None,
    start_path: str = "/",
    *,
    follow_last: bool = True,
) -> tuple[Resolution, int]:
    """Walk along ``path`` and return what was passed, and an O_PATH descriptor of what was found.

    The descriptor is -1 unless the walk ended with FOUND; the caller closes it. A relative path begins
    at the descriptor ``start``, whose path is ``start_path``.
    """
    walker = _Walker(context)
    try:
        end = walker.go(path, start, start_path, follow_last)
    except _NotEnteredError as refusal:
        end = End.MAY_BLOCK
        walker.refused, walker.refusal = refusal.mount, refusal.why
    except OSError:
        end = End.UNREADABLE
    resolution = Resolution(
        path,
        tuple(walker.steps),
        end,
        walker.at,
        len(walker.pending),
        walker.via,
        walker.personal,
        walker.refused,
        walker.refusal,
    )
    if end is End.FOUND:
        return resolution, walker.taken_over()
    walker.leave()
    return resolution, -1


class _NotEnteredError(Exception):
    """What lies there is not looked into."""

    def __init__(self, mount: Mount | None, why: str = "") -> None:
        super().__init__(why)
        self.mount = mount
        self.why = why


class _Walker:
    """The state of one walk: the descriptor of the directory it stands in, and what it passed."""

    def __init__(self, context: WalkContext) -> None:
        self.context = context
        self.mounts = context.mounts
        self.root = context.mounts.place(context.root) if context.place is None else context.place
        self.place = self.root
        self.deadline = min(context.deadline, own_time() + SECONDS)
        self.automounts = context.mounts.automounts
        self.steps: list[Step] = []
        self.standing = self.root_step = Step("/", _NO_STAT)
        self.descriptor = -1
        self.here = "/"
        self.at = "/"
        self.taken = 0
        self.path_bytes = 0
        self.links = 0
        self.personal = False
        self.refused: Mount | None = None
        self.refusal = ""
        self.pending: list[tuple[str, Step | None]] = []
        self.via: Step | None = None

    def taken_over(self) -> int:
        """The descriptor of what was found, for the caller to close."""
        return os.dup(self.descriptor) if self.descriptor == self.context.root else self.descriptor

    def leave(self) -> None:
        if self.descriptor >= 0 and self.descriptor != self.context.root:
            os.close(self.descriptor)
        self.descriptor = -1

    def go(self, path: str, start: int | None, start_path: str, follow_last: bool) -> End:
        if "\0" in path:
            return End.UNREADABLE
        if path.startswith("/") or start is None:
            self._stand_at_root()
        else:
            self.at = start_path
            self._check(place := self.mounts.place(start))
            self._stand_at(os.dup(start), start_path, place)
        self.pending = _components(path, None)
        while self.pending:
            self.taken += 1
            if own_time() > self.deadline or self.taken > MAX_STEPS or self.path_bytes > MAX_PATH_BYTES:
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
        self.at = f"/{name}" if self.here == "/" else f"{self.here}/{name}"
        self.path_bytes += sys.getsizeof(self.at)
        full = self.context.base + self.at
        if full in self.automounts:
            self._check_mount(self.mounts.at(full))
        if self.here.endswith(_LISTED_BY_MEMORY) and self._is_proc(self.place):
            raise _NotEnteredError(None, "lies in /proc/PID/map_files, where a lookup waits for the process")
        place = self.place
        try:
            descriptor = -1 if self.mounts.seen_at(full) else self._open(name)
            if descriptor < 0:
                descriptor, place = self._cross(name, self.mounts.at(full))
        except OSError as error:
            return _ENDS.get(error.errno or 0, End.UNREADABLE)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISLNK(status.st_mode):
                self._stand_at(descriptor, self.at, place, status)
                descriptor = -1
                return None
            if not self.pending and not follow_last:
                target = os.readlink("", dir_fd=descriptor)
                self.steps.append(Step(self.at, status, target, None, place))
                return End.NOT_FOLLOWED
            return self._follow(name, descriptor, status, place)
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _cross(self, name: str, expected: Mount | None) -> tuple[int, Place]:
        """Step onto another mount, unless it is known to be one, or turns out to be one, not to enter."""
        self._check_mount(expected)
        descriptor = self._open(name, crossing=True)
        return descriptor, self._checked(descriptor)

    def _open(self, name: str, *, crossing: bool = False) -> int:
        """Open a component; -1 where a mount begins that is not to be crossed onto."""
        file_system = "" if self.place.mount is None else self.place.mount.file_system
        owner = self.standing.stat.st_uid
        trusted = owner == 0 or user_of(owner) in map(user_of, self.context.users)
        try:
            return open_name(name, self.descriptor, file_system, crossing=crossing, trusted=trusted)
        except NotCachedError as error:
            raise _NotEnteredError(None, _HELD_UP) from error

    def _checked(self, descriptor: int) -> Place:
        """Return where a descriptor is, if that may be looked into; else close it."""
        try:
            place = self.mounts.place(descriptor)
            self._check(place)
        except BaseException:
            os.close(descriptor)
            raise
        return place

    def _check(self, place: Place) -> None:
        self._check_mount(place.mount)
        if place.access is Access.NONE:
            raise _NotEnteredError(
                None, self.mounts.refused or "lies on a mount that its mount namespace does not list"
            )

    def _check_mount(self, mount: Mount | None) -> None:
        if mount is not None and mount.may_block:
            raise _NotEnteredError(mount)

    def _follow(self, name: str, link: int, status: os.stat_result, place: Place) -> End | None:
        self.links += 1
        target = os.readlink("", dir_fd=link)
        if self._is_proc(place):
            self.personal = True
            pid = self.context.pid
            of_caller = {"self": f"{pid}", "thread-self": f"{pid}/task/{self.context.tid}"}
            if name in of_caller:
                target = of_caller[name]
                if status.st_dev != _proc_device():
                    # Of a container, which counts its processes otherwise. This is the same process.
                    self.steps.append(Step(self.at, status, target, None, place))
                    reached = os.open(f"/proc/{target}", COMPONENT)
                    self._stand_at(reached, f"{self.here.rstrip('/')}/{target}", place)
                    return None
            elif name in _TO_OTHERS or self.here.endswith(_DIRECTORIES_TO_OTHERS):
                self._jump(name, Step(self.at, status, target, None, place), target)
                return None
        step = Step(self.at, status, target, None, place)
        self.steps.append(step)
        if self.links > MAX_LINKS:
            return End.TOO_MANY_LINKS
        self.pending.extend(_components(target, step))
        if target.startswith("/"):
            self._stand_at_root()
        else:
            # The link is passed: what follows is looked up in its directory again.
            self.steps.append(self.standing)
            self.at = self.here
        return None

    def _jump(self, name: str, step: Step, target: str) -> None:
        """Go to the file itself that a link of /proc/PID leads to."""
        self.steps.append(step)
        reached = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=self.descriptor)
        self._stand_at(reached, target, self._checked(reached))

    def _up(self) -> None:
        if self.root_step.stat is _NO_STAT:
            self._look_at_root()
        here, root = self.standing.stat, self.root_step.stat
        same_mount = self.place.mount_id == self.root.mount_id
        if same_mount and (here.st_dev, here.st_ino) == (root.st_dev, root.st_ino):
            return
        place = self.place
        above = self.here.rpartition("/")[0] or "/"
        self.path_bytes += sys.getsizeof(above)
        parent = self._open("..")
        if parent < 0:
            crosses = can_stay_on_mount() and place.mount is not None
            below = self.mounts.get(place.mount.parent) if crosses and place.mount else None
            parent, place = self._cross("..", below)
        self._stand_at(parent, above, place)

    def _stand_at_root(self) -> None:
        self.at = "/"
        if self.root_step.stat is _NO_STAT:
            self._look_at_root()
        self._stand_at(self.context.root, "/", self.root, step=self.root_step)

    def _look_at_root(self) -> None:
        self._check(self.root)
        self.root_step = self._step(self.context.root, "/", self.root)

    def _step(self, descriptor: int, path: str, place: Place, status: os.stat_result | None = None) -> Step:
        status = status or os.fstat(descriptor)
        acl, encrypted = None, False
        if self.context.with_acls and place.access is Access.READ and stat.S_ISDIR(status.st_mode):
            acl = extended_attribute(descriptor, _ACL)
            encrypted = is_encrypted(descriptor)
        return Step(path, status, None, acl, place, encrypted)

    def _stand_at(
        self,
        descriptor: int,
        path: str,
        place: Place,
        status: os.stat_result | None = None,
        step: Step | None = None,
    ) -> None:
        self.leave()
        self.descriptor = descriptor
        self.here = self.at = path
        self.place = place
        self.standing = step or self._step(descriptor, path, place, status)
        self.steps.append(self.standing)

    @staticmethod
    def _is_proc(place: Place) -> bool:
        return place.mount is not None and place.mount.file_system == "proc"


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
