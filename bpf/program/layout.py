"""The layout of a record, defined once: for the BPF program as C declarations, and for decoding.

A record is a fixed header, followed by sections of variable length in the order of ``SECTIONS``. The header
holds each section's length. All integers are little-endian, as on every supported machine.
"""

from __future__ import annotations

import struct
from collections import namedtuple
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from execwhy.bpf.events.kinds import KINDS, SEARCH_END_CODE
from execwhy.bpf.program import limits

COMM_SIZE: Final = 16
"""TASK_COMM_LEN of include/linux/sched.h."""
TTY_SIZE: Final = 32
"""Half of tty_struct.name; real names ("pts/12", "ttyUSB0") are far shorter."""
UNKNOWN: Final = 0xFFFFFFFF
"""The count of an array whose end was not reached."""
CONTINUED: Final = 0x4000
"""Flag in an element's length: the next element continues this string; without a next one, it was cut."""
UNREAD: Final = 0xFFFF
"""Instead of an element's length: its memory could not be read."""

SECTIONS: Final = (
    # First the sections that stay in place from one exec of a task to the next.
    "cgroup",
    "ancestors",
    "cwd",
    "root",
    "stdin",
    "groups",
    "path_afterwards",
    "path",
    "binary",
    "interpreter",
    "arguments",
    "environment",
    "copied",
)
"""The sections behind the header. Strings end in NUL. Paths are walked, so their components come leaf first.

``arguments`` and ``environment`` are from the caller's memory; ``copied`` is the kernel's own copy of both,
string after string, each with its NUL."""

KIND_CODES: Final = {kind.name: kind.code for kind in KINDS if kind.code} | {"search_end": SEARCH_END_CODE}
"""The values of ``record.kind``, by name; in C they are "KIND_EXEC" and so on."""

# Bits of record.bits
COMPAT: Final = 1
EXECVEAT: Final = 2
KERNEL_INVOKED: Final = 4
PATH_UNREAD: Final = 8
PATH_CUT: Final = 16
CWD_DELETED: Final = 32
STDIN_DELETED: Final = 64
ARGUMENTS_CUT: Final = 128
ENVIRONMENT_CUT: Final = 256
ARGUMENTS_UNREAD: Final = 512
ENVIRONMENT_UNREAD: Final = 1024
GROUPS_CUT: Final = 2048
NEW_IMAGE: Final = 4096
FOUND: Final = 8192
"""For the end of a search: an exec has succeeded; otherwise the task has ended."""
UNTRACKED: Final = 32768
BINARY_KNOWN: Final = 1 << 16
LATE: Final = 1 << 17
CHECKED: Final = 1 << 18
FOREIGN_MOUNT_NS: Final = 1 << 20
PATH_OF_KERNEL: Final = 1 << 21
"""The path is the kernel's own copy."""
PATH_UNCHANGED: Final = 1 << 22
"""The path was the same before the kernel copied it, in memory where nobody else could write."""
PATH_BEFORE: Final = 1 << 23
"""The path is from the caller's memory before the kernel copied it; ``path_afterwards`` is from later."""
PATH_BY_DIRECTORY: Final = 1 << 24
"""The path is the kernel's copy; it begins with "/dev/fd/" and the directory's descriptor if that counts."""
FOREIGN_USER_NS: Final = 1 << 25
"""The caller's user namespace is not the first one, so its capabilities do not count for every file."""
OWN_DIRECTORIES: Final = 1 << 26
"""No other task shared the caller's working and root directory when the call began."""
OF_ARCHITECTURE: Final = 1 << 19
"""Used only within the BPF program, by the architecture's part."""

# How a path walk ended
AT_ROOT: Final = 0
AT_TOP: Final = 1
UNFINISHED: Final = 2
NO_FILE: Final = 3
OF_NO_TREE: Final = 4

NUMBERS: Final = {
    name: value for name, value in list(globals().items()) if name.isupper() and isinstance(value, int)
}
"""Every number above, by its macro in C."""


@dataclass(frozen=True, slots=True)
class Field:
    """A member of a C structure.

    Attributes:
        ctype: Its C type.
        name: Its name.
        count: The number of its elements; 1: it is not an array.
        elements: Python's names for the elements of an array.
    """

    ctype: str
    name: str
    count: int = 1
    elements: tuple[str, ...] = ()


_FORMATS: Final = {"u64": "Q", "s64": "q", "u32": "I", "s32": "i", "u16": "H", "u8": "B"}


