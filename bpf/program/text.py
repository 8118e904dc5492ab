"""The C text of the BPF program: generated declarations and numbers, then its parts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.events.clock import TICK_NS
from execwhy.bpf.events.source import Capture
from execwhy.bpf.events.users import subordinate_span
from execwhy.bpf.program import direct_map, layout, limits, members
from execwhy.bpf.program.arch.machines import architecture
from execwhy.bpf.program.headers import kernel_version
from execwhy.bpf.program.plans import Plan

PARTS: Final = (
    "base.c",
    "kernel.c",
    "arch/{machine}.c",
    "users.c",
    "walk.c",
    "strings.c",
    "caller.c",
    "path.c",
    "readings.c",
    "binprm.c",
    "binprm_record.c",
    "output.c",
    "searches.c",
    "capture.c",
    "write.c",
    "hooks.c",
    "hooks_fexit.c",
    "hooks_kprobe.c",
    "hooks_bprm.c",
    "hooks_task.c",
)
"""Each uses only those before it; ``machine`` is the name of the architecture's descriptor."""

DIRECTORY: Final = os.path.dirname(os.path.abspath(__file__))
"""Where the parts are."""

FEATURES: Final = ("JOINED", "FEXIT", "PERF_BUFFER", "COPIES", "ALL_FAILURES")
"""Macros that base.c explains."""

MAX_PERF_RECORD: Final = 32760
"""Bytes that perf_submit takes at once on 5.4: with the length in front, 32 KiB."""

_F_MMAPABLE: Final = 1 << 10
_SHARED_MEMORY: Final = (5, 5)
"""The first Linux version with BPF_F_MMAPABLE."""

_MEMORY_UNTIL_FREED: Final = (5, 9)
"""The first Linux version whose free_bprm still has a failed exec's new memory (alloc_bprm of fs/exec.c)."""

_JIFFIES: Final = (5, 9)
"""The first Linux version in which a program at any hook may call bpf_jiffies64."""

ON_MEMORY: Final = 0x6F6E5F6D656D6F72
"""Placeholder in the code for the address of its function ``on_memory``, which is known once it is loaded."""

EVENTS_MAP: Final = 0x65766E74
"""Placeholder in the code for the descriptor of the map ``events``: bcc 0.26 cannot query its positions."""

_NUMBERS: Final = {
    # include/uapi/asm-generic/signal.h, errno-base.h; include/linux/err.h
    "SIGKILL": 9,
    "SIGSEGV": 11,
    "E2BIG": 7,
    "ENOMEM": 12,
    "EFAULT": 14,
    "MAX_ERRNO": 4095,
    # Bytes of argv and envp that no exec exceeds: bprm_stack_limits of fs/exec.c allows 6 MiB.
    "MAX_STRINGS": 64 << 20,
    "SPARE_SCRATCHES": 8,
    "VM_SHARED": 8,  # include/linux/mm.h
    "FUSE_SUPER_MAGIC": 0x65735546,  # fs/fuse/inode.c
    # Numbers of helpers (include/uapi/linux/bpf.h), for which older versions of bcc have no name.
    "HELPER_get_current_task_btf": 158,
    "HELPER_find_vma": 180,
    "GOLDEN_RATIO_64": 0x9E37_79B9_7F4A_7C15,  # 2^64 divided by the golden ratio
    "NS_PER_S": 1_000_000_000,
    "ON_MEMORY": ON_MEMORY,
    "EVENTS_MAP": EVENTS_MAP,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the BPF program.

    Attributes:
        plan: Name of the hook plan, or None for the best one.
        max_args_bytes: Bytes of argv to read.
        max_env_bytes: Bytes of envp to read.
        ring_bytes: Size of the ring buffer: a power of two, at least a page.
        capture: The capture filter; it takes effect before the first hook is attached.
        all_failures: Attach the plan's ``all_failures`` hooks, too.
        types: Source of the kernel's types, "btf" or "headers"; None takes BTF if there is any.
        exec_binprm: A kernel function that a test attaches to instead of exec_binprm.
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
    """Return one more than the highest CPU number that can ever be used (cpu_possible_mask)."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
        return int(file.read().strip().replace(",", "-").split("-")[-1]) + 1


def online_cpus() -> list[int]:
    """Return the numbers of the CPUs that are running."""
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
    """Return the C text for a plan on this kernel.

    Args:
        settings: Sizes.
        plan: The plan.
        types: Offsets and sizes of the kernel's structures, by the names that the program uses.
        arguments: Number of arguments of kernel functions, by their names.
        typed: The verifier knows the type of the current task (``bpf.load.support.knows_types``).
        finds_memory: A program may call bpf_find_vma (``bpf.load.support.finds_memory``).

    Raises:
        MachineError: There is no descriptor of this machine's architecture.
    """
    text = declarations(settings, plan, types, arguments, typed=typed, finds_memory=finds_memory)
    for name in part_names():
        with open(os.path.join(DIRECTORY, name), encoding="utf-8") as file:
            text += f'#line 1 "{name}"\n{file.read()}'
    return text


def part_names() -> list[str]:
    """Return the file names of the parts on this machine, relative to ``DIRECTORY``; raise MachineError."""
    machine = architecture().machine
    return [name.format(machine=machine) for name in PARTS]


def declarations(
    settings: Settings,
    plan: Plan,
    types: Mapping[str, int],
    arguments: Mapping[str, int],
    *,
    typed: bool = False,
    finds_memory: bool = False,
) -> str:
    """Return the generated C text in front of the parts; takes and raises the same as ``source``."""
    features = {name: int(name in plan.features) for name in FEATURES}
    features["ALL_FAILURES"] = int(settings.all_failures and bool(plan.all_failures))
    numbers = {**_NUMBERS, **architecture().numbers, **features, **types}
    if "JOINED" in plan.features:
        numbers |= direct_map.numbers()
    numbers["MEMORY_UNTIL_FREED"] = int(_release() >= _MEMORY_UNTIL_FREED)
    numbers["SHARED_MEMORY"] = _F_MMAPABLE if _release() >= _SHARED_MEMORY else 0
    # The legacy plan is the same text on all kernels, so it calls only what 5.4 has.
    has_jiffies = _release() >= _JIFFIES and not features["PERF_BUFFER"]
    numbers["HAS_JIFFIES"] = int(has_jiffies)
    numbers["TICK_NS"] = TICK_NS if has_jiffies else limits.NS_PER_MS
    numbers["BPRM_EXECVE"] = int("free_bprm" not in arguments)
    numbers["BPRM_EXECVE_ARGUMENTS"] = arguments.get("bprm_execve", 0)
    numbers["TYPED"] = int(typed)
    numbers["FINDS_MEMORY"] = int(finds_memory)
    numbers["CPUS"] = possible_cpus()
    numbers["RING_PAGES"] = settings.ring_bytes // os.sysconf("SC_PAGE_SIZE")
    numbers["RING_BYTES"] = settings.ring_bytes
    numbers["FIRST_SUBORDINATE"], numbers["AFTER_SUBORDINATE"] = subordinate_span()
    max_record = MAX_PERF_RECORD if features["PERF_BUFFER"] else None
    structs = layout.c_declarations(settings.max_args_bytes, settings.max_env_bytes, max_record)
    return structs + members.defines(numbers)


def _release() -> tuple[int, int]:
    return kernel_version(os.uname().release)[:2]
