"""Causes: how each is made, and its expected diagnosis."""

from __future__ import annotations

import errno
import os
import platform
import time
from dataclasses import dataclass
from typing import Final

from tests.live import circumstances
from tests.live.cases import HUGE, Call, Setup, as_user, at, busy, named
from tests.live.circumstances import GROUP, USER
from tests.live.exec_child import (
    AT_EMPTY_PATH,
    AT_EXECVE_CHECK,
    AT_SYMLINK_NOFOLLOW,
    BAD,
    Exec,
)
from tests.live.plants import Planted
from tests.live.why_files import mount_without_links
from tests.live.zoo import Zoo

FORGOTTEN: Final = 1.0
"""Seconds after which look-ups in a mount namespace of the same number are forgotten."""
_EXECVE: Final = {"x86_64": 59, "aarch64": 221}[platform.machine()]
_STRING: Final = b"x" * 131_072
_FILLING: Final = tuple(b"FILLING_%d=" % number + b"y" * 4000 for number in range(4))
"""More than is recorded of either of argv and envp."""


@dataclass(frozen=True)
class Cause:
    """One cause.

    Attributes:
        name: What it is, for a reader.
        error: Name of the errno that it gives.
        code: The diagnosis's code.
        says: Text that its summary must contain; ``{zoo}`` stands for the directory.
        call: Makes the exec's arguments, in the child.
        setup: Runs in the child before that.
        certain: It must be claimed for certain while the caller lives.
        gone: The code when the caller is gone; None if it is the same.
        killed: The exec kills the caller.
        planted: How its evidence is forged after another error (``test_planted``).
        unplanted: Why nobody can forge it, if so.
        like: The code of another cause with the same evidence, which ``test_swapped`` replaces.
        never_certain: Each of its diagnoses says what is missing: there is nothing to forge or to replace.
    """

    name: str
    error: str
    code: str
    says: str
    call: Call
    setup: Setup = lambda zoo: None
    certain: bool = True
    gone: str | None = None
    killed: bool = False
    planted: Planted | None = None
    unplanted: str = ""
    like: str = ""
    never_certain: bool = False


def _member_of_group(zoo: Zoo) -> None:
    os.setgroups([GROUP])
    os.setresuid(USER, USER, USER)


def _deep(zoo: Zoo) -> None:
    circumstances.go_to_deep_directory(zoo / "directory", 60)


def _noexec(zoo: Zoo) -> None:
    # The namespace may have the number of the one before: what was looked up in that must be forgotten.
    time.sleep(FORGOTTEN)
    circumstances.mount_noexec(zoo / "directory")


def _nosymfollow(zoo: Zoo) -> None:
    time.sleep(FORGOTTEN)
    mount_without_links(zoo / "directory")


def _noexec_without_x(zoo: Zoo) -> None:
    _noexec(zoo)
    os.chmod(zoo / "directory/program", 0o644)


def _in(name: str) -> Setup:
    return lambda zoo: os.chdir(zoo / name)


def _in_root(zoo: Zoo) -> None:
    circumstances.change_root(zoo / "root", "/")