def _format(fields: tuple[Field, ...]) -> str:
    return "<" + "".join(
        f"{f.count}s"
        if f.ctype == "char"
        else f"{f.count * struct.calcsize(f'<{_FORMATS[f.ctype]}')}x"
        if f.name == "reserved"
        else f"{f.count}{_FORMATS[f.ctype]}"
        for f in fields
    )


def _padded(*fields: Field) -> tuple[Field, ...]:
    """Return the fields with the padding that C adds at the end, since the largest member is a u64."""
    rest = -struct.calcsize(_format(fields)) % 8
    return (*fields, Field("u8", "reserved", rest)) if rest else fields


HEADER: Final = _padded(
    # First the members that differ from record to record in a storm: see OWN_STRUCT.
    Field("u64", "timestamp"),  # boot clock, ns
    Field("u64", "started"),  # boot clock, ns
    Field("u64", "task"),  # the kernel's address of the caller: the same after an exec in a thread
    Field("u32", "pid"),
    Field("u32", "tid"),
    Field("u32", "lost_before"),  # on this CPU since its last record
    Field("s32", "return_value"),
    Field("u64", "capabilities"),
    Field("u64", "stdin_inode"),
    Field("u64", "pending_signals"),
    Field("u64", "inode_number"),  # of the file that the kernel had open, as are the next six
    Field("u64", "ctime"),  # ns since 1970
    Field("u64", "size"),
    Field("u32", "device"),
    Field("u32", "mode"),
    Field("u32", "owner"),
    Field("u32", "group"),
    # As passed, and argc after #! lines; UNKNOWN if not available.
    Field("u32", "bprm_counts", 3, ("argc_of_bprm", "envc_of_bprm", "argc_copied")),
    Field("u32", "copied_total"),  # bytes of the kernel's copy of argv and envp; ``copied`` is its beginning
    Field("u32", "uid"),  # these eight in the order of struct cred, which is read in one piece
    Field("u32", "gid"),
    Field("u32", "suid"),
    Field("u32", "sgid"),
    Field("u32", "euid"),
    Field("u32", "egid"),
    Field("u32", "fsuid"),
    Field("u32", "fsgid"),
    Field("u32", "mount_ns"),
    Field("u32", "pid_ns"),
    Field("u32", "duration"),  # milliseconds from the tick in which the call began, rounded up; 0: not known
    Field("s32", "dirfd"),
    Field("u32", "flags"),
    Field("u32", "counts", 2, ("argc", "envc")),
    # The first argument, and variable, that was measured as such; else UNKNOWN.
    Field("u32", "too_long", 2, ("long_argument", "long_variable")),
    Field("u32", "bits"),
    Field("u32", "used"),  # bytes behind the header
    Field("u32", "lengths", len(SECTIONS), tuple(f"{name}_length" for name in SECTIONS)),
    Field("u16", "stdin_mode"),
    # How the walks ended.
    Field("u8", "ends", 5, ("cwd_end", "root_end", "stdin_end", "cgroup_end", "binary_end")),
    Field("u8", "kind"),  # one of ``KIND_CODES``
    Field("char", "comm", COMM_SIZE),
    Field("char", "tty", TTY_SIZE),
)


def _before(name: str) -> tuple[Field, ...]:
    return HEADER[: [field.name for field in HEADER].index(name)]


def offset_of(name: str) -> int:
    """Return the offset of a header's member in a record's bytes."""
    return struct.calcsize(_format(_before(name)))


HEADER_STRUCT: Final = struct.Struct(_format(HEADER))


def _values(fields: tuple[Field, ...]) -> tuple[str, ...]:
    """Return the names of the values that the struct of these fields unpacks."""
    return tuple(
        name for field in fields if field.name != "reserved" for name in field.elements or (field.name,)
    )


