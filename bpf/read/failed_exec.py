"""A failed exec, from the record that the kernel program wrote."""

from __future__ import annotations

import errno
import signal
import stat
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from execwhy.bpf.events.record import Ancestor, Binary, ExecFailure, PathSource
from execwhy.bpf.program import layout
from execwhy.bpf.read.argv import NO_LIMITS, KernelCopy, arguments_of
from execwhy.bpf.read.sections import (
    GROUP,
    ancestors_of,
    binary_path,
    cgroup_facts,
    cwd_of,
    groups_of,
    path_of,
    stdin_path,
    text_of,
    tty_of,
)

AT_EXECVE_CHECK: Final = 0x10000
"""include/uapi/linux/fcntl.h, since 6.14."""
_FATAL_SIGNALS: Final = (signal.SIGSEGV, signal.SIGKILL)
"""What kills a task after the point of no return (fs/exec.c, bprm_execve); forced ones first."""
_PID_BITS: Final = 32


class DecodeError(ValueError):
    """The bytes are not a record; the message is one sentence."""


def identify_task(address: int, pid: int) -> int:
    """Return what distinguishes a task from all others, also from one that has its address later.

    Records of different users can change places on their way here, so an address alone is not enough: the end
    of a task would end the search of the next one that gets its memory. An exec keeps both.
    """
    return address << _PID_BITS | pid


def failed_exec(
    values: Sequence[Any], sections: Sequence[bytes], boot_time: int, limits: tuple[int, int] = NO_LIMITS
) -> ExecFailure:
    """Return the record of a failed exec.

    Args:
        values: The values of the header (``layout.VALUES``).
        sections: What follows it (``layout.SECTIONS``).
        boot_time: Nanoseconds since 1970 UTC at which the clock of its timestamp was zero.
        limits: Bytes of argv and envp to keep of the kernel's copy of them.

    Raises:
        DecodeError: A section has a length that it cannot have.
    """
    # A test compares these names with ``layout.VALUES``. Attributes of a named tuple take a tenth longer.
    (
        timestamp, started, task, pid, tid, _lost_before, return_value,
        capabilities, stdin_inode, pending_signals,
        inode_number, ctime, size, device, mode, owner, group,
        argc_of_bprm, envc_of_bprm, argc_copied, copied_total,
        uid, gid, _suid, _sgid, euid, egid, fsuid, fsgid,
        mount_ns, pid_ns, duration, dirfd, flags, argc, envc, long_argument, long_variable, bits, _used,
        *_lengths, stdin_mode, cwd_end, root_end, stdin_end, cgroup_end, binary_end, _kind, comm, tty,
    ) = values  # fmt: skip
    (
        cgroup, ancestors, cwd, root, stdin, groups, path_afterwards, path, binary, interpreter,
        arguments, environment, copied,
    ) = sections  # fmt: skip
    if len(ancestors) % layout.ANCESTOR_STRUCT.size or len(groups) % GROUP.size:
        raise DecodeError(f"a record has {len(ancestors)} bytes of ancestors, {len(groups)} of groups.")
    execveat = bool(bits & layout.EXECVEAT)
    kernel_invoked = bool(bits & layout.KERNEL_INVOKED)
    text = arguments_of(
        arguments,
        environment,
        KernelCopy(
            copied, copied_total, argc_of_bprm, envc_of_bprm, argc_copied, rewritten=bool(interpreter)
        ),
        counts=(argc, envc),
        too_long=(long_argument, long_variable),
        bits=bits,
        limits=limits,
    )
    family = ancestors_of(ancestors)
    parent = family[0] if family else Ancestor(0, "")
    cgroup_path = path_of(cgroup, cgroup_end) if cgroup_end != layout.NO_FILE else None
    where = cgroup_facts(cgroup_path)
    return ExecFailure(
        timestamp=boot_time + timestamp,
        path=_path_argument(path, bits, dirfd),
        path_source=_path_source(bits),
        path_afterwards=text_of(path_afterwards[:-1]) if path_afterwards else None,
        return_value=return_value,
        stdin_type=stat.S_IFMT(stdin_mode),
        stdin_path=stdin_path(stdin, stdin_end, stdin_mode, stdin_inode, bits),
        kernel_invoked=kernel_invoked,
        arguments=text.arguments,
        environment=text.environment,
        truncated=replace(text.truncated, path=True) if bits & layout.PATH_CUT else text.truncated,
        arguments_source=text.source,
        syscall=None if kernel_invoked else "execveat" if execveat else "execve",
        compat=bool(bits & layout.COMPAT),
        dirfd=dirfd if execveat else None,
        flags=flags if execveat else None,
        check_only=execveat and bool(flags & AT_EXECVE_CHECK),
        pid=pid,
        tid=tid,
        ppid=parent.pid,
        uid=uid,
        euid=euid,
        gid=gid,
        egid=egid,
        fsuid=fsuid,
        fsgid=fsgid,
        groups=None if bits & layout.GROUPS_CUT else groups_of(groups),
        capabilities=capabilities,
        comm=text_of(comm.split(b"\0", 1)[0]),
        parent_comm=parent.comm,
        ancestors=family,
        cwd=cwd_of(cwd, cwd_end, bits),
        root=path_of(root, root_end) if root else None,
        tty=tty_of(tty.split(b"\0", 1)[0]),
        cgroup=cgroup_path,
        unit=where.unit,
        container_id=where.container_id,
        container_runtime=where.container_runtime,
        pod_uid=where.pod_uid,
        mount_ns=mount_ns or None,
        foreign_mount_ns=bool(bits & layout.FOREIGN_MOUNT_NS),
        foreign_user_ns=bool(bits & layout.FOREIGN_USER_NS),
        shared_directories=not bits & layout.OWN_DIRECTORIES and not kernel_invoked,
        pid_ns=pid_ns or None,
        task=0 if bits & layout.UNTRACKED else identify_task(task, pid),
        started=started,
        duration_ms=duration or None,
        binary=(
            Binary(
                path=binary_path(binary, binary_end, mode, inode_number),
                device_id=device,
                device=f"{device >> 20}:{device & 0xFFFFF}",
                inode_number=inode_number,
                ctime=ctime,
                inode_mode=mode,
                source="kernel",
                uid=owner,
                gid=group,
                size=size,
            )
            if bits & layout.BINARY_KNOWN
            else None
        ),
        interpreter_path=text_of(interpreter[:-1]) if interpreter else None,
        killed_by=_killed_by(pending_signals, return_value, bits),
    )


