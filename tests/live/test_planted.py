"""Another guard makes the errno, and evidence for a cause is planted afterwards: no cause is certain.

The opposite of ``test_swapped``, where the evidence of a true cause is disturbed. The errno comes from a
seccomp filter of the caller, which is still there at the look or gone; or from another guard (Landlock,
AppArmor), which leaves no trace in a caller that is still there.
"""

from __future__ import annotations

import errno
import os
import pickle
import resource
import shutil
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from execwhy.bpf.events.record import ExecFailure, Truncated
from execwhy.tui.why.causes import codes, diagnose
from tests.live import circumstances
from tests.live.circumstances import GROUP, USER
from tests.live.exec_child import EXECVE
from tests.live.never_certain import NEVER_CERTAIN
from tests.live.plants import Plant, Planted, chmod, link, nothing, program, put, remove, write
from tests.live.test_swapped import _elf
from tests.live.why_cases import CAUSES
from tests.live.why_files import protected_links
from tests.settled import SETTLED
from tests.unit.tui.why.failing import a_failure

_FOREIGN_ROOT: Final = struct.pack("<6I", 0x03000001, 1 << 13, 0, 0, 0, USER)
_FOR_ALL: Final = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)


def interpreted(base: Path) -> None:
    """Make a script whose interpreter is a script, behind a directory of its own."""
    program("tools/interpreter")(base)
    program("d/job", b"#!{base}/tools/interpreter\n")(base)


def sticky(base: Path) -> None:
    """Make a directory like /tmp, with a link of the caller."""
    (base / "d").chmod(0o1777)
    (base / "d/link").symlink_to("/bin/true")
    os.lchown(base / "d/link", USER, GROUP)


def binary(base: Path) -> None:
    shutil.copy("/bin/true", base / "d/job")


def with_capability(value: bytes) -> Plant:
    return lambda base, pid: os.setxattr(base / "d/job", "security.capability", value)


def binary_of_another_root(base: Path) -> None:
    """Make a program with capabilities that count only for another root: the kernel ignores them."""
    binary(base)
    with_capability(_FOREIGN_ROOT)(base, 0)


def recursive(base: Path, pid: int) -> None:
    for number in range(8):
        program(f"d/{number}", b"#!{base}/d/%d\n" % (number + 1))(base)
    write(b"#!{base}/d/0\n")(base, pid)


def many_links(base: Path, pid: int) -> None:
    remove("d/job")(base, pid)
    (base / "d/job").symlink_to("0")
    for number in range(50):
        (base / f"d/{number}").symlink_to(f"{number + 1}")


_ELF: Final = _elf(b"/no/such/loader")
_CUT: Final = _elf(b"/bin/true")[:100]
_FOREIGN: Final = _ELF[:18] + b"\x16\0" + _ELF[20:]
_CORE: Final = _ELF[:16] + b"\4\0" + _ELF[18:]
_NO_HEADERS: Final = _ELF[:56] + b"\0\0" + _ELF[58:]
_KILLED: Final = "killed-after-point-of-no-return"
_MEMORY: Final = (("killed_by", "SIGSEGV"), ("binary", None))
_BIG: Final = ("arguments", ("x" * 100_000,) * 2), ("truncated", Truncated(argc=2, envc=0))

