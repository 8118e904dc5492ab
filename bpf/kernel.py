"""What this kernel allows, found out by trying: each answer is None or a sentence that says why not."""

from __future__ import annotations

import ctypes as ct
import errno
import os
import platform
import struct
from collections.abc import Callable
from functools import cache
from typing import Final

from bpf.btf import BtfError, offsets
from bpf.plans import PLANS, Need, Plan

SUPPORTED_MACHINE: Final = "x86_64"
"""The registers and system call numbers in exec_failures.c are this machine's."""

_SYS_BPF: Final = 321
_MAP_CREATE: Final = 0
_PROG_LOAD: Final = 5
_RAW_TRACEPOINT_OPEN: Final = 17
_MAP_TYPE_RINGBUF: Final = 27
_PROG_TYPE_RAW_TRACEPOINT: Final = 17
_PROG_TYPE_TRACING: Final = 26
_TRACE_FEXIT: Final = 25
# r0 = 0; exit
_RETURN_ZERO: Final = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)
_PROBED_FUNCTION: Final = "__x64_sys_execve"

_LIBC: Final = ct.CDLL(None, use_errno=True)


class KernelError(Exception):
    """This kernel or this user cannot run the program; the message is one sentence that says what to do."""


def _bpf(command: int, attributes: bytes) -> int:
    """The bpf(2) system call.

    Raises:
        OSError: The kernel refused.
    """
    buffer = ct.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    result = _LIBC.syscall(_SYS_BPF, command, buffer, 128)
    if result < 0:
        number = ct.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)


def _load(program_type: int, attach_type: int = 0, btf_id: int = 0) -> int:
    instructions = ct.create_string_buffer(_RETURN_ZERO, len(_RETURN_ZERO))
    licence = ct.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "<IIQQIIQII16sIIIIQIIQII",
        program_type, len(_RETURN_ZERO) // 8, ct.addressof(instructions), ct.addressof(licence),
        0, 0, 0, 0, 0, b"execwhy_trial", 0, attach_type, 0, 0, 0, 0, 0, 0, 0, btf_id,
    )  # fmt: skip
    return _bpf(_PROG_LOAD, attributes)


def _open_raw_tracepoint(program: int, name: bytes = b"") -> int:
    buffer = ct.create_string_buffer(name)
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QI", ct.addressof(buffer) if name else 0, program))


def _refusal(error: OSError) -> str:
    name = errno.errorcode.get(error.errno or 0, str(error.errno))
    if error.errno == errno.EPERM and os.geteuid() != 0:
        return f"{name}: it needs root, or CAP_BPF and CAP_PERFMON"
    return f"{name}: {os.strerror(error.errno or 0)}"


def _try_btf() -> str | None:
    try:
        offsets()
    except BtfError as error:
        return f"{error} A kernel built with CONFIG_DEBUG_INFO_BTF has it."
    return None


def _try_raw_tracepoints() -> str | None:
    try:
        program = _load(_PROG_TYPE_RAW_TRACEPOINT)
        try:
            os.close(_open_raw_tracepoint(program, b"sys_exit"))
        finally:
            os.close(program)
    except OSError as error:
        return f"the kernel refuses a raw tracepoint program ({_refusal(error)}); it needs 4.17 or later."
    return None


def _try_ring_buffer() -> str | None:
    try:
        os.close(_bpf(_MAP_CREATE, struct.pack("<IIII", _MAP_TYPE_RINGBUF, 0, 0, os.sysconf("SC_PAGE_SIZE"))))
    except OSError as error:
        return f"the kernel refuses a BPF ring buffer ({_refusal(error)}); it needs 5.8 or later."
    return None


def _try_kprobes() -> str | None:
    for path in ("/sys/bus/event_source/devices/kprobe/type", "/sys/kernel/tracing/kprobe_events"):
        if os.path.exists(path):
            return None
    return "the kernel has no kprobes; one built with CONFIG_KPROBES and CONFIG_KPROBE_EVENTS has them."


def _try_trampolines() -> str | None:
    from bpf.btf import Btf

    try:
        with Btf() as btf:
            function = btf.function_id(_PROBED_FUNCTION)
        program = _load(_PROG_TYPE_TRACING, _TRACE_FEXIT, function)
        try:
            os.close(_open_raw_tracepoint(program))
        finally:
            os.close(program)
    except BtfError as error:
        return str(error)
    except OSError as error:
        return (
            f"the kernel refuses an fexit program on {_PROBED_FUNCTION} ({_refusal(error)}); "
            "it needs 5.5 or later with CONFIG_FUNCTION_TRACER and no lockdown."
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
    """None where the kernel has it, else one sentence; tried once a process."""
    return _TRIALS[need]()


def obstacles(plan: Plan) -> list[str]:
    """What keeps a plan from working here, one sentence each; empty where it works."""
    found = []
    if not plan.complete:
        found.append("this version of execwhy does not have it yet.")
    return found + [reason for need in plan.needs if (reason := why_not(need))]


def check_machine() -> None:
    """Make sure that the program can run at all.

    Raises:
        KernelError: It cannot.
    """
    if platform.system() != "Linux" or platform.machine() != SUPPORTED_MACHINE:
        raise KernelError(
            f"this machine is {platform.system()} {platform.machine()}: execwhy captures on Linux x86_64 "
            "only (`execwhy --open FILE` works everywhere)."
        )
    if os.geteuid() != 0:
        raise KernelError("watching execs needs root: run `sudo execwhy`.")


def choose(name: str | None) -> Plan:
    """The best plan that works here, or the one of this name.

    Raises:
        KernelError: There is none, or that one does not work here.
    """
    check_machine()
    if name is not None:
        plan = next((p for p in PLANS if p.name == name), None)
        if plan is None:
            raise KernelError(f"there is no plan {name}: choose one of {', '.join(p.name for p in PLANS)}.")
        if reasons := obstacles(plan):
            raise KernelError(f"plan {name} does not work here: {reasons[0]} `execwhy --check` tells more.")
        return plan
    for plan in PLANS:
        if plan.complete and not obstacles(plan):
            return plan
    reason = next(reason for plan in PLANS if plan.complete for reason in obstacles(plan))
    raise KernelError(f"no hook plan works on this kernel: {reason} `execwhy --check` tells more.")
