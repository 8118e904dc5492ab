"""One failing exec in a child of the test, and the state of that child in ``/proc``.

The child prepares itself, waits while the test reads ``/proc/PID`` from outside, makes the system call,
and stays until the test has the record, so that everything compared still exists and is the child's.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pickle
import platform
import signal
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from tests.live.proc import Caller

AT_FDCWD: Final = -100
AT_SYMLINK_NOFOLLOW: Final = 0x100
AT_EMPTY_PATH: Final = 0x1000
AT_EXECVE_CHECK: Final = 0x10000

UNMAPPED: Final = 0x10
"""An address that no process can have memory at (vm.mmap_min_addr)."""

PATIENCE: Final = 180.0
"""Seconds allowed for anything that takes milliseconds, enough for an emulated machine under load."""

EXECVE, EXECVEAT = {"x86_64": (59, 322), "aarch64": (221, 281)}[platform.machine()]
"""System call numbers of this machine."""

_PR_SET_NAME: Final = 15
_INT80_EXECVE: Final = 11
_INT80_EXECVEAT: Final = 358
_SOCKET_OF_A_PROGRAM: Final = 3
_MAX_REPORT: Final = 64

libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Pointer:
    """A pointer that the child passes as it is.

    Attributes:
        address: The address.
        reads: The string at the address, or None if it cannot be read.
    """

    address: int
    reads: bytes | None = None


@dataclass(frozen=True)
class Array:
    """A pointer to a whole argv or envp that the child passes as it is.

    Attributes:
        address: The address.
        reads: The strings at the address, or None if they cannot be read.
    """

    address: int
    reads: tuple[bytes, ...] | None = None


NULL: Final = Pointer(0)
BAD: Final = Pointer(UNMAPPED)
NULL_ARRAY: Final = Array(0, ())
BAD_ARRAY: Final = Array(UNMAPPED)

String = bytes | Pointer
Strings = Sequence[String] | Array


@dataclass(frozen=True)
class Exec:
    """The arguments of one execve, or of one execveat if there are flags.

    Attributes:
        path: The path.
        argv: Its strings, without the NULL behind them; or an Array.
        envp: The same.
        dirfd: Of execveat.
        flags: Of execveat; None makes it an execve.
        compat: Make a 32-bit system call.
    """

    path: String
    argv: Strings = (b"execwhy-argv0", b"one", b"two words")
    envp: Strings = (b"LANG=C", b"EXECWHY=1")
    dirfd: int = AT_FDCWD
    flags: int | None = None
    compat: bool = False

    @property
    def syscall(self) -> str:
        return "execve" if self.flags is None else "execveat"

    @property
    def path_read(self) -> bytes | None:
        """Return the path as anyone can read it, or None."""
        return self.path.reads if isinstance(self.path, Pointer) else self.path


@dataclass(frozen=True)
class Attempt:
    """One exec that was attempted.

    Attributes:
        exec: Its arguments.
        caller: The task that made it.
        before: CLOCK_REALTIME before it, nanoseconds.
        after: The same, after it.
        error: Name of the errno that the child got; None if the exec killed it.
        killed_by: Name of the signal that ended the child.
    """

    exec: Exec
    caller: Caller
    before: int
    after: int
    error: str | None
    killed_by: str | None = None


Meanwhile = Callable[[int], None]


@contextmanager
def attempted(
    prepare: Callable[[], Exec],
    *,
    in_thread: bool = False,
    meanwhile: Meanwhile | None = None,
    afterwards: Callable[[], object] = lambda: None,
) -> Iterator[Attempt]:
    """Make one exec in a child; the child lives until the block is left, unless the exec killed it.

    Args:
        prepare: Runs in the child and returns what to exec. It may change anything there, and may fork;
            the process that returns is the caller.
        in_thread: The exec is made by another thread than the child's first.
        meanwhile: Called with the caller's pid, right before the exec is made.
        afterwards: Runs in the child once the exec has failed, before anyone looks.
    """
    ours, theirs = socket.socketpair()
    # The kernel names the sender of a message by its pid in our namespace, even if it is in another.
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    ours.settimeout(PATIENCE)
    child = os.fork()
    if child == 0:
        ours.close()
        _be_the_child(prepare, theirs, in_thread, afterwards)
    theirs.close()
    status: list[int] = []
    with ours, ours.makefile("rb") as answers:
        try:
            pid = _sender(ours)
            announced = pickle.load(answers)
            if isinstance(announced, str):
                raise RuntimeError(f"the child could not prepare its exec:\n{announced}")
            call, tid = announced
            caller = Caller.of(pid, pid if tid is None else tid)
            if meanwhile:
                meanwhile(pid)
            before = time.clock_gettime_ns(time.CLOCK_REALTIME)
            ours.sendall(b"g")
            try:
                error, killed_by = pickle.load(answers), None
            except EOFError:
                status.append(os.waitpid(child, 0)[1])
                error, killed_by = None, _killer(status[0])
            after = time.clock_gettime_ns(time.CLOCK_REALTIME)
            yield Attempt(call, caller, before, after, error, killed_by)
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            if not status:
                os.waitpid(child, 0)


@contextmanager
def attempted_by(program: str, call: Exec, *, meanwhile: Meanwhile | None = None) -> Iterator[Attempt]:
    """Have ``int80`` of tests/programs make an exec: a 32-bit system call."""
    argv, envp = _plain(call.argv), _plain(call.envp)
    number = _INT80_EXECVE if call.flags is None else _INT80_EXECVEAT
    request = struct.pack("<5i", number, call.dirfd, call.flags or 0, len(argv), len(envp))
    request += b"".join(string + b"\0" for string in (*_plain((call.path,)), *argv, *envp))
    with _program([program], {}) as (pid, ours):
        caller = Caller.of(pid, pid)
        if meanwhile:
            meanwhile(pid)
        before = time.clock_gettime_ns(time.CLOCK_REALTIME)
        ours.sendall(request)
        (result,) = struct.unpack("<i", ours.recv(_MAX_REPORT))
        after = time.clock_gettime_ns(time.CLOCK_REALTIME)
        yield Attempt(replace(call, compat=True), caller, before, after, errno.errorcode[-result])


@contextmanager
def attempted_in_vfork(program: str, call: Exec) -> Iterator[Attempt]:
    """Have ``vforks`` of tests/programs make an exec in a vfork child, which is gone when this returns."""
    path, argv = _plain((call.path,))[0], _plain(call.argv)
    environment = dict(variable.partition(b"=")[::2] for variable in _plain(call.envp))
    with _program([program, path, *argv], environment) as (pid, ours):
        parent = Caller.of(pid, pid)
        before = time.clock_gettime_ns(time.CLOCK_REALTIME)
        ours.sendall(b"g")
        child, result = struct.unpack("<ii", ours.recv(_MAX_REPORT))
        after = time.clock_gettime_ns(time.CLOCK_REALTIME)
        caller = replace(
            parent,
            pid=child,
            tid=child,
            ppid=pid,
            ancestors=((pid, parent.comm), *parent.ancestors),
            started=0,
        )
        yield Attempt(call, caller, before, after, errno.errorcode[-result])


@contextmanager
def _program(argv: list[str | bytes], environment: dict[bytes, bytes]) -> Iterator[tuple[int, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours:
        ours.settimeout(PATIENCE)
        pid = os.posix_spawn(
            argv[0],
            argv,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), _SOCKET_OF_A_PROGRAM),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            ],
        )
        theirs.close()
        try:
            _wait_for_name(pid, os.path.basename(os.fsencode(argv[0]))[:15])
            yield pid, ours
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            os.waitpid(pid, 0)


def _wait_for_name(pid: int, name: bytes) -> None:
    """Wait for the comm: spawning returns before the kernel has set the new program's (begin_new_exec)."""
    deadline = time.monotonic() + PATIENCE
    while _comm_of(pid) != name:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name!r} is still {_comm_of(pid)!r}")
        time.sleep(0.001)


