"""The expected record, field by field: from what the test did, and from ``/proc`` and ``stat``."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from execwhy.bpf.caller.cgroups import cgroup_in, where_of
from execwhy.bpf.events.record import Binary, ExecFailure
from execwhy.bpf.program.limits import MAX_ANCESTORS
from execwhy.bpf.read.reader import DEFAULT_ARGS_BYTES, DEFAULT_ENV_BYTES
from execwhy.tui.why.scene.moment import CLOCK_STEP
from tests.live.exec_child import AT_EXECVE_CHECK, Array, Attempt, Pointer, Strings
from tests.live.proc import TICK, Caller, file_type, mounted_device
from tests.own_root import own_root

LONGEST_PATH: Final = 4095
"""PATH_MAX without its NUL."""

CLOCK_SLACK: Final = 50_000_000
"""Nanoseconds. Records have the boot clock, converted once; NTP may slew the wall clock in between."""

LEAST_COUNTED: Final = 2048
"""Elements of argv or envp that are always counted; the number of more elements may be unknown."""

LEAST_HELD: Final = 512
"""Elements that are always recorded if they are short."""

LATER: Final = {"diagnosis", "search"}
"""Fields that do not come from the kernel: they have tests of their own."""

COMPARED: Final = frozenset(each.name for each in fields(ExecFailure)) - LATER
"""All others."""


@dataclass(frozen=True)
class File:
    """The file that a record's ``binary`` must be.

    Attributes:
        path: Its path, every link followed, below the caller's root directory.
        looked_at: The same file as the test sees it; None if that is its path.
    """

    path: str
    looked_at: str | None = None


@dataclass(frozen=True)
class Expected:
    """What a test knows of a record, beyond what the attempt itself shows.

    Attributes:
        error: Name of the errno.
        binary: The file, or None if there is none.
        interpreter: Its interpreter.
        killed_by: The signal, after the point of no return.
        unread: argv and envp cannot be read in the caller's memory.
        in_use: The interpreter that the kernel was using, if it is a different one.
        path_in_doubt: The record need not prove that the kernel had this path.
        path_afterwards: The path in the caller's memory afterwards, if it has changed.
    """

    error: str
    binary: File | None = None
    interpreter: str | None = None
    killed_by: str | None = None
    unread: bool = False
    in_use: str | None = None
    path_in_doubt: bool = False
    path_afterwards: str | None = None


def _stdin_path(root: bytes, link: bytes) -> str | None:
    """Return null for a namespace: only its file system knows the name, and the kernel program cannot ask."""
    return None if link.startswith(b"mnt:[") else os.fsdecode(_below(root, link))


def check(record: ExecFailure, attempt: Attempt, expected: Expected) -> None:
    """Compare every field of a record.

    Raises:
        AssertionError: One of them is wrong; the message shows which.
    """
    wrong = {name: problem for name, problem in compare(record, attempt, expected).items() if problem}
    assert not wrong, wrong


def compare(record: ExecFailure, attempt: Attempt, expected: Expected) -> dict[str, str]:
    """Compare every field of a record: the problem by name, or "" if the field is right.

    Raises:
        AssertionError: The exec did not fail as intended, so there is nothing to compare with.
    """
    caller, call = attempt.caller, attempt.exec
    assert attempt.killed_by == expected.killed_by
    if not expected.killed_by:
        assert attempt.error == expected.error, "the exec did not fail as this test wanted it to"

    # The kernel's own copy can be read even if the caller's memory cannot.
    unread = expected.unread and record.arguments_source != "kernel"
    sources = ("unreadable",) if unread or _is_unreadable(call.argv) else ("user", "kernel")
    ancestors = tuple((ancestor.pid, os.fsencode(ancestor.comm)) for ancestor in record.ancestors)
    path = call.path_read
    is_right = {
        "timestamp": attempt.before - CLOCK_SLACK <= record.timestamp <= attempt.after + CLOCK_SLACK,
        "arguments_source": record.arguments_source in sources,
        "path_source": record.path is None or record.path_is_proven or call.compat or expected.path_in_doubt,
        "ancestors": ancestors == caller.ancestors[:MAX_ANCESTORS],
        "groups": record.groups == caller.groups or (record.groups is None and len(caller.groups) > 32),
        "started": not caller.started
        or (record.started is not None and record.started // TICK == caller.started),
        # Rounded up to ticks of the kernel's clock; unknown if the beginning of another call replaced it.
        "duration_ms": record.duration_ms is None
        or 0 < record.duration_ms <= (attempt.after - attempt.before + CLOCK_STEP) / 1e6,
        # Threads share them, and whether they are shared is unknown if the beginning of the call was missed.
        "shared_directories": record.shared_directories
        == (caller.tid != caller.pid or record.duration_ms is None),
        # Known for every caller; the kernel chooses the number.
        "task": bool(record.task),
        # The other parts are compared with the strings.
        "truncated": record.truncated.path == (path is not None and len(path) > LONGEST_PATH),
    }
    problems = {
        name: "" if right else f"recorded {getattr(record, name)!r}" for name, right in is_right.items()
    }
    for name, strings in (("arguments", call.argv), ("environment", call.envp)):
        try:
            _check_strings(record, name, strings, unread)
            problems[name] = ""
        except AssertionError as error:
            problems[name] = f"{error or 'wrong'}: recorded {getattr(record, name)!r}, {record.truncated}"

    by_kernel = record.binary is not None and record.binary.source == "kernel"
    root, stdin, cgroup = caller.root, caller.stdin, _cgroup(record, caller)
    known: dict[str, Any] = {
        "error": expected.error,
        "kind": "exec",
        "path": None if path is None else os.fsdecode(path[:LONGEST_PATH]),
        "path_afterwards": expected.path_afterwards if record.path_source == "user" else None,
        "return_value": -getattr(errno, expected.error),
        "binary": _binary(record, expected.binary, caller.pid),
        "interpreter_path": (by_kernel and expected.in_use) or expected.interpreter,
        "stdin_type": file_type(stdin[0]) if stdin else 0,
        "stdin_path": _stdin_path(root, stdin[1]) if stdin else None,
        "kernel_invoked": False,
        "syscall": call.syscall,
        "compat": call.compat,
        "dirfd": None if call.flags is None else call.dirfd,
        "flags": call.flags,
        "check_only": bool((call.flags or 0) & AT_EXECVE_CHECK),
        "pid": caller.pid,
        # Past the point of no return a thread has taken its process's id (de_thread of fs/exec.c).
        "tid": caller.pid if expected.killed_by else caller.tid,
        "ppid": caller.ppid,
        "capabilities": caller.capabilities,
        "comm": os.fsdecode(_comm(attempt)),
        "parent_comm": os.fsdecode(caller.ancestors[0][1]),
        "cwd": os.fsdecode(_cwd(root, caller.cwd)),
        "root": _whole(root),
        "tty": caller.tty,
        "cgroup": cgroup,
        **where_of(cgroup or "/")._asdict(),
        "mount_ns": caller.mount_ns,
        "foreign_mount_ns": caller.foreign_mount_ns,
        "foreign_user_ns": caller.foreign_user_ns,
        "pid_ns": caller.pid_ns,
        "killed_by": expected.killed_by,
        "host": None,
        **dict(zip(("uid", "euid", "fsuid"), _without_saved(caller.uids), strict=True)),
        **dict(zip(("gid", "egid", "fsgid"), _without_saved(caller.gids), strict=True)),
    }
    assert set(known) | set(problems) == COMPARED | {"error"}, "a field that no test compares"
    return problems | compare_fields(record, known)


def compare_fields(record: ExecFailure, known: Mapping[str, Any]) -> dict[str, str]:
    """Compare the fields whose values are given."""
    return {
        name: "" if (recorded := getattr(record, name)) == value else f"recorded {recorded!r}, not {value!r}"
        for name, value in known.items()
    }


def _cgroup(record: ExecFailure, caller: Caller) -> str | None:
    """That of v2; on a host that has v1 hierarchies, the one of these where the caller could be asked."""
    current = cgroup_in(os.fsdecode(caller.cgroups))
    if record.cgroup == current:
        return current
    return None if caller.cgroup is None else os.fsdecode(caller.cgroup)


def _check_strings(record: ExecFailure, name: str, passed: Strings, unread: bool) -> None:
    """Compare argv or envp: each element is right, or a part that is marked so, or None if unreadable."""
    recorded: Sequence[str | None] = getattr(record, name)
    cut: bool = getattr(record.truncated, name)
    total: int | None = getattr(record.truncated, "argc" if name == "arguments" else "envc")
    parts: tuple[int, ...] = getattr(record.truncated, f"{name.removesuffix('s')}_indexes")
    strings = passed.reads if isinstance(passed, Array) else passed
    if unread or strings is None:
        assert not [string for string in recorded if string is not None], f"{name} cannot be known"
        assert total is None, f"how many {name} there are cannot be known"
        return
    assert total == len(strings) or (total is None and len(strings) > LEAST_COUNTED)
    truth = [os.fsdecode(s) if (s := _reads(string)) is not None else None for string in strings]
    whole = [string for index, string in enumerate(recorded) if index not in parts]
    assert whole == [string for index, string in enumerate(truth[: len(recorded)]) if index not in parts]
    for index in parts:
        part, string = recorded[index], truth[index]
        assert part is not None and string is not None
        assert string.startswith(part) and len(part) < len(string)
    assert cut == (len(recorded) < len(strings) or bool(parts)), f"truncated.{name}"
    if cut:
        held = sum(len(os.fsencode(string or "")) for string in recorded)
        limit = DEFAULT_ARGS_BYTES if name == "arguments" else DEFAULT_ENV_BYTES
        assert held >= limit - 3 * len(recorded) or len(recorded) >= LEAST_HELD, f"too little of {name}"


def _is_unreadable(strings: Strings) -> bool:
    return isinstance(strings, Array) and strings.reads is None


def _reads(string: bytes | Pointer) -> bytes | None:
    return string.reads if isinstance(string, Pointer) else string


def _binary(record: ExecFailure, file: File | None, pid: int) -> Binary | None:
    if file is None:
        return None
    status = os.stat(file.looked_at or file.path)
    device = mounted_device(file.looked_at or file.path, pid) or (
        f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    )
    major, minor = map(int, device.split(":"))
    binary = Binary(
        path=file.path,
        device_id=major << 20 | minor,
        device=device,
        inode_number=status.st_ino,
        ctime=status.st_ctime_ns,
        inode_mode=status.st_mode,
        source="resolved",
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size,
    )
    # These need not be known, and the hook that found the file depends on the plan.
    if record.binary:
        binary = replace(binary, source=record.binary.source)
        unknown: dict[str, Any] = {
            name: None for name in ("uid", "gid", "size") if getattr(record.binary, name) is None
        }
        binary = replace(binary, **unknown)
    return binary


def _below(root: bytes, path: bytes) -> bytes:
    """Return a path below a process's root directory, as that process sees it."""
    if root == b"/":
        return path
    if path == root or path.startswith(root + b"/"):
        return path.removeprefix(root) or b"/"
    return os.fsencode(own_root().rstrip("/")) + path if path.startswith(b"/") else path


def _whole(root: bytes) -> str | None:
    """Return the full path of a root directory; None if it is the root of the mount namespace."""
    whole = own_root().rstrip("/") + os.fsdecode(root).rstrip("/")
    return whole or None


def _cwd(root: bytes, path: bytes) -> bytes:
    """Return a working directory as getcwd(2) reports one that is not below the root directory."""
    below = _below(root, path)
    return b"(unreachable)" + below if root != b"/" and below.endswith(path) else below


def _comm(attempt: Attempt) -> bytes:
    """Return the caller's comm: past the point of no return it is the new program's (begin_new_exec)."""
    if attempt.killed_by and attempt.exec.path_read:
        return os.path.basename(attempt.exec.path_read)[:15]
    return attempt.caller.comm


def _without_saved(ids: tuple[int, ...]) -> tuple[int, ...]:
    """Real, effective and file system id, of the four of /proc/PID/status."""
    return ids[0], ids[1], ids[3]