CASES: Final = (
    Planted("unsearchable-directory", errno.EACCES, chmod("d", 0o700)),
    Planted("unsearchable-directory", errno.EACCES, chmod("tools", 0o700), before=interpreted),
    Planted("no-execute-permission", errno.EACCES, chmod("d/job", 0o700)),
    Planted("no-execute-permission", errno.EACCES, chmod("d/job", 0o644), user=None),
    Planted("interpreter-not-executable", errno.EACCES, chmod("tools/interpreter", 0), before=interpreted),
    Planted("is-directory", errno.EACCES, put("d/job", os.mkdir)),
    Planted("special-file", errno.EACCES, put("d/job", os.mkfifo)),
    Planted("protected-link", errno.EACCES, lambda base, pid: os.lchown(base / "d/link", USER + 9, GROUP),
         "d/link", sticky),
    Planted("missing-file", errno.ENOENT, remove("d/job")),
    Planted("missing-directory", errno.ENOENT, remove("d")),
    Planted("missing-in-working-directory", errno.ENOENT, remove("d/job"), "=job"),
    Planted("working-directory-gone", errno.ENOENT, remove("d"), "=job"),
    Planted("dangling-link", errno.ENOENT, remove("d/job"), "link", link("link", "d/job")),
    Planted("missing-interpreter", errno.ENOENT, remove("tools"), before=interpreted),
    Planted("missing-interpreter", errno.ENOENT, write(b"#!/no/such\n")),
    Planted("crlf-interpreter", errno.ENOENT, write(b"#!/bin/sh\r\n")),
    Planted("missing-elf-interpreter", errno.ENOENT, write(_ELF)),
    Planted("name-ends-in-cr", errno.ENOENT, remove("d/job\r"), "d/job\r", program("d/job\r")),
    Planted("not-expanded", errno.ENOENT, remove("d/$A"), "d/$A", program("d/$A")),
    Planted("quotes-in-path", errno.ENOENT, remove("d/'a'"), "='a'", program("d/'a'")),
    Planted("arguments-in-path", errno.ENOENT, remove("d/job -v"), "d/job -v", program("d/job -v")),
    Planted("blank-in-path", errno.ENOENT, remove("d/job "), "d/job ", program("d/job ")),
    Planted("no-shebang", errno.ENOEXEC, write(b"text\n")),
    Planted("empty-file", errno.ENOEXEC, write(b"")),
    Planted("bom-before-shebang", errno.ENOEXEC, write(b"\xef\xbb\xbf#!/bin/sh\n")),
    Planted("text-with-bom", errno.ENOEXEC, write(b"\xef\xbb\xbftext\n")),
    Planted("blank-before-shebang", errno.ENOEXEC, write(b" #!/bin/sh\n")),
    Planted("shebang-without-interpreter", errno.ENOEXEC, write(b"#!\n")),
    Planted("shebang-too-long", errno.ENOEXEC, write(b"#!/" + b"x" * 300 + b"\n")),
    Planted("not-a-program", errno.ENOEXEC, write(bytes(500))),
    Planted("macos-program", errno.ENOEXEC, write(b"\xcf\xfa\xed\xfe" + bytes(500))),
    Planted("windows-program", errno.ENOEXEC, write(b"MZ" + bytes(500))),
    Planted("truncated-elf", errno.ENOEXEC, write(_CUT)),
    Planted("foreign-architecture", errno.ENOEXEC, write(_FOREIGN)),
    Planted("not-an-executable-elf", errno.ENOEXEC, write(_CORE)),
    Planted("malformed-elf", errno.ENOEXEC, write(_NO_HEADERS)),
    Planted("bad-elf-interpreter", errno.ELIBBAD, write(_elf(b"/etc/passwd"))),
    Planted("truncated-elf", errno.EIO, write(_ELF[:-4])),
    Planted("link-loop", errno.ELOOP, put("d/job", lambda place: place.symlink_to("job"))),
    Planted("too-many-links", errno.ELOOP, many_links),
    Planted("interpreters-nested-too-deep", errno.ELOOP, recursive),
    Planted("not-a-directory", errno.ENOTDIR, put("d", lambda place: place.write_bytes(b""))),
    Planted("file-capabilities-not-granted", errno.EPERM, with_capability(_FOR_ALL), before=binary),
    Planted("seccomp-filter", errno.EPERM, nothing, before=binary_of_another_root),
    Planted("open-for-writing", errno.ETXTBSY, lambda base, pid: (base / "d/job").open("ab")),
    Planted("argument-too-long", errno.E2BIG, nothing,
         facts=(("arguments", ("job", "x" * 200_000)), ("truncated", Truncated(argc=2, envc=0)))),
    Planted("variable-too-long", errno.E2BIG, nothing,
         facts=(("environment", ("A=" + "x" * 200_000,)), ("truncated", Truncated(argc=0, envc=1)))),
    Planted("arguments-too-big", errno.E2BIG, nothing, limit=(resource.RLIMIT_STACK, 100_000), facts=_BIG),
    Planted("process-limit", errno.EAGAIN, nothing, limit=(resource.RLIMIT_NPROC, 0)),
    Planted("descriptor-limit", errno.EMFILE, nothing, limit=(resource.RLIMIT_NOFILE, 3)),
    Planted("out-of-memory", errno.ENOMEM, nothing, limit=(resource.RLIMIT_AS, 100_000)),
    Planted("bad-argument-pointer", errno.EFAULT, nothing, facts=(("arguments", ("a", None)),)),
    Planted(_KILLED, errno.ENOMEM, nothing, limit=(resource.RLIMIT_AS, 100_000), facts=_MEMORY),
    Planted(_KILLED, errno.ENOMEM, nothing, facts=_MEMORY,
         before=program("d/job", _elf(b"/bin/true")[:64 + 56])),
)  # fmt: skip

