"""The system calls for BPF programs and maps: bpf(2), and perf_event_open(2) for kprobes.

bcc only compiles. Its own loading is not used: it loads a program for one target only, and leaves no choice
of how to handle a refusal.
"""

from __future__ import annotations

import ctypes as ct
import errno
import fcntl
import os
import re
import struct
from contextlib import suppress
from typing import Final

from execwhy.bpf.program.arch.machines import architecture

_MAP_CREATE: Final = 0
_MAP_LOOKUP: Final = 1
_MAP_UPDATE: Final = 2
_PROG_LOAD: Final = 5
_OBJECT_INFO: Final = 15
_RAW_TRACEPOINT_OPEN: Final = 17
_BTF_LOAD: Final = 18
_LINK_CREATE: Final = 28
MAP_TYPE_PROG_ARRAY: Final = 3
MAP_TYPE_RINGBUF: Final = 27
PROG_TYPE_KPROBE: Final = 2
PROG_TYPE_TRACEPOINT: Final = 5
PROG_TYPE_RAW_TRACEPOINT: Final = 17
PROG_TYPE_TRACING: Final = 26
TRACE_FENTRY: Final = 24
TRACE_FEXIT: Final = 25
_PERF_EVENT: Final = 41
"""include/uapi/linux/bpf.h."""

_LINK_INFO: Final = struct.Struct("<I12xI28xQ8x")
"""From struct bpf_link_info: the type of the link, that of the perf event, and the misses of a kprobe."""
_OF_PERF_EVENT: Final = 7
_KPROBES: Final = (3, 4)
"""BPF_LINK_TYPE_PERF_EVENT; BPF_PERF_EVENT_KPROBE and _KRETPROBE."""

_BTF_MAGIC: Final = 0xEB9F
_BTF_KIND_INT: Final = 1
_BTF_KIND_FUNC: Final = 12
_BTF_KIND_FUNC_PROTO: Final = 13
_BTF_INT_SIGNED: Final = 1
"""include/uapi/linux/btf.h."""
_FUNCTIONS: Final = struct.Struct("<IIII")
"""Two of struct bpf_func_info: a function's first instruction, and its type in ``_load_types``."""
_OF_PROGRAM: Final = 3
_OF_CALLBACK: Final = 4

_ATTRIBUTES_SIZE: Final = 144
_LOG_SIZE: Final = 1 << 20
_LOG_LEVEL: Final = 1

EVENT_SOURCES: Final = "/sys/bus/event_source/devices"
"""The event sources of perf_event_open(2); missing without /sys."""
TRACEFS: Final = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
"""Where tracefs is mounted, if it is."""
_KPROBE_TYPE: Final = f"{EVENT_SOURCES}/kprobe/type"
_PERF_ATTR_SIZE: Final = 72
"""PERF_ATTR_SIZE_VER1: up to config2."""
_PERF_TYPE_SOFTWARE: Final = 1
_PERF_TYPE_TRACEPOINT: Final = 2
_PERF_COUNT_SW_BPF_OUTPUT: Final = 10
_PERF_SAMPLE_RAW: Final = 1 << 10
_PERF_FLAG_FD_CLOEXEC: Final = 8
_PERF_EVENT_IOC_ENABLE: Final = 0x2400
_PERF_EVENT_IOC_SET_BPF: Final = 0x40042408

_LIBC: Final = ct.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    result = int(_LIBC.syscall(number, *arguments))
    if result < 0:
        code = ct.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ct.create_string_buffer(attributes.ljust(_ATTRIBUTES_SIZE, b"\0"), _ATTRIBUTES_SIZE)
    return _call(architecture().bpf, command, buffer, _ATTRIBUTES_SIZE)


def create_map(kind: int, key_size: int, value_size: int, entries: int) -> int:
    """Create a map and return its descriptor.

    Raises:
        OSError: The kernel refused.
    """
    return _bpf(_MAP_CREATE, struct.pack("<IIII", kind, key_size, value_size, entries))


def update_map(fd: int, key: bytes, value: bytes) -> None:
    """Set an element; raise OSError if the kernel refuses."""
    key_buffer, value_buffer = (
        ct.create_string_buffer(key, len(key)),
        ct.create_string_buffer(value, len(value)),
    )
    _bpf(_MAP_UPDATE, struct.pack("<IxxxxQQQ", fd, ct.addressof(key_buffer), ct.addressof(value_buffer), 0))


