"""EAGAIN, EMFILE, ENFILE, ENOMEM: what was counted, and its limit."""

from __future__ import annotations

import errno
import os
from typing import Final

from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import unknown
from execwhy.tui.why.registry import NEVER_SHARED, Stage, cause, finds
from execwhy.tui.why.scene import caller, words
from execwhy.tui.why.scene.credentials import CAP_SYS_ADMIN, CAP_SYS_RESOURCE
from execwhy.tui.why.scene.proc import read_proc
from execwhy.tui.why.scene.processes import holders
from execwhy.tui.why.scene.scene import Scene

FAR_BELOW: Final = 2
"""A count below the limit divided by this was not at the limit some milliseconds before, at the exec."""

_CALLERS: Final = "the caller's"
_PARENTS: Final = "its parent's"
_UNKNOWN: Final = "not known"

_ITS_LIMIT: Final = {_CALLERS: "its limit", _PARENTS: "its parent's limit"}

_AT_ONCE: Final = 1024
"""Descriptors that are counted between two looks at the clock."""


@finds(errno.EAGAIN, stage=Stage.CALL)
@cause(
    "process-limit",
    errno.EAGAIN,
    manual="The user has more processes than RLIMIT_NPROC allows, or may have had.",
    reads=(NEVER_SHARED,),
)
def too_many_processes(scene: Scene) -> list[Diagnosis]:
    """Compare the user's threads with RLIMIT_NPROC, which exec checks after a change of the user (EAGAIN)."""
    record = scene.record
    limit, whose = limit_of(scene, "Max processes")
    count = holders.threads_of(scene, record.uid)
    name = (
        words.user(record.uid)
        if scene.caller_root is not None and scene.caller_root.own
        else f"uid {record.uid}"
    )
    now = "an unknown number of threads" if count is None else f"{count:,} thread{'s' * (count != 1)}"
    evidence = [
        f"Counted {scene.later}, over all processes with that real uid; the caller may be gone by then."
    ]
    if limit is not None:
        evidence.append(f"RLIMIT_NPROC is {whose}: {limit:,}.")
    if limit is not None:
        shown = f"{_ITS_LIMIT[whose]} (RLIMIT_NPROC) is {limit:,}"
    elif whose == _UNKNOWN:
        shown = "its limit (RLIMIT_NPROC) is no longer known"
    else:
        shown = f"{_ITS_LIMIT[whose]} (RLIMIT_NPROC) is unlimited"
    # A user namespace has limits of its own, set when it was made.
    if whose == _CALLERS and not record.foreign_user_ns and _is_far_below(count, limit):
        return [unknown.contradicted(scene, f"{name} has {now}, and {shown}", *evidence)]
    exempt = bool(record.capabilities & (CAP_SYS_ADMIN | CAP_SYS_RESOURCE))
    exceeded = limit is not None and count is not None and count >= limit
    refuses = "exec refuses a process that changed its user id while over the limit."
    return [
        scene.diagnosis(
            "process-limit",
            f"{name} has {now}, and {shown}: {refuses}"
            if exceeded
            else f"{name} may have been over its process limit: {scene.later} it has {now}, and {shown};"
            f" {refuses}",
            f"{name}: {count} of {limit} processes"
            if exceeded
            else f"perhaps over the process limit of {name}",
            *evidence,
            *(() if exceeded else _forged(scene)),
            advice=f"Stop processes of {name}, or raise the limit: LimitNPROC= of a service, nproc in"
            " limits.conf, ulimit -u in a shell.",
            lacking=_doubt_of_count(scene, whose, exceeded=exceeded, exempt=exempt)
            or caller.forged(scene)
            or caller.undated(scene, "Its limit"),
        )
    ]


@finds(errno.EMFILE, stage=Stage.CALL)
@cause(
    "descriptor-limit",
    errno.EMFILE,
    manual="The caller may have reached its limit of open files.",
    reads=(NEVER_SHARED,),
)
def too_many_files(scene: Scene) -> list[Diagnosis]:
    """Compare the caller's open files with RLIMIT_NOFILE (EMFILE)."""
    limit, whose = limit_of(scene, "Max open files")
    count = _open_files(scene)
    has = "" if count is None else f"the caller has {count:,} open file{'s' * (count != 1)}"
    evidence = (
        *((f"RLIMIT_NOFILE is {whose}: {limit:,}.",) if limit is not None else ()),
        "Since Linux 5.8 only a binfmt_misc handler with the flag O needs a descriptor, once the old"
        " program is gone; otherwise a filter has made this error.",
    )
    if whose == _CALLERS and limit is not None and _is_far_below(count, limit):
        return [unknown.contradicted(scene, f"{has}, and its limit (RLIMIT_NOFILE) is {limit:,}", *evidence)]
    shown = "" if limit is None else f" ({_ITS_LIMIT[whose]} is {limit:,})"
    counted = f"; {scene.later} it has {count:,}" if count is not None else ""
    return [
        scene.diagnosis(
            "descriptor-limit",
            f"The caller may have reached its limit of open files{shown}, while this exec needed one"
            f" more{counted}.",
            "too many open files",
            *evidence,
            *_forged(scene),
            advice="Raise the limit (LimitNOFILE= of a service, ulimit -n in a shell) or close files.",
            lacking="How many files it had open was not counted."
            if count is None
            else caller.undated(scene, "How many files it has open"),
        )
    ]