ENOENT: Final = [
    Cause("file", "ENOENT", "missing-file", "{zoo}/nothing", named("nothing")),
    Cause(
        "directory", "ENOENT", "missing-directory", '"{zoo}/none" does not exist', named("none/bin/program")
    ),
    Cause("dangling link", "ENOENT", "dangling-link", '"{zoo}/gone" does not exist', named("dangling")),
    Cause(
        "dangling link on the way",
        "ENOENT",
        "dangling-link",
        '"/no" does not exist',
        named("link-to-directory/program"),
    ),
    Cause(
        "interpreter",
        "ENOENT",
        "missing-interpreter",
        '"/no/such/interpreter" does not',
        named("bad-interpreter"),
    ),
    Cause("CRLF", "ENOENT", "crlf-interpreter", "CR (a Windows line ending), so", named("crlf")),
    Cause(
        "ELF interpreter",
        "ENOENT",
        "missing-elf-interpreter",
        'ELF interpreter "/no/such/ld.so"',
        named("missing-loader"),
    ),
    Cause(
        "interpreter that is a dangling link",
        "ENOENT",
        "missing-interpreter",
        "through the link",
        named("by-dangling-link"),
    ),
    Cause(
        "relative interpreter", "ENOENT", "missing-interpreter", "is a relative path", named("by-relative")
    ),
    Cause(
        "interpreter's interpreter",
        "ENOENT",
        "missing-interpreter",
        'The interpreter "{zoo}/bad-interpreter" of "{zoo}/by-script" exists',
        named("by-script"),
    ),
    Cause(
        "close-on-exec script",
        "ENOENT",
        "close-on-exec-script",
        "closes on exec",
        at("script", b"", AT_EMPTY_PATH, os.O_RDONLY | os.O_CLOEXEC),
        certain=False,
    ),
    Cause(
        "relative path",
        "ENOENT",
        "missing-in-working-directory",
        'working directory "{zoo}/directory"',
        lambda zoo: Exec(b"nothing"),
        _in("directory"),
    ),
    Cause(
        "removed working directory",
        "ENOENT",
        "working-directory-gone",
        "no longer exists",
        lambda zoo: Exec(b"nothing"),
        lambda zoo: circumstances.go_to_deleted_directory(zoo.directory),
    ),
    Cause(
        "removed directory behind a descriptor",
        "ENOENT",
        "descriptor-of-removed-directory",
        "has been removed",
        lambda zoo: Exec(
            b"nothing", dirfd=circumstances.descriptor_of_deleted_directory(zoo.directory), flags=0
        ),
        certain=False,
        gone="not-looked-at",
    ),
    Cause(
        "removed script behind a descriptor",
        "ENOENT",
        "missing-interpreter",
        'its interpreter "/no/such/interpreter" does not',
        lambda zoo: Exec(
            b"", dirfd=circumstances.descriptor_of_removed_script(zoo.directory), flags=AT_EMPTY_PATH
        ),
        certain=False,
        gone="not-looked-at",
    ),
    Cause("empty path", "ENOENT", "empty-path", "empty", lambda zoo: Exec(b"")),
    Cause(
        "home directory as ~",
        "ENOENT",
        "not-expanded",
        "has ~ in it",
        lambda zoo: Exec(b"~/program"),
        _in("directory"),
    ),
    Cause("variable", "ENOENT", "not-expanded", "has $HOME in it", lambda zoo: Exec(b"/$HOME/program")),
    Cause("quotes", "ENOENT", "quotes-in-path", "quotation mark", lambda zoo: Exec(b"'/bin/true'")),
    Cause("with arguments", "ENOENT", "arguments-in-path", '"-v x" looks like', named("succeeds -v x")),
    Cause("blank at the end", "ENOENT", "blank-in-path", "ends in a blank", named("succeeds ")),
    Cause("name with CR", "ENOENT", "name-ends-in-cr", "ends in CR", named("program\r")),
    Cause(
        "below a descriptor",
        "ENOENT",
        "missing-file",
        "{zoo}/directory/nothing",
        at("directory", b"nothing", 0),
        certain=False,
        gone="not-looked-at",
    ),
    Cause(
        "in another root directory",
        "ENOENT",
        "missing-directory",
        '"/bin" does not exist',
        lambda zoo: Exec(b"/bin/sh"),
        _in_root,
    ),
]

