"""One failed exec, as the rest of the program sees it.

Text that a process chose is a ``str`` decoded from UTF-8 with ``surrogateescape``, so every byte
survives (``os.fsencode`` gives the bytes back). It is hostile: show it only through
``tui.model.text.printable``. A fact that could not be had is ``None``, never a made-up value.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, overload

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

if TYPE_CHECKING:
    # The process that loads the program reads this module, too, perhaps with a Python that has no numpy.
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "DOUBT", "KERNEL_ONLY_ERRORS", "Ancestor", "ArgumentsSource", "Arrival", "Attempt", "Binary", "Burst",
    "Diagnosis", "Event", "ExecFailure", "Look", "Loss", "Occurrence", "Outcome", "PathSource", "Report",
    "Search", "SearchEnd", "Truncated", "count_of", "error_name", "expand_bursts", "materialize",
    "template_of",
]  # fmt: skip

KERNEL_ONLY_ERRORS: Final = {524: "ENOTSUPP"}
"""Errors of the kernel's include/linux/errno.h that have no name in user space, but for 512 to 516: with
those the kernel makes the call again, so that it has not failed yet."""

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
    binary: Binary | None = field(default=None, metadata=fact("The file itself; null where there was none."))
    interpreter_path: str | None = field(default=None, metadata=fact(
        "The interpreter that the kernel had reached; if it had reached none, the one that the #! line or"
        " PT_INTERP names. Also set for execs that the kernel starts itself.",
        Kind.PATH, short=("interp",), secret=Secret.BY_SHAPE, csv=25))
    stdin_type: U16 = field(default=0, metadata=fact(
        "File type of descriptor 0, as S_IFMT has it; 0 when closed.",
        Kind.OCTAL, column="stdin", csv=31))
    stdin_path: str | None = field(default=None, metadata=fact(
        'Path of descriptor 0; "pipe:[123]" or "socket:[123]" where it has none.',
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
        "Supplementary groups; null where there were more than could be read.",
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
    task: int = field(default=0, metadata=fact(
        "Which task it was, 0 where that is unknown; only good for comparing.",
        in_file=False))
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


@dataclass(frozen=True, slots=True)
class Loss:
    """Events that were lost, at their place in time.

    Attributes:
        timestamp: When the loss was noticed: nanoseconds since 1970 UTC.
        count: How many.
        reason: The name of what was full: "ring buffer full".
        host: Where, as of an ``ExecFailure``.
    """

    timestamp: int
    count: int
    reason: str
    host: str | None = None


@dataclass(frozen=True, slots=True)
class SearchEnd:
    """A task whose last exec failed has now succeeded with another, or has ended.

    Attributes:
        timestamp: Nanoseconds since 1970 UTC.
        task: The ``ExecFailure.task`` of its failures.
        found_path: The path of the exec that succeeded, as the caller gave it; None where the task ended.
        tid: The thread; after an exec it has its process's id.
    """

    timestamp: int
    task: int
    found_path: str | None
    tid: int = 0


class Occurrence(NamedTuple):
    """A failed exec that is like an earlier one in all but these facts, as most are in a storm.

    It is a tuple because making one takes a tenth of the time that a record takes.

    Attributes:
        first: One that is like it, and part of no search.
    """

    first: ExecFailure
    timestamp: int
    pid: int
    tid: int
    task: int
    started: int | None

    def materialize(self) -> ExecFailure:
        """The record of its own."""
        _, timestamp, pid, tid, task, started = self
        return replace(self.first, timestamp=timestamp, pid=pid, tid=tid, task=task, started=started)


@dataclass(frozen=True, slots=True, eq=False)
class Burst:
    """Failed execs of one task, one behind the other, that are alike in all but their moment.

    A core that does nothing but fail brings hundreds of thousands a second, and nothing else is fast enough.

    Attributes:
        last: The last one of them.
        timestamps: When each one failed, ascending: nanoseconds since 1970 UTC.
    """

    last: Occurrence
    timestamps: npt.NDArray[np.int64]

    @property
    def timestamp(self) -> int:
        """When the last one failed."""
        return self.last.timestamp

    def __len__(self) -> int:
        return len(self.timestamps)

    def __getitem__(self, index: int) -> Occurrence:
        return self.last._replace(timestamp=int(self.timestamps[index]))

    def __iter__(self) -> Iterator[Occurrence]:
        first, _, pid, tid, task, started = self.last
        for timestamp in self.timestamps.tolist():
            yield Occurrence(first, timestamp, pid, tid, task, started)

    def split(self, count: int) -> tuple[Burst, Burst]:
        """The first ones, so many, and the others; there must be some of each."""
        return Burst(self[count - 1], self.timestamps[:count]), Burst(self.last, self.timestamps[count:])


Event = ExecFailure | Loss

Arrival = Event | Occurrence | Burst
"""An event as it comes, before anyone looks at it, or many."""

Report = Arrival | SearchEnd
"""What a source hands over: events, and what ends a search of earlier ones."""


@overload
def expand_bursts(reports: Iterable[Arrival]) -> Iterator[Event | Occurrence]: ...
@overload
def expand_bursts(reports: Iterable[Report]) -> Iterator[Event | Occurrence | SearchEnd]: ...
def expand_bursts(reports: Iterable[Report]) -> Iterator[Event | Occurrence | SearchEnd]:
    """The same, with each failed exec of a burst on its own."""
    for report in reports:
        if isinstance(report, Burst):
            yield from report
        else:
            yield report


def count_of(arrival: Arrival) -> int:
    """How many events it is."""
    return len(arrival) if isinstance(arrival, Burst) else 1


def materialize(arrival: Event | Occurrence) -> Event:
    """The event itself."""
    return arrival.materialize() if isinstance(arrival, Occurrence) else arrival


def template_of(failure: ExecFailure | Occurrence) -> ExecFailure:
    """A record that is like it in all but the facts that ``Occurrence`` has."""
    return failure.first if isinstance(failure, Occurrence) else failure