def _comm_of(pid: int) -> bytes:
    with open(f"/proc/{pid}/comm", "rb") as file:
        return file.read().removesuffix(b"\n")


# ---- in the child ----


def _be_the_child(
    prepare: Callable[[], Exec], ours: socket.socket, in_thread: bool, afterwards: Callable[[], object]
) -> None:
    try:
        name_this_thread(b"execwhy-child")
        call = prepare()
        if in_thread:
            thread = threading.Thread(target=_make, args=(call, ours, True, afterwards))
            thread.start()
            thread.join()
        else:
            _make(call, ours, False, afterwards)
    except BaseException:
        ours.sendall(b"!" + pickle.dumps(traceback.format_exc()))
    finally:
        os._exit(0)


def _make(call: Exec, ours: socket.socket, in_thread: bool, afterwards: Callable[[], object]) -> None:
    tid = None
    if in_thread:
        name_this_thread(b"execwhy-thread")
        tid = threading.get_native_id()
    # All memory is allocated before the test is notified, so that Python itself does nothing in between.
    keep: list[object] = []
    path = _address(call.path, keep)
    argv, envp = _array(call.argv, keep), _array(call.envp, keep)
    ours.sendall(b"!" + pickle.dumps((call, tid)))
    if not ours.recv(1):
        return
    if call.flags is None:
        libc.syscall(ctypes.c_long(EXECVE), path, argv, envp)
    else:
        dirfd, flags = ctypes.c_long(call.dirfd), ctypes.c_long(call.flags)
        libc.syscall(ctypes.c_long(EXECVEAT), dirfd, path, argv, envp, flags)
    error = errno.errorcode[ctypes.get_errno()]
    afterwards()
    ours.sendall(pickle.dumps(error))
    ours.recv(1)