def _open_files(scene: Scene) -> int | None:
    """Return how many descriptors the calling thread has; None where it is gone or has too many to count."""
    if scene.process.thread is None:
        return None
    count = 0
    try:
        with os.scandir(f"{scene.process.thread}/fd") as entries:
            for _ in entries:
                count += 1
                if not count % _AT_ONCE and scene.out_of_time:
                    return None
    except OSError:
        return None
    return count


@finds(errno.ENFILE, stage=Stage.CALL)
@cause(
    "system-file-limit",
    errno.ENFILE,
    manual="The system has reached its limit of open files, or may have.",
    reads=(NEVER_SHARED,),
)
def file_table_full(scene: Scene) -> list[Diagnosis]:
    """Compare the open files of the whole system with fs.file-max (ENFILE)."""
    numbers = [int(number) for number in (read_proc("/proc/sys/fs/file-nr") or "").split()]
    is_known = len(numbers) == 3
    shown = f"{numbers[0]:,} of {numbers[2]:,} files are open" if is_known else ""
    is_full = is_known and numbers[0] >= numbers[2]
    if is_known and _is_far_below(numbers[0], numbers[2]):
        return [unknown.contradicted(scene, f"{shown} in the whole system (fs.file-max)")]
    return [
        scene.diagnosis(
            "system-file-limit",
            "The whole system has reached its limit of open files (fs.file-max)."
            if is_full
            else "The whole system may have reached its limit of open files (fs.file-max).",
            "system-wide file limit",
            *((f"{shown} {scene.later}.",) if shown else ()),
            advice="Raise it, for example with `sysctl fs.file-max=1000000`.",
            lacking=caller.forged(scene) or caller.undated(scene, "How full the table is")
            if is_full
            else f"The table is not full {scene.later}.",
        )
    ]


def _forged(scene: Scene) -> tuple[str, ...]:
    """Return the doubt that the error was made by another, beside what else is lacking."""
    forged = caller.forged(scene)
    return () if forged is None else (words.doubt(forged),)


def _is_far_below(count: int | None, limit: int | None) -> bool:
    """Return whether a count is so far below its limit that it was not at it; None: unknown, unlimited."""
    return count is not None and (limit is None or count * FAR_BELOW < limit)


@finds(errno.ENOMEM, stage=Stage.CALL)
@cause(
    "out-of-memory",
    errno.ENOMEM,
    manual="There may have been no memory, or a limit was reached; the evidence lists the limits.",
    reads=(NEVER_SHARED,),
)
def no_memory(scene: Scene) -> list[Diagnosis]:
    """Report which memory is tight now (ENOMEM); which one ran out leaves no trace."""
    return [
        scene.diagnosis(
            "out-of-memory",
            "The kernel may have had no memory for the new program, or a limit on memory may have forbidden"
            " it.",
            "no memory",
            *tight_memory(scene),
            *_forged(scene),
            lacking="Which memory ran out leaves no trace.",
        )
    ]


def tight_memory(scene: Scene) -> list[str]:
    """Return which limits on memory there are, and how much of it is left, a sentence each."""
    evidence = []
    cgroup = f"/sys/fs/cgroup{scene.record.cgroup or ''}"
    most, used = read_proc(f"{cgroup}/memory.max"), read_proc(f"{cgroup}/memory.current")
    if most is not None and used is not None and "/../" not in f"{cgroup}/":
        evidence.append(f"Its cgroup uses {used.strip()} bytes of memory; its limit is {most.strip()}.")
    space, whose = limit_of(scene, "Max address space")
    if space is not None:
        evidence.append(f"RLIMIT_AS is {whose}: {space:,} bytes.")
    overcommit = (read_proc("/proc/sys/vm/overcommit_memory") or "").strip()
    if overcommit == "2":
        evidence.append("The sysctl vm.overcommit_memory is 2, so memory is refused before it runs out.")
    lines = (read_proc("/proc/meminfo") or "").splitlines()
    evidence += [
        f"{' '.join(line.split())} {scene.later}." for line in lines if line.startswith("MemAvailable:")
    ]
    return evidence


def _doubt_of_count(scene: Scene, whose: str, *, exceeded: bool, exempt: bool) -> str | None:
    if exempt:
        return "It has capabilities that exempt it from the limit, so this may be another shortage."
    if whose == _UNKNOWN:
        return f"Caller and parent were gone when looked at {scene.later}, so the limit is not known."
    if whose != _CALLERS:
        return f"The caller was gone when looked at {scene.later}: the limit is its parent's."
    return None if exceeded else f"When counted {scene.later}, there were no more than the limit."


def limit_of(scene: Scene, name: str) -> tuple[int | None, str]:
    """Return a soft limit and whose it is, the caller's or its parent's; None if unlimited or not known."""
    for text, whose in (
        (scene.process.limits, _CALLERS),
        (read_proc(f"/proc/{scene.record.ppid}/limits"), _PARENTS),
    ):
        for line in (text or "").splitlines():
            if line.startswith(name):
                value = line[len(name) :].split()[0]
                return (int(value) if value.isdigit() else None), whose
    return None, _UNKNOWN
