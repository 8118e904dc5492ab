"""Find the address at which the kernel maps all physical memory in its own address space."""

from __future__ import annotations

import os
import struct
from functools import cache
from typing import Final

from execwhy.bpf.program.arch.machines import architecture

_KCORE: Final = "/proc/kcore"
_ELF_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")
_PT_LOAD: Final = 1
_NOWHERE: Final = 0xFFFF_FFFF_FFFF_FFFF
"""The physical address of a segment that is not physical memory (fs/proc/kcore.c)."""


@cache
def direct_map() -> int | None:
    """Return the kernel's address of physical address 0; None if it is not needed here, or not available.

    /proc/kcore has both addresses of each piece of memory. It is missing under lockdown and without
    CONFIG_PROC_KCORE.
    """
    facts = architecture().direct_map
    if facts is None:
        return None
    try:
        with open(_KCORE, "rb", buffering=0) as file:
            header = _ELF_HEADER.unpack(os.pread(file.fileno(), _ELF_HEADER.size, 0))
            start, size, count = header[5], header[9], header[10]
            table = os.pread(file.fileno(), size * count, start)
    except (OSError, struct.error):
        return None
    found = set()
    for index in range(count):
        kind, _, _, virtual, physical, *_ = _PROGRAM_HEADER.unpack_from(table, index * size)
        if kind == _PT_LOAD and physical != _NOWHERE and virtual < facts.end:
            found.add(virtual - physical)
    found = {base for base in found if base > 0 and base % facts.alignment == 0}
    return found.pop() if len(found) == 1 else None


def numbers() -> dict[str, int]:
    """Return the numbers by which the BPF program finds the kernel's copy of argv and envp; {} if none."""
    facts, base = architecture().direct_map, direct_map()
    if facts is None or base is None:
        return {}
    return {"COPIES": 1, "DIRECT_MAP": base, "PAGE_TABLE_LEVELS": facts.levels(base)}
