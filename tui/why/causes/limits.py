"""EAGAIN, EMFILE, ENFILE, ENOMEM: what was too much, against its limit."""

from __future__ import annotations

from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.scene import caller, processes, words
from execwhy.tui.why.scene.credentials import CAP_SYS_ADMIN, CAP_SYS_RESOURCE
from execwhy.tui.why.scene.scene import Scene, read_proc


def too_many_processes(scene: Scene) -> list[Diagnosis]:
    """EAGAIN: RLIMIT_NPROC was exceeded when the caller became this user, and exec tells so."""
    record = scene.record
    limit, whose = limit_of(scene, "Max processes")
    count = processes.threads_of(scene, record.uid)
    name = (
        words.user(record.uid)
        if scene.caller_root is not None and scene.caller_root.own
        else f"uid {record.uid}"
    )
    now = "an unknown number of threads" if count is None else f"{count} thread{'s' * (count != 1)}"
    evidence = [
        f"Counted {scene.later}, over all processes with that real uid; the caller may be gone by then."
    ]
    if limit is not None:
        evidence.append(f"RLIMIT_NPROC is {whose}: {limit}.")
    exempt = bool(record.capabilities & (CAP_SYS_ADMIN | CAP_SYS_RESOURCE))
    shown = "not known any more" if limit is None else str(limit)
    exceeded = limit is not None and count is not None and count >= limit
    return [
        scene.diagnosis(
            "process-limit",
            f"{name} has {now}, and its limit (RLIMIT_NPROC) is {shown}: exec refuses a process that"
            " changed its user id while over the limit.",
            f"{name}: {count} of {shown} processes"
            if exceeded
            else f"{name} was over its process limit{'' if limit is None else f' of {limit}'}",
            *evidence,
            advice=f"Stop processes of {name}, or raise the limit: LimitNPROC= of a service, nproc in"
            " limits.conf, ulimit -u in a shell.",
            lacking=_doubt_of_count(scene, whose, exceeded=exceeded, exempt=exempt)
            or caller.forged(scene)
            or caller.undated(scene, "Its limit"),
        )
    ]


def too_many_files(scene: Scene) -> list[Diagnosis]:
    """EMFILE."""
    limit, whose = limit_of(scene, "Max open files")
    shown = "" if limit is None else f" ({whose} limit is {limit})"
    return [
        scene.diagnosis(
            "descriptor-limit",
            f"The caller has as many open files as it may have{shown}, and this exec needed one more.",
            "too many open files",
            *((f"RLIMIT_NOFILE is {whose}: {limit}.",) if limit is not None else ()),
            "Since Linux 5.8 only a binfmt_misc handler with the flag O needs a descriptor, once the old"
            " program is gone; else it is a filter that says so.",
            advice="Raise the limit (LimitNOFILE= of a service, ulimit -n in a shell) or close files.",
            lacking="How many files it had open was not counted.",
        )
    ]


def file_table_full(scene: Scene) -> list[Diagnosis]:
    """ENFILE."""
    numbers = (read_proc("/proc/sys/fs/file-nr") or "").split()
    shown = f"{numbers[0]} of {numbers[2]} files are open {scene.later}." if len(numbers) == 3 else ""
    is_full = len(numbers) == 3 and int(numbers[0]) >= int(numbers[2])
    return [
        scene.diagnosis(
            "system-file-limit",
            "The whole system has as many open files as it may have (fs.file-max).",
            "system-wide file limit",
            *((shown,) if shown else ()),
            advice="Raise it, such as by `sysctl fs.file-max=1000000`.",
            lacking=caller.forged(scene) or caller.undated(scene, "How full the table is")
            if is_full
            else f"The table is not full {scene.later}.",
        )
    ]


def no_memory(scene: Scene) -> list[Diagnosis]:
    """ENOMEM: which memory ran out cannot be seen afterwards, only what is tight now."""
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
    available = next(
        (
            line
            for line in (read_proc("/proc/meminfo") or "").splitlines()
            if line.startswith("MemAvailable:")
        ),
        "",
    )
    if available:
        evidence.append(f"{' '.join(available.split())} {scene.later}.")
    return [
        scene.diagnosis(
            "out-of-memory",
            "The kernel had no memory for the new program, or a limit on memory forbade it.",
            "no memory",
            *evidence,
            lacking="Which memory ran out leaves no trace.",
        )
    ]


def _doubt_of_count(scene: Scene, whose: str, *, exceeded: bool, exempt: bool) -> str | None:
    if exempt:
        return "It has capabilities that exempt it from the limit, so this may be another shortage."
    if whose == "not known":
        return f"Caller and parent were gone when looked at {scene.later}, so the limit is not known."
    if whose != "the caller's":
        return f"The caller was gone when looked at {scene.later}: the limit is its parent's."
    return None if exceeded else f"When counted {scene.later}, there were no more than the limit."


def limit_of(scene: Scene, name: str) -> tuple[int | None, str]:
    """The soft limit of the caller, or of its parent; None where it is unlimited or not known."""
    for text, whose in (
        (scene.limits, "the caller's"),
        (read_proc(f"/proc/{scene.record.ppid}/limits"), "its parent's"),
    ):
        for line in (text or "").splitlines():
            if line.startswith(name):
                value = line[len(name) :].split()[0]
                return (int(value) if value.isdigit() else None), whose
    return None, "not known"
