"""A failed exec, from what the kernel program wrote of it."""

from __future__ import annotations

import errno
import signal
import stat
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from execwhy.bpf.caller.cgroups import Where, where_of
from execwhy.bpf.events.known import Known
from execwhy.bpf.events.record import Ancestor, Binary, ExecFailure, PathSource
from execwhy.bpf.program import layout
from execwhy.bpf.read.argv import NO_LIMITS, KernelCopy, arguments_of

AT_EXECVE_CHECK: Final = 0x10000
"""include/uapi/linux/fcntl.h, since 6.14."""
_GROUP: Final = struct.Struct("<I")
_FATAL_SIGNALS: Final = (signal.SIGSEGV, signal.SIGKILL)
"""What kills a task after the point of no return (fs/exec.c, bprm_execve); forced ones first."""
_PID_BITS: Final = 32

_SECTION_BYTES: Final = 256 << 10
"""Bytes of sections that are known again: of walked paths, ancestors and cgroups some hundred each.
Decoded they take up to 8 times as much."""


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
    if len(ancestors) % layout.ANCESTOR_STRUCT.size or len(groups) % _GROUP.size:
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
    family = _ancestors(ancestors)
    parent = family[0] if family else Ancestor(0, "")
    cgroup_path = _path(cgroup, cgroup_end) if cgroup_end != layout.NO_FILE else None
    where = _where(cgroup_path)
    return ExecFailure(
        timestamp=boot_time + timestamp,
        path=_path_argument(path, bits, dirfd),
        path_source=_path_source(bits),
        path_afterwards=_text(path_afterwards[:-1]) if path_afterwards else None,
        return_value=return_value,
        stdin_type=stat.S_IFMT(stdin_mode),
        stdin_path=_stdin_path(stdin, stdin_end, stdin_mode, stdin_inode, bits),
        kernel_invoked=kernel_invoked,
        arguments=text.arguments,
        environment=text.environment,
        truncated=replace(text.truncated, path=bool(bits & layout.PATH_CUT)),
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
        groups=None if bits & layout.GROUPS_CUT else _groups(groups),
        capabilities=capabilities,
        comm=_text(comm.split(b"\0", 1)[0]),
        parent_comm=parent.comm,
        ancestors=family,
        cwd=_cwd(cwd, cwd_end, bits),
        root=_path(root, root_end) if root else None,
        tty=_tty(tty.split(b"\0", 1)[0]),
        cgroup=cgroup_path,
        unit=where.unit,
        container_id=where.container_id,
        container_runtime=where.container_runtime,
        pod_uid=where.pod_uid,
        mount_ns=mount_ns or None,
        foreign_mount_ns=bool(bits & layout.FOREIGN_MOUNT_NS),
        foreign_user_ns=bool(bits & layout.FOREIGN_USER_NS),
        pid_ns=pid_ns or None,
        task=0 if bits & layout.UNTRACKED else identify_task(task, pid),
        started=started,
        duration_ms=duration or None,
        binary=(
            Binary(
                path=_binary_path(binary, binary_end, mode, inode_number),
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
        interpreter_path=_text(interpreter[:-1]) if interpreter else None,
        killed_by=_killed_by(pending_signals, return_value, bits),
    )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _path_source(bits: int) -> PathSource:
    if bits & (layout.PATH_OF_KERNEL | layout.KERNEL_INVOKED | layout.NEW_IMAGE):
        return "kernel"
    return "unchanged" if bits & layout.PATH_UNCHANGED else "user"


def _path_argument(section: bytes, bits: int, dirfd: int) -> str | None:
    if bits & layout.NEW_IMAGE:
        # The end of the new stack: the path, its NUL, and 8 more zero bytes.
        strings = section.rstrip(b"\0")
        return _text(strings[strings.rfind(b"\0") + 1 :]) or None
    if bits & layout.PATH_UNREAD and not bits & layout.PATH_BEFORE:
        return None
    path = section[:-1]
    if bits & layout.PATH_BY_DIRECTORY and bits & layout.EXECVEAT:
        path = _without_directory(path, dirfd)
    return _text(path)


def _without_directory(path: bytes, dirfd: int) -> bytes:
    """A path of execveat as it was given, from what the kernel makes of it (alloc_bprm of fs/exec.c)."""
    directory = b"/dev/fd/%d" % dirfd
    if path == directory:
        return b""
    return path.removeprefix(directory + b"/")


def _path(section: bytes, end: int) -> str:
    """A walked path: its components are leaf first, each with its NUL."""
    return _paths[section, end]


def _joined(walked: tuple[bytes, int]) -> str:
    section, end = walked
    components = section.split(b"\0")[:-1]
    path = _text(b"/".join(reversed(components)))
    return ".../" + path if end == layout.UNFINISHED else "/" + path


_paths: Final = Known(_joined, _SECTION_BYTES, lambda walked: len(walked[0]))


def _cwd(section: bytes, end: int, bits: int) -> str:
    path = _path(section, end)
    if end == layout.AT_TOP:
        # Not below the caller's root directory; getcwd(2) says it in the same words.
        path = "(unreachable)" + path
    return path + " (deleted)" if bits & layout.CWD_DELETED else path


def _stdin_path(section: bytes, end: int, mode: int, inode: int, bits: int) -> str | None:
    if end == layout.NO_FILE:
        return None
    if end == layout.OF_NO_TREE:
        return _pseudo_file(_text(section[:-1]), mode, inode)
    path = _path(section, end)
    return path + " (deleted)" if bits & layout.STDIN_DELETED else path


def _binary_path(section: bytes, end: int, mode: int, inode: int) -> str | None:
    if end == layout.NO_FILE:
        return None
    if end == layout.OF_NO_TREE:
        return _pseudo_file(_text(section[:-1]), mode, inode)
    return _path(section, end)


def _pseudo_file(name: str, mode: int, inode: int) -> str | None:
    """A file in no directory, named as in /proc/PID/fd; None where only its file system knows the name."""
    if stat.S_ISSOCK(mode):
        return f"socket:[{inode}]"
    if stat.S_ISFIFO(mode):
        return f"pipe:[{inode}]"
    if name.startswith("memfd:"):
        return f"/{name} (deleted)"
    return None if name in ("", "/") else f"anon_inode:{name}"


def _tty(name: bytes) -> str | None:
    """The kernel calls a pseudo-terminal "pts3"; its node, and everyone else, "pts/3"."""
    text = _text(name)
    return f"pts/{text[3:]}" if text.startswith("pts") and text[3:].isdigit() else text or None


def _ancestors_of(section: bytes) -> tuple[Ancestor, ...]:
    return tuple(
        Ancestor(pid, _text(comm.split(b"\0", 1)[0]))
        for pid, comm in layout.ANCESTOR_STRUCT.iter_unpack(section)
    )


_ancestors: Final = Known(_ancestors_of, _SECTION_BYTES, len).__getitem__


def _groups(section: bytes) -> tuple[int, ...]:
    return tuple(group for (group,) in _GROUP.iter_unpack(section))


def _where_of(cgroup: str | None) -> Where:
    return where_of(cgroup or "/")


_where: Final = Known(_where_of, _SECTION_BYTES, lambda cgroup: len(cgroup or "")).__getitem__


def _killed_by(pending: int, return_value: int, bits: int) -> str | None:
    if bits & (layout.NEW_IMAGE | layout.LATE):
        return next((number.name for number in _FATAL_SIGNALS if pending >> (number - 1) & 1), None)
    # begin_new_exec() can still fail when the old memory is gone and the new stack is not set up yet: the
    # kernel had read the path, or the error would be EFAULT, and now it cannot be read.
    forced = pending >> (signal.SIGSEGV - 1) & 1
    gone = bits & layout.PATH_UNREAD and return_value != -errno.EFAULT
    return signal.SIGSEGV.name if forced and gone else None
