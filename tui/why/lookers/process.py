"""The processes that look: lookers, and the parent that forks them for the monitor.

The monitor holds no capability, so it cannot start a process that has any. The parent is forked from it while
it is still root, keeps the two capabilities that looking needs, touches no caller's file, and forks a looker
whenever the monitor asks for one. A looker serves one connection until the other end is closed, or until it
is killed for a look that takes too long. A looker that waits for a FUSE server cannot die before that server
answers, so the parent keeps count of those.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NoReturn

from execwhy.bpf.caller.own_time import slowness
from execwhy.bpf.events.record import ExecFailure, Look
from execwhy.tui.why.lookers.bounds import within_bounds
from execwhy.tui.why.lookers.process_clock import clock_of
from execwhy.tui.why.lookers.wire import LEAVING, Frames, WireError, framed, look_to_wire, record_from_wire
from execwhy.tui.why.scene.moment import note_clock
from execwhy.tui.why.scene.mount_watch import MountWatches

MAX_UNDEAD: Final = 6
"""Most lookers that were killed and have not died: then no more are forked."""

MAX_MESSAGE: Final = 4096
"""Bytes of one message on the control connection."""

_TICK: Final = 1.0
"""Seconds between two checks whether a looker has died, and whether the clock was set."""

_MAX_RESIDENT: Final = 128 << 10
"""KiB of resident memory at which a looker ends after a look, to be replaced by a fresh one."""

_MAX_DATA: Final = 96 << 20
"""Bytes of private memory that a looker may allocate; a look that takes more fails. Most take less than
20 MB."""

_MAX_ADDRESS_SPACE: Final = 1 << 30
_CHUNK: Final = 1 << 18

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15

LookAt = Callable[[ExecFailure], Look]

Begin = Callable[[], LookAt]
"""Called once in each looker; returns the function that looks at a record."""


def start_parent(prepare: Callable[[], Begin]) -> socket.socket:
    """Fork the parent of the lookers from this process, which must have one thread only.

    Args:
        prepare: Called in the new process: gives up privileges and returns how a looker begins.

    Returns:
        The monitor's end of the control connection, for ``Spawner``.

    Raises:
        OSError: There is no room for another process or socket.
    """
    slowness()  # Measured once, for both sides of the fork.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        raise
    if pid:
        theirs.close()
        return ours
    status = 1
    try:
        _leave_terminal(keep=theirs.fileno(), name=b"execwhy-lookers")
        _serve_monitor(theirs, prepare())
        status = 0
    finally:
        os._exit(status)


def _leave_terminal(keep: int, name: bytes) -> None:
    """Become a process without a terminal that holds only one socket of its parent."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    for number in [int(name) for name in os.listdir("/proc/self/fd")]:
        if number > 2 and number != keep:
            with suppress(OSError):  # the descriptor by which the directory was listed
                os.close(number)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        # A signal to the whole group or cgroup is meant for the monitor; when that ends, this process ends.
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name, 0, 0, 0)


def _serve_monitor(control: socket.socket, begin: Begin) -> None:
    """Fork and kill lookers as the monitor asks, until it closes its end.

    A looker is identified by the number of the request for it, since a pid may be reused.
    """
    alive: dict[int, int] = {}
    killed: dict[int, int] = {}
    mounts = MountWatches()
    gc.freeze()
    while True:
        # Lookers inherit this: how the clock was set before they began, and when mounts changed.
        note_clock()
        with suppress(OSError):  # out of memory or descriptors for the moment
            mounts.notice()
        readable, _, _ = select.select([control], [], [], _TICK)
        _reap(alive, killed)
        if not readable:
            continue
        message = control.recv(MAX_MESSAGE)
        if not message:
            break
        request = json.loads(message)
        if (number := request.get("kill")) in alive:
            pid = alive.pop(number)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            killed[pid] = number
            _reap(alive, killed)
        if (number := request.get("fork")) is not None:
            with mounts.handed_over():
                _fork_looker(number, control, begin, alive, killed)
        if (number := request.get("undead")) is not None:
            _answer(control, number, killed)
    for pid in alive.values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _fork_looker(
    number: int, control: socket.socket, begin: Begin, alive: dict[int, int], killed: dict[int, int]
) -> None:
    """Fork a looker and hand over a connection to it, or answer that there is none."""
    if len(killed) >= MAX_UNDEAD:
        _answer(control, number, killed)
        return
    try:
        ours, theirs = socket.socketpair()
    except OSError:
        _answer(control, number, killed)
        return
    with ours, theirs:
        try:
            pid = os.fork()
        except OSError:
            _answer(control, number, killed)
            return
        if pid == 0:
            control.close()
            ours.close()
            _be_looker(theirs, begin)
        times = clock_of(pid)
        try:
            _answer(control, number, killed, [ours.fileno(), *times])
            alive[number] = pid
        except OSError:
            # Too many descriptors are in flight (ETOOMANYREFS), or the monitor has ended.
            os.kill(pid, signal.SIGKILL)
            killed[pid] = number
            _answer(control, number, killed)
        finally:
            for descriptor in times:
                os.close(descriptor)


def _answer(
    control: socket.socket, number: int, killed: dict[int, int], descriptors: Sequence[int] = ()
) -> None:
    """Answer the request with this number: a looker's descriptors, and which lookers have not died.

    Raises:
        OSError: The answer cannot be sent with these descriptors. Without descriptors nothing is raised: the
            monitor has ended, and the next ``recv`` notices that.
    """
    answer = json.dumps({"to": number, "undead": sorted(killed.values())}).encode()
    if descriptors:
        socket.send_fds(control, [answer], descriptors)
    else:
        with suppress(OSError):
            control.send(answer)


def _reap(alive: dict[int, int], killed: dict[int, int]) -> None:
    with suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            killed.pop(pid, None)
            for number in [number for number, known in alive.items() if known == pid]:
                del alive[number]


def _be_looker(connection: socket.socket, begin: Begin) -> NoReturn:
    status = 1
    try:
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NAME, b"execwhy-looker", 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        _limit(resource.RLIMIT_AS, _MAX_ADDRESS_SPACE)
        _limit(resource.RLIMIT_DATA, _data_bytes() + _MAX_DATA)
        serve(connection, begin(), is_full=_has_grown)
        status = 0
    finally:
        os._exit(status)


def _limit(resource_number: int, most: int) -> None:
    """Lower a limit of this process to ``most``, unless it is lower already."""
    _, hard = resource.getrlimit(resource_number)
    if hard == resource.RLIM_INFINITY or hard > most:
        resource.setrlimit(resource_number, (most, most))


def _data_bytes() -> int:
    """Return this process's bytes that RLIMIT_DATA counts, plus its stack (proc_pid_statm(5))."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[5]) * resource.getpagesize()


def _has_grown() -> bool:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > _MAX_RESIDENT


def serve(connection: socket.socket, look_at: LookAt, *, is_full: Callable[[], bool] = lambda: False) -> None:
    """Answer each record with a look, in order, until the other end is closed."""
    frames = Frames()
    while data := connection.recv(_CHUNK):
        try:
            payloads = frames.feed(data)
            for number, payload in payloads:
                record = record_from_wire(payload)
                look = within_bounds(look_at(record), record)
                connection.sendall(framed(look_to_wire(look), number))
        except (WireError, BrokenPipeError, ConnectionResetError):
            return
        if is_full():
            with suppress(OSError):
                connection.sendall(framed(LEAVING))
            return