def name_this_thread(name: bytes) -> None:
    """Set the calling thread's comm."""
    libc.prctl(_PR_SET_NAME, name, 0, 0, 0)


def _address(string: String, keep: list[object]) -> ctypes.c_void_p:
    if isinstance(string, Pointer):
        return ctypes.c_void_p(string.address)
    buffer = ctypes.create_string_buffer(string)
    keep.append(buffer)
    return ctypes.c_void_p(ctypes.addressof(buffer))


def _array(strings: Strings, keep: list[object]) -> ctypes.c_void_p:
    if isinstance(strings, Array):
        return ctypes.c_void_p(strings.address)
    # The same string object is one string in memory, so that gigabytes of arguments cost nothing.
    addresses = {id(string): _address(string, keep) for string in strings}
    array = (ctypes.c_void_p * (len(strings) + 1))(*(addresses[id(string)] for string in strings), None)
    keep.append(array)
    return ctypes.c_void_p(ctypes.addressof(array))


# ---- in the test ----


def _sender(ours: socket.socket) -> int:
    """Take the first byte, and return the pid that the kernel says it comes from."""
    size = struct.calcsize("iii")
    byte, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(size))
    if not byte:
        raise RuntimeError("the child ended before it could prepare its exec")
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
    pid: int = struct.unpack("iii", ancillary[0][2][:size])[0]
    return pid


def _killer(status: int) -> str:
    if not os.WIFSIGNALED(status):
        raise RuntimeError(f"the exec succeeded, or the child failed (wait status {status:#x})")
    return signal.Signals(os.WTERMSIG(status)).name


def _plain(strings: Strings) -> list[bytes]:
    if isinstance(strings, Array) or any(isinstance(string, Pointer) for string in strings):
        raise ValueError("a program is given strings, not pointers")
    return [string for string in strings if isinstance(string, bytes)]