VALUES: Final = _values(HEADER)
"""Names of the values that ``HEADER_STRUCT`` unpacks."""
OWN_STRUCT: Final = struct.Struct(_format(_before("return_value")))
"""The members in which the records of a storm differ; two records with equal bytes after them are repeats."""
USED_AT: Final = struct.calcsize(_format(_before("used")))
"""Offset of the number of bytes that follow the header."""
ANCESTOR: Final = (Field("u32", "pid"), Field("char", "comm", COMM_SIZE))
ANCESTOR_STRUCT: Final = struct.Struct(_format(ANCESTOR))
COUNTERS: Final = (
    Field("u64", "seen"),
    Field("u64", "recorded"),
    Field("u64", "suppressed"),
    Field("u64", "lost"),
    Field("u64", "reported"),  # of the lost, those that a record's ``lost_before`` has reported
    Field("u64", "search_ends_lost"),  # ends of searches for which there was no room
    # Failed execs of tasks whose search had no room in the table or in the user's share.
    Field("u64", "untracked"),
    Field("u64", "crowded"),  # of the lost, those for which no buffer was free
    Field("u64", "unjoined"),  # execs that had no room in a table of execs under way, or in the user's share
    Field("u64", "unprobed"),  # of the lost, execs of the kernel's own whose beginning or end no probe saw
    Field("u64", "outshared"),  # of the lost, those of a user who had taken more than their share of the ring
    Field("u64", "reserved", 5),  # cache lines of its own for each CPU
)
COUNTERS_STRUCT: Final = struct.Struct(_format(COUNTERS))
_named_tuple: Final[Callable[[str, Iterable[str]], Any]] = namedtuple
Counts: Final = _named_tuple("Counts", _values(COUNTERS))
"""The values that ``COUNTERS_STRUCT`` unpacks, by name."""
CAPTURE: Final = (
    Field("u32", "uid_ranges"),
    Field("u32", "paths"),
    Field("u32", "excluded"),  # the number of paths to exclude, which come first
    Field("u8", "reserved", 4),  # the kernel rounds an element up to 8 bytes
    Field("u32", "uid_low", limits.MAX_UID_RANGES),
    Field("u32", "uid_high", limits.MAX_UID_RANGES),
    Field("u32", "path_length", limits.MAX_CAPTURE_PATHS),  # bytes to compare; an exact path includes its NUL
    Field("char", "path", limits.MAX_CAPTURE_PATHS * limits.CAPTURE_PATH_SIZE),
)
CAPTURE_STRUCT: Final = struct.Struct(_format(CAPTURE))


def _c_struct(name: str, fields: tuple[Field, ...], size: int) -> str:
    members = "\n".join(f"    {f.ctype} {f.name}{f'[{f.count}]' if f.count > 1 else ''};" for f in fields)
    return (
        f"struct {name} {{\n{members}\n}};\n"
        f'_Static_assert(sizeof(struct {name}) == {size}, "{name}: C and Python disagree");\n'
    )


def c_declarations(max_args_bytes: int, max_env_bytes: int, max_record_bytes: int | None = None) -> str:
    """Return this module's part of the C text.

    Args:
        max_args_bytes: Bytes of argv after which no further element is read.
        max_env_bytes: Bytes of envp after which no further element is read.
        max_record_bytes: The largest record that can be written. What does not fit is left out, and marked.
    """
    copy_size = max(limits.CHUNK, max_args_bytes + max_env_bytes)
    # Each section may overshoot its limit by one read.
    data_size = (
        2 * limits.CHUNK
        + 5 * (limits.MAX_PATH_BYTES + limits.CHUNK)
        + max_args_bytes
        + max_env_bytes
        + 3 * limits.CHUNK
    )
    data_size += copy_size + 2 * limits.CHUNK
    if max_record_bytes is not None:
        data_size = min(data_size, (max_record_bytes - HEADER_STRUCT.size) & ~7)
        copy_size = min(copy_size, max_record_bytes // 4)
    numbers = (
        limits.NUMBERS
        | NUMBERS
        | {
            "MAX_ARGS_BYTES": max_args_bytes,
            "MAX_ENV_BYTES": max_env_bytes,
            "COPY_SIZE": copy_size,
            "DATA_SIZE": data_size,
        }
    )
    numbers |= {f"KIND_{name.upper()}": code for name, code in KIND_CODES.items()}
    numbers |= {f"SECTION_{name.upper()}": index for index, name in enumerate(SECTIONS)}
    # The indices of "ends" are CWD_END and so on. Those of "lengths" are the sections.
    for field in HEADER:
        if field.name != "lengths":
            numbers |= {name.upper(): index for index, name in enumerate(field.elements)}
    return "".join(
        [
            *(f"#define {name} {value:#x}\n" for name, value in numbers.items()),
            _c_struct("record", HEADER, HEADER_STRUCT.size),
            _c_struct("ancestor", ANCESTOR, ANCESTOR_STRUCT.size),
            _c_struct("counters", COUNTERS, COUNTERS_STRUCT.size),
            _c_struct("capture", CAPTURE, CAPTURE_STRUCT.size),
        ]
    )
