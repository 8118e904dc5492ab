"""Parse the first bytes of a file as the kernel does (fs/binfmt_script.c, fs/binfmt_elf.c)."""

from __future__ import annotations

import enum
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

BINPRM_BUF_SIZE: Final = 256
"""Bytes of a file by which the kernel recognizes its format (include/uapi/linux/binfmts.h, since 5.1)."""

MAX_INTERPRETER_BYTES: Final = 4096
"""PATH_MAX: a longer PT_INTERP is ENOEXEC (load_elf_binary)."""

MAX_PROGRAM_HEADERS: Final = 256
"""Most program headers that are read. Real programs have about 13."""

MAX_PROGRAM_HEADER_BYTES: Final = 65536
"""More bytes of program headers are ENOEXEC (load_elf_phdrs)."""

PT_LOAD: Final = 1
PT_INTERP: Final = 3
ET_EXEC: Final = 2
ET_DYN: Final = 3
_BLANKS: Final = b" \t"
_ENDS: Final = b" \t\0"

Read = Callable[[int, int], bytes]
"""Reads ``count`` bytes at ``offset`` of the file; fewer at its end."""


class ShebangFault(enum.Enum):
    """Why a line that begins with ``#!`` names no interpreter, so that the kernel returns ENOEXEC."""

    NO_INTERPRETER = "no interpreter"
    TOO_LONG = "too long"


@dataclass(frozen=True, slots=True)
class Shebang:
    """A ``#!`` line as load_script() of the kernel reads it.

    Attributes:
        line: The line up to its newline, or as far as the kernel looks.
        interpreter: The path that the kernel opens; None with a ``fault``.
        argument: The single argument, including blanks; may be empty. None if there is none.
        fault: Why there is no interpreter.
    """

    line: bytes
    interpreter: str | None
    argument: str | None = None
    fault: ShebangFault | None = None


def read_shebang(head: bytes) -> Shebang | None:
    """Return the ``#!`` line of a file's first bytes; None if they do not begin with ``#!``."""
    if not head.startswith(b"#!"):
        return None
    buffer = head[:BINPRM_BUF_SIZE].ljust(BINPRM_BUF_SIZE, b"\0")
    newline = _newline(buffer)
    if newline is None:
        line = head[: BINPRM_BUF_SIZE - 1].split(b"\0")[0]
        # The last byte can end the name, but does not belong to the line.
        body = buffer[2:]
        begin = _skip(body, 0, _BLANKS)
        if begin == len(body) or _find(body, begin, _ENDS) == len(body):
            return Shebang(line, None, fault=ShebangFault.TOO_LONG)
        body = body[:-1]
    else:
        line = buffer[:newline]
        body = line[2:]
        begin = _skip(body, 0, _BLANKS)
    body = body.rstrip(_BLANKS)
    if begin >= len(body):
        return Shebang(line, None, fault=ShebangFault.NO_INTERPRETER)
    end = _find(body, begin, _ENDS)
    argument = None
    if end < len(body) and body[end] != 0:
        rest = body[_skip(body, end, _BLANKS) :]
        # To the kernel, blanks before the end of the file are an empty argument; at the end of a line they
        # are not.
        argument = os.fsdecode(rest.split(b"\0")[0]) if rest else None
    return Shebang(line, os.fsdecode(body[begin:end]), argument)


def _newline(buffer: bytes) -> int | None:
    """Return the position of the first newline, unless a NUL comes before it (strnchr stops there)."""
    newline, nul = buffer.find(b"\n"), buffer.find(b"\0")
    return None if newline < 0 or 0 <= nul < newline else newline


def _skip(data: bytes, begin: int, what: bytes) -> int:
    while begin < len(data) and data[begin] in what:
        begin += 1
    return begin


def _find(data: bytes, begin: int, what: bytes) -> int:
    while begin < len(data) and data[begin] not in what:
        begin += 1
    return begin


class ElfFault(enum.Enum):
    """A defect that makes an ELF file impossible to run on any machine."""

    SHORT_HEADER = "the file ends within its ELF header"
    NO_PROGRAM_HEADERS = "it has no program headers"
    MANY_PROGRAM_HEADERS = "it has more than 64 KiB of program headers"
    HEADER_SIZE = "its program headers have the wrong size"
    CUT_OFF = "the file ends before its program headers do"
    INTERPRETER_CUT_OFF = "the file ends before the name of its ELF interpreter does"
    INTERPRETER_SIZE = "the name of its ELF interpreter has an impossible length"
    INTERPRETER_OPEN = "the name of its ELF interpreter does not end"