def lookup_map(fd: int, key: bytes, value_size: int) -> bytes:
    """Return an element's value; raise OSError if the kernel refuses."""
    key_buffer, value_buffer = ct.create_string_buffer(key, len(key)), ct.create_string_buffer(value_size)
    _bpf(_MAP_LOOKUP, struct.pack("<IxxxxQQQ", fd, ct.addressof(key_buffer), ct.addressof(value_buffer), 0))
    return value_buffer.raw


def load_program(
    kind: int, instructions: bytes, attach_type: int = 0, btf_id: int = 0, callback: int = 0
) -> int:
    """Load a program and return its descriptor.

    Args:
        kind: PROG_TYPE_...
        instructions: The instructions, with the descriptors of their maps.
        attach_type: TRACE_..., for PROG_TYPE_TRACING.
        btf_id: BTF id of the kernel function, for PROG_TYPE_TRACING.
        callback: Index of the first instruction of a function that helpers call; 0 without one.

    Raises:
        OSError: The kernel refused; ``strerror`` ends with the last line of the verifier's log, if there is
        one.
    """
    target = (attach_type, btf_id, callback)
    try:
        return _load(kind, instructions, target, None)
    except OSError as error:
        log = ct.create_string_buffer(_LOG_SIZE)
        try:
            return _load(kind, instructions, target, log)
        except OSError:
            lines = log.value.decode("ascii", "replace").strip().splitlines()
            words = [line for line in lines if not line.startswith(("processed ", "verification time"))][-1:]
            if words:
                raise OSError(error.errno, f"{error.strerror} ({words[0]})") from None
            raise error from None


def _load(
    kind: int, instructions: bytes, target: tuple[int, int, int], log: ct.Array[ct.c_char] | None
) -> int:
    attach_type, btf_id, callback = target
    code = ct.create_string_buffer(instructions, len(instructions))
    licence = ct.create_string_buffer(b"GPL")
    where = ct.addressof(log) if log is not None else 0
    functions = _FUNCTIONS.pack(0, _OF_PROGRAM, callback, _OF_CALLBACK)
    table = ct.create_string_buffer(functions, len(functions))
    types, record_size, records, count = 0, 0, 0, 0
    if callback:
        types, record_size, records, count = _load_types(), _FUNCTIONS.size // 2, ct.addressof(table), 2
    try:
        return _bpf(
            _PROG_LOAD,
            struct.pack(
                "<IIQQIIQII16sIIIIQIIQII",
                kind, len(instructions) // 8, ct.addressof(code), ct.addressof(licence),
                _LOG_LEVEL if where else 0, _LOG_SIZE if where else 0, where, 0, 0, b"execwhy",
                0, attach_type, types, record_size, records, count, 0, 0, 0, btf_id,
            ),
        )  # fmt: skip
    finally:
        if types:
            os.close(types)


def _load_types() -> int:
    """Return a descriptor of the types of a program's functions, which a program with a callback needs."""
    names = b"\0int\0program\0callback\0"
    kinds = struct.pack(
        "<IIII" "III" "III" "III",
        names.index(b"int"), _BTF_KIND_INT << 24, 4, _BTF_INT_SIGNED << 24 | 32,
        0, _BTF_KIND_FUNC_PROTO << 24, 1,
        names.index(b"program"), _BTF_KIND_FUNC << 24, 2,
        names.index(b"callback"), _BTF_KIND_FUNC << 24, 2,
    )  # fmt: skip
    header = struct.pack("<HBBIIIII", _BTF_MAGIC, 1, 0, 24, 0, len(kinds), len(kinds), len(names))
    types = header + kinds + names
    buffer = ct.create_string_buffer(types, len(types))
    return _bpf(_BTF_LOAD, struct.pack("<QQIII", ct.addressof(buffer), 0, len(types), 0, 0))


def attach_raw_tracepoint(program: int, name: str) -> int:
    """Attach a program and return the link's descriptor; raise OSError if the kernel refuses."""
    buffer = ct.create_string_buffer(name.encode())
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QI", ct.addressof(buffer), program))


def attach_trampoline(program: int) -> int:
    """Attach a PROG_TYPE_TRACING program to its function and return the link's descriptor; raise OSError."""
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QI", 0, program))


