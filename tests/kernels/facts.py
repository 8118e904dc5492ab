"""The facts that are available for each failure: what a plan's hooks see on each kernel.

They depend on how far the exec got: since Linux 6.8 the kernel opens the file before it copies argv and envp;
earlier kernels open it afterwards (fs/exec.c, alloc_bprm and bprm_execve).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from execwhy.bpf.events.record import PathSource

Release = tuple[int, ...]
"""(6, 1)"""

OPENED_FIRST: Final[Release] = (6, 8)
FINDS_MEMORY: Final[Release] = (5, 17)
"""Since then a program can ask what memory is mapped to (bpf_find_vma)."""


class Reached(Enum):
    """How far the kernel got before it failed."""

    CALL = "nothing: no struct linux_binprm was made"
    OPEN = "the file could not be opened"
    OPEN_LARGE = "the file could not be opened, and not all of argv and envp is taken from the kernel's copy"
    STRINGS = "argv or envp could not be copied"
    PROGRAM = "file and strings were there"
    LATE = "the caller's memory was gone"


@dataclass(frozen=True)
class Facts:
    """What a record must contain.

    Attributes:
        binary: Where the file's identity comes from, if there is a file at all.
        arguments: Whose copy of argv is recorded, if there is anything to read.
        path: The source of the path, for a caller without threads.
    """

    binary: Literal["kernel", "resolved"]
    arguments: Literal["kernel", "user", "unreadable"]
    path: PathSource = "kernel"


NEVER_A_BPRM: Final = frozenset(
    (
        "empty path",
        "path too long",
        "path of 4,096 bytes",
        "path pointer",
        "path NULL",
        "too many processes",
        "denied by seccomp",
    )
)
STRINGS_FAIL: Final = frozenset(
    (
        "too many bytes of arguments",
        "one string too long",
        "argv pointer",
        "string pointer in argv",
        "envp pointer",
    )
)
FAILS_WITH_THE_FILE: Final = frozenset(
    (
        "interpreter without x bit",
        "text",
        "empty file",
        "foreign ELF",
        "memory file",
        "missing #! interpreter",
        "CRLF",
        "missing ELF interpreter",
        "ELF interpreter that is no ELF",
        "#! recursion",
        "fexecve of a close-on-exec script",
        "file capability out of reach",
        "path that is rewritten while the exec is held up",
    )
)


def reached(kind: str, killed_by: str | None) -> Reached:
    """Return how far the exec of a kind gets; all others fail when their file is opened."""
    if killed_by:
        return Reached.LATE
    if kind in NEVER_A_BPRM:
        return Reached.CALL
    if kind == "one huge argument":
        return Reached.OPEN_LARGE
    if kind in STRINGS_FAIL:
        return Reached.STRINGS
    return Reached.PROGRAM if kind in FAILS_WITH_THE_FILE else Reached.OPEN


def facts(plan: str, release: Release, how_far: Reached) -> Facts:
    """Return what must be recorded, from a table: a row per stage, columns before 6.8 and since."""
    if plan == "tracepoint" and how_far is Reached.LATE:
        return Facts("resolved", "unreadable")
    if plan == "tracepoint":
        return Facts("resolved", "user", "unchanged" if release >= FINDS_MEMORY else "user")
    since = release >= OPENED_FIRST
    return {
        Reached.CALL: (Facts("resolved", "user", "user"), Facts("resolved", "user", "user")),
        Reached.OPEN: (Facts("resolved", "kernel"), Facts("resolved", "user")),
        Reached.OPEN_LARGE: (Facts("resolved", "user"), Facts("resolved", "user")),
        Reached.STRINGS: (Facts("resolved", "user"), Facts("kernel", "user")),
        Reached.PROGRAM: (Facts("kernel", "kernel"), Facts("kernel", "kernel")),
        Reached.LATE: (Facts("kernel", "kernel"), Facts("kernel", "kernel")),
    }[how_far][since]
