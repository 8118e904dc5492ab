"""What a cause rests on, and whether that is proven to be what the kernel met.

A cause is certain only if everything that it rests on was the same at the exec as at the look. What it
rests on is what was looked at to find it: ``Scene`` hands every walk along a path to ``Looks``, so that
nothing can be left out by whoever writes a cause. (What is looked at for an advice or as a mere remark goes
by ``Scene.aside``.) Each walk is a chain, of which each part is proven by itself:

The root directory
    is the caller's as the kernel program read it; where that is a path (chroot), the walk to it counts.

The working directory
    is a path that the kernel program read; the walk along it counts, and must end where the walk of the
    file began. What a descriptor of execveat led to is nowhere recorded, so it is doubtful.

A component
    was there at the exec, under that name, if one of two inodes has not changed since: the directory that
    holds it, whose ctime every entry that comes, goes or is renamed sets; or what the name leads to, for a
    rename or a link sets the ctime of the inode that it moves, on each of ``_KEEPING``. The second is what
    lets a cause below /tmp be certain while others write there. It says nothing of the root of a btrfs
    subvolume, of which a snapshot has the old ctime, nor of the root of a mount. The target of a link cannot
    change at all.

A name that is missing
    was missing at the exec if the directory has not changed since.

    Neither is proven of a directory that is encrypted (fscrypt): with the key its names go and come back.

A file's permissions, ACL, capabilities and owner
    were the same if its ctime is older: chmod, chown and setxattr each set it.

    The kernel sets the ctime before the change takes effect, and who makes the change can draw that out.
    What others than root may change of these (names, permissions) must therefore be older by some seconds
    (``SLOW_SECONDS``), unless it is what the kernel program read. Content needs no such margin: as long as a
    write or truncation lasts, the kernel executes the file not (ETXTBSY), or refuses the write.

A file's content
    was the same if its ctime is older and nobody had it mapped for writing: a page that is dirty already is
    written through a shared mapping without a new ctime. That nobody but root may write it is taken for a
    proof that nobody had. Else the kernel must have opened it for the exec, which it refuses while it is open
    for writing, as what is mapped so is (deny_write_access, ETXTBSY; not in Linux 6.11 and 6.12.0 to 6.12.1);
    a mapping that is made later sets the ctime when it makes a page dirty. After EACCES and EPERM this is
    proven only of the inode that the kernel program read, since Landlock and fanotify refuse right before
    (file_open), without a trace; with any other error the kernel had opened it. On a tmpfs a mapping that is
    made later sets no ctime at a write, if it was read through before; nor need it be set on XFS and F2FS,
    where an owner can move blocks between two files. There only what is root's alone is proven. On ext4 a
    move leaves a block of zeros behind, so that what was read must show that it is none; see ``content``.
    After an EACCES content counts only of a file that names an interpreter which was looked at.

    That a guard which leaves no trace may have refused first takes nothing from permissions, mount options
    and a file's type: each suffices by itself, and the kernel asks them first (may_open, then file_open).

Whether a capability overrides permissions
    depends on the user namespace in which the caller was, which the kernel program read. If that is the first
    one, it does. Of any other one only the ids that it has at the look are known, and where these count a
    cause is not certain: a caller goes into another one below it as it likes.

A directory's permissions
    count only for an EACCES: with any other error the kernel went through. A directory of root's in which
    the last change was one of entries (ctime and mtime are one) is taken as unchanged, as /tmp would never be
    otherwise; see ``Looks.may_be_closed``. This goes for those that let the caller in and for the one that
    refuses it.

Mounts
    hide what lies below, and leave no trace when they go. Our own mount namespace is watched, and that of
    process 1 (``MountWatch``). Of another one nothing is known from before, unless something failed there
    right before (``MountTable.unchanged_since``). Where an unprivileged user has made it, anything may have
    been mounted there at the exec. Else only who has CAP_SYS_ADMIN mounts there: a cause is not certain where
    the caller has it and is still there, it or its parent, to use it; nor where a directory or file on the
    way is one that others than root may write, for there a set-user-ID helper (fusermount) mounts for any
    user, in this namespace or in one that it has mounts from. Such helpers ask for that right to write, and
    in a sticky directory for its ownership; what /etc/fstab lets users mount elsewhere is not thought of. The
    mounts of a container are taken to be its runtime's, which makes them before it starts its entry point
    and takes them away after that has ended: that is a pid namespace of its own with a process to which all
    user ids are mapped, as any user can make the other ones.

The file that the kernel had open
    needs none of this: where the kernel program read its inode (``Binary.source``), and the look found the
    same, the way to it is proven, whatever has happened on it.

What bears no time
    proves nothing of the exec: a resource limit, which its owner can set at any time, who has a file open,
    which may have been opened since, and where the links of /proc/PID lead (exe, cwd, root, fd, ns), as a
    process can exchange what they lead to. A cause that rests on one is not certain (``caller.undated``). Nor
    do argv and envp that were read in the caller's memory (``caller.rewritable``), nor that they, or the
    path, could not be read there: that says nothing of what the kernel could.

Of an errno that the look itself explains (the file is missing, has no execute bit, no format) no filter could
have made another one. Where it is the only evidence, ``caller.forged`` says whether seccomp, or a tracer, can
have made it.
Formats that a user registers in a user namespace of their own (binfmt_misc, Linux 6.7) are not seen:
``handlers.unseen`` says where there may be some, and whether a handler that everybody has was removed since;
``handlers.undated`` whether one is as old as the exec.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator
from typing import Final

from execwhy.bpf.caller.caller_root import CallerRoot
from execwhy.bpf.caller.lookup import File, ResolvedFile
from execwhy.bpf.caller.resolution import End, Resolution, Step
from execwhy.bpf.events import clock
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.scene import content, words
from execwhy.tui.why.scene.credentials import ALL_IDS, CAP_SYS_ADMIN
from execwhy.tui.why.scene.moment import SLOW_SECONDS, Moment
from execwhy.tui.why.scene.mount_watch import mount_watch
from execwhy.tui.why.scene.mounts import never_executes

_KEEPING: Final = frozenset(
    {
        "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "jfs", "nilfs2", "ubifs", "tmpfs",
        "devtmpfs", "ramfs", "rootfs", "overlay", "squashfs", "erofs", "iso9660", "cramfs", "romfs",
    }
)  # fmt: skip
"""File systems whose inodes have a ctime that every change sets (the read-only ones have no changes)."""

_OF_KERNEL: Final = frozenset({"proc", "sysfs", "cgroup", "cgroup2"})
"""File systems whose files are the kernel's own: nobody can put another in their place."""