def attach_kprobe(program: int, function: str, *, at_return: bool) -> int:
    """Attach a program and return a link's descriptor, or before Linux 5.15 a perf event's; raise OSError."""
    with open(_KPROBE_TYPE, encoding="ascii") as file:
        kind = int(file.read())
    name = ct.create_string_buffer(function.encode())
    return _attach_event(
        program,
        struct.pack(
            "<IIQQQQQIIQQ", kind, _PERF_ATTR_SIZE, int(at_return), 0, 0, 0, 0, 0, 0, ct.addressof(name), 0
        ),
    )


def attach_tracepoint(program: int, name: str) -> int:
    """Attach a program to a tracepoint and return a descriptor, as for a kprobe.

    Args:
        program: The program.
        name: "syscalls:sys_enter_execve".

    Raises:
        OSError: The kernel refused, or its number for the tracepoint cannot be read.
    """
    number = _tracepoint_number(name)
    return _attach_event(
        program, struct.pack("<IIQQQQQIIQQ", _PERF_TYPE_TRACEPOINT, _PERF_ATTR_SIZE, number, *[0] * 8)
    )


def _tracepoint_number(name: str) -> int:
    for place in TRACEFS:
        with suppress(OSError), open(f"{place}/events/{name.replace(':', '/')}/id", encoding="ascii") as file:
            return int(file.read())
    if any(os.path.isdir(f"{place}/events") for place in TRACEFS):
        raise OSError(errno.ENOENT, "tracefs has no such event: the kernel needs CONFIG_FTRACE_SYSCALLS")
    raise OSError(errno.ENOENT, f"tracefs is not mounted: mount -t tracefs tracefs {TRACEFS[0]}")


def _attach_event(program: int, attributes: bytes) -> int:
    buffer = ct.create_string_buffer(attributes, _PERF_ATTR_SIZE)
    event = _call(architecture().perf_event_open, buffer, -1, 0, -1, ct.c_ulong(_PERF_FLAG_FD_CLOEXEC))
    try:
        fcntl.ioctl(event, _PERF_EVENT_IOC_ENABLE, 0)
        with suppress(OSError):
            link = _bpf(_LINK_CREATE, struct.pack("<IIII", program, event, _PERF_EVENT, 0))
            os.close(event)
            return link
        fcntl.ioctl(event, _PERF_EVENT_IOC_SET_BPF, program)
    except OSError:
        os.close(event)
        raise
    return event


def open_buffer(cpu: int) -> int:
    """Return the descriptor of a perf event whose buffer a CPU's BPF programs write to; raise OSError."""
    attributes = struct.pack(
        "<IIQQQQQIIQQ", _PERF_TYPE_SOFTWARE, _PERF_ATTR_SIZE, _PERF_COUNT_SW_BPF_OUTPUT, 1,
        _PERF_SAMPLE_RAW, 0, 0, 1, 0, 0, 0,
    )  # fmt: skip
    buffer = ct.create_string_buffer(attributes, _PERF_ATTR_SIZE)
    event = _call(architecture().perf_event_open, buffer, -1, cpu, -1, ct.c_ulong(_PERF_FLAG_FD_CLOEXEC))
    fcntl.ioctl(event, _PERF_EVENT_IOC_ENABLE, 0)
    return event


def missed_runs(program: int) -> int | None:
    """Return how often a program did not run because that CPU was already running it; 0 before Linux 5.12.

    Return None if that cannot be read, for instance without /proc.
    """
    try:
        with open(f"/proc/self/fdinfo/{program}", encoding="ascii") as file:
            found = re.search(r"^recursion_misses:\s*(\d+)", file.read(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else 0


def missed_hits(link: int) -> int:
    """Return how often a kprobe could not be entered, or a kretprobe had no room for another call.

    Linux reports it for links since 6.7 (bpf_get_kprobe_info); before that, and for other links, return 0.
    """
    info = ct.create_string_buffer(_LINK_INFO.size)
    try:
        _bpf(_OBJECT_INFO, struct.pack("<IIQ", link, len(info), ct.addressof(info)))
    except OSError:
        return 0
    kind, of_event, missed = _LINK_INFO.unpack(info.raw)
    return int(missed) if kind == _OF_PERF_EVENT and of_event in _KPROBES else 0
