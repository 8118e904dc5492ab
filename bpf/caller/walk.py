"""Walk along a path, component by component, as the kernel does (path_resolution(7)).

Only O_PATH descriptors are opened, so no FIFO, device or lease is touched. Every component on the way is
kept, so the first missing one is known.

A step never crosses onto another mount by accident (RESOLVE_NO_XDEV). Where a mount begins, the mount is
looked up first, and the step is made only if it may be looked into. Then the mount of the new descriptor is
checked, before any request to its file system. Opening a mount's root with O_PATH sends no request to a FUSE
server; an fstat of it, or a step below it, would. ``cached_lookup`` is about waiting for a directory's lock.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import Final

from execwhy.bpf.caller.cached_lookup import COMPONENT, NotCachedError, can_stay_on_mount, open_name
from execwhy.bpf.caller.descriptors import extended_attribute, is_encrypted
from execwhy.bpf.caller.mountinfo import Mount, Place
from execwhy.bpf.caller.mounts import NotEnteredError, check_mount
from execwhy.bpf.caller.own_time import own_time
from execwhy.bpf.caller.processes import is_direct_link, lookups_wait, proc_device
from execwhy.bpf.caller.resolution import END_OF_ERRNO, NO_STAT, End, Resolution, Step, WalkContext
from execwhy.bpf.caller.safety import Access
from execwhy.bpf.events.users import user_of

MAX_LINKS: Final = 40
"""MAXSYMLINKS of include/linux/namei.h."""

MAX_STEPS: Final = 1000
"""Most components of the path and its links, at 10 us each. Forty links of 4,000 bytes have 80,000."""

MAX_PATH_BYTES: Final = 2 << 20
"""Most memory for the paths of one walk: each component has its whole path, and links can exceed PATH_MAX."""

SECONDS: Final = 0.25
"""How long one walk may take; checked between two steps."""

NAME_MAX: Final = 255
"""Longest component in bytes, on nearly every file system (limits.h)."""

_ACL: Final = "system.posix_acl_access"

_HELD_UP: Final = "lies in a directory where another user can hold up lookups"


def walk(
    context: WalkContext,
    path: str,
    start: int | None = None,
    start_path: str = "/",
    *,
    follow_last: bool = True,
) -> tuple[Resolution, int]:
    """Walk along ``path``; return its resolution, and an O_PATH descriptor of the file that was found.

    The descriptor is -1 unless the walk ended with FOUND; the caller closes it. A relative path begins
    at the descriptor ``start``, whose path is ``start_path``.
    """
    walker = _Walker(context)
    try:
        end = walker.go(path, start, start_path, follow_last)
    except NotEnteredError as refusal:
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


class _Walker:
    """The state of one walk: the descriptor of the current directory, and the steps so far."""

    def __init__(self, context: WalkContext) -> None:
        self.context = context
        self.mounts = context.mounts
        self.root = context.mounts.place(context.root) if context.place is None else context.place
        self.place = self.root
        self.deadline = min(context.deadline, own_time() + SECONDS)
        self.automounts = context.mounts.automounts
        self.steps: list[Step] = []
        self.standing = self.root_step = Step("/", NO_STAT)
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
        """Return the descriptor of the file that was found, for the caller to close."""
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
            self.mounts.check(place := self.mounts.place(start))
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
        """Take one component. A link puts its target's components before the pending ones."""
        self.at = f"/{name}" if self.here == "/" else f"{self.here}/{name}"
        self.path_bytes += sys.getsizeof(self.at)
        full = self.context.base + self.at
        if full in self.automounts:
            check_mount(self.mounts.at(full))
        if self.place.is_proc and lookups_wait(self.here):
            raise NotEnteredError(None, "lies in /proc/PID/map_files, where a lookup waits for the process")
        place = self.place
        try:
            descriptor = -1 if self.mounts.seen_at(full) else self._open(name)
            if descriptor < 0:
                descriptor, place = self._cross(name, self.mounts.at(full))
        except OSError as error:
            return END_OF_ERRNO.get(error.errno or 0, End.UNREADABLE)
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
        """Step onto another mount, unless it must not be entered; this is checked before and afterwards."""
        check_mount(expected)
        descriptor = self._open(name, crossing=True)
        return descriptor, self._checked(descriptor)

    def _open(self, name: str, *, crossing: bool = False) -> int:
        """Open a component; return -1 if a mount begins there and ``crossing`` is False."""
        file_system = "" if self.place.mount is None else self.place.mount.file_system
        owner = self.standing.stat.st_uid
        trusted = owner == 0 or user_of(owner) in map(user_of, self.context.users)
        try:
            return open_name(name, self.descriptor, file_system, crossing=crossing, trusted=trusted)
        except NotCachedError as error:
            raise NotEnteredError(None, _HELD_UP) from error

    def _checked(self, descriptor: int) -> Place:
        """Return the place of a descriptor; if it must not be looked into, close the descriptor and raise."""
        try:
            place = self.mounts.place(descriptor)
            self.mounts.check(place)
        except BaseException:
            os.close(descriptor)
            raise
        return place

    def _follow(self, name: str, link: int, status: os.stat_result, place: Place) -> End | None:
        self.links += 1
        target = os.readlink("", dir_fd=link)
        if place.is_proc:
            self.personal = True
            pid = self.context.pid
            targets = {"self": f"{pid}", "thread-self": f"{pid}/task/{self.context.tid}"}
            if name in targets:
                target = targets[name]
                if status.st_dev != proc_device():
                    # A container's /proc has other numbers for its processes. This is the same process.
                    self.steps.append(Step(self.at, status, target, None, place))
                    reached = os.open(f"/proc/{target}", COMPONENT)
                    self._stand_at(reached, f"{self.here.rstrip('/')}/{target}", place)
                    return None
            elif is_direct_link(self.here, name):
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
            # The next component is looked up in the directory of the link.
            self.steps.append(self.standing)
            self.at = self.here
        return None

    def _jump(self, name: str, step: Step, target: str) -> None:
        """Go directly to the file that a link in /proc/PID leads to."""
        self.steps.append(step)
        reached = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=self.descriptor)
        self._stand_at(reached, target, self._checked(reached))

    def _up(self) -> None:
        if self.root_step.stat is NO_STAT:
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
        if self.root_step.stat is NO_STAT:
            self._look_at_root()
        self._stand_at(self.context.root, "/", self.root, step=self.root_step)

    def _look_at_root(self) -> None:
        self.mounts.check(self.root)
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


def _components(path: str, link: Step | None) -> list[tuple[str, Step | None]]:
    """Return the components, last first, each with the link whose target has it.

    A slash at the end requires a directory, as "/." does.
    """
    names = [name for name in path.split("/") if name]
    if path.endswith("/") and names:
        names.append(".")
    return [(name, link) for name in reversed(names)]
