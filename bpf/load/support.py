"""Find out what this kernel allows, by trying: each answer is None, or a sentence that says why not."""

from __future__ import annotations

import errno
import os
import resource
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Final

from execwhy.bpf.maps.syscalls import (
    EVENT_SOURCES,
    MAP_TYPE_RINGBUF,
    PROG_TYPE_KPROBE,
    PROG_TYPE_RAW_TRACEPOINT,
    PROG_TYPE_TRACING,
    TRACE_FEXIT,
    attach_kprobe,
    attach_raw_tracepoint,
    attach_trampoline,
    create_map,
    load_program,
)
from execwhy.bpf.program.arch.machines import MachineError, architecture
from execwhy.bpf.program.btf import BtfError, offsets
from execwhy.bpf.program.plans import PLANS, Need, Plan

# r0 = 0; exit
_RETURN_ZERO: Final = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)
_INSTRUCTION_SIZE: Final = 8
_PRIVILEGES: Final = 1 << 38 | 1 << 39
"""CAP_PERFMON and CAP_BPF (include/uapi/linux/capability.h)."""
_ALL_IDS: Final = ["0", "0", "4294967295"]
"""The uid_map of the first user namespace (user_namespaces(7))."""
_CURRENT_TASK_BTF: Final = 158
"""The helper bpf_get_current_task_btf (include/uapi/linux/bpf.h)."""
_FIND_VMA: Final = 180
"""The helper bpf_find_vma."""


class KernelError(Exception):
    """This kernel or this user cannot run the program; the message is one sentence that says what to do."""


def _refusal(error: OSError) -> str:
    name = errno.errorcode.get(error.errno or 0, str(error.errno))
    if error.errno == errno.EPERM and os.geteuid() != 0:
        return f"{name}: it needs root, or CAP_BPF and CAP_PERFMON"
    if error.errno == errno.EPERM:
        return f"{name}: {_who_forbids()}"
    return f"{name}: {os.strerror(error.errno or 0)}"


def _who_forbids(lockdown: str = "/sys/kernel/security/lockdown") -> str:
    """Return why root may not load BPF programs."""
    try:
        with open(lockdown, encoding="ascii") as file:
            mode = file.read().partition("[")[2].partition("]")[0]
    except OSError:
        mode = ""
    if mode == "confidentiality":
        return "kernel lockdown is in confidentiality mode, boot with lockdown=integrity to allow it"
    if _holds_privileges():
        return "the host or a security module forbids it, although this root has CAP_BPF and CAP_PERFMON"
    return "this root lacks CAP_BPF and CAP_PERFMON, run it on the host or in a privileged container"


def _holds_privileges() -> bool:
    """Return whether this process has CAP_BPF and CAP_PERFMON in the first user namespace."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            line = next(line for line in file if line.startswith("CapEff:"))
        with open("/proc/self/uid_map", encoding="ascii") as file:
            ids = file.read().split()
    except (OSError, StopIteration):
        return False
    return int(line.split()[1], 16) & _PRIVILEGES == _PRIVILEGES and ids == _ALL_IDS


def _try_btf() -> str | None:
    try:
        offsets()
    except BtfError as error:
        return str(error)
    return None


def _try_raw_tracepoints() -> str | None:
    try:
        program = load_program(PROG_TYPE_RAW_TRACEPOINT, _RETURN_ZERO)
        try:
            os.close(attach_raw_tracepoint(program, "sys_exit"))
        finally:
            os.close(program)
    except OSError as error:
        return f"the kernel refuses a raw tracepoint program ({_refusal(error)}); it needs 4.17 or later."
    return None


def _try_ring_buffer() -> str | None:
    try:
        os.close(create_map(MAP_TYPE_RINGBUF, 0, 0, os.sysconf("SC_PAGE_SIZE")))
    except OSError as error:
        return f"the kernel refuses a BPF ring buffer ({_refusal(error)}); it needs 5.8 or later."
    return None


def _try_kprobes() -> str | None:
    function = architecture().exec_function
    try:
        program = load_program(PROG_TYPE_KPROBE, _RETURN_ZERO)
        try:
            os.close(attach_kprobe(program, function, at_return=False))
        finally:
            os.close(program)
    except OSError as error:
        if error.filename is not None and os.path.isdir(EVENT_SOURCES):
            return "this kernel was built without kprobes (CONFIG_KPROBES and CONFIG_KPROBE_EVENTS)."
        return (
            f"the kernel refuses a kprobe on {function} ({_refusal(error)}); "
            "it needs CONFIG_KPROBES and CONFIG_KPROBE_EVENTS, and no lockdown."
        )
    return None


def _try_trampolines() -> str | None:
    from execwhy.bpf.program.btf import Btf

    function = architecture().exec_function
    try:
        with Btf() as btf:
            number = btf.function_id(function)
        program = load_program(PROG_TYPE_TRACING, _RETURN_ZERO, TRACE_FEXIT, number)
        try:
            os.close(attach_trampoline(program))
        finally:
            os.close(program)
    except BtfError as error:
        return str(error)
    except OSError as error:
        return (
            f"the kernel refuses an fexit program on {function} ({_refusal(error)}); "
            "it needs 5.8 or later with CONFIG_FUNCTION_TRACER and no lockdown."
        )
    return None


_TRIALS: Final[dict[Need, Callable[[], str | None]]] = {
    "BTF": _try_btf,
    "raw tracepoints": _try_raw_tracepoints,
    "ring buffer": _try_ring_buffer,
    "kprobes": _try_kprobes,
    "trampolines": _try_trampolines,
}


@cache
def why_not(need: Need) -> str | None:
    """Return None if the kernel has it, otherwise one sentence; tried once in a process."""
    lift_memory_limit()
    return _TRIALS[need]()


@cache
def lift_memory_limit() -> None:
    """Let this process lock memory without a limit, if that is allowed.

    Kernels before 5.11 count programs and maps against RLIMIT_MEMLOCK, including those of the user's other
    processes, and refuse with EPERM. Later ones count them in the cgroup.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@cache
