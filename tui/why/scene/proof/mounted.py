"""Whether the same was mounted at the exec: mounts hide what lies below, and leave no trace when they go."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

from execwhy.bpf.caller.caller_root import CallerRoot
from execwhy.bpf.caller.resolution import Step
from execwhy.bpf.events import clock
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.credentials import ALL_IDS, CAP_SYS_ADMIN
from execwhy.tui.why.scene.moment import Moment
from execwhy.tui.why.scene.mount_watch import mount_watch


def doubts(
    record: ExecFailure, caller_root: CallerRoot, moment: Moment, steps: Iterable[Step], later: str
) -> Iterator[str]:
    """Yield why other mounts may have been there at the exec, a sentence each.

    Args:
        record: The failed exec.
        caller_root: The caller's root directory and mounts.
        moment: When the exec began and failed.
        steps: The steps of all walks.
        later: How long after the exec the look is.
    """
    watch = mount_watch(None if caller_root.own else record.mount_ns)
    if watch is not None:
        if watch.unchanged_since() >= moment.began - clock.boot_time():
            yield f"Whether the same was mounted at the exec as {later} is not known."
        return
    if caller_root.mounts.unchanged_since(moment.began):
        return
    if record.foreign_mount_ns:
        yield "The mount namespace is an unprivileged user's, who may have changed its mounts since."
    elif _is_container(record):
        return
    elif record.capabilities & CAP_SYS_ADMIN and _is_inhabited(record):
        yield (
            "The caller's mount namespace is its own, and because it has CAP_SYS_ADMIN, its mounts may have"
            " changed since."
        )
    else:
        covered = next((step for step in steps if _may_be_covered(step)), None)
        if covered is not None:
            yield (
                "The caller's mount namespace was not watched, and what others than root may write, as"
                f" {words.quoted_briefly(covered.path)}, may have had something mounted on it."
            )


def _is_container(record: ExecFailure) -> bool:
    """Return whether root has made its pid namespace: a process there has all user ids."""
    if record.pid_ns is None or record.pid_ns == _own_pid_ns():
        return False
    return any(
        _namespace(f"/proc/{pid}/ns/pid") == record.pid_ns and _has_all_ids(pid)
        for pid in (record.pid, record.ppid)
    )


def _is_inhabited(record: ExecFailure) -> bool:
    """Return whether the caller or its parent is still in that mount namespace."""
    return any(_namespace(f"/proc/{pid}/ns/mnt") == record.mount_ns for pid in (record.pid, record.ppid))


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


def _namespace(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def _own_pid_ns() -> int | None:
    return _namespace("/proc/self/ns/pid")
