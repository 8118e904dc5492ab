"""Attacks by an unprivileged user on a monitor of failing execs: ``flood.py KIND DIRECTORY SECONDS``.

Each kind makes looks slow or large as fast as it can. It runs as nobody, with a copy of silent_server.py
beside it, and prints "ready" once it is under way.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.live.silent_server import Server
else:
    from silent_server import Server

KIND, PLACE, SECONDS = sys.argv[1], sys.argv[2], float(sys.argv[3])
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER, MS_REC_PRIVATE = 0x20000, 0x10000000, 0x44000
F_SETLEASE, F_WRLCK, F_UNLCK = 1024, 1, 2
MADV_NOHUGEPAGE, MADV_POPULATE_READ = 15, 22


def check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mount(source: str, target: str, kind: str, options: str = "") -> None:
    check(LIBC.mount(source.encode(), target.encode(), kind.encode(), 0, options.encode()))


def own_namespace() -> None:
    """Be root of a user and a mount namespace of our own, whose /tmp-like place is ours alone."""
    uid, gid = os.getuid(), os.getgid()
    check(LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNS))
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    check(LIBC.mount(None, b"/", None, MS_REC_PRIVATE, None))
    mount("t", PLACE, "tmpfs")


def fails(path: str, environment: dict[str, str] | None = None) -> None:
    """Make an exec fail in a child that lives a moment longer."""
    child = os.fork()
    if child == 0:
        try:
            os.execve(path, ["x"], environment or {})
        except OSError:
            time.sleep(0.01)
        os._exit(0)
    os.waitpid(child, 0)


def mounts() -> None:
    own_namespace()
    long = f"{PLACE}/{'m' * 200}"
    os.mkdir(long)
    for number in range(5000):
        os.mkdir(f"{long}/{number}")
        mount("t", f"{long}/{number}", "tmpfs")
    go(lambda number: fails(f"/nonexistent/flood-{number}"))


class SilentServer(Server):
    """A FUSE server that answers only this program's own processes."""

    def _is_victim(self, pid: int) -> bool:
        try:
            return os.getpgid(pid) != os.getpgrp()
        except OSError:
            return True


def overlay() -> None:
    """Exec on an overlay over a FUSE file system of our own, whose server never answers a look."""
    own_namespace()
    for name in ("low", "low2", "merged"):
        os.mkdir(f"{PLACE}/{name}")
    SilentServer(f"{PLACE}/low", 0, f"{os.path.dirname(PLACE)}/fuse")
    mount("overlay", f"{PLACE}/merged", "overlay", f"lowerdir={PLACE}/low:{PLACE}/low2,userxattr")
    go(lambda _number: fails(f"{PLACE}/merged/x"))


def proc() -> None:
    """Exec files of /proc that the kernel takes long to generate."""
    size = 2 << 30
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ)
    memory.madvise(MADV_NOHUGEPAGE)
    memory.madvise(MADV_POPULATE_READ)
    names = ("smaps_rollup", "smaps", "numa_maps", "pagemap", "environ", "maps")

    def one(number: int) -> None:
        with suppress(OSError):
            os.execve(f"/proc/self/{names[number % len(names)]}", ["x"], {})

    go(one)


def busy() -> None:
    """Ever new files that are open for writing, among processes with many open files."""
    children = []
    for _ in range(20):
        child = os.fork()
        if child == 0:
            for _ in range(900):
                os.open(os.devnull, os.O_WRONLY)
            time.sleep(SECONDS + 60)
            os._exit(0)
        children.append(child)
    held: list[int] = []

    def one(number: int) -> None:
        if len(held) > 500:
            for descriptor in held:
                os.close(descriptor)
            held.clear()
        path = f"{PLACE}/p{number % 5000}"
        held.append(os.open(path, os.O_WRONLY | os.O_CREAT, 0o755))
        with suppress(OSError):
            os.execve(path, ["x"], {})

    try:
        go(one)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)


def environments() -> None:
    """Exec with large environments, each of them different."""

    def one(number: int) -> None:
        variables = {f"V{at}": f"{number}x{at}" for at in range(400)}
        with suppress(OSError):
            os.execve(f"/nonexistent/flood-{number}", ["x", f"a{number}"], variables)

    go(one)


def links() -> None:
    """Exec through links and hundreds of long directory names, and change all directories after it."""
    directories = [os.open(PLACE, os.O_RDONLY)]
    names = [f"{number:x}" * 240 for number in range(15)]
    for last in ("link",) * 11 + ("program",):
        os.symlink("/".join([*names, last]), "link", dir_fd=directories[-1])
        for name in names:
            os.mkdir(name, dir_fd=directories[-1])
            directories.append(os.open(name, os.O_RDONLY, dir_fd=directories[-1]))
    os.close(os.open("program", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=directories[-1]))

    def one(number: int) -> None:
        with suppress(FileExistsError):
            os.symlink("link", f"{PLACE}/{number % 500}")
        with suppress(OSError):
            os.execve(f"{PLACE}/{number % 500}", ["x", str(number)], {})
        for directory in directories:
            os.fchmod(directory, 0o755)
        time.sleep(0.01)

    go(one)


def forged() -> None:
    """Exec a path that is rewritten while a lease delays the exec."""
    script = f"{PLACE}/script"
    with open(script, "w") as file:
        file.write("#!/missing-interpreter\n")
    os.chmod(script, 0o755)
    memory = mmap.mmap(-1, 4096, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    arguments = (ctypes.c_char_p * 2)(b"x", None)

    def put(path: str) -> None:
        memory[: len(path) + 1] = path.encode() + b"\0"

    def one(_number: int) -> None:
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            import fcntl

            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
            descriptor = os.open(script, os.O_RDONLY)
            while True:  # a looker may have it open
                with suppress(BlockingIOError):
                    fcntl.fcntl(descriptor, F_SETLEASE, F_WRLCK)
                    break
            os.write(theirs, b"x")
            signal.sigtimedwait([signal.SIGIO], 5)
            put("/usr/bin/innocent")
            os._exit(0)
        os.read(ours, 1)
        put(script)
        LIBC.execve(ctypes.c_void_p(address), arguments, arguments)
        os.waitpid(child, 0)
        os.close(ours)
        os.close(theirs)

    go(one)


def go(one: Callable[[int], None]) -> None:
    """Do it over and over."""
    print("ready", flush=True)
    end, number = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        one(number)
        number += 1
    print(f"{number} rounds", flush=True)
    os._exit(0)


if __name__ == "__main__":
    {
        "mounts": mounts,
        "overlay": overlay,
        "proc": proc,
        "busy": busy,
        "environments": environments,
        "links": links,
        "forged": forged,
    }[KIND]()
