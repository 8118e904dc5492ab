"""What every look reads of the record, whatever the cause is; failures that agree in it may share a look.

Who the caller was (``OF_THE_CALLER``) is not part of it. A look finds the caller, a relative or the mount
namespace, and what it sees from there holds for all callers with the same root, mounts and credentials.
"""

from __future__ import annotations

from typing import Final

from execwhy.bpf.caller.caller_root import AT_FDCWD
from execwhy.bpf.caller.namespaces import home_namespaces
from execwhy.bpf.events.identity import SHARED_DIAGNOSIS
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.registry import Reading, Sharing, whole
from execwhy.tui.why.scene import moment

OF_THE_CALLER: Final = frozenset({"timestamp", "pid", "tid", "ppid", "ancestors", "started"})
"""Fields that lead to the caller and say how long ago it called."""

_MS: Final = 1_000_000

_OF_ONE_PROCESS: Final = ("/proc/", "/dev/")
"""Where names lead to what the process itself has open, such as /dev/fd/3."""


def _own_files(record: ExecFailure) -> Sharing | None:
    """Never share what begins at a descriptor, or what leads to files that the process itself has open."""
    by_descriptor = record.dirfd not in (None, AT_FDCWD)
    return Sharing.NEVER if by_descriptor or (record.path or "").startswith(_OF_ONE_PROCESS) else None


def _killed(record: ExecFailure) -> Sharing | None:
    """Never share the cause of a death: the process's limits decide about it."""
    return None if record.killed_by is None else Sharing.NEVER


def _duration(record: ExecFailure) -> int | None:
    """Return how long the call took; 0 for all calls that are so brief that it makes no difference.

    No file has changed since before another such call if its ctime is older by ``CLOCK_STEP``. Half of that
    may be the difference between the two, and the rest is left for ticks that come late.
    """
    return 0 if 0 < (record.duration_ms or 0) <= moment.CLOCK_STEP // 2 // _MS else record.duration_ms


def _mount_namespace(record: ExecFailure) -> tuple[object, ...]:
    """Return the namespace; another one that gets its number later has other processes and cgroups."""
    is_home = record.mount_ns in home_namespaces()
    return record.mount_ns, None if is_home else (record.ppid, record.cgroup)


SCENE: Final = (
    # A path, or one that a #! line or PT_INTERP names, may be relative to the working directory.
    whole(*SHARED_DIAGNOSIS.fields),
    Reading(_own_files, "dirfd"),
    Reading(_killed, "killed_by"),
    Reading(_duration, "duration_ms"),
    Reading(_mount_namespace, "mount_ns"),
)
"""In what two failures agree, whatever their errno is, if they share a diagnosis."""


def _capabilities_of_namespace(record: ExecFailure) -> Sharing | None:
    """Never share what capabilities decide: they count in a user namespace, and no record says in which."""
    return Sharing.NEVER if record.capabilities and record.fsuid else None


CAPABILITIES: Final = Reading(_capabilities_of_namespace)
"""For causes that ask whether the caller's capabilities override permissions."""

INHERITED: Final = whole("ppid", "cgroup")
"""For causes that look at what a process inherits: seccomp filters, the bounding set, a security label."""
