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

from execwhy.bpf.events.known import size_of_record

if TYPE_CHECKING:
    # The process that loads the program reads this module, too, perhaps with a Python that has no numpy.
    import numpy as np
    import numpy.typing as npt

KERNEL_ONLY_ERRORS: Final = {524: "ENOTSUPP"}
"""Errors of the kernel's include/linux/errno.h that have no name in user space, but for 512 to 516: with
those the kernel makes the call again, so that it has not failed yet."""

ArgumentsSource = Literal["kernel", "user", "unreadable"]
PathSource = Literal["kernel", "unchanged", "user"]
Outcome = Literal["found", "not-found", "open"]


def error_name(return_value: int) -> str:
    """The name of a negative errno, such as "ENOENT" for -2; "E999" for one that has no name."""
    number = -return_value
    return errno.errorcode.get(number) or KERNEL_ONLY_ERRORS.get(number) or f"E{number}"


@dataclass(frozen=True, slots=True)
class Binary:
    """The file that was to be executed.

    Attributes:
        path: Absolute path after following every link, in the caller's root directory.
        device_id: The kernel's s_dev: major << 20 | minor (uint32).
        device: "major:minor", as in /proc/PID/mountinfo.
        inode_number: The inode number (uint64).
        ctime: Last change of the inode, nanoseconds since 1970 UTC.
        inode_mode: The full i_mode, file type and permissions.
        source: "kernel" where it was read from the file that the kernel had open, "resolved" where
            it was looked up by path right after the exec failed.
        uid: Owner, where known.
        gid: Owning group, where known.
        size: Bytes, where known.
    """

    path: str | None
    device_id: int
    device: str
    inode_number: int
    ctime: int
    inode_mode: int
    source: Literal["kernel", "resolved"]
    uid: int | None = None
    gid: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Truncated:
    """What of argv, envp and path was left out, and how much there was.

    Attributes:
        arguments: Some of argv is missing: elements at its end, or the end of an element.
        environment: The same of envp.
        path: The path was longer than what was read (4,095 bytes).
        argc: How many elements argv had; None where its end was not reached.
        envc: How many elements envp had; None where its end was not reached.
        argument_indexes: Elements of ``arguments`` of which only the beginning was read.
        environment_indexes: The same of ``environment``.
        long_argument: After E2BIG: the first argument that was measured, beyond what was read of it, and is
            longer than the kernel takes for one string. None where there is none, or it was not reached.
        long_variable: The same of ``environment``.
    """

    arguments: bool = False
    environment: bool = False
    path: bool = False
    argc: int | None = None
    envc: int | None = None
    argument_indexes: tuple[int, ...] = ()
    environment_indexes: tuple[int, ...] = ()
    long_argument: int | None = None
    long_variable: int | None = None


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A process above the caller: its pid as on the host, and its comm."""

    pid: int
    comm: str


DOUBT: Final = "Not certain: "
"""How a sentence of evidence begins that says why the cause is not certain."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why the exec failed (see ``tui.why.causes``).

    Attributes:
        code: Stable, kebab-case: "missing-interpreter".
        summary: One sentence.
        evidence: The facts that were looked at, one sentence each.
        advice: One sentence that says what to do, or None.
        certain: False where evidence is missing or contradictory.
        brief: The summary in as few words as a table column has room for.
    """

    code: str
    summary: str
    evidence: tuple[str, ...] = ()
    advice: str | None = None
    certain: bool = True
    brief: str = ""

    @property
    def names_its_doubt(self) -> bool:
        """One of the evidence says why the cause is not certain."""
        return any(sentence.startswith(DOUBT) for sentence in self.evidence)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a failed exec found, by a process of its own, after the record was written.

    Attributes:
        diagnosis: Why the exec failed.
        binary: The file; None where there is none, or where the record's own says more.
        interpreter_path: Its interpreter, likewise.
        cgroup: The cgroup that says most of where the caller runs, on a host with v1 hierarchies; None where
            that is the record's own.
    """

    diagnosis: Diagnosis
    binary: Binary | None = None
    interpreter_path: str | None = None
    cgroup: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a PATH search: the path as the caller gave it, and the negative errno."""

    path: str
    return_value: int


@dataclass(frozen=True, slots=True)
class Search:
    """The PATH search that an exec belongs to.

    Attributes:
        id: The same for all its tries, and for no other search of this recording.
        name: What was searched for: the last component of every try's path.
        tries: How many execs failed.
        outcome: "found", "not-found", or "open" while it is not known.
        found_path: Where it was found, as the caller gave it.
        attempts: All tries, oldest first; only on the try whose row stands for the whole search.
        folded: This try is told by another one's row. Neither this nor ``attempts`` is in a file.
    """

    id: int
    name: str
    tries: int
    outcome: Outcome
    found_path: str | None = None
    attempts: tuple[Attempt, ...] = ()
    folded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecFailure:
    """One exec that failed.

    Attributes:
        timestamp: When the exec returned: nanoseconds since 1970 UTC, from the kernel's boot clock.
        path: The path as the caller gave it; None where the caller's memory could not be read.
        path_source: "kernel" where it is the kernel's own copy; "unchanged" where it was read in the caller's
            memory before the kernel copied it and is the same there afterwards, and nobody else had that
            memory; "user" where it was read there and may have been another when the kernel copied it.
        path_afterwards: What the caller's memory said when the exec had failed, where that is not ``path``,
            which it said before the kernel copied it: the kernel had either of them. Else None.
        binary: The file itself, where there was one.
        interpreter_path: The interpreter that the kernel was using; where the exec failed before it had
            come to one, the one that the file names in its ``#!`` line or PT_INTERP.
        stdin_type: inode mode of fd 0 & S_IFMT; 0 when closed.
        stdin_path: Path of fd 0; "pipe:[123]" and "socket:[123]" where it has none.
        kernel_invoked: The kernel itself started this exec (usermodehelper).
        arguments: argv. An element that could not be read is None.
        environment: envp, "NAME=value" each. An element that could not be read is None.
        truncated: What is missing of them.
        arguments_source: Whose copy of argv and envp was read.
        return_value: The negative errno.
        syscall: "execve", "execveat", or None when kernel_invoked.
        compat: A 32-bit system call.
        dirfd: Of execveat, else None. AT_FDCWD is -100.
        flags: Of execveat, else None (AT_EMPTY_PATH 0x1000, AT_SYMLINK_NOFOLLOW 0x100, ...).
        check_only: AT_EXECVE_CHECK: nothing would have been executed.
        pid: The caller's process (tgid), as on the host.
        tid: The caller's thread, as on the host.
        ppid: The parent process, as on the host.
        uid: Real user id, in the initial user namespace, as every id here.
        euid: Effective user id.
        gid: Real group id.
        egid: Effective group id.
        fsuid: The user id that the kernel checks file permissions with.
        fsgid: The group id that the kernel checks file permissions with.
        groups: Supplementary groups; None where there were more than could be read.
        capabilities: Effective capabilities, a bit each (1 << CAP_DAC_OVERRIDE, ...).
        comm: The caller's command name.
        parent_comm: Its parent's.
        ancestors: Parent first; ends at pid 1 or after as many as were read.
        cwd: The caller's working directory, below its root directory.
        root: The caller's root directory where it has changed it (chroot), else None.
        tty: Its controlling terminal, such as "pts/3", or None.
        cgroup: Path of its cgroup (v2), such as "/system.slice/cron.service".
        unit: systemd unit of that cgroup.
        container_id: Container id of that cgroup.
        container_runtime: What made that container: "docker", "containerd", "cri-o", "podman" or "lxc";
            None where the cgroup does not tell.
        pod_uid: Uid of the Kubernetes pod of that cgroup.
        mount_ns: Inode number of its mount namespace.
        foreign_mount_ns: That mount namespace belongs to another user namespace than the first one, so
            whoever made it mounts there what they like.
        pid_ns: Inode number of its pid namespace.
        foreign_user_ns: The caller was in another user namespace than the first one, so its capabilities
            count only for files of that one; in no file.
        task: Which task it was, 0 where that is unknown; only good for comparing, and in no file.
        started: When the caller's process started: nanoseconds of the boot clock.
        duration_ms: How long the call took, in milliseconds: the ticks of the kernel's clock that it lasted,
            rounded up. None where no hook saw it begin.
        killed_by: The signal ("SIGSEGV") when the failure came after the point of no return.
        diagnosis: Why it failed.
        search: The PATH search that it belongs to.
        host: Where it failed, where records of several hosts are together; else the file's header tells it.
    """

    timestamp: int
    path: str | None
    return_value: int
    path_source: PathSource = "user"
    path_afterwards: str | None = None
    binary: Binary | None = None
    interpreter_path: str | None = None
    stdin_type: int = 0
    stdin_path: str | None = None
    kernel_invoked: bool = False
    arguments: tuple[str | None, ...] = ()
    environment: tuple[str | None, ...] = ()
    truncated: Truncated = field(default_factory=Truncated)
    arguments_source: ArgumentsSource = "user"
    syscall: str | None = "execve"
    compat: bool = False
    dirfd: int | None = None
    flags: int | None = None
    check_only: bool = False
    pid: int = 0
    tid: int = 0
    ppid: int = 0
    uid: int = 0
    euid: int = 0
    gid: int = 0
    egid: int = 0
    fsuid: int = 0
    fsgid: int = 0
    groups: tuple[int, ...] | None = None
    capabilities: int = 0
    comm: str = ""
    parent_comm: str = ""
    ancestors: tuple[Ancestor, ...] = ()
    cwd: str | None = None
    root: str | None = None
    tty: str | None = None
    cgroup: str | None = None
    unit: str | None = None
    container_id: str | None = None
    container_runtime: str | None = None
    pod_uid: str | None = None
    mount_ns: int | None = None
    foreign_mount_ns: bool = False
    pid_ns: int | None = None
    foreign_user_ns: bool = False
    task: int = 0
    started: int | None = None
    duration_ms: int | None = None
    killed_by: str | None = None
    diagnosis: Diagnosis | None = None
    search: Search | None = None
    host: str | None = None

    @property
    def path_is_proven(self) -> bool:
        """The kernel cannot have had another path than the one that is shown."""
        return self.path_source != "user"

    @property
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
