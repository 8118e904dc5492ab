"""The bytes of a record, defined once: C declarations for the BPF program, and their decoding.

A record is a fixed header and, right behind it, sections of variable length in the order of
``SECTIONS``; the header holds each section's length. All integers are little-endian, as on
every machine that a plan exists for.
"""

from __future__ import annotations

import struct
from collections import namedtuple
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from execwhy.bpf.events.kinds import KINDS, SEARCH_END_CODE

COMM_SIZE: Final = 16
"""TASK_COMM_LEN of include/linux/sched.h."""
TTY_SIZE: Final = 32
"""Half of tty_struct.name: real names ("pts/12", "ttyUSB0") are far shorter."""
UNKNOWN: Final = 0xFFFFFFFF
"""The count of an array whose end was not reached."""
CHUNK: Final = 4096
"""Bytes that one read of a string takes at most, its NUL included (PATH_MAX)."""
MAX_ELEMENTS: Final = 512
"""Reads of argv's or envp's strings at most: what the verifier is willing to follow."""
MAX_COUNTED_BLOCKS: Final = 64
"""Blocks of 32 pointers that are only counted once a limit is reached: argc to at least 2,048."""
MAX_MEASURES: Final = 64
"""Reads by which it is found out, after E2BIG alone, which string is too long: one takes 33 of them."""
MAX_ARG_STRLEN: Final = 131_072
"""The longest single string with its NUL: 32 pages of 4 KiB (include/uapi/linux/binfmts.h)."""
BLOCK: Final = 256
"""Bytes of pointers that are read at once: a power of two, so that no block crosses a page."""
MAX_COMPONENTS: Final = 96
"""Components of one path that are walked; each mount on the way takes one as well."""
MAX_PATH_BYTES: Final = 4096
"""Bytes after which a walk ends."""
MAX_ANCESTORS: Final = 32
"""Parents that are read, up to the top in nearly every case: a build in a container has a dozen."""
MAX_CGROUP_DEPTH: Final = 32
"""Components of a cgroup's path that are read."""
MAX_GROUPS: Final = 32
"""Supplementary groups that are read; a caller with more has them as unknown."""
MAX_STACK_PAGES: Final = 640
"""Pages of a new program's strings: a quarter of the usual 8 MiB stack limit, and some."""
MAX_SEARCHERS: Final = 16384
"""Living tasks that have failed to exec and may yet succeed; beyond it their searches are not followed."""
MAX_EXECS: Final = 4096
"""Execs that can be under way at once; more fail without the facts that their file was opened with."""
MAX_COPIES: Final = 256
"""Execs that can be on their way from their failure to the caller at once: some microseconds each."""
SHARE_OF_TABLE: Final = 4
"""Of the entries of these three a user may have one in so many."""
HOLDING_BITS: Final = 12
"""Places for users, as a power of two: of two users, one pair in 4,096 has a share together."""
KEPT_SIZE: Final = 480
"""Bytes of a path that are kept while its exec is under way; with what is known of it, 512."""
KEPT_BITS: Final = 13
"""Places for them, as a power of two: 4 MiB in all. Of ten execs at once, one in 800 loses its place."""
LONG_BITS: Final = 6
"""Places for whole paths that are longer."""
STRIDE: Final = 32
"""Bytes of a path that are compared in one turn of a loop."""
MAX_USERS: Final = 1024
"""Users of whom it is known how much of theirs waits in the ring."""
ACTIVE_CAPTURE: Final = 0
"""Index of the array ``controls``: which capture filter is in force."""
SUBORDINATES: Final = 0x10000
"""How many subordinate ids a user has (useradd(8)); together they have one share."""
SHARE_OF_ROOM: Final = 2
"""Of a ring that is half full a user may take so many times what is still free; what is more is lost."""
INTERPRETER_SIZE: Final = 256
"""BINPRM_BUF_SIZE of include/uapi/linux/binfmts.h: no ``#!`` line is longer."""
MAX_UID_RANGES: Final = 16
"""Ranges of a capture filter."""
MAX_CAPTURE_PATHS: Final = 8
"""Paths of a capture filter."""
CAPTURE_PATH_SIZE: Final = 256
"""Bytes of a capture path that are compared."""