_FIXED_LINKS: Final = frozenset({"self", "thread-self", "mounts", "net"})
"""Links of /proc whose target is a name, and the same for each process for as long as it lives."""

_SUBVOLUME: Final = 256
"""The inode number of every btrfs subvolume's root (BTRFS_FIRST_FREE_OBJECTID)."""

NOT_SEEN: Final = frozenset({End.MAY_BLOCK, End.UNREADABLE, End.OUT_OF_TIME})
"""Ends of a walk that say nothing of what is there; ``Looks.doubts`` has a sentence for them."""


class Looks:
    """All that a scene has looked at, and what of it is not proven."""

    def __init__(self, record: ExecFailure, caller_root: CallerRoot | None, moment: Moment) -> None:
        self._record = record
        self._caller_root = caller_root
        self._moment = moment
        self._resolved: list[ResolvedFile] = []
        self._begin_open: list[ResolvedFile] = []
        self._naming: list[File] = []
        self._to_root: ResolvedFile | None = None

    @property
    def any_of_paths(self) -> bool:
        """Whether the walk along any path was looked at, besides that to the root directory."""
        return any(resolved is not self._to_root for resolved in self._resolved)

    def add_root(self, resolved: ResolvedFile) -> None:
        """Let all causes rest on the walk to the caller's root directory."""
        self._to_root = resolved
        self.add(resolved)

    def add(self, resolved: ResolvedFile) -> None:
        """Let the causes that are found from now on rest on this walk, too."""
        self._resolved.append(resolved)

    def add_open(self, resolved: ResolvedFile) -> None:
        """Note that a walk began at a descriptor of the caller's."""
        self._begin_open.append(resolved)

    def add_content(self, file: File) -> None:
        """Note that a file's content said what was looked at next."""
        self._naming.append(file)

    def files(self) -> Iterator[File]:
        """Yield the regular files that were found, but for the kernel's own: their ctime is of first use."""
        for resolved in self._resolved:
            if resolved.file is not None and _is_regular(resolved) and not never_executes(resolved.file):
                yield resolved.file

    def doubts(self, later: str) -> Iterator[str]:
        """Say what is not proven of the ways that were walked, and of what is mounted: one sentence each."""
        denied = self._record.error in ("EACCES", "EPERM")
        proven = True
        for resolved in self._resolved:
            if not self._is_the_kernels(resolved.file):
                proven = False
                if any(resolved is one for one in self._begin_open):
                    yield f"What file descriptor {self._record.dirfd} is was looked at {later}."
                yield from self._of_trail(resolved.resolution, later)
            if resolved.file is None or not _is_regular(resolved):
                continue
            if denied:
                yield from self._of_permissions(resolved.file)
            if self._has_content(resolved.file):
                yield from self._of_content(resolved.file)
        if self._resolved and (denied or not proven):
            yield from self._of_mounts(later)

    def may_be_closed(self, step: Step) -> bool:
        """Return whether a directory may have had other permissions, though all that is seen are entries.

        Entries that come and go set ctime and mtime, a chmod the ctime alone. Who may change its permissions
        can hide that by making an entry. That is not held against root, whose /tmp changes all the time.
        """
        return step.stat.st_uid != 0 and not self._moment.is_long_unchanged(step.stat.st_ctime_ns)

    def _is_the_kernels(self, file: File | None) -> bool:
        """Return whether it is the inode that the kernel had open."""
        binary = self._record.binary
        if file is None or binary is None or binary.source != "kernel":
            return False
        return (binary.inode_number, binary.device_id, binary.ctime, binary.inode_mode) == (
            file.stat.st_ino,
            file.device_id,
            file.stat.st_ctime_ns,
            file.stat.st_mode,
        )

    def _of_trail(self, resolution: Resolution, later: str) -> Iterator[str]:
        steps = resolution.steps
        for former, step in itertools.pairwise(steps):
            if former.target is not None:
                # After a link the walk stands at the root or in the link's directory again: this is no name.
                if self._kind(former) == "proc" and _leads_by_itself(former.path):
                    yield f"What {words.quoted_briefly(former.path)} leads to was looked at {later}."
                continue
            if _is_above(step, former):
                step, former = former, step
            elif not former.is_directory:
                continue
            yield from self._of_entry(former, step, later)
        if resolution.end in NOT_SEEN:
            yield f"{words.quoted_briefly(resolution.path)} could not be looked at."
        elif resolution.end is End.MISSING and steps:
            yield from self._of_absence(steps[-1], later)

    def _of_entry(self, directory: Step, step: Step, later: str) -> Iterator[str]:
        """Say what leaves open whether a name led from a directory to this inode at the exec, too."""
        kind = self._kind(step)
        if kind in _OF_KERNEL:
            return
        if kind is not None and kind not in _KEEPING:
            yield _not_kept(step.path, kind)
            return
        if directory.encrypted:
            yield _needs_a_key(directory.path)
            return
        holder, own = directory.stat, step.stat
        is_old = self._moment.is_long_unchanged if _may_rename(holder, own) else self._moment.is_unchanged
        if is_old(holder.st_ctime_ns) and self._kind(directory) not in _OF_KERNEL:
            return
        if step.mount_id != directory.mount_id:
            # The root of a mount: whoever may rename what it lies on is refused as long as it is there.
            if not _may_write(holder):
                return
        elif own.st_ino != _SUBVOLUME:
            if not is_old(own.st_ctime_ns):
                yield _has_changed(self._moment, step.path, own.st_ctime_ns, later)
            return
        yield _has_changed(self._moment, directory.path, holder.st_ctime_ns, later)

    def _of_absence(self, directory: Step, later: str) -> Iterator[str]:
        kind = self._kind(directory)
        if kind is not None and kind not in _KEEPING:
            yield _not_kept(directory.path, kind)
            return
        if directory.encrypted:
            yield _needs_a_key(directory.path)
            return
        status = directory.stat
        is_old = self._moment.is_long_unchanged if _may_write(status) else self._moment.is_unchanged
        if not is_old(status.st_ctime_ns):
            yield _has_changed(self._moment, directory.path, status.st_ctime_ns, later)

    def _of_permissions(self, file: File) -> Iterator[str]:
        """Say what leaves open whether a file's owner had changed its permissions by the exec.

        Those of a file that the kernel had opened let the caller in, which is all that counts of them where
        the cause lies further on.
        """
        ctime = file.stat.st_ctime_ns
        if file.stat.st_uid == 0 or (self._names_another(file) and self._is_the_kernels(file)):
            return
        if self._moment.is_unchanged(ctime) and not self._moment.is_long_unchanged(ctime):
            yield changed_shortly_before(file.path)

    def _of_content(self, file: File) -> Iterator[str]:
        mounts = None if self._caller_root is None else self._caller_root.mounts
        below = frozenset[str]() if mounts is None or file.mount is None else mounts.types_below(file.mount)
        return content.doubts(file, was_opened=self._was_opened(file), below=below)

    def _has_content(self, file: File) -> bool:
        """Return whether the causes rest on what a file holds: an EACCES does where that leads on."""
        return self._record.error != "EACCES" or self._names_another(file)

    def _names_another(self, file: File) -> bool:
        return any(file is one for one in self._naming)

    def _was_opened(self, file: File) -> bool:
        """Return whether the kernel had surely opened a file for the exec, which nobody had for writing."""
        return self._record.error not in ("EACCES", "EPERM") or self._is_the_kernels(file)

    def _of_mounts(self, later: str) -> Iterator[str]:
        caller_root, record = self._caller_root, self._record
        if caller_root is None:
            return
        watch = mount_watch(None if caller_root.own else record.mount_ns)
        if watch is not None:
            if watch.unchanged_since() >= self._moment.began - clock.boot_time():
                yield f"Whether all that is mounted {later} was so at the exec is not known."
            return
        if caller_root.mounts.unchanged_since(self._moment.began):
            return
        if record.foreign_mount_ns:
            yield "The mount namespace is an unprivileged user's, who may have changed its mounts since."
        elif self._is_container():
            return
        elif record.capabilities & CAP_SYS_ADMIN and self._is_inhabited():
            yield (
                "The caller's mount namespace is its own, and as it has CAP_SYS_ADMIN, its mounts may have"
                " changed since."
            )
        else:
            steps = (step for resolved in self._resolved for step in resolved.resolution.steps)
            covered = next((step for step in steps if _may_be_covered(step)), None)
            if covered is not None:
                yield (
                    "The caller's mount namespace was not watched, and what others than root may write, as"
                    f" {words.quoted_briefly(covered.path)}, can have had something mounted on it."
                )

    def _is_container(self) -> bool:
        """Return whether root has made its pid namespace: a process there has all user ids."""
        record = self._record
        if record.pid_ns is None or record.pid_ns == _own_pid_ns():
            return False
        return any(
            _namespace(f"/proc/{pid}/ns/pid") == record.pid_ns and _has_all_ids(pid)
            for pid in (record.pid, record.ppid)
        )

    def _is_inhabited(self) -> bool:
        """Return whether the caller or its parent is still in that mount namespace."""
        record = self._record
        return any(_namespace(f"/proc/{pid}/ns/mnt") == record.mount_ns for pid in (record.pid, record.ppid))

    @staticmethod
    def _kind(step: Step) -> str | None:
        return None if step.mount is None else step.mount.file_system


