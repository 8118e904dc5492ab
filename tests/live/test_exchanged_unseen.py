"""A file that a caller replaces without a trace right after its exec makes no cause certain."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.why.causes import diagnose
from tests.live import circumstances
from tests.live.circumstances import GROUP, USER
from tests.live.exec_child import EXECVE, Exec, attempted, libc
from tests.live.listener import Listener
from tests.live.zoo import Zoo
from tests.settled import SETTLED

_CLONE_NEWUSER: Final = 0x10000000
_CLONE: Final = 56
_CLONE_FS: Final = 0x200
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
_LANDLOCK_EXECUTE: Final = 1
_VERSION: Final = 1

_TRACEME, _GETREGS, _SETREGS, _DETACH, _SYSCALL, _SYSEMU = 0, 12, 13, 17, 24, 31
_REGISTERS: Final = 27
_RAX, _RIP, _ORIG_RAX = 10, 16, 15
"""Places in struct user_regs_struct of x86-64 (sys/user.h)."""


def looked_at(
    listener: Listener,
    prepare: Callable[[], Exec],
    error: str,
    afterwards: Callable[[], object] = lambda: None,
) -> tuple[ExecFailure, Diagnosis]:
    """Return the record of a failed exec and its diagnosis, made after its caller has done something else."""
    with attempted(prepare, afterwards=afterwards) as attempt:
        assert attempt.error == error
        (record,) = listener.records_of(attempt.caller.pid, attempt.before)
        return record, diagnose(record)


def owned(path: Path, content: str, mode: int) -> Path:
    path.write_text(content)
    path.chmod(mode)
    os.chown(path, USER, GROUP)
    return path


@pytest.mark.parametrize("leaves", [True, False], ids=["left", "stayed in"])
def test_a_caller_in_a_user_namespace_of_its_own_may_lose_its_capabilities(
    leaves: bool, zoo: Zoo, listener: Listener
) -> None:
    interpreter = owned(Path(zoo / f"interpreter-{leaves}"), "text", 0o644)
    script = owned(Path(zoo / f"script-{leaves}"), f"#!{interpreter}\n", 0o077)

    def in_child() -> Exec:
        circumstances.become_user()
        circumstances.checked(libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0))  # else these files belong to root
        circumstances.checked(libc.unshare(_CLONE_NEWUSER))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {USER} 1")
        Path("/proc/self/gid_map").write_text(f"0 {GROUP} 1")
        time.sleep(SETTLED)
        return Exec(os.fsencode(script))

    def leave() -> None:
        if leaves:
            circumstances.checked(libc.unshare(_CLONE_NEWUSER))

    record, diagnosis = looked_at(listener, in_child, "EACCES", leave)
    assert record.foreign_user_ns
    assert diagnosis.code == ("no-execute-permission" if leaves else "interpreter-not-executable")
    assert not diagnosis.certain, diagnosis


def test_capabilities_of_the_initial_user_namespace_stay_certain_for_a_caller_that_leaves_it(
    zoo: Zoo, listener: Listener
) -> None:
    interpreter = Path(zoo / "interpreter-of-root")
    interpreter.write_text("text")
    script = Path(zoo / "script-of-root")
    script.write_text(f"#!{interpreter}\n")
    script.chmod(0o055)

    def in_child() -> Exec:
        time.sleep(SETTLED)
        return Exec(os.fsencode(script))

    record, diagnosis = looked_at(listener, in_child, "EACCES", lambda: libc.unshare(_CLONE_NEWUSER))
    assert not record.foreign_user_ns
    assert (diagnosis.code, diagnosis.certain) == ("interpreter-not-executable", True), diagnosis


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("path", [b"no-such-program", b"/execwhy-no-such-directory/program"])
def test_directories_that_another_task_may_change_make_no_cause_certain(
    path: bytes, shared: bool, zoo: Zoo, listener: Listener
) -> None:
    def in_child() -> Exec:
        os.chdir("/usr/lib")
        if shared and libc.syscall(_CLONE, _CLONE_FS | signal.SIGCHLD, 0, 0, 0, 0) == 0:
            signal.alarm(60)
            signal.pause()
        time.sleep(SETTLED)
        return Exec(path)

    record, diagnosis = looked_at(listener, in_child, "ENOENT")
    assert record.shared_directories is shared
    assert diagnosis.certain is not shared, diagnosis


@pytest.mark.skipif(
    libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION) < 1,
    reason="this kernel has no Landlock",
)
def test_rewriting_a_landlocked_script_through_a_mapping_leaves_doubt(zoo: Zoo, listener: Listener) -> None:
    interpreter = owned(Path(zoo / "interpreter-mapped"), "text", 0o644)
    script = owned(Path(zoo / "script-mapped"), "#!/bin/true".ljust(4096, "\n"), 0o755)
    lie = f"#!{interpreter}\n".encode()
    memory: list[mmap.mmap] = []

    def in_child() -> Exec:
        circumstances.become_user()
        with script.open("r+b") as file:
            memory.append(mmap.mmap(file.fileno(), 4096, mmap.MAP_SHARED))
        memory[0][:11] = b"#!/bin/true"
        rules = struct.pack("<Q", _LANDLOCK_EXECUTE)
        ruleset = libc.syscall(_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
        if ruleset < 0:
            raise OSError(ctypes.get_errno(), "no Landlock here")
        circumstances.checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        circumstances.checked(libc.syscall(_RESTRICT_SELF, ruleset, 0))
        time.sleep(SETTLED)
        return Exec(os.fsencode(script))

    def rewrite() -> None:
        memory[0][: len(lie)] = lie

    _, diagnosis = looked_at(listener, in_child, "EACCES", rewrite)
    assert diagnosis.code == "interpreter-not-executable"
    assert not diagnosis.certain, diagnosis


def test_replacing_the_program_of_a_running_process_leaves_doubt(zoo: Zoo, listener: Listener) -> None:
    first, second = Path(zoo / "runs-first"), Path(zoo / "runs-second")
    for program in (first, second):
        program.write_bytes(Path("/bin/sleep").read_bytes())
        program.chmod(0o755)
    with subprocess.Popen(["/bin/sh", "-c", f"read x; exec {second} 60"], stdin=subprocess.PIPE) as other:
        assert other.stdin is not None

        def in_child() -> Exec:
            second.chmod(0o644)
            time.sleep(SETTLED)
            return Exec(b"/proc/%d/exe" % other.pid)

        exe = Path(f"/proc/{other.pid}/exe")
        second.chmod(0o755)
        other.stdin.write(b"\n")
        other.stdin.flush()
        while exe.resolve() != second.resolve():
            time.sleep(0.01)
        _, diagnosis = looked_at(listener, in_child, "EACCES")
        other.kill()
    assert not diagnosis.certain, diagnosis
    assert any(f"/proc/{other.pid}/exe" in fact for fact in diagnosis.evidence)


def _emulate(pid: int, error: int) -> None:
    """Let a tracee run, but answer its execve in the kernel's place, and leave."""
    registers = (ctypes.c_ulonglong * _REGISTERS)()

    def step(request: int) -> None:
        circumstances.checked(libc.ptrace(ctypes.c_long(request), pid, None, None))
        if request != _DETACH and os.WIFEXITED(os.waitpid(pid, 0)[1]):
            os._exit(0)

    def write() -> None:
        circumstances.checked(libc.ptrace(ctypes.c_long(_SETREGS), pid, None, registers))

    os.waitpid(pid, 0)
    while True:
        step(_SYSEMU)
        circumstances.checked(libc.ptrace(ctypes.c_long(_GETREGS), pid, None, registers))
        if registers[_ORIG_RAX] == EXECVE:
            registers[_RAX] = ctypes.c_ulonglong(-error).value
            write()
            step(_DETACH)
            return
        registers[_RIP] -= 2  # restart it for real
        registers[_RAX] = registers[_ORIG_RAX]
        write()
        step(_SYSCALL)
        step(_SYSCALL)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the registers are those of x86-64")
@pytest.mark.parametrize("error", ["EFAULT", "ENOENT"])
def test_a_tracer_that_forged_the_error_and_left_leaves_doubt(
    error: str, zoo: Zoo, listener: Listener
) -> None:
    number = {"EFAULT": 14, "ENOENT": 2}[error]
    script = owned(Path(zoo / f"emulated-{error}"), "#!/no/such/interpreter\n", 0o755)

    def in_child() -> Exec:
        circumstances.become_user()
        if child := os.fork():
            _emulate(child, number)
            os.waitpid(child, 0)
            os._exit(0)
        circumstances.checked(libc.ptrace(ctypes.c_long(_TRACEME), 0, None, None))
        time.sleep(SETTLED)
        os.kill(os.getpid(), signal.SIGSTOP)
        return Exec(os.fsencode(script))

    _, diagnosis = looked_at(listener, in_child, error)
    assert not diagnosis.certain, diagnosis