NS_PER_MS: Final = 1_000_000

KNOWN_NS: Final = 10_000_000
"""How long cgroup and ancestors of a task are taken over from one of its failing execs to the next."""
KNOWN_WORDS: Final = 5
"""What must be the same for that: addresses of the task and of what belongs to it, and its ids."""

CONTINUED: Final = 0x4000
"""Flag of an element's length: the next element continues this string; if there is none, it was cut."""
UNREAD: Final = 0xFFFF
"""Instead of an element's length: its memory could not be read."""

SECTIONS: Final = (
    # First what stays in place from one exec of a task to its next.
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
"""What follows the header: strings end in NUL; paths are walked, so their components are leaf first.

``arguments`` and ``environment`` are of the caller's memory; ``copied`` is the kernel's own copy of both,
one string behind the other, each with its NUL."""

KIND_CODES: Final = {kind.name: kind.code for kind in KINDS if kind.code} | {"search_end": SEARCH_END_CODE}
"""What ``record.kind`` is, by name: in C "KIND_EXEC" and so on."""

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
"""Of the end of a search: another exec has succeeded; else the task has ended."""
UNTRACKED: Final = 32768
BINARY_KNOWN: Final = 1 << 16
LATE: Final = 1 << 17
CHECKED: Final = 1 << 18
FOREIGN_MOUNT_NS: Final = 1 << 20
PATH_OF_KERNEL: Final = 1 << 21
"""The path is the kernel's own copy."""
PATH_UNCHANGED: Final = 1 << 22
"""It was the same before the kernel copied it, in memory where nobody else could write."""
PATH_BEFORE: Final = 1 << 23
"""It is what the caller's memory said before the kernel copied it; ``path_afterwards``, what it says now."""
PATH_BY_DIRECTORY: Final = 1 << 24
"""It is the kernel's copy, and begins with "/dev/fd/" and the directory's descriptor where that counts."""
FOREIGN_USER_NS: Final = 1 << 25
"""The caller's user namespace is not the first one, so its capabilities do not count for every file."""
OF_ARCHITECTURE: Final = 1 << 19
"""Used only inside the BPF program, by the architecture's own part."""

# How a path walk ended
AT_ROOT: Final = 0
AT_TOP: Final = 1
UNFINISHED: Final = 2
NO_FILE: Final = 3
OF_NO_TREE: Final = 4

BITS: Final = {
    name: value
    for name, value in list(globals().items())
    if name.isupper() and isinstance(value, int) and not name.startswith("_")
}
"""Every number above, for the C program's #defines."""


@dataclass(frozen=True, slots=True)
class Field:
    """A member of a C structure.

    Attributes:
        ctype: Its C type.
        name: Its name.
        count: How many elements it has; 1: it is not an array.
        elements: What Python calls each element of an array.
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
    """With what C would put behind them, since the sections begin there: the largest member is a u64."""
    rest = -struct.calcsize(_format(fields)) % 8
    return (*fields, Field("u8", "reserved", rest)) if rest else fields


HEADER: Final = _padded(
    # First what differs from record to record in a storm, see OWN_STRUCT.
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
    Field("u64", "inode_number"),  # of the file that the kernel had open, as the next six
    Field("u64", "ctime"),  # ns since 1970
    Field("u64", "size"),
    Field("u32", "device"),
    Field("u32", "mode"),
    Field("u32", "owner"),
    Field("u32", "group"),
    # As passed, and argc after #! lines; UNKNOWN where not had.
    Field("u32", "bprm_counts", 3, ("argc_of_bprm", "envc_of_bprm", "argc_copied")),
    Field("u32", "copied_total"),  # bytes of the kernel's copy of argv and envp, of which ``copied`` begins
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
    """Where a member of the header is in a record's bytes."""
    return struct.calcsize(_format(_before(name)))


HEADER_STRUCT: Final = struct.Struct(_format(HEADER))


def _values(fields: tuple[Field, ...]) -> tuple[str, ...]:
    """Return the names of the values that the struct of these fields unpacks."""
    return tuple(
        name for field in fields if field.name != "reserved" for name in field.elements or (field.name,)
    )


VALUES: Final = _values(HEADER)
"""Names of what ``HEADER_STRUCT`` unpacks."""
OWN_STRUCT: Final = struct.Struct(_format(_before("return_value")))
"""What the records of a storm differ in; two that are alike in all bytes after it tell the same."""
USED_AT: Final = struct.calcsize(_format(_before("used")))
"""Where in a record's bytes it says how many follow its header."""
ANCESTOR: Final = (Field("u32", "pid"), Field("char", "comm", COMM_SIZE))
ANCESTOR_STRUCT: Final = struct.Struct(_format(ANCESTOR))
COUNTERS: Final = (
    Field("u64", "seen"),
    Field("u64", "recorded"),
    Field("u64", "suppressed"),
    Field("u64", "lost"),
    Field("u64", "reported"),  # of the lost, those that a record's ``lost_before`` has reported
    Field("u64", "search_ends_lost"),  # ends of searches for which there was no room
    Field("u64", "untracked"),  # failed execs of tasks whose search had no room in its table, or share of it
    Field("u64", "crowded"),  # of the lost, those for which no buffer was free
    Field("u64", "unjoined"),  # execs that had no room in a table of those under way, or share of it
    Field("u64", "unprobed"),  # of the lost, execs of the kernel's own whose beginning or end no probe saw
    Field("u64", "outshared"),  # of the lost, those of a user who had taken more than their share of the ring
    Field("u64", "reserved", 5),  # cache lines of its own for each CPU
)
COUNTERS_STRUCT: Final = struct.Struct(_format(COUNTERS))
_named_tuple: Final[Callable[[str, Iterable[str]], Any]] = namedtuple
Counts: Final = _named_tuple("Counts", _values(COUNTERS))
"""What ``COUNTERS_STRUCT`` unpacks, by name."""
CAPTURE: Final = (
    Field("u32", "uid_ranges"),
    Field("u32", "paths"),
    Field("u32", "excluded"),  # so many of the paths, the first ones, are those that are not wanted
    Field("u8", "reserved", 4),  # the kernel rounds an element up to 8 bytes
    Field("u32", "uid_low", MAX_UID_RANGES),
    Field("u32", "uid_high", MAX_UID_RANGES),
    Field("u32", "path_length", MAX_CAPTURE_PATHS),  # bytes to compare; an exact path includes its NUL
    Field("char", "path", MAX_CAPTURE_PATHS * CAPTURE_PATH_SIZE),
)
CAPTURE_STRUCT: Final = struct.Struct(_format(CAPTURE))


def _c_struct(name: str, fields: tuple[Field, ...], size: int) -> str:
    members = "\n".join(f"    {f.ctype} {f.name}{f'[{f.count}]' if f.count > 1 else ''};" for f in fields)
    return (
        f"struct {name} {{\n{members}\n}};\n"
        f'_Static_assert(sizeof(struct {name}) == {size}, "{name}: C and Python disagree");\n'
    )


def c_declarations(max_args_bytes: int, max_env_bytes: int, max_record_bytes: int | None = None) -> str:
    """The C text that the BPF program needs of this module.

    Args:
        max_args_bytes: Bytes of argv after which no further element is read.
        max_env_bytes: The same for envp.
        max_record_bytes: The most that can be handed over at once; what does not fit is left out and marked.
    """
    copy_size = max(CHUNK, max_args_bytes + max_env_bytes)
    # Each section may overshoot its limit by one read.
    data_size = 2 * CHUNK + 5 * (MAX_PATH_BYTES + CHUNK) + max_args_bytes + max_env_bytes + 3 * CHUNK
    data_size += copy_size + 2 * CHUNK
    if max_record_bytes is not None:
        data_size = min(data_size, (max_record_bytes - HEADER_STRUCT.size) & ~7)
        copy_size = min(copy_size, max_record_bytes // 4)
    numbers = BITS | {
        "MAX_ARGS_BYTES": max_args_bytes,
        "MAX_ENV_BYTES": max_env_bytes,
        "COPY_SIZE": copy_size,
        "DATA_SIZE": data_size,
    }
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