EACCES: Final = [
    Cause(
        "no x bit, root",
        "EACCES",
        "no-execute-permission",
        "root may not execute",
        named("not-executable"),
    ),
    Cause(
        "owner only", "EACCES", "no-execute-permission", f"uid {USER} may not", named("owner-only"), as_user
    ),
    Cause(
        "not for the group",
        "EACCES",
        "no-execute-permission",
        "rwx---r-x",
        named("not-for-group"),
        _member_of_group,
    ),
    Cause("ACL entry", "EACCES", "no-execute-permission", f"uid {USER} may not", named("acl"), as_user),
    Cause("ACL mask", "EACCES", "no-execute-permission", f"uid {USER} may not", named("acl-mask"), as_user),
    Cause("directory", "EACCES", "is-directory", "is a directory", named("directory")),
    Cause("FIFO", "EACCES", "special-file", "is a FIFO", named("fifo")),
    Cause("device", "EACCES", "special-file", "is a character device", named("device")),
    Cause(
        "what a descriptor of its own names",
        "EACCES",
        "special-file",
        '"/dev/null" is a character device',
        lambda zoo: Exec(b"/proc/self/fd/0"),
        lambda zoo: circumstances.open_stdin("/dev/null"),
        certain=False,
        gone="vanished-since",
    ),
    Cause(
        "file of /proc",
        "EACCES",
        "several-causes",
        "nothing is executed on /proc (proc)",
        lambda zoo: Exec(b"/proc/version"),
        certain=False,
    ),
    Cause(
        "noexec mount",
        "EACCES",
        "noexec-mount",
        'lies on "{zoo}/directory", which is mounted noexec',
        named("directory/program"),
        _noexec,
        certain=False,
        gone="namespace-gone",
    ),
    Cause(
        "noexec mount and no x bit",
        "EACCES",
        "several-causes",
        "noexec",
        named("directory/program"),
        _noexec_without_x,
        certain=False,
        gone="namespace-gone",
    ),
    Cause(
        "unsearchable directory",
        "EACCES",
        "unsearchable-directory",
        'the directory "{zoo}/private"',
        named("private/program"),
        as_user,
    ),
    Cause(
        "directory's ACL",
        "EACCES",
        "unsearchable-directory",
        'the directory "{zoo}/acl-directory"',
        named("acl-directory/program"),
        as_user,
    ),
    Cause(
        "interpreter without x bit",
        "EACCES",
        "interpreter-not-executable",
        'the interpreter "{zoo}/not-executable"',
        named("interpreter-not-executable"),
    ),
    Cause(
        "interpreter is a directory",
        "EACCES",
        "interpreter-not-executable",
        "is a directory",
        named("by-directory"),
    ),
    Cause(
        "interpreter on a noexec mount",
        "EACCES",
        "interpreter-on-noexec-mount",
        "which is mounted noexec",
        named("by-mounted"),
        _noexec,
        certain=False,
        gone="namespace-gone",
    ),
    Cause(
        "interpreter not within reach",
        "EACCES",
        "unsearchable-directory",
        "on the way to the interpreter",
        named("by-unsearchable"),
        as_user,
    ),
    Cause(
        "capable in its own user namespace only",
        "EACCES",
        "no-execute-permission",
        f"uid {USER} may not",
        named("owner-only"),
        lambda zoo: circumstances.enter_user_namespace(),
        certain=False,  # it may have been in another one, whose ids a capability would have counted for
        gone="no-execute-permission",
    ),
    Cause(
        "only a check",
        "EACCES",
        "no-execute-permission",
        "root may not execute",
        lambda zoo: Exec(zoo.path("not-executable"), flags=AT_EXECVE_CHECK),
    ),
]

