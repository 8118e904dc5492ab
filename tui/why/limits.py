"""E2BIG, EAGAIN, EMFILE, ENFILE, ENOMEM: what was too much, against its limit."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import Final

from bpf.record import Diagnosis, ExecFailure
from tui.why import processes, words
from tui.why.credentials import CAP_SYS_ADMIN, CAP_SYS_RESOURCE
from tui.why.scene import Scene, read_proc

MAX_ARG_STRLEN: Final = 32 * mmap.PAGESIZE
"""The longest single string with its NUL: 32 pages (include/uapi/linux/binfmts.h)."""

ARG_MAX: Final = 131_072
"""What argv and envp get however small the stack may be (bprm_stack_limits, fs/exec.c)."""

MOST_FOR_STRINGS: Final = 6 << 20
"""Three quarters of _STK_LIM (8 MiB): what they get at most."""

_POINTER_BYTES: Final = 8
"""The kernel counts its own pointer size, for 32-bit callers too."""


@dataclass(frozen=True, slots=True)
class Text:
    """One string of argv or envp: its name to the operator, its bytes with the NUL, whether it is whole."""

    name: str
    size: int
    whole: bool


def texts_of(record: ExecFailure) -> list[Text]:
    """The strings that were read, the largest first. A variable is named, never shown."""
    truncated = record.truncated
    texts = [
        Text(f"argument {number}", len(os.fsencode(value)) + 1, number not in truncated.argument_indexes)
        for number, value in enumerate(record.arguments)
        if value is not None
    ]
    for number, value in enumerate(record.environment):
        if value is not None:
            name, equals, _ = value.partition("=")
            shown = f"variable {words.quoted(name)}" if equals else f"environment element {number}"
            whole = number not in truncated.environment_indexes
            texts.append(Text(shown, len(os.fsencode(value)) + 1, whole))
    return sorted(texts, key=lambda text: -text.size)


def too_big(scene: Scene) -> list[Diagnosis]:
    """E2BIG."""
    record, truncated = scene.record, scene.record.truncated
    texts = texts_of(record)
    stack, whose = _limit(scene, "Max stack size")
    limit = MOST_FOR_STRINGS if stack is None else max(ARG_MAX, min(stack // 4, MOST_FOR_STRINGS))
    argc = truncated.argc if truncated.argc is not None else len(record.arguments)
    envc = truncated.envc if truncated.envc is not None else len(record.environment)
    path = len(os.fsencode(record.path or "")) + 1
    total = sum(text.size for text in texts) + path + _POINTER_BYTES * (argc + envc)
    unread = (*record.arguments, *record.environment).count(None)
    complete = not (truncated.arguments or truncated.environment or unread) and all(t.whole for t in texts)
    least = "" if complete else "at least "
    shown = [
        f"{count:,}" if known is not None else f"at least {count:,}"
        for count, known in ((argc, truncated.argc), (envc, truncated.envc))
    ]
    evidence = [
        f"argc is {shown[0]}, envc is {shown[1]}; with their pointers and the path they take {least}{total:,}"
        " bytes.",
        f"The kernel takes {limit:,} bytes in all ({_stack_words(stack, whose)}) and"
        f" {MAX_ARG_STRLEN:,} for one string.",
    ]
    if texts:
        largest = texts[0]
        more = "" if largest.whole else " or more"
        of = "The largest string is" if complete else "The largest string that was read is"
        evidence.append(f"{of} {largest.name} with {largest.size:,} bytes{more}.")
    long = next((text for text in texts if text.size > MAX_ARG_STRLEN), None)
    if long is not None:
        return [_string_too_long(scene, long, f"{long.size:,}", evidence, certain=True)]
    if total > limit:
        return [_all_too_long(scene, f"{least}{total:,}", limit, evidence, certain=whose == "the caller's")]
    cut = [text for text in texts if not text.whole]
    if len(cut) == 1 and not unread and argc + envc == len(texts):
        # All others are whole and far from the limit together.
        rest = total - cut[0].size
        if rest + MAX_ARG_STRLEN < limit:
            size, sure = f"more than {MAX_ARG_STRLEN:,}", whose == "the caller's"
            return [_string_too_long(scene, cut[0], size, evidence, certain=sure)]
    return [
        scene.diagnosis(
            "arguments-too-big",
            f"argv and envp are too big: {shown[0]} arguments and {shown[1]} variables, of which"
            f" {sum(text.size for text in texts):,} bytes were read.",
            f"argv and envp are too big ({shown[0]} and {shown[1]} strings)",
            *evidence,
            "Whether one string or all of them were too long cannot be told from what was read of them.",
            advice="Pass long lists through a file or standard input, such as with xargs.",
            certain=False,
        )
    ]


def _string_too_long(scene: Scene, text: Text, size: str, evidence: list[str], *, certain: bool) -> Diagnosis:
    argument = text.name.startswith("argument")
    return scene.diagnosis(
        "argument-too-long" if argument else "variable-too-long",
        f"{text.name[0].upper()}{text.name[1:]} has {size} bytes; the kernel takes"
        f" {MAX_ARG_STRLEN:,} bytes for one string.",
        f"{text.name} is too long",
        *evidence,
        advice="Pass it through a file or standard input."
        if argument
        else "Unset the variable, or pass its value through a file.",
        certain=certain,
    )


def _all_too_long(scene: Scene, total: str, limit: int, evidence: list[str], *, certain: bool) -> Diagnosis:
    return scene.diagnosis(
        "arguments-too-big",
        f"argv and envp take {total} bytes together; the kernel takes {limit:,} here.",
        f"argv and envp take {total} bytes of {limit:,}",
        *evidence,
        advice="Pass long lists in parts, such as with xargs, or raise the stack limit (ulimit -s).",
        certain=certain,
    )


def _stack_words(stack: int | None, whose: str) -> str:
    if stack is None:
        why = "its limit is not known" if whose == "not known" else f"{whose} stack is unlimited"
        return f"three quarters of 8 MiB, as {why}"
    return f"a quarter of {whose} stack limit of {stack:,}, between 128 KiB and 6 MiB"


def too_many_processes(scene: Scene) -> list[Diagnosis]:
    """EAGAIN: RLIMIT_NPROC was exceeded when the caller became this user, and exec tells so."""
    record = scene.record
    limit, whose = _limit(scene, "Max processes")
    count = processes.threads_of(scene, record.uid)
    name = words.user(record.uid) if scene.vantage is not None and scene.vantage.own else f"uid {record.uid}"
    now = "an unknown number of threads" if count is None else f"{count} thread{'s' * (count != 1)}"
    evidence = [
        f"Counted {scene.later}, over all processes with that real uid; the caller may be gone by then."
    ]
    if limit is not None:
        evidence.append(f"RLIMIT_NPROC is {whose}: {limit}.")
    if record.capabilities & (CAP_SYS_ADMIN | CAP_SYS_RESOURCE):
        evidence.append("It has capabilities that exempt it from the limit, so this is another shortage.")
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
            advice=f"Raise the limit (ulimit -u, LimitNPROC=) or stop processes of {name}.",
            certain=exceeded and whose == "the caller's" and len(evidence) == 2,
        )
    ]


def too_many_files(scene: Scene) -> list[Diagnosis]:
    """EMFILE."""
    limit, whose = _limit(scene, "Max open files")
    shown = "" if limit is None else f" ({whose} limit is {limit})"
    return [
        scene.diagnosis(
            "descriptor-limit",
            f"The caller has as many open files as it may have{shown}, and this exec needed one more.",
            "too many open files",
            *((f"RLIMIT_NOFILE is {whose}: {limit}.",) if limit is not None else ()),
            "Since Linux 5.8 only a binfmt_misc handler with the flag O needs a descriptor, once the old"
            " program is gone; else it is a filter that says so.",
            advice="Raise the limit (ulimit -n, LimitNOFILE=) or close files.",
            certain=False,
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
            advice="Raise the sysctl fs.file-max.",
            certain=is_full,
        )
    ]


def no_memory(scene: Scene) -> list[Diagnosis]:
    """ENOMEM: which memory ran out cannot be seen afterwards, only what is tight now."""
    evidence = []
    cgroup = f"/sys/fs/cgroup{scene.record.cgroup or ''}"
    most, used = read_proc(f"{cgroup}/memory.max"), read_proc(f"{cgroup}/memory.current")
    if most is not None and used is not None and "/../" not in f"{cgroup}/":
        evidence.append(f"Its cgroup uses {used.strip()} bytes of memory; its limit is {most.strip()}.")
    space, whose = _limit(scene, "Max address space")
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
            certain=False,
        )
    ]


def _limit(scene: Scene, name: str) -> tuple[int | None, str]:
    """The soft limit of the caller, or of its parent; None where it is unlimited or not known."""
    for text, whose in (
        (scene.of_caller("limits"), "the caller's"),
        (read_proc(f"/proc/{scene.record.ppid}/limits"), "its parent's"),
    ):
        for line in (text or "").splitlines():
            if line.startswith(name):
                value = line[len(name) :].split()[0]
                return (int(value) if value.isdigit() else None), whose
    return None, "not known"
