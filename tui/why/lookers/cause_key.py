"""What two failures have in common whose cause is the same while no file changes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from execwhy.bpf.caller.caller_root import AT_FDCWD, home_namespaces
from execwhy.bpf.events.identity_memo import IdentityMemo
from execwhy.bpf.events.record import ExecFailure, Occurrence, template_of
from execwhy.tui.why.causes.absent.by_env import may_be_scripts
from execwhy.tui.why.causes.absent.suggestions import search_path
from execwhy.tui.why.scene import moment

_BY_MOMENT: Final = frozenset({"E2BIG", "EFAULT", "EAGAIN", "EMFILE", "ENFILE", "ENOMEM"})
"""Errors that argv, envp, or the caller's limits decide: no cause is shared between two records."""

_BY_PERMISSION: Final = frozenset({"EACCES", "EPERM"})

_MS: Final = 1_000_000

_OF_ONE_PROCESS: Final = ("/proc/", "/dev/")
"""Where names lead to what the process itself has open, such as /dev/fd/3."""


def cause_key(failure: ExecFailure | Occurrence) -> Hashable:
    """Return what a cause reads of a record; failures that agree in it share one look."""
    first = template_of(failure)
    common, own = _circumstances(first)
    if own:
        return common, failure.pid, failure.timestamp
    # A call that nobody saw begin may have begun when its process did.
    return (common, failure.started) if first.duration_ms is None else common


def _work_out(record: ExecFailure) -> tuple[Hashable, bool]:
    """Return what the cause depends on, and whether it depends on the process and its moment as well."""
    binary, path = record.binary, record.path or ""
    same_file = (
        None if binary is None else (binary.device_id, binary.inode_number, binary.ctime, binary.source)
    )
    own = (
        record.error in _BY_MOMENT
        or record.killed_by is not None
        or record.dirfd not in (None, AT_FDCWD)
        or path.startswith(_OF_ONE_PROCESS)
        # Capabilities count in the caller's own user namespace, which no record has.
        or bool(record.capabilities and record.fsuid and record.error in _BY_PERMISSION)
    )
    # The next namespace gets the number of one that has ended; seccomp and bounding set are inherited.
    inherited = record.error == "EPERM" or record.mount_ns not in home_namespaces()
    common = (
        same_file,
        record.return_value,
        record.path,
        record.path_is_proven,
        record.truncated.path,
        0 if _is_brief(record) else record.duration_ms,
        record.interpreter_path,
        record.root,
        None if path.startswith("/") else record.cwd,
        # What is suggested in place of a missing name comes from the caller's PATH.
        (may_be_scripts(record), search_path(record)) if record.error == "ENOENT" else (),
        (record.uid, record.fsuid, record.fsgid, record.groups, record.capabilities),
        (
            record.mount_ns,
            record.foreign_mount_ns,
            record.foreign_user_ns,
            record.pid_ns,
            record.syscall,
            record.flags,
            record.compat,
            record.kernel_invoked,
            record.check_only,
        ),
        (record.ppid, record.cgroup) if inherited else None,
    )
    return common, own


def _is_brief(record: ExecFailure) -> bool:
    """Return whether the call took so short a time that it makes no difference how short.

    No file has changed since before another such call if its ctime is older by ``CLOCK_STEP``. Half of that
    may be the difference between the two, and the rest is left for ticks that come late.
    """
    return 0 < (record.duration_ms or 0) <= moment.CLOCK_STEP // 2 // _MS


_circumstances: Final = IdentityMemo(_work_out)