@dataclass(frozen=True, slots=True)
class Elf:
    """The header of an ELF file (elf(5)).

    Attributes:
        bits: 32 or 64.
        big_endian: Its byte order.
        type: e_type: 1 relocatable, 2 executable, 3 shared object or position-independent, 4 core.
        machine: e_machine.
        interpreter: PT_INTERP, such as "/lib64/ld-linux-x86-64.so.2"; None if there is none.
        fault: What is wrong with it.
        needed_bytes: Least size of a file without this ``fault``.
        loaded_bytes: Least size of a file that has everything it asks to load (PT_LOAD).
        read_to: Number of bytes from the beginning of the file that all this was read from.
    """

    bits: int
    big_endian: bool
    type: int
    machine: int
    interpreter: str | None = None
    fault: ElfFault | None = None
    needed_bytes: int = 0
    loaded_bytes: int = 0
    read_to: int = 0


def read_elf(head: bytes, read: Read) -> Elf | None:
    """Return the ELF header and PT_INTERP of a file; None if it is no ELF file."""
    if not head.startswith(b"\x7fELF"):
        return None
    wide, big = head[4:5] != b"\1", head[5:6] == b"\2"
    order = ">" if big else "<"
    bits, size, entry = (64, 64, 56) if wide else (32, 52, 32)
    if len(head) < size:
        kind, machine = struct.unpack(f"{order}HH", head[16:20]) if len(head) >= 20 else (0, 0)
        return Elf(bits, big, kind, machine, None, ElfFault.SHORT_HEADER, size, read_to=len(head))
    kind, machine = struct.unpack_from(f"{order}HH", head, 16)
    (offset,) = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", head, 32 if wide else 28)
    entry_size, count = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)

    loaded, read_to = 0, size

    def elf(interpreter: str | None = None, fault: ElfFault | None = None, needed_bytes: int = 0) -> Elf:
        return Elf(bits, big, kind, machine, interpreter, fault, needed_bytes, loaded, read_to)

    if count == 0:
        return elf(fault=ElfFault.NO_PROGRAM_HEADERS)
    if entry_size != entry:
        return elf(fault=ElfFault.HEADER_SIZE)
    if count * entry > MAX_PROGRAM_HEADER_BYTES:
        return elf(fault=ElfFault.MANY_PROGRAM_HEADERS)
    wanted, end = min(count, MAX_PROGRAM_HEADERS) * entry, offset + count * entry
    table = head[offset : offset + wanted]
    if len(table) < wanted:
        table = read(wanted, offset)
    if len(table) < wanted or not (end <= len(head) or read(1, end - 1)):
        return elf(fault=ElfFault.CUT_OFF, needed_bytes=end)
    read_to = max(read_to, offset + wanted)
    entries = [(struct.unpack_from(f"{order}I", table, at)[0], at) for at in range(0, wanted, entry)]
    loaded = max((sum(_extent(table, at, order, wide)) for what, at in entries if what == PT_LOAD), default=0)
    at = next((at for what, at in entries if what == PT_INTERP), None)
    if at is None:
        return elf()
    begin, length = _extent(table, at, order, wide)
    if not 2 <= length <= MAX_INTERPRETER_BYTES:
        return elf(fault=ElfFault.INTERPRETER_SIZE)
    name = head[begin : begin + length]
    if len(name) < length:
        name = read(length, begin)
    if len(name) < length:
        return elf(fault=ElfFault.INTERPRETER_CUT_OFF, needed_bytes=begin + length)
    read_to = max(read_to, begin + length)
    if name[-1] != 0:
        return elf(fault=ElfFault.INTERPRETER_OPEN)
    return elf(os.fsdecode(name.split(b"\0")[0]))


def _extent(table: bytes, at: int, order: str, wide: bool) -> tuple[int, int]:
    """Return p_offset and p_filesz of a program header."""
    if wide:
        begin, length = struct.unpack_from(f"{order}Q16xQ", table, at + 8)
    else:
        begin, length = struct.unpack_from(f"{order}I8xI", table, at + 4)
    return begin, length
