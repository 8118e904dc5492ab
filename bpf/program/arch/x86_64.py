"""x86_64, with 32-bit (IA32) and x32 callers."""

from __future__ import annotations

from typing import Final

from execwhy.bpf.program.arch.descriptor import Architecture, DirectMap, EntryPoints, Registers

_X32_SYSCALL_BIT: Final = 0x40000000
"""Set in the number of an x32 call (arch/x86/include/uapi/asm/unistd.h)."""

_CANONICAL_48: Final = 0xFFFF
"""The top 16 bits of every kernel address that four levels of page tables reach."""


def _levels(direct_map: int) -> int:
    """Return the number of page-table levels: with five, the direct map begins below any 48-bit address."""
    return 4 if direct_map >> 48 == _CANONICAL_48 else 5


X86_64: Final = Architecture(
    machine="x86_64",
    # arch/x86/entry/syscalls/syscall_64.tbl, syscall_32.tbl
    bpf=321,
    perf_event_open=298,
    numbers={
        "NR_execve": 59,
        "NR_execveat": 322,
        "NR_x32_execve": _X32_SYSCALL_BIT + 520,
        "NR_x32_execveat": _X32_SYSCALL_BIT + 545,
        "NR_ia32_execve": 11,
        "NR_ia32_execveat": 358,
        "TS_COMPAT": 2,  # arch/x86/include/asm/thread_info.h
    },
    entry_points=(
        EntryPoints("64-bit callers", ("__x64_sys_execve", "__x64_sys_execveat"), optional=False),
        EntryPoints(
            "32-bit callers", ("__ia32_compat_sys_execve", "__ia32_compat_sys_execveat"), optional=True
        ),
        EntryPoints(
            "x32 callers",
            (
                "__x64_compat_sys_execve",  # since 5.11
                "__x64_compat_sys_execveat",
                "__x32_compat_sys_execve",
                "__x32_compat_sys_execveat",
            ),
            optional=True,
        ),
    ),
    registers=Registers(
        "pt_regs",
        of_calls=("r10", "bx", "r8", "cx", "dx", "si", "di", "orig_ax"),
        of_functions=("di", "si", "dx", "ax"),
    ),
    members=("task_struct.thread_info.status",),
    direct_map=DirectMap(
        end=0xFFFF_FFFF_8000_0000,  # __START_KERNEL_map (arch/x86/include/asm/page_64_types.h)
        alignment=1 << 30,  # KASLR moves page_offset_base by whole PUDs (arch/x86/mm/kaslr.c)
        levels=_levels,
    ),
    keeps_order=True,  # Intel SDM volume 3, "Memory Ordering": only a load may pass an earlier store
)
