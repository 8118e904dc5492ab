"""Failures after the point of no return: the old program is gone, and the process is killed."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.caller.lookup import File
from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import advise, limits
from execwhy.tui.why.registry import cause
from execwhy.tui.why.scene import caller, words
from execwhy.tui.why.scene.scene import Scene

_CODE: Final = "killed-after-point-of-no-return"

_OF_MEMORY: Final = frozenset({"ENOMEM", "EFAULT"})
"""A program whose stack may not grow gets EFAULT (setup_arg_pages, fs/exec.c)."""

_OF_CUT_OFF: Final = frozenset({"EIO", "EFAULT"})
"""Errors from reading beyond the end of a file (elf_read) or clearing memory there (padzero)."""

_STACK: Final = 128 << 10
"""Bytes by which the stack of every new program grows (stack_expand in setup_arg_pages, fs/exec.c)."""


@cause(
    "killed-after-point-of-no-return",
    manual="The new program could not be loaded when the old one was already gone, so the process was"
    " killed.",
)
def explain(scene: Scene) -> Diagnosis:
    """Return why the new program could not be loaded, so that the process was killed."""
    record = scene.record
    file = next(scene.files(), None)
    if file is not None:
        name = words.quoted(file.path)
    elif record.path is not None:
        name = words.quoted(record.path)
    else:
        # begin_new_exec() names the task after the program; its path was in the old memory.
        name = f"The program {words.quoted(record.comm)}"
    died = f"; as the old program was gone by then, the process was killed by {record.killed_by}."
    evidence = [f"The kernel met {record.error} when it had already discarded the old program."]
    cut = None if file is None or file.elf is None or file.stat.st_size >= file.elf.loaded_bytes else file.elf
    if cut is not None and file is not None and record.error in _OF_CUT_OFF:
        return scene.diagnosis(
            _CODE,
            f"{name} is cut off: it has {file.stat.st_size:,} bytes, and its headers ask for"
            f" {cut.loaded_bytes:,} ({record.error}){died}",
            f"cut off ELF file; killed by {record.killed_by}",
            *evidence,
            advice="Copy or build it again.",
            lacking="A low limit on its stack gives this error, too." if record.error in _OF_MEMORY else None,
        )
    if record.error in _OF_MEMORY:
        return _of_memory(scene, name, died, evidence, file)
    if record.error == "EMFILE":
        evidence.extend(limits.too_many_files(scene)[0].evidence)
    return scene.diagnosis(
        _CODE,
        f"{name} could not be loaded ({record.error}){died}",
        f"killed by {record.killed_by} while loading ({record.error})",
        *evidence,
        advice=None
        if file is None
        else advise.command(scene, file, "Look at its segments: `readelf -lW {}`."),
        lacking="What could not be done leaves no trace; only the error is known.",
    )


def _of_memory(scene: Scene, name: str, died: str, evidence: list[str], file: File | None) -> Diagnosis:
    """Name the limits on memory that are low; if none is, leave open which memory was lacking."""
    record, low, alive = scene.record, [], False
    for limit in _LIMITS:
        most, whose = limits.limit_of(scene, limit.title)
        alive = alive or whose == "the caller's"
        if most is not None:
            evidence.append(f"{limit.name}, the limit on its {limit.of}, is {whose}: {most:,} bytes.")
            if most < limit.enough:
                low.append((limit, most))
    if not low:
        evidence += limits.tight_memory(scene)
        evidence.append(
            "A segment that cannot be mapped or written also fails like this, for example one below"
            " vm.mmap_min_addr."
        )
        look = (
            None if file is None else advise.command(scene, file, " Look at its segments: `readelf -lW {}`.")
        )
        return scene.diagnosis(
            _CODE,
            f"{name} did not get the memory that it needs to be loaded ({record.error}){died}",
            f"no memory to load it; killed by {record.killed_by}",
            *evidence,
            advice="Look at the limits where it is started (LimitAS= and LimitDATA= of a service, ulimit -a"
            f" in a shell).{look or ''}",
            lacking="None of its limits on memory is low, and what else was lacking leaves no trace."
            if alive
            else f"The process was gone when looked at {scene.later}, and its limits with it; a low one on"
            " its address space or its data (RLIMIT_AS, RLIMIT_DATA) is the usual cause.",
        )
    limit, most = low[0]
    needed = limit.needed(scene)
    enough = alive and len(low) == 1 and most < needed
    limited = words.listed([f"{one.name} to {number:,} bytes of {one.of}" for one, number in low])
    if enough:
        lacking = caller.undated(scene, "Its limit")
    elif alive:
        lacking = f"How much it needs is not known: at least {needed:,} bytes of {limit.of}."
    else:
        lacking = f"The process was gone when looked at {scene.later}: these are its parent's limits."
    return scene.diagnosis(
        _CODE,
        f"{name} could not be loaded ({record.error}), as it is limited by {limited}{died}",
        f"{' or '.join(one.name for one, _ in low)} too low to load it; killed by {record.killed_by}",
        *evidence,
        *((f"Merely to be loaded it needs at least {needed:,} bytes of {limit.of}.",) if enough else ()),
        advice=" ".join(
            f"Raise {one.name}: {one.setting} of the service, or {one.command} in a shell." for one, _ in low
        ),
        lacking=lacking,
    )


def _address_space(scene: Scene) -> int:
    """Return the bytes of its segments, those of its ELF interpreter, and its stack (setup_arg_pages)."""
    return _STACK + sum(file.elf.loaded_bytes for file in scene.files() if file.elf is not None)


def _one_page(scene: Scene) -> int:
    """Return a page: nearly every program has data, and each has its strings on the stack."""
    return mmap.PAGESIZE


@dataclass(frozen=True, slots=True)
class _Limit:
    """A limit on memory.

    Attributes:
        title: Its name in /proc/PID/limits.
        of: What it limits.
        name: Its name for setrlimit(2).
        command: The shell command that shows and sets it.
        setting: Its setting in a systemd unit.
        enough: Bytes that no program exceeds merely by being loaded.
        needed: Returns the bytes that a program needs at least to be loaded.
    """

    title: str
    of: str
    name: str
    command: str
    setting: str
    enough: int
    needed: Callable[[Scene], int]


_LIMITS: Final = (
    _Limit(
        "Max address space", "address space", "RLIMIT_AS", "ulimit -v", "LimitAS=", 1 << 32, _address_space
    ),
    _Limit("Max data size", "data", "RLIMIT_DATA", "ulimit -d", "LimitDATA=", 1 << 32, _one_page),
    _Limit("Max stack size", "stack", "RLIMIT_STACK", "ulimit -s", "LimitSTACK=", _STACK, _one_page),
)
