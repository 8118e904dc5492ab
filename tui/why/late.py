"""Failures after the point of no return: the old program is gone, and the process is killed."""

from __future__ import annotations

from typing import Final

from bpf.lookup import File
from bpf.record import Diagnosis
from tui.why import limits, words
from tui.why.scene import Scene, inodes

_OF_ADDRESS_SPACE: Final = "RLIMIT_AS "


def explain(scene: Scene) -> Diagnosis:
    """The process was killed because the new program could not be set up."""
    record = scene.record
    file = next(scene.files(), None)
    if file is not None:
        name = words.quoted(file.path)
    elif record.path is not None:
        name = words.quoted(record.path)
    else:
        # begin_new_exec() names the task after the program; the path went with the old memory.
        name = f"The program {words.quoted(record.comm)}"
    evidence = [
        f"The kernel had already discarded the old program when it met {record.error}, so there was none to"
        " return to."
    ]
    memory = limits.no_memory(scene)[0].evidence
    evidence.extend(fact for fact in memory if record.error == "ENOMEM" or fact.startswith(_OF_ADDRESS_SPACE))
    if record.error == "ENOMEM":
        evidence.append("A segment that cannot be mapped, such as one below vm.mmap_min_addr, fails so, too.")
    if record.error == "EMFILE":
        evidence.extend(limits.too_many_files(scene)[0].evidence)
    cut = None if file is None or file.elf is None or file.stat.st_size >= file.elf.loaded_bytes else file.elf
    if cut is not None and file is not None:
        return scene.diagnosis(
            "killed-after-point-of-no-return",
            f"{name} is shorter than its headers say (it has {file.stat.st_size:,} bytes, and they tell to"
            f" load {cut.loaded_bytes:,}). It could not be loaded ({record.error}), and as the old program"
            f" was gone by then, the process was killed by {record.killed_by}.",
            f"ELF file too short; killed by {record.killed_by}",
            *evidence,
            advice="Copy or build it again.",
            about=inodes(file),
        )
    return scene.diagnosis(
        "killed-after-point-of-no-return",
        f"{name} could not be loaded ({record.error}), and as the old program was gone by then, the"
        f" process was killed by {record.killed_by}.",
        f"killed by {record.killed_by} while loading",
        *evidence,
        advice=_advice(evidence, file),
        about=() if file is None else inodes(file),
    )


def _advice(evidence: list[str], file: File | None) -> str | None:
    if any(fact.startswith(_OF_ADDRESS_SPACE) for fact in evidence):
        return "Raise the limit on its address space (ulimit -v, LimitAS=)."
    return None if file is None else f"Look at its segments: `readelf -lW {words.shell(file.path)}`."
