"""32-bit system calls, which ``int80`` of tests/programs makes."""

from __future__ import annotations

from typing import Final

from tests.live.cases import MISSING
from tests.live.exec_child import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, Exec

COMPAT_PROGRAMS: Final = ("int80-32", "int80-64")
"""A 32-bit program, and a 64-bit one that makes the same calls."""

COMPAT_CALLS: Final = {
    "execve": (Exec(MISSING), "ENOENT"),
    "execve, many strings": (Exec(MISSING, argv=tuple(b"a%d" % i for i in range(300))), "ENOENT"),
    "execve, bytes": (Exec(b"/no/\xff\x1b", argv=(b"\xfe", b""), envp=(b"E=\x80",)), "ENOENT"),
    "execve, no strings": (Exec(MISSING, argv=(), envp=()), "ENOENT"),
    "execveat": (Exec(MISSING, dirfd=AT_FDCWD, flags=AT_SYMLINK_NOFOLLOW), "ENOENT"),
    "execveat, bad descriptor": (Exec(b"program", dirfd=987, flags=0), "EBADF"),
    "execveat, stdin itself": (Exec(b"", dirfd=0, flags=AT_EMPTY_PATH), "EACCES"),
}