def knows_types() -> bool:
    """Return whether the verifier knows the types of the current task and its pointers (5.11 and later)."""
    try:
        cred = offsets()["AT_task_struct_cred"]
        instructions = struct.pack("<BBhi", 0x85, 0, 0, _CURRENT_TASK_BTF)  # call
        instructions += struct.pack("<BBhi", 0x79, 0x01, cred, 0)  # r1 = *(u64 *)(r0 + cred)
        os.close(load_program(PROG_TYPE_RAW_TRACEPOINT, instructions + _RETURN_ZERO))
    except (BtfError, OSError):
        return False
    return True


@cache
def finds_memory() -> bool:
    """Return whether a program may find the vma of a user address (5.17 and later)."""
    instructions = struct.pack(
        "<" + "BBhi" * 9,
        0x85, 0, 0, _CURRENT_TASK_BTF,
        0xBF, 0x01, 0, 0,  # r1 = r0
        0xB7, 2, 0, 0,  # r2 = 0
        0x18, 0x43, 0, 7,  # r3 = the function after these instructions
        0, 0, 0, 0,
        0xBF, 0xA4, 0, 0,  # r4 = r10
        0x07, 4, 0, -8,
        0xB7, 5, 0, 0,
        0x85, 0, 0, _FIND_VMA,
    )  # fmt: skip
    program = instructions + _RETURN_ZERO
    try:
        callback = len(program) // _INSTRUCTION_SIZE
        os.close(load_program(PROG_TYPE_RAW_TRACEPOINT, program + _RETURN_ZERO, callback=callback))
    except OSError:
        return False
    return True


def obstacles(plan: Plan) -> list[str]:
    """Return why a plan does not work here, one sentence each; empty if it works."""
    return [reason for need in plan.needs if (reason := why_not(need))]


def check_machine() -> None:
    """Check that the program can run at all.

    Raises:
        KernelError: It cannot.
    """
    try:
        architecture()
    except MachineError as error:
        raise KernelError(str(error)) from None
    require_root()


def require_root() -> None:
    """Raise KernelError unless this process is root."""
    if os.geteuid() != 0:
        raise KernelError(
            "watching execs needs root: run sudo execwhy, or open a recording with --open FILE."
        )


def candidates(name: str | None) -> list[Plan]:
    """Return the plans that work here, best first, or the one of this name.

    Raises:
        KernelError: There is none, or the named one does not work here.
    """
    check_machine()
    if name is not None:
        plan = next((p for p in PLANS if p.name == name), None)
        if plan is None:
            raise KernelError(f"there is no plan {name}: choose one of {', '.join(p.name for p in PLANS)}.")
        if reasons := obstacles(plan):
            raise KernelError(
                f"plan {name} does not work here, since {reasons[0].rstrip('.')}: "
                "leave --plan out, or see execwhy --check."
            )
        return [plan]
    found = [plan for plan in PLANS if not obstacles(plan)]
    if not found:
        reason = obstacles(PLANS[-1])[0]
        raise KernelError(
            f"no hook plan works here, since {reason.rstrip('.')}: see execwhy --check for what each needs."
        )
    return found


def choose(name: str | None) -> Plan:
    """Return the first of ``candidates``."""
    return candidates(name)[0]
