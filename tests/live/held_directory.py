"""A user who holds the lock of a directory, and makes execs fail whose looks need it.

Run as a program, in a mount namespace that it makes: ``python -m tests.live.held_directory PLACE KIND``. It
prints one line of JSON: the causes found for the hostile user and for another one, and how many lookers
could not be killed. With KIND "race", the lock is taken too late to be noticed in advance.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

from execwhy.bpf.caller import cached_lookup
from execwhy.bpf.events import clock
from execwhy.tui.why import look
from execwhy.tui.why.lookers.dispatcher import Lookers
from execwhy.tui.why.lookers.process import MAX_UNDEAD, Begin, start_parent
from execwhy.tui.why.lookers.spawner import Spawner
from tests.live.silent_server import Server, mount
from tests.unit.tui.why.failing import a_failure
from tests.unit.waiting import PATIENCE, wait_for

HOSTILE: Final = 12345
OTHER: Final = 4321
ATTACKS: Final = MAX_UNDEAD + 1

_CLONE_NEWNS: Final = 0x20000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_READ: Final = 15
_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p


class _Silent(Server):
    """A file system that does not answer reads."""

    def _is_victim(self, pid: int) -> bool:
        return False

    def _answer(self, operation: int, unique: int, node: int, body: bytes) -> None:
        if operation != _READ:
            super()._answer(operation, unique, node, body)


def _prepare() -> Begin:
    def begin() -> Callable[..., object]:
        look.prepare()
        return look.look_at

    return begin  # type: ignore[return-value]


def _as_hostile(action: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(HOSTILE, HOSTILE, HOSTILE)
            os.setresuid(HOSTILE, HOSTILE, HOSTILE)
            action()
        finally:
            os._exit(0)
    return pid


def _hold(place: str) -> int:
    """Hold the lock of PLACE/held; return the pid of the process on which it depends."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        assert os.read(ours, 1) == b"x", "the lock could not be taken"
        return pid
    server = _Silent(f"{place}/fuse", 0)

    def list_into_silence() -> None:
        os.close(server.device)
        file = os.open(f"{place}/fuse/x", os.O_RDONLY)
        page = _libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE, file, 0)
        directory = os.open(f"{place}/held", os.O_RDONLY | os.O_DIRECTORY)
        _libc.getdents64(directory, ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE))

    def write() -> None:
        os.close(server.device)
        os.open(f"{place}/held/new", os.O_CREAT | os.O_WRONLY)

    reader = _as_hostile(list_into_silence)
    wait_for(lambda: _waits_in(reader, b"fuse") or _waits_in(reader, b"request_wait_answer"))
    writer = _as_hostile(write)
    wait_for(lambda: _state(writer) == b"D")
    os.write(theirs, b"x")
    signal.pause()
    os._exit(0)


def _waits_in(pid: int, function: bytes) -> bool:
    with open(f"/proc/{pid}/wchan", "rb") as file:
        return function in file.read()


def _state(pid: int) -> bytes:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0]


def main(place: str, kind: str) -> None:
    """Attack, and print what came of it."""
    assert _libc.unshare(_CLONE_NEWNS) == 0
    mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    mount("ground", place, "tmpfs", 0, "mode=755")
    for name in ("fuse", "held"):
        os.mkdir(f"{place}/{name}")
    os.chown(f"{place}/held", HOSTILE, HOSTILE)
    if kind == "race":
        cached_lookup._may_be_listed = lambda *_arguments, **_options: True
    spawner = Spawner(start_parent(_prepare))
    holder = _hold(place)
    lookers = Lookers(spawner)
    found: dict[int, str] = {}

    def submit(number: int, path: str, uid: int, comm: str, arguments: tuple[str, ...]) -> None:
        facts = {"uid": uid, "euid": uid, "fsuid": uid, "gid": uid, "fsgid": uid, "groups": ()}
        failure = a_failure(
            path, errno.ENOENT, timestamp=clock.now(), comm=comm, arguments=arguments, duration_ms=4, **facts
        )
        lookers.submit([(number, failure)])

    def has_come(number: int) -> bool:
        for ids, seen in lookers.results():
            found.update(dict.fromkeys(ids.tolist(), f"{seen.diagnosis.code} {seen.diagnosis.evidence}"))
        return number in found

    end = time.monotonic() + PATIENCE
    try:
        for number in range(ATTACKS):
            submit(
                number, f"/nonexistent/{number}", HOSTILE, f"w{number}", ("env", f"{place}/held/w{number}")
            )
        while not all(map(has_come, range(ATTACKS))) and time.monotonic() < end:
            time.sleep(0.05)
        submit(ATTACKS, "/nothing", OTHER, "nothing", ("nothing",))
        end = time.monotonic() + PATIENCE
        while not has_come(ATTACKS) and time.monotonic() < end:
            time.sleep(0.05)
        wait_for(lambda: lookers._seats.hung.next_due is None)
        print(json.dumps({
            "hostile": [found.get(number, "") for number in range(ATTACKS)],
            "other": found.get(ATTACKS, ""),
            "undead": len(spawner.undead),
            "problem": lookers.problem,
        }), flush=True)  # fmt: skip
    finally:
        os.kill(holder, signal.SIGKILL)
        lookers.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
