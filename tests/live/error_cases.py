"""Every errno that an exec can fail with here, in each way that leads to it."""

from __future__ import annotations

import errno
import os
from typing import Final

from tests.live import circumstances
from tests.live.cases import HUGE, MISSING, Case, as_user, at, busy, named
from tests.live.exec_child import (
    AT_EMPTY_PATH,
    AT_EXECVE_CHECK,
    AT_SYMLINK_NOFOLLOW,
    BAD,
    BAD_ARRAY,
    EXECVE,
    NULL,
    Exec,
)
from tests.live.zoo import HOSTILE_NAME, Zoo

EXECVE_NUMBER: Final = EXECVE
"""The system call number of execve, for a seccomp filter."""

_MAX_ARG_STRLEN: Final = 131_072
"""Longest string with its NUL: 32 pages (MAX_ARG_STRLEN of include/uapi/linux/binfmts.h)."""


def _memory_file(zoo: Zoo) -> Exec:
    descriptor = os.memfd_create("text")
    os.write(descriptor, b"no program\n")
    os.dup2(descriptor, 50)
    return Exec(b"", dirfd=50, flags=AT_EMPTY_PATH)


def _by_descriptor(zoo: Zoo) -> Exec:
    return Exec(b"/dev/fd/%d" % os.open(zoo / "not-executable", os.O_RDONLY))


def _in_zoo(zoo: Zoo) -> None:
    os.chdir(zoo.directory)


FORGED: Final = "/usr/bin/forged"


def _held_up(zoo: Zoo) -> Exec:
    script = zoo.path("held-up")
    with open(script, "w") as file:
        file.write("#!/no/such/interpreter\n")
    os.chmod(script, 0o755)
    return Exec(circumstances.rewritten(script, FORGED.encode()))