OF_THE_RECORD: Final = frozenset(
    {"empty-path", "path-too-long", "name-too-long", "unknown-flags", "link-not-followed"}
)
"""Causes based on the path and flags that the kernel program read: nothing can be planted."""

OF_ROOT: Final = frozenset(
    {
        "noexec-mount",
        "interpreter-on-noexec-mount",
        "missing-binfmt-interpreter",
        "missing-kernel-helper",
    }
)
"""Causes that take privileges to plant (``tests.live.swapped_mounts`` exchanges what they rest on)."""


@contextmanager
def caller_of(case: Planted, base: Path, filtered: bool) -> Iterator[ExecFailure]:
    """Yield the record of an exec whose caller stays."""
    path = case.path.removeprefix("=") if case.path.startswith("=") else str(base / case.path)
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        try:
            ours.close()
            os.chdir(base / "d")
            if case.error == errno.EPERM:
                circumstances.lose_net_raw()
            if case.user is not None:
                circumstances.become_user()
            if filtered:
                circumstances.deny_exec_by_seccomp(EXECVE, case.error)
                os.execve(path, ["job"], {})
        except OSError as error:
            theirs.send(pickle.dumps((error.errno, time.time_ns())))
        else:
            theirs.send(pickle.dumps((case.error, time.time_ns())))
        while theirs.recv(1):
            if case.limit is not None:
                resource.setrlimit(case.limit[0], (case.limit[1],) * 2)
            theirs.send(b"s")
        os._exit(0)
    theirs.close()
    try:
        number, timestamp = pickle.loads(ours.recv(4096))
        assert number == case.error, os.strerror(number)
        ids: dict[str, Any] = {} if case.user is None else dict.fromkeys(("uid", "euid", "fsuid"), USER)
        ids |= {} if case.user is None else {"fsgid": GROUP, "groups": (), "capabilities": 0}
        facts = {"timestamp": timestamp, "duration_ms": 1, "pid": child, "tid": child, "ppid": os.getpid()}
        time.sleep(0.05)
        ours.send(b"s")
        assert ours.recv(1)
        yield a_failure(path, case.error, **{**facts, **ids, "cwd": str(base / "d"), **dict(case.facts)})
    finally:
        ours.close()
        os.waitpid(child, 0)


@contextmanager
def built(case: Planted) -> Iterator[Path]:
    base = Path(tempfile.mkdtemp(prefix="execwhy-planted-"))
    try:
        base.chmod(0o755)
        program("d/job")(base)
        case.before(base)
        yield base
    finally:
        shutil.rmtree(base, ignore_errors=True)


@pytest.mark.parametrize("filtered", [True, False], ids=["filter", "another guard"])
@pytest.mark.parametrize("case", [*CASES, *(cause.planted for cause in CAUSES if cause.planted)], ids=str)
def test_planted_evidence_makes_no_cause_certain(case: Planted, filtered: bool) -> None:
    with protected_links(), built(case) as base, ExitStack() as planted:
        time.sleep(SETTLED)
        with caller_of(case, base, filtered) as record:
            opened = case.plant(base, record.pid)
            if hasattr(opened, "close"):
                planted.callback(opened.close)
            alive = diagnose(record)
        gone = diagnose(record)
    assert alive.code == case.code or not filtered, alive
    for diagnosis in (alive, gone):
        assert not diagnosis.certain, diagnosis
        assert "`" not in (diagnosis.advice or "")


def test_a_descriptor_that_may_have_been_closed_since_is_not_certain_under_a_filter() -> None:
    case = Planted("bad-descriptor", errno.EBADF, nothing, "=job", facts=(("dirfd", 77), ("flags", 0)))
    with built(case) as base:
        with caller_of(case, base, filtered=True) as record:
            alive = diagnose(record)
        gone = diagnose(record)
    assert (alive.code, alive.certain) == (gone.code, gone.certain) == (case.code, False)


def test_every_cause_has_a_test_that_plants_its_evidence() -> None:
    tried = (
        {case.code for case in CASES} | {cause.code for cause in CAUSES if cause.planted} | {"bad-descriptor"}
    )
    exempt = OF_THE_RECORD | OF_ROOT | NEVER_CERTAIN
    exempt |= {cause.code for cause in CAUSES if cause.unplanted or cause.never_certain}
    assert set(codes()) - tried == exempt