ENOEXEC: Final = [
    Cause("text", "ENOEXEC", "no-shebang", "without a #! line", named("text")),
    Cause("empty file", "ENOEXEC", "empty-file", "is empty", named("empty")),
    Cause("byte order mark", "ENOEXEC", "bom-before-shebang", "UTF-8", named("bom")),
    Cause("text with BOM", "ENOEXEC", "text-with-bom", "has no #! line", named("bom-only")),
    Cause("no program headers", "ENOEXEC", "malformed-elf", "no program", named("no-program-headers")),
    Cause("macOS program", "ENOEXEC", "macos-program", "a macOS program", named("macos")),
    Cause("UTF-16", "ENOEXEC", "bom-before-shebang", "UTF-16, little endian", named("utf-16")),
    Cause("blank", "ENOEXEC", "blank-before-shebang", "blanks before its #!", named("blank")),
    Cause("empty line", "ENOEXEC", "blank-before-shebang", "an empty line before", named("empty-line")),
    Cause("foreign machine", "ENOEXEC", "foreign-architecture", "built for s390x", named("foreign")),
    Cause(
        "#! alone", "ENOEXEC", "shebang-without-interpreter", "names no interpreter", named("no-interpreter")
    ),
    Cause("long #! line", "ENOEXEC", "shebang-too-long", "255 bytes", named("long")),
    Cause("cut ELF header", "ENOEXEC", "truncated-elf", "has 40 bytes", named("cut-header")),
    Cause("cut program headers", "ENOEXEC", "truncated-elf", "has 100 bytes", named("cut-program-headers")),
    Cause("core dump", "ENOEXEC", "not-an-executable-elf", "a core dump", named("core")),
    Cause("object file", "ENOEXEC", "not-an-executable-elf", "an object file", named("object")),
    Cause("compressed", "ENOEXEC", "not-a-program", "gzip", named("compressed")),
    Cause("Windows program", "ENOEXEC", "windows-program", "a Windows program", named("windows.exe")),
    Cause("data", "ENOEXEC", "not-a-program", "an unknown format", named("data")),
    Cause("Java archive", "ENOEXEC", "not-a-program", "a Java archive", named("app.jar")),
    Cause("Java class", "ENOEXEC", "not-a-program", "a Java class", named("java-class")),
    Cause("compiled Python", "ENOEXEC", "not-a-program", "compiled Python", named("module.pyc")),
    Cause("server's error", "ENOEXEC", "not-a-program", "error message of a server", named("download")),
    Cause("UTF-16 without BOM", "ENOEXEC", "not-a-program", "a text in UTF-16", named("utf-16-le")),
    Cause("zero bytes", "ENOEXEC", "not-a-program", "filled with zero bytes", named("zeros")),
    Cause("interpreter is a text", "ENOEXEC", "no-shebang", "{zoo}/text", named("by-text")),
]