ERRORS: Final = [
    Case("missing file", "ENOENT", named("nothing")),
    Case("missing file, relative", "ENOENT", lambda zoo: Exec(b"./nothing"), _in_zoo),
    Case("missing directory", "ENOENT", lambda zoo: Exec(MISSING)),
    Case("empty path", "ENOENT", lambda zoo: Exec(b""), path_in_doubt=True),
    Case("dangling link", "ENOENT", named("dangling")),
    Case("no x bit, root", "EACCES", named("not-executable"), binary="not-executable"),
    Case("no x bit for this user", "EACCES", named("owner-only"), as_user, binary="owner-only"),
    Case("no x bit, through a link", "EACCES", named("link"), binary="not-executable"),
    Case("no x bit, relative", "EACCES", lambda zoo: Exec(b"link"), _in_zoo, binary="not-executable"),
    Case("no x bit, hostile name", "EACCES", named(HOSTILE_NAME), binary=HOSTILE_NAME),
    Case("no x bit, by way of ..", "EACCES", named("directory/.././/link"), binary="not-executable"),
    Case(
        "no x bit, by way of .. from a linked directory",
        "EACCES",
        named("link-to-root-sub/../sub/plain"),
        binary="root/sub/plain",
    ),
    Case(
        "no x bit, through /proc/self/cwd",
        "EACCES",
        lambda zoo: Exec(b"/proc/self/cwd/not-executable"),
        _in_zoo,
        binary="not-executable",
    ),
    Case("no x bit, through /dev/fd", "EACCES", _by_descriptor, binary="not-executable"),
    Case("directory", "EACCES", named("directory"), binary="directory"),
    Case(
        "noexec mount",
        "EACCES",
        named("directory/program"),
        lambda zoo: circumstances.mount_noexec(zoo / "directory"),
        binary="directory/program",
    ),
    Case("unsearchable directory", "EACCES", named("private/program"), as_user, binary="private/program"),
    Case("fifo", "EACCES", named("fifo"), binary="fifo"),
    Case("device", "EACCES", named("device"), binary="device"),
    Case(
        "interpreter without x bit",
        "EACCES",
        named("interpreter-not-executable"),
        binary="interpreter-not-executable",
        interpreter="{zoo}/not-executable",
    ),
    Case("text", "ENOEXEC", named("text"), binary="text"),
    Case("empty file", "ENOEXEC", named("empty"), binary="empty"),
    Case("foreign ELF", "ENOEXEC", named("foreign"), binary="foreign"),
    Case("memory file", "ENOEXEC", _memory_file, binary="/memfd:text (deleted)", looked_at=50),
    Case(
        "missing #! interpreter",
        "ENOENT",
        named("bad-interpreter"),
        binary="bad-interpreter",
        interpreter="/no/such/interpreter",
    ),
    Case("CRLF", "ENOENT", named("crlf"), binary="crlf", interpreter="/bin/sh\r"),
    Case(
        "missing ELF interpreter",
        "ENOENT",
        named("missing-loader"),
        binary="missing-loader",
        interpreter="/no/such/ld.so",
    ),
    Case(
        "ELF interpreter that is no ELF",
        "ELIBBAD",
        named("bad-loader"),
        binary="bad-loader",
        interpreter="{zoo}/no-elf",
    ),
    Case("open for writing", "ETXTBSY", busy, binary="busy"),
    Case(
        "too many bytes of arguments",
        "E2BIG",
        lambda zoo: Exec(zoo.path("dynamic"), argv=(b"argv0", *[HUGE] * 100)),
        binary="dynamic",
        interpreter="{loader}",
    ),
    Case(
        "one string too long",
        "E2BIG",
        lambda zoo: Exec(zoo.path("dynamic"), argv=(b"argv0", b"x" * _MAX_ARG_STRLEN)),
        binary="dynamic",
        interpreter="{loader}",
    ),
    Case("link loop", "ELOOP", named("loop-a")),
    Case(
        "#! recursion",
        "ELOOP",
        named("recursion-0"),
        binary="recursion-0",
        interpreter="{zoo}/recursion-1",
        interpreter_in_use="{zoo}/recursion-6",
    ),
    Case("file as directory", "ENOTDIR", named("text/program")),
    Case("file with a slash behind it", "ENOTDIR", named("not-executable/")),
    Case("component too long", "ENAMETOOLONG", named("n" * 256)),
    Case("path too long", "ENAMETOOLONG", lambda zoo: Exec(b"/p" * 2500), path_in_doubt=True),
    Case("path pointer", "EFAULT", lambda zoo: Exec(BAD)),
    Case("path NULL", "EFAULT", lambda zoo: Exec(NULL)),
    Case(
        "argv pointer",
        "EFAULT",
        lambda zoo: Exec(zoo.path("dynamic"), argv=BAD_ARRAY),
        binary="dynamic",
        interpreter="{loader}",
    ),
    Case(
        "string pointer in argv",
        "EFAULT",
        lambda zoo: Exec(zoo.path("succeeds"), argv=(b"good", BAD, b"good again")),
        binary="succeeds",
    ),
    Case(
        "envp pointer",
        "EFAULT",
        lambda zoo: Exec(zoo.path("succeeds"), envp=BAD_ARRAY),
        binary="succeeds",
    ),
    Case("execveat, bad descriptor", "EBADF", lambda zoo: Exec(b"program", dirfd=987, flags=0)),
    Case("execveat, missing below a directory", "ENOENT", at("directory", b"nothing", 0)),
    Case("execveat, below a directory", "EACCES", at(".", b"link", 0), binary="not-executable"),
    Case("execveat, below a file", "ENOTDIR", at("text", b"program", 0)),
    Case("execveat, bad flags", "EINVAL", lambda zoo: Exec(MISSING, flags=1)),
    Case(
        "execveat, the descriptor itself without x bit",
        "EACCES",
        at("not-executable", b"", AT_EMPTY_PATH, os.O_PATH),
        binary="not-executable",
    ),
    Case(
        "execveat, link not to be followed",
        "ELOOP",
        lambda zoo: Exec(zoo.path("link"), flags=AT_SYMLINK_NOFOLLOW),
    ),
    Case(
        "execveat, only a check",
        # The flag came with 6.14.
        "EACCES" if circumstances.KERNEL_RELEASE >= (6, 14) else "EINVAL",
        lambda zoo: Exec(zoo.path("not-executable"), flags=AT_EXECVE_CHECK),
        binary="not-executable",
    ),
    Case(
        "fexecve of a close-on-exec script",
        "ENOENT",
        at("script", b"", AT_EMPTY_PATH, os.O_RDONLY | os.O_CLOEXEC),
        binary="script",
        interpreter="/bin/sh",
    ),
    Case(
        "too many processes",
        "EAGAIN",
        named("succeeds"),
        lambda zoo: circumstances.exceed_process_limit(),
        binary="succeeds",
        path_in_doubt=True,
    ),
    Case(
        "file capability out of reach",
        "EPERM",
        named("capable"),
        lambda zoo: circumstances.lose_net_raw(),
        binary="capable",
    ),
    Case(
        "denied by seccomp",
        "EPERM",
        named("succeeds"),
        lambda zoo: circumstances.deny_exec_by_seccomp(EXECVE_NUMBER, errno.EPERM),
        unseen_by=frozenset(("fentry",)),
        binary="succeeds",
        path_in_doubt=True,
    ),
    Case(
        "after the point of no return",
        "ENOMEM",
        named("unmappable"),
        binary="unmappable",
        killed_by="SIGSEGV",
    ),
    Case(
        "path that is rewritten while the exec is held up",
        "ENOENT",
        _held_up,
        binary="held-up",
        interpreter="/no/such/interpreter",
        path_afterwards=FORGED,
    ),
]
