"""Faults of ELF files, and programs for other machines."""

from __future__ import annotations

import errno
import os
from typing import Final

from execwhy.bpf.caller.binfmt import ET_DYN, ET_EXEC, Elf, ElfFault
from execwhy.bpf.caller.lookup import File
from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import chain
from execwhy.tui.why.registry import cause
from execwhy.tui.why.scene import handlers, words
from execwhy.tui.why.scene.files import Interpreter
from execwhy.tui.why.scene.scene import Scene

# e_machine, from the ELF registry of the generic ABI.
_MACHINES: Final = {
    0: "no machine",
    1: "WE 32100", 2: "sparc", 3: "i386", 4: "m68k", 5: "m88k", 6: "i486", 7: "i860", 8: "mips", 9: "s370",
    10: "mips R3000 LE", 15: "parisc", 17: "vpp500", 18: "sparc32plus", 19: "i960", 20: "ppc", 21: "ppc64",
    22: "s390x", 23: "spu", 36: "v800", 37: "fr20", 38: "rh32", 39: "rce", 40: "arm", 41: "alpha", 42: "sh",
    43: "sparc64", 44: "tricore", 45: "arc", 46: "h8/300", 47: "h8/300h", 48: "h8s", 49: "h8/500", 50: "ia64",
    51: "mips-x", 52: "coldfire", 62: "x86_64", 63: "pdsp", 64: "pdp10", 65: "pdp11", 75: "vax",
    76: "cris", 80: "mmix", 83: "avr", 84: "fr30", 85: "d10v", 86: "d30v", 87: "v850", 88: "m32r",
    89: "mn10300", 90: "mn10200", 91: "picojava", 92: "openrisc", 93: "arc compact", 94: "xtensa",
    105: "msp430", 106: "blackfin", 113: "nios2", 164: "hexagon", 167: "nds32", 181: "intel l10m",
    183: "aarch64", 185: "avr32", 187: "tile64", 188: "tilepro", 189: "microblaze", 190: "cuda",
    191: "tilegx", 195: "arc compact 2", 214: "rl78", 220: "z80", 224: "amdgpu", 243: "riscv", 247: "bpf",
    251: "nec vector engine", 252: "csky", 258: "loongarch", 0x5441: "frv", 0x9026: "alpha", 0xA390: "s390",
}  # fmt: skip

_RISCV, _LOONGARCH, _X86_64, _PPC64 = 243, 258, 62, 21

# What each kernel runs: (bits, e_machine), its own first.
_NATIVE: Final = {
    "x86_64": ((64, 62), (32, 3), (32, 6), (32, 62)),
    "i686": ((32, 3), (32, 6)),
    "i586": ((32, 3), (32, 6)),
    "aarch64": ((64, 183), (32, 40)),
    "armv7l": ((32, 40),),
    "armv6l": ((32, 40),),
    "riscv64": ((64, 243), (32, 243)),
    "ppc64le": ((64, 21), (32, 20)),
    "ppc64": ((64, 21), (32, 20)),
    "s390x": ((64, 22),),
    "loongarch64": ((64, 258),),
    "mips64": ((64, 8), (32, 8)),
}
_BIG_ENDIAN: Final = frozenset({"ppc64", "s390x", "mips64"})

_MAGIC: Final = b"\x7fELF"
_NO_OFFSET: Final = 1 << 62
_AGAIN: Final = "Copy or build it again."

_TYPES: Final = {1: "an object file that is not linked yet", 4: "a core dump"}


def machine_name(elf: Elf) -> str:
    """Return the machine that a file is for, by the name that uname has for it, if any."""
    if elf.machine in (_RISCV, _LOONGARCH):
        return f"{_MACHINES[elf.machine]}{elf.bits}"
    if elf.machine == _X86_64 and elf.bits == 32:
        return "x32"
    if elf.machine == _PPC64:
        return "ppc64" if elf.big_endian else "ppc64le"
    if elf.machine == 183 and elf.big_endian:
        return "aarch64_be"
    return _MACHINES.get(elf.machine, f"machine {elf.machine}")


def is_foreign(elf: Elf, machine: str) -> bool:
    """Return whether a kernel for ``machine`` never runs a file; False if that is not known."""
    native = _NATIVE.get(machine)
    if native is None:
        return False
    return (elf.bits, elf.machine) not in native or elf.big_endian != (machine in _BIG_ENDIAN)


@cause(
    "32-bit-not-supported",
    errno.ENOEXEC,
    manual="The program needs 32-bit support, which is disabled or not built in.",
)
@cause("truncated-elf", errno.ENOEXEC, manual="The ELF file is shorter than its headers.")
@cause("malformed-elf", errno.ENOEXEC, manual="An ELF file with a fault in its headers.")
@cause(
    "not-an-executable-elf", errno.ENOEXEC, manual="An ELF file of another type: an object file, a core dump."
)
def unrunnable(scene: Scene, file: File) -> Diagnosis | None:
    """Report why the kernel cannot run an ELF file (ENOEXEC)."""
    elf, machine = file.elf, os.uname().machine
    if elf is None:
        return _cut_before_header(scene, file)
    name = words.quoted(file.path)
    if elf.fault is not ElfFault.SHORT_HEADER and is_foreign(elf, machine):
        return _wrong_class(scene, file, elf, machine) or _foreign(scene, file, elf, machine)
    if elf.fault in (ElfFault.SHORT_HEADER, ElfFault.CUT_OFF):
        return scene.diagnosis(
            "truncated-elf",
            f"{name} is cut off: it has {file.stat.st_size:,} bytes, and its ELF headers alone need"
            f" {elf.needed_bytes:,}.",
            "a truncated ELF file",
            advice=_AGAIN,
        )
    if elf.type not in (ET_EXEC, ET_DYN):
        what = _TYPES.get(elf.type, f"of the type {elf.type}, which is not executable")
        return scene.diagnosis(
            "not-an-executable-elf",
            f"{name} is an ELF file that cannot be executed: {what}.",
            what,
        )
    if elf.fault is not None:
        return scene.diagnosis(
            "malformed-elf", f"{name} is an ELF file, but {elf.fault.value}.", "a malformed ELF file",
            advice=_AGAIN,
        )  # fmt: skip
    if (elf.bits, elf.machine) != _NATIVE.get(machine, ((elf.bits, elf.machine),))[0]:
        return scene.diagnosis(
            "32-bit-not-supported",
            f"{name} is a {machine_name(elf)} program, which this {machine} kernel can run only if"
            " its 32-bit support is on.",
            f"{machine_name(elf)} programs are not supported",
            "What the file holds is in order.",
            lacking="Whether this kernel has that support was not checked; nothing else explains the error.",
        )
    return None