OTHERS: Final = [
    Cause("open for writing", "ETXTBSY", "open-for-writing", "open for writing", busy, certain=False),
    Cause(
        "argument",
        "E2BIG",
        "argument-too-long",
        "Argument 1 has",
        lambda zoo: Exec(zoo.path("dynamic"), argv=(b"argv0", _STRING)),
        certain=False,
    ),
    Cause(
        "variable",
        "E2BIG",
        "variable-too-long",
        'Variable "LONG" has',
        lambda zoo: Exec(zoo.path("dynamic"), envp=(b"SHORT=1", b"LONG=" + _STRING)),
        certain=False,
    ),
    Cause(
        "all arguments",
        "E2BIG",
        "arguments-too-big",
        "101 arguments and",
        lambda zoo: Exec(zoo.path("dynamic"), argv=(b"argv0", *[HUGE] * 100)),
        certain=False,
    ),
    Cause(
        "argument behind what is recorded",
        "E2BIG",
        "argument-too-long",
        "Argument 5 has more than 131,072 bytes",
        lambda zoo: Exec(zoo.path("dynamic"), argv=(b"argv0", *_FILLING, _STRING), envp=_FILLING),
        _deep,
        certain=False,
    ),
    Cause(
        "variable behind what is recorded",
        "E2BIG",
        "variable-too-long",
        "Environment element 4 has more than 131,072 bytes",
        lambda zoo: Exec(
            zoo.path("dynamic"), argv=(b"argv0", *_FILLING), envp=(*_FILLING, b"LONG=" + _STRING, b"SHORT=1")
        ),
        _deep,
        certain=False,
    ),
    Cause(
        "variable behind what is measured",
        "E2BIG",
        "arguments-too-big",
        "or one of them alone may be: 5 arguments and 105 variables",
        lambda zoo: Exec(
            zoo.path("dynamic"),
            argv=(b"argv0", *_FILLING),
            envp=(*_FILLING, *[b"SHORT=1"] * 100, b"LONG=" + _STRING),
        ),
        _deep,
        certain=False,
    ),
    Cause("link loop", "ELOOP", "link-loop", "leads back to itself", named("loop-a")),
    Cause("chain of links", "ELOOP", "too-many-links", "more than 40", named("link-0")),
    Cause(
        "link on a nosymfollow mount",
        "ELOOP",
        "links-forbidden-by-mount",
        "mounted nosymfollow",
        named("directory/link"),
        _nosymfollow,
        certain=False,
        gone="namespace-gone",
        unplanted="it takes privileges to mount",
    ),
    Cause("nested scripts", "ELOOP", "interpreters-nested-too-deep", "more than 5", named("recursion-0")),
    Cause(
        "link not to be followed",
        "ELOOP",
        "link-not-followed",
        "AT_SYMLINK_NOFOLLOW",
        lambda zoo: Exec(zoo.path("link"), flags=AT_SYMLINK_NOFOLLOW),
    ),
    Cause(
        "file as directory", "ENOTDIR", "not-a-directory", '"{zoo}/text" is a regular', named("text/program")
    ),
    Cause("slash at the end", "ENOTDIR", "not-a-directory", "ends in a slash", named("succeeds/")),
    Cause(
        "file as the interpreter's directory",
        "ENOTDIR",
        "not-a-directory",
        "of the interpreter",
        named("by-file-as-directory"),
    ),
    Cause(
        "below a file",
        "ENOTDIR",
        "descriptor-is-no-directory",
        "is a regular file",
        at("text", b"program", 0),
        certain=False,
        gone="not-looked-at",
    ),
    Cause("long component", "ENAMETOOLONG", "name-too-long", "256 bytes", named("n" * 256)),
    Cause("long path", "ENAMETOOLONG", "path-too-long", "4,095 bytes", lambda zoo: Exec(b"/p" * 2500)),
    Cause(
        "path pointer", "EFAULT", "bad-path-pointer", "path's address", lambda zoo: Exec(BAD), certain=False
    ),
    Cause(
        "argument pointer",
        "EFAULT",
        "bad-argument-pointer",
        "argument 1",
        lambda zoo: Exec(zoo.path("succeeds"), argv=(b"good", BAD, b"good again")),
        certain=False,
    ),
    Cause(
        "descriptor",
        "EBADF",
        "bad-descriptor",
        "987",
        lambda zoo: Exec(b"program", dirfd=987, flags=0),
        certain=False,
    ),
    Cause("flags", "EINVAL", "unknown-flags", "0x1", lambda zoo: Exec(b"/no/such/program", flags=1)),
    Cause(
        "ELF interpreter that is none", "ELIBBAD", "bad-elf-interpreter", "no ELF file", named("bad-loader")
    ),
    Cause("cut before PT_INTERP", "EIO", "truncated-elf", "headers point to", named("cut-interpreter")),
    Cause(
        "process limit",
        "EAGAIN",
        "process-limit",
        f"uid {USER} has",
        named("succeeds"),
        lambda zoo: circumstances.exceed_process_limit(),
        certain=False,
    ),
    Cause(
        "file capability",
        "EPERM",
        "file-capabilities-not-granted",
        "CAP_NET_RAW",
        named("capable"),
        lambda zoo: circumstances.lose_net_raw(),
        gone="file-capabilities-not-granted",
    ),
    Cause(
        "seccomp",
        "EPERM",
        "seccomp-filter",
        "seccomp filter",
        named("succeeds"),
        lambda zoo: circumstances.deny_exec_by_seccomp(_EXECVE, errno.EPERM),
        certain=False,
        gone="unexplained-denial",
    ),
    Cause(
        "pretended to be no system call",
        "ENOSYS",
        "no-such-system-call",
        "seccomp",
        named("succeeds"),
        lambda zoo: circumstances.deny_exec_by_seccomp(_EXECVE, errno.ENOSYS),
        certain=False,
    ),
    Cause(
        "an error of no known cause",
        "EUSERS",
        "unexplained",
        "nothing that was looked at",
        named("succeeds"),
        lambda zoo: circumstances.deny_exec_by_seccomp(_EXECVE, errno.EUSERS),
        certain=False,
    ),
    Cause(
        "after the point of no return",
        "ENOMEM",
        "killed-after-point-of-no-return",
        "killed by SIGSEGV",
        named("unmappable"),
        certain=False,
        killed=True,
    ),
]

CAUSES: Final = [*ENOENT, *EACCES, *ENOEXEC, *OTHERS]