def _is_regular(resolved: ResolvedFile) -> bool:
    return resolved.file is not None and stat.S_ISREG(resolved.file.stat.st_mode)


def _may_write(directory: os.stat_result) -> bool:
    """Return whether others than root may make and remove names in a directory. An ACL shows as the group."""
    return directory.st_uid != 0 or bool(directory.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _may_rename(directory: os.stat_result, entry: os.stat_result) -> bool:
    """Return whether others than root may have brought an entry, or what was there before it.

    In a sticky directory nobody else takes away what is root's. But a file of root's can be moved there from
    a directory of one's own, and only a directory cannot: its ".." would have to be written (vfs_rename).
    """
    if directory.st_uid == 0 and directory.st_mode & stat.S_ISVTX and stat.S_ISDIR(entry.st_mode):
        return _may_write(directory) and _may_write(entry)
    return _may_write(directory)


def _may_be_covered(step: Step) -> bool:
    """Return whether fusermount would mount on it for others than root."""
    mode = step.stat.st_mode
    if step.target is not None:
        return False
    if step.stat.st_uid != 0:
        return True
    return bool(mode & (stat.S_IWGRP | stat.S_IWOTH)) and not (step.is_directory and mode & stat.S_ISVTX)


def _has_all_ids(pid: int) -> bool:
    """Return whether a process is in the first user namespace, or in one to which root has given all ids."""
    try:
        with open(f"/proc/{pid}/uid_map") as file:
            return sum(int(line.split()[2]) for line in file) >= ALL_IDS
    except (OSError, ValueError, IndexError):
        return False


def _is_above(step: Step, former: Step) -> bool:
    """Return whether the walk went from a directory to the one above it."""
    return former.is_directory and step.is_directory and len(step.path) < len(former.path)


def _leads_by_itself(path: str) -> bool:
    """Return whether a link of /proc leads to what a process has, and can exchange."""
    return os.path.basename(path) not in _FIXED_LINKS


def _has_changed(moment: Moment, path: str, ctime: int, later: str) -> str:
    if moment.is_changed(ctime):
        return f"{words.quoted_briefly(path)} has changed since the exec, when looked at {later}."
    if not moment.is_unchanged(ctime):
        return f"{words.quoted_briefly(path)} changed at about the time of the exec."
    return changed_shortly_before(path)


def changed_shortly_before(path: str) -> str:
    """Say that a change by others than root may not have been in effect yet, though its time was set."""
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


def _namespace(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def _own_pid_ns() -> int | None:
    return _namespace("/proc/self/ns/pid")
