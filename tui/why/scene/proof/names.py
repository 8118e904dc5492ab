"""Whether the names on a way led to the same inodes at the exec, or were missing then."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator
from typing import Final

from execwhy.bpf.caller.resolution import End, Resolution, Step
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.moment import SLOW_SECONDS, Moment

_KEEPING: Final = frozenset(
    {
        "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "jfs", "nilfs2", "ubifs", "tmpfs",
        "devtmpfs", "ramfs", "rootfs", "overlay", "squashfs", "erofs", "iso9660", "cramfs", "romfs",
    }
)  # fmt: skip
"""File systems on which every change sets the inode's ctime, or which are read-only."""

_OF_KERNEL: Final = frozenset({"proc", "sysfs", "cgroup", "cgroup2"})
"""File systems whose files belong to the kernel: nobody can replace them."""

_FIXED_LINKS: Final = frozenset({"self", "thread-self", "mounts", "net"})
"""Links of /proc whose target is a name that stays the same as long as the process lives."""

_SUBVOLUME: Final = 256
"""The inode number of every btrfs subvolume's root (BTRFS_FIRST_FREE_OBJECTID)."""

NOT_SEEN: Final = frozenset({End.MAY_BLOCK, End.UNREADABLE, End.OUT_OF_TIME})
"""Ends of a walk that do not show what is there; ``doubts`` has a sentence about them."""


def doubts(resolution: Resolution, moment: Moment, later: str) -> Iterator[str]:
    """Yield what is not proven of a walk, a sentence each.

    Args:
        resolution: The walk.
        moment: When the exec began and failed.
        later: How long after the exec the look is.
    """
    steps = resolution.steps
    for former, step in itertools.pairwise(steps):
        if former.target is not None:
            # After a link the walk continues at the root or in the link's directory: no name leads there.
            if kind_of(former) == "proc" and _leads_by_itself(former.path):
                yield f"What {words.quoted_briefly(former.path)} leads to was looked at {later}."
            continue
        if _is_above(step, former):
            step, former = former, step
        elif not former.is_directory:
            continue
        yield from _of_entry(former, step, moment, later)
    if resolution.end in NOT_SEEN:
        yield f"{words.quoted_briefly(resolution.path)} could not be looked at."
    elif resolution.end is End.MISSING and steps:
        yield from _of_absence(steps[-1], moment, later)


def _of_entry(directory: Step, step: Step, moment: Moment, later: str) -> Iterator[str]:
    """Yield why a name may not have led from a directory to this inode at the exec."""
    kind = kind_of(step)
    if kind in _OF_KERNEL:
        return
    if kind is not None and kind not in _KEEPING:
        yield _not_kept(step.path, kind)
        return
    if directory.encrypted:
        yield _needs_a_key(directory.path)
        return
    holder, own = directory.stat, step.stat
    is_old = moment.is_long_unchanged if _may_rename(holder, own) else moment.is_unchanged
    if is_old(holder.st_ctime_ns) and kind_of(directory) not in _OF_KERNEL:
        return
    if step.mount_id != directory.mount_id:
        # The root of a mount: nobody can rename the directory under it as long as it is mounted.
        if not _may_write(holder):
            return
    elif own.st_ino != _SUBVOLUME:
        if not is_old(own.st_ctime_ns):
            yield _has_changed(moment, step.path, own.st_ctime_ns, later)
        return
    yield _has_changed(moment, directory.path, holder.st_ctime_ns, later)


def _of_absence(directory: Step, moment: Moment, later: str) -> Iterator[str]:
    """Yield why the name may not have been missing from a directory at the exec."""
    kind = kind_of(directory)
    if kind is not None and kind not in _KEEPING:
        yield _not_kept(directory.path, kind)
        return
    if directory.encrypted:
        yield _needs_a_key(directory.path)
        return
    status = directory.stat
    is_old = moment.is_long_unchanged if _may_write(status) else moment.is_unchanged
    if not is_old(status.st_ctime_ns):
        yield _has_changed(moment, directory.path, status.st_ctime_ns, later)


def kind_of(step: Step) -> str | None:
    """Return the type of the file system that a step is on; None if it is not known."""
    return None if step.mount is None else step.mount.file_system


def _may_write(directory: os.stat_result) -> bool:
    """Return whether others than root may add and remove names. An ACL shows in the group's bits."""
    return directory.st_uid != 0 or bool(directory.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _may_rename(directory: os.stat_result, entry: os.stat_result) -> bool:
    """Return whether others than root may have put an entry there, or removed the one before it.

    In a sticky directory nobody else removes what is root's. But a user can move a file of root's there from
    a directory of their own; only a directory of root's cannot be moved, because that writes its ".."
    (vfs_rename).
    """
    if directory.st_uid == 0 and directory.st_mode & stat.S_ISVTX and stat.S_ISDIR(entry.st_mode):
        return _may_write(directory) and _may_write(entry)
    return _may_write(directory)


def _is_above(step: Step, former: Step) -> bool:
    """Return whether the walk went from a directory to the one above it."""
    return former.is_directory and step.is_directory and len(step.path) < len(former.path)


def _leads_by_itself(path: str) -> bool:
    """Return whether a link of /proc leads to something that its process can exchange."""
    return os.path.basename(path) not in _FIXED_LINKS


def _has_changed(moment: Moment, path: str, ctime: int, later: str) -> str:
    if moment.is_changed(ctime):
        return f"{words.quoted_briefly(path)} has changed since the exec, when looked at {later}."
    if not moment.is_unchanged(ctime):
        return f"{words.quoted_briefly(path)} changed at about the time of the exec."
    return changed_shortly_before(path)


def changed_shortly_before(path: str) -> str:
    """Return that a change by others than root may not have been in effect yet, despite its ctime."""
    return (
        f"{words.quoted_briefly(path)} changed less than {SLOW_SECONDS} seconds before the exec, and others"
        " than root can make a change take effect that much later than its ctime."
    )


def _needs_a_key(path: str) -> str:
    shown = words.quoted_briefly(path)
    return f"{shown} is encrypted: which names it has depends on its key, which leaves no trace when it goes."


def _not_kept(path: str, kind: str) -> str:
    shown = words.quoted_briefly(path)
    return f"{shown} lies on a file system of type {kind}, which does not show what has changed."