def _path_source(bits: int) -> PathSource:
    if bits & (layout.PATH_OF_KERNEL | layout.KERNEL_INVOKED | layout.NEW_IMAGE):
        return "kernel"
    return "unchanged" if bits & layout.PATH_UNCHANGED else "user"


def _path_argument(section: bytes, bits: int, dirfd: int) -> str | None:
    if bits & layout.NEW_IMAGE:
        # The end of the new stack: the path, its NUL, and 8 more zero bytes.
        strings = section.rstrip(b"\0")
        return text_of(strings[strings.rfind(b"\0") + 1 :]) or None
    if bits & layout.PATH_UNREAD and not bits & layout.PATH_BEFORE:
        return None
    path = section[:-1]
    if bits & layout.PATH_BY_DIRECTORY and bits & layout.EXECVEAT:
        path = _without_directory(path, dirfd)
    return text_of(path)


def _without_directory(path: bytes, dirfd: int) -> bytes:
    """Return a path of execveat as the caller passed it, from the kernel's form (alloc_bprm of fs/exec.c)."""
    directory = b"/dev/fd/%d" % dirfd
    if path == directory:
        return b""
    return path.removeprefix(directory + b"/")


def _killed_by(pending: int, return_value: int, bits: int) -> str | None:
    if bits & (layout.NEW_IMAGE | layout.LATE):
        return next((number.name for number in _FATAL_SIGNALS if pending >> (number - 1) & 1), None)
    # begin_new_exec() can still fail when the old memory is gone and the new stack is not set up yet: the
    # kernel had read the path, or the error would be EFAULT, and now it cannot be read.
    forced = pending >> (signal.SIGSEGV - 1) & 1
    gone = bits & layout.PATH_UNREAD and return_value != -errno.EFAULT
    return signal.SIGSEGV.name if forced and gone else None
