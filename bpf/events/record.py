"""One failed exec, as the rest of the program sees it.

Text that a process chose is a ``str`` decoded from UTF-8 with ``surrogateescape``, so every byte
survives (``os.fsencode`` gives the bytes back). It is hostile: show it only through
``tui.model.text.printable``. A fact that could not be had is ``None``, never a made-up value.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

from execwhy.bpf.events.fields import (
    I32,
    U16,
    U32,
    U63,
    U64,
    Errno,
    Kind,
    Moment,
    Secret,
    Storage,
    described,
    fact,
)
from execwhy.bpf.events.kinds import FailureKind
from execwhy.bpf.events.known import size_of_record
from execwhy.bpf.events.parts import (
    DOUBT,
    Ancestor,
    Attempt,
    Binary,
    Diagnosis,
    Look,
    Outcome,
    Search,
    Truncated,
)

__all__ = [
    "DOUBT", "KERNEL_ONLY_ERRORS", "Ancestor", "ArgumentsSource", "Attempt", "Binary", "Diagnosis",
    "ExecFailure", "Look", "Outcome", "PathSource", "Search", "Truncated", "error_name",
]  # fmt: skip

KERNEL_ONLY_ERRORS: Final = {524: "ENOTSUPP"}
"""Errors of the kernel's include/linux/errno.h that have no name in user space, except 512 to 516: with
those the kernel restarts the call, so it has not failed yet."""

ArgumentsSource = Literal["kernel", "user", "unreadable"]
PathSource = Literal["kernel", "unchanged", "user"]


def error_name(return_value: int) -> str:
    """The name of a negative errno, such as "ENOENT" for -2; "E999" for one that has no name."""
    number = -return_value
    return errno.errorcode.get(number) or KERNEL_ONLY_ERRORS.get(number) or f"E{number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecFailure:
    """One exec that failed. Ids and pids are those of the host."""

    # fmt: off
    timestamp: Moment = field(metadata=fact(
        "When the exec returned: RFC 3339, UTC, nanoseconds, from the kernel's boot clock.",
        Kind.TIME, storage=Storage.NUMBER, csv=0))
    kind: FailureKind = field(default="exec", metadata=fact(
        'The kind of start that failed: "exec", also where a recording of an earlier version lacks it.',
        Kind.TEXT, column="call", csv=47))
    path: str | None = field(metadata=fact(
        "The path as the caller gave it; null if the caller's memory could not be read.",
        Kind.PATH, secret=Secret.BY_SHAPE, csv=1))
    path_source: PathSource = field(default="user", metadata=fact(
        "\"kernel\": the kernel's own copy. \"unchanged\": read from the caller's memory before the kernel "
        'copied it and the same afterwards, and nothing else shared that memory. "user": read from the '
        "caller's memory, and may have differed when the kernel copied it; also in recordings of earlier "
        "versions.",
        Kind.TEXT, column="call", csv=33))
    path_afterwards: str | None = field(default=None, metadata=fact(
        "The path in the caller's memory after the exec failed, if it differs from path, which was read "
        "before the kernel copied it. The kernel used one of the two. Else null.",
        Kind.PATH, secret=Secret.BY_SHAPE, csv=34))
    binary: Binary | None = field(default=None, metadata=fact("The file itself; null if there was none."))
    interpreter_path: str | None = field(default=None, metadata=fact(
        "The interpreter that the kernel had reached; if it had reached none, the one that the #! line or"
        " PT_INTERP names. Also set for execs that the kernel starts itself.",
        Kind.PATH, short=("interp",), secret=Secret.BY_SHAPE, csv=25))
    stdin_type: U16 = field(default=0, metadata=fact(
        "File type of descriptor 0, as S_IFMT has it; 0 when closed.",
        Kind.OCTAL, column="stdin", csv=31))
    stdin_path: str | None = field(default=None, metadata=fact(
        'Path of descriptor 0; "pipe:[123]" or "socket:[123]" if it has none.',
        Kind.PATH, short=("stdin",), column="stdin", secret=Secret.BY_SHAPE, csv=32))
    kernel_invoked: bool = field(default=False, metadata=fact(
        "The kernel itself started this exec (usermodehelper). Always false with the tracepoint plan.",
        Kind.FLAG, column="call", csv=22))
    arguments: tuple[str | None, ...] = field(default=(), metadata=fact(
        "argv; an element that could not be read is null.",
        Kind.TEXT, short=("arg",), storage=Storage.TEXTS, secret=Secret.BY_CONTEXT, csv=40))
    environment: tuple[str | None, ...] = field(default=(), metadata=fact(
        'envp, "NAME=value" each; an element that could not be read is null.',
        Kind.TEXT, short=("env",), storage=Storage.TEXTS, secret=Secret.BY_CONTEXT, csv=41))
    truncated: Truncated = field(default_factory=Truncated, metadata=fact(
        "What was left out of the arguments, the environment and the path."))
    arguments_source: ArgumentsSource = field(default="user", metadata=fact(
        "Whose copy of argv and envp was read: \"kernel\", \"user\" (the caller's memory) or \"unreadable\".",
        Kind.TEXT, column="call"))
    return_value: Errno = field(metadata=fact("The negative errno: -2.", Kind.NUMBER, column="call", csv=3))
    syscall: str | None = field(default="execve", metadata=fact(
        '"execve" or "execveat"; null where the kernel itself started it.',
        Kind.TEXT, column="call", csv=21))
    compat: bool = field(default=False, metadata=fact("A 32-bit system call.", Kind.FLAG, column="call"))
    dirfd: I32 | None = field(default=None, metadata=fact(
        "Of execveat, else null; AT_FDCWD is -100.",
        Kind.NUMBER, column="call"))
    flags: U32 | None = field(default=None, metadata=fact(
        "Of execveat, else null: AT_EMPTY_PATH 0x1000, AT_SYMLINK_NOFOLLOW 0x100, and others.",
        Kind.NUMBER, column="call"))
    check_only: bool = field(default=False, metadata=fact(
        "AT_EXECVE_CHECK: nothing would have been executed.",
        Kind.FLAG, column="call"))
    pid: U32 = field(default=0, metadata=fact(
        "The caller's process (tgid).",
        Kind.NUMBER, storage=Storage.NUMBER, csv=6))
    tid: U32 = field(default=0, metadata=fact(
        "The caller's thread.",
        Kind.NUMBER, storage=Storage.NUMBER, csv=7))
    ppid: U32 = field(default=0, metadata=fact("Its parent process.", Kind.NUMBER, column="family", csv=8))
    uid: U32 = field(default=0, metadata=fact("Real user id.", Kind.NUMBER, column="identity", csv=9))
    euid: U32 = field(default=0, metadata=fact("Effective user id.", Kind.NUMBER, column="identity", csv=10))
    gid: U32 = field(default=0, metadata=fact("Real group id.", Kind.NUMBER, column="identity", csv=11))
    egid: U32 = field(default=0, metadata=fact("Effective group id.", Kind.NUMBER, column="identity"))
    fsuid: U32 = field(default=0, metadata=fact(
        "The user id that counts for file permissions.",
        Kind.NUMBER, column="identity"))
    fsgid: U32 = field(default=0, metadata=fact(
        "The group id that counts for file permissions.",
        Kind.NUMBER, column="identity"))
    groups: tuple[U32, ...] | None = field(default=None, metadata=fact(
        "Supplementary groups; null if there were more than could be read.",
        Kind.NUMBER, column="identity"))
    capabilities: U64 = field(default=0, metadata=fact(
        "Effective capabilities, a bit each (1 << CAP_DAC_OVERRIDE, and so on).",
        Kind.NUMBER, column="identity"))
    comm: str = field(default="", metadata=fact(
        "The caller's command name.",
        Kind.TEXT, column="family", secret=Secret.BY_SHAPE, csv=12))
    parent_comm: str = field(default="", metadata=fact(
        "Its parent's.",
        Kind.TEXT, column="family", secret=Secret.BY_SHAPE, csv=13))
    ancestors: tuple[Ancestor, ...] = field(default=(), metadata=fact(
        "The processes above it, parent first, each with pid and comm: up to init, or 32 of them.",
        column="family", secret=Secret.BY_SHAPE))
    cwd: str | None = field(default=None, metadata=fact(
        "Its working directory, below its root directory.",
        Kind.PATH, column="place", secret=Secret.BY_SHAPE, csv=14))
    root: str | None = field(default=None, metadata=fact(
        "Its root directory if it has changed it (chroot), else null.",
        Kind.PATH, column="place", secret=Secret.BY_SHAPE))
    tty: str | None = field(default=None, metadata=fact(
        'Its terminal, such as "pts/3".',
        Kind.TEXT, column="place", secret=Secret.BY_SHAPE, csv=15))
    cgroup: str | None = field(default=None, metadata=fact(
        'Path of its cgroup (v2), such as "/system.slice/cron.service".',
        Kind.PATH, column="place", secret=Secret.BY_SHAPE, csv=20))
    unit: str | None = field(default=None, metadata=fact(
        "The systemd unit of that cgroup.",
        Kind.TEXT, column="place", secret=Secret.BY_SHAPE, csv=16))
    container_id: str | None = field(default=None, metadata=fact(
        "The container of that cgroup: its id, or its name if it is an LXC container.",
        Kind.TEXT, short=("container",), column="place", secret=Secret.BY_SHAPE, csv=17))
    container_runtime: str | None = field(default=None, metadata=fact(
        'The runtime that made it, if the path shows that: "docker", "containerd", "cri-o", "podman" or '
        '"lxc".',
        Kind.TEXT, short=("runtime",), column="place", csv=18))
    pod_uid: str | None = field(default=None, metadata=fact(
        "The uid of the Kubernetes pod of that cgroup.",
        Kind.TEXT, short=("pod",), column="place", secret=Secret.BY_SHAPE, csv=19))
    mount_ns: U64 | None = field(default=None, metadata=fact(
        "Inode number of its mount namespace.",
        Kind.NUMBER, column="place"))
    foreign_mount_ns: bool = field(default=False, metadata=fact(
        "That mount namespace does not belong to the initial user namespace: its creator can mount "
        "anything there.",
        Kind.FLAG, column="place"))
    pid_ns: U64 | None = field(default=None, metadata=fact(
        "Inode number of its pid namespace.",
        Kind.NUMBER, column="place"))
    foreign_user_ns: bool = field(default=False, metadata=fact(
        "The caller was not in the initial user namespace: its capabilities count only for files of its "
        "own.",
        column="identity", in_file=False))
    shared_directories: bool = field(default=False, metadata=fact(
        "Another task (CLONE_FS) may have changed the caller's working or root directory during the call, "
        "or it is not known that none could.",
        column="place", in_file=False))
    task: int = field(default=0, metadata=fact(
        "Which task it was, 0 if that is unknown; only good for comparing.",
        storage=Storage.NONE, in_file=False))
    started: U63 | None = field(default=None, metadata=fact(
        "When its process started: nanoseconds of the boot clock.",
        Kind.NUMBER, storage=Storage.NUMBER))
    duration_ms: U32 | None = field(default=None, metadata=fact(
        "How long the call took, from its beginning to its return, in milliseconds, rounded up by up to "
        "two ticks of the kernel's clock. If a file changed within that time, the cause is uncertain, "
        "because the kernel may have looked up the file before or after the change. Null if no hook sees "
        "the call begin: for 32-bit calls with the tracepoint plan, and for execs that the kernel starts "
        "itself.",
        Kind.NUMBER, csv=23))
    killed_by: str | None = field(default=None, metadata=fact(
        'The signal, such as "SIGSEGV", if the exec failed after the point of no return.',
        Kind.TEXT, column="call", csv=24))
    diagnosis: Diagnosis | None = field(default=None, metadata=fact("Why it failed."))
    search: Search | None = field(default=None, metadata=fact("The PATH search that this exec belongs to."))
    host: str | None = field(default=None, metadata=fact(
        "The host where it failed; only in a snapshot of several files opened together.",
        Kind.TEXT, column="place", csv=39, only_if_known=True))
    # fmt: on

    @property
    def path_is_proven(self) -> bool:
        """The kernel cannot have had another path than the one that is shown."""
        return self.path_source != "user"

    @property
    @described(fact('Its name: "ENOENT".', after="return_value", csv=2))
    def error(self) -> str:
        """The errno's name: "ENOENT"."""
        return error_name(self.return_value)

    @property
    def footprint(self) -> int:
        """About how many bytes it takes in memory."""
        return size_of_record(self)

    # What every arrival can be asked (``bpf.events.arrivals``).

    event_count: ClassVar[int] = 1

    @property
    def failure(self) -> ExecFailure:
        """Itself."""
        return self

    template = first = last = failure

    def at(self, index: int) -> ExecFailure:
        """Return itself: it is one event."""
        del index
        return self

    def materialize(self) -> ExecFailure:
        """Return itself: it is whole."""
        return self

    def with_template(self, template: ExecFailure) -> ExecFailure:
        """Return the other record: a whole record is its own template."""
        return template