def _cut_before_header(scene: Scene, file: File) -> Diagnosis | None:
    if not file.head or not _MAGIC.startswith(file.head):
        return None
    return scene.diagnosis(
        "truncated-elf",
        f"{words.quoted(file.path)} is cut off: it has only the beginning of an ELF file's first four bytes.",
        "a truncated ELF file",
        f"It has {len(file.head)} of them.",
        advice=_AGAIN,
    )


def _wrong_class(scene: Scene, file: File, elf: Elf, machine: str) -> Diagnosis | None:
    """Report a machine that this kernel runs, in an ELF class that has no programs for it."""
    if elf.big_endian or all(elf.machine != native for _, native in _NATIVE.get(machine, ())):
        return None
    return scene.diagnosis(
        "malformed-elf",
        f"{words.quoted(file.path)} is an ELF file, but its header contradicts itself: there are no"
        f" {elf.bits}-bit programs for {machine_name(elf)}.",
        "a malformed ELF file",
        f"EI_CLASS says {elf.bits} bits, e_machine is {elf.machine}.",
        advice=_AGAIN,
    )


@cause("foreign-architecture", errno.ENOEXEC, manual="An ELF file for another machine, which is named.")
def _foreign(scene: Scene, file: File, elf: Elf, machine: str) -> Diagnosis:
    handler = handlers.handler_of(file, scene.record.path or "")
    emulation: tuple[str, ...] = ()
    lacking = None
    if handler is None:
        emulation = ("No emulator is registered for it (binfmt_misc).",)
    elif handler.enabled:
        lacking = f"The emulator {words.quoted(handler.name)} of binfmt_misc would take it now."
    else:
        emulation = (f"Its emulator {words.quoted(handler.name)} is disabled (binfmt_misc).",)
    return scene.diagnosis(
        "foreign-architecture",
        f"{words.quoted(file.path)} was built for {machine_name(elf)}, and this machine is {machine}.",
        f"built for {machine_name(elf)}, this is {machine}",
        f"ELF class {elf.bits} bits, {'big' if elf.big_endian else 'little'} endian, e_machine"
        f" {elf.machine}.",
        *emulation,
        advice=f"Use a build for {machine} (of a container's image: --platform), or install an emulator,"
        " such as qemu-user-static.",
        lacking=lacking,
    )


@cause(
    "bad-elf-interpreter",
    errno.ELIBBAD,
    manual="The ELF interpreter is not an ELF file, is malformed, or is for another machine.",
)
def bad_interpreter(scene: Scene, interpreter: Interpreter) -> Diagnosis | None:
    """Report a file that is named as ELF interpreter and is none (ELIBBAD)."""
    file = interpreter.resolved.file if interpreter.resolved is not None else None
    if interpreter.of.elf is None or file is None:
        return None
    if file.elf is None:
        why = "is no ELF file"
    elif is_foreign(file.elf, os.uname().machine) or file.elf.machine != interpreter.of.elf.machine:
        why = f"was built for {machine_name(file.elf)}, the program for {machine_name(interpreter.of.elf)}"
    elif file.elf.fault is not None:
        why = f"is a bad ELF file: {file.elf.fault.value}"
    else:
        return None
    return scene.diagnosis(
        "bad-elf-interpreter",
        f"The ELF interpreter {words.quoted(interpreter.path)} of {words.quoted(interpreter.of.path)} {why}.",
        f"bad ELF interpreter {interpreter.path}",
    )


@cause(
    "truncated-elf",
    errno.EIO,
    errno.EINVAL,
    manual="The ELF file is cut off before what its headers point to.",
)
@cause(
    "malformed-elf",
    errno.EIO,
    errno.EINVAL,
    manual="The headers of the ELF file point to an offset that no file can have.",
)
def cut_off(scene: Scene, file: File) -> Diagnosis | None:
    """Report headers that point beyond the end of the file (EIO)."""
    elf = file.elf
    if elf is None or elf.fault not in (ElfFault.INTERPRETER_CUT_OFF, ElfFault.CUT_OFF):
        return None
    if elf.needed_bytes >= _NO_OFFSET:
        return scene.diagnosis(
            "malformed-elf",
            f"{chain.subject(scene, file)} is an ELF file, but its headers point to byte"
            f" {elf.needed_bytes:,}, where no file has any.",
            chain.brief(scene, file, "a malformed ELF file"),
            advice=_AGAIN,
        )
    return scene.diagnosis(
        "truncated-elf",
        f"{chain.subject(scene, file)} is cut off: it has {file.stat.st_size:,} bytes, and its headers"
        f" point to byte {elf.needed_bytes:,}.",
        chain.brief(scene, file, "a truncated ELF file"),
        advice=_AGAIN,
    )
