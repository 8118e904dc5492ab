"""The text of the BPF program: its parts, and in front of them all numbers that it is made with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.events.clock import TICK_NS
from execwhy.bpf.events.source import Capture
from execwhy.bpf.events.users import subordinate_span
from execwhy.bpf.program import btf, direct_map, layout
from execwhy.bpf.program.arch.machines import architecture
from execwhy.bpf.program.headers import kernel_version
from execwhy.bpf.program.plans import Plan

PARTS: Final = (
    "exec_failures.c",
    "arch/{machine}.c",
    "strings.c",
    "caller.c",
    "path.c",
    "binprm.c",
    "write.c",
    "hooks.c",
)
"""In the order in which they use each other; ``machine`` is the descriptor's name."""

FEATURES: Final = ("JOINED", "FEXIT", "PERF_BUFFER", "COPIES", "ALL_FAILURES")

MAX_PERF_RECORD: Final = 32760
"""Bytes that perf_submit takes at once on 5.4, with the length that it puts in front (32 KiB)."""

_F_MMAPABLE: Final = 1 << 10
_SHARED_MEMORY: Final = (5, 5)
"""BPF_F_MMAPABLE, and since when Linux has it."""

_MEMORY_UNTIL_FREED: Final = (5, 9)
"""Since then free_bprm still has the new memory of an exec that failed (fs/exec.c, alloc_bprm)."""

_JIFFIES: Final = (5, 9)
"""Since then a program of any hook may ask for the kernel's ticks (bpf_jiffies64)."""

ON_MEMORY: Final = 0x6F6E5F6D656D6F72
"""Stands in the code for the address of its function ``on_memory``, which is known once it is loaded."""

EVENTS_MAP: Final = 0x65766E74
"""Stands in the code for the descriptor of the map of events: bcc 0.26 cannot ask how full it is."""

_NUMBERS: Final = {
    "SIGKILL": 9,
    "SIGSEGV": 11,
    "E2BIG": 7,
    "ENOMEM": 12,
    "EFAULT": 14,
    "MAX_STRINGS": 64 << 20,
    "SPARE_SCRATCHES": 8,
    "VM_SHARED": 8,
    "FUSE_SUPER_MAGIC": 0x65735546,
    "ON_MEMORY": ON_MEMORY,
    "EVENTS_MAP": EVENTS_MAP,
}
"""Signals and errors; bytes of argv and envp that no exec exceeds (bprm_stack_limits of fs/exec.c: 6 MiB);
VM_SHARED (include/linux/mm.h), FUSE_SUPER_MAGIC (fs/fuse/inode.c)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the BPF program is made for.

    Attributes:
        plan: Name of the hook plan, or None for the best one.
        max_args_bytes: Bytes of argv to read.
        max_env_bytes: Bytes of envp to read.
        ring_bytes: Size of the ring buffer: a power of two, a page at least.
        capture: In force before the first hook is.
        types: Where the kernel's types come from, "btf" or "headers"; None takes BTF where there is any.
        all_failures: Attach to what sees the failures that the plan's own hooks do not, too.
    """

    plan: str | None
    max_args_bytes: int
    max_env_bytes: int
    ring_bytes: int
    capture: Capture | None = None
    all_failures: bool = False
    types: str | None = None
    exec_binprm: str | None = None


def possible_cpus() -> int:
    """One more than the highest CPU number that can ever be used (cpu_possible_mask)."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
        return int(file.read().strip().replace(",", "-").split("-")[-1]) + 1


def online_cpus() -> list[int]:
    """The CPUs that are running."""
    with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
        ranges = [part.split("-") for part in file.read().strip().split(",")]
    return [cpu for ends in ranges for cpu in range(int(ends[0]), int(ends[-1]) + 1)]


def source(
    settings: Settings,
    plan: Plan,
    types: Mapping[str, int],
    arguments: Mapping[str, int],
    *,
    typed: bool = False,
    finds_memory: bool = False,
) -> str:
    """The C text for a plan on this kernel.

    Args:
        settings: Sizes.
        plan: The plan.
        types: Offsets and sizes of the kernel's structures, by the names that the program uses.
        arguments: How many arguments a kernel function has, by its name.
        typed: The verifier knows the type of the current task (``bpf.load.support.knows_types``).
        finds_memory: A program may ask what an address is mapped to (``bpf.load.support.finds_memory``).

    Raises:
        MachineError: There is no descriptor of this machine's architecture.
    """
    features = {name: int(name in plan.features) for name in FEATURES}
    features["ALL_FAILURES"] = int(settings.all_failures and bool(plan.all_failures))
    here = architecture()
    numbers = {**_NUMBERS, **here.numbers, **features, **types}
    if "JOINED" in plan.features:
        numbers |= direct_map.numbers()
    numbers["MEMORY_UNTIL_FREED"] = int(_release() >= _MEMORY_UNTIL_FREED)
    numbers["SHARED_MEMORY"] = _F_MMAPABLE if _release() >= _SHARED_MEMORY else 0
    # The legacy plan is one text for all kernels: what it calls is in 5.4.
    has_jiffies = _release() >= _JIFFIES and not features["PERF_BUFFER"]
    numbers["HAS_JIFFIES"] = int(has_jiffies)
    numbers["TICK_NS"] = TICK_NS if has_jiffies else layout.NS_PER_MS
    numbers["BPRM_EXECVE"] = int("free_bprm" not in arguments)
    numbers["BPRM_EXECVE_ARGUMENTS"] = arguments.get("bprm_execve", 0)
    numbers["TYPED"] = int(typed)
    numbers["FINDS_MEMORY"] = int(finds_memory)
    numbers["CPUS"] = possible_cpus()
    numbers["RING_PAGES"] = settings.ring_bytes // os.sysconf("SC_PAGE_SIZE")
    numbers["RING_BYTES"] = settings.ring_bytes
    numbers["FIRST_SUBORDINATE"], numbers["AFTER_SUBORDINATE"] = subordinate_span()
    most = MAX_PERF_RECORD if features["PERF_BUFFER"] else None
    declarations = layout.c_declarations(settings.max_args_bytes, settings.max_env_bytes, most)
    return (
        declarations
        + btf.defines(numbers)
        + "".join(_part(name.format(machine=here.machine)) for name in PARTS)
    )


def _release() -> tuple[int, int]:
    return kernel_version(os.uname().release)[:2]


def _part(name: str) -> str:
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return f'#line 1 "{name}"\n{file.read()}'
