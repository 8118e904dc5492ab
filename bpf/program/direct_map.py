"""Where the kernel has all physical memory in its own address space (x86_64: page_offset_base)."""

from __future__ import annotations

import os
import struct
from functools import cache
from typing import Final

_KCORE: Final = "/proc/kcore"
_ELF_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")
_PT_LOAD: Final = 1
_NOWHERE: Final = 0xFFFF_FFFF_FFFF_FFFF
"""The physical address of what is none of it (fs/proc/kcore.c)."""
_KERNEL_TEXT: Final = 0xFFFF_FFFF_8000_0000
"""From there on are the kernel itself and its modules (__START_KERNEL_map, asm/page_64_types.h)."""
_ALIGNMENT: Final = 1 << 30
"""KASLR moves it by whole PUDs (arch/x86/mm/kaslr.c)."""


@cache
def direct_map() -> int | None:
    """The address at which physical address 0 is; None where this kernel does not tell it.

    /proc/kcore describes each piece of memory by both of its addresses. It is not there under lockdown, nor
    without CONFIG_PROC_KCORE.
    """
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
        if kind == _PT_LOAD and physical != _NOWHERE and virtual < _KERNEL_TEXT:
            found.add(virtual - physical)
    found = {base for base in found if base > 0 and base % _ALIGNMENT == 0}
    return found.pop() if len(found) == 1 else None
