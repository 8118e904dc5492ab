"""A FUSE server that never answers the tests' processes, and answers everybody else.

Run as a program, it is a hostile user: it mounts the server where only it and its children see it, puts
overlays on top, and makes execs fail there. Standard input takes commands, one a line; each gets one
line of JSON. "requests" lists the requests of the tests that have come.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable
from typing import Final

SCRIPT: Final = b"#!/bin/sh\n"

_MS_BIND, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 0x1000, 0x4000, 0x40000, 2
_CLONE_NEWNS: Final = 0x20000
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _STATFS, _RELEASE, _GETXATTR, _INIT = (
    1,
    2,
    3,
    14,
    15,
    17,
    18,
    22,
    26,
)
_OPENDIR, _READDIR, _RELEASEDIR, _ACCESS, _INTERRUPT, _BATCH_FORGET = 27, 28, 29, 34, 36, 42
_NO_ANSWER: Final = frozenset({_FORGET, _INTERRUPT, _BATCH_FORGET})
_FLUSH: Final = 25
_ROOT: Final = 1
_NODES: Final = {b"x": 2, b"memfd:x": 3}

_libc: Final = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """Call mount(2)."""
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode(), flags, data.encode() or None)
    if _libc.mount(*arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), f"mount {kind} on {target}")


def unmount(target: str) -> None:
    """Take a mount away from its place, whoever is still on it."""
    if _libc.umount2(os.fsencode(target), _MNT_DETACH):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


class Server:
    """One directory with scripts in it, which may not be executed."""

    def __init__(self, point: str, victim: int, device: str = "/dev/fuse") -> None:
        """Mount it and serve it in a thread; ``victim`` and its children are not answered."""
        self.of_victim: list[tuple[int, int]] = []
        self.inodes = {node: node for node in (_ROOT, *_NODES.values())}
        self._victim = victim
        self.device = os.open(device, os.O_RDWR | os.O_CLOEXEC)
        data = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other"
        mount("silent", point, "fuse", 0, data)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            self._serve_all()
        finally:
            # Otherwise those that wait, its own threads included, would wait beyond the end of this process.
            os.close(self.device)

    def _serve_all(self) -> None:
        while True:
            try:
                request = os.read(self.device, 1 << 18)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                return
            _, operation, unique, node, _, _, pid = struct.unpack_from("<IIQQIII", request)
            if operation not in _NO_ANSWER and self._is_victim(pid):
                self.of_victim.append((operation, pid))
                continue
            self._answer(operation, unique, node, request[40:])

    def _is_victim(self, pid: int) -> bool:
        """Return whether a thread belongs to the tests and not to this program."""
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8") as file:
                facts = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            ours = os.getpgid(pid) == os.getpgrp()
        except OSError:
            return False
        return not ours and self._victim in (int(facts["Tgid"]), int(facts["PPid"]))

    def _answer(self, operation: int, unique: int, node: int, body: bytes) -> None:
        data, error = b"", 0
        if operation in _NO_ANSWER:
            return
        if operation == _INIT:
            data = struct.pack("<IIIIHHIIHHI28x", 7, 31, 65536, 0, 12, 10, 65536, 1, 0, 0, 0)
        elif operation == _LOOKUP:
            found = _NODES.get(body.split(b"\0")[0])
            if found is not None:
                data = struct.pack("<QQQQII", found, 0, 0, 0, 0, 0) + self._attributes(found)
            else:
                error = errno.ENOENT
        elif operation == _GETATTR:
            data = struct.pack("<QII", 0, 0, 0) + self._attributes(node)
        elif operation in (_OPEN, _OPENDIR):
            data = struct.pack("<QII", 1, 0, 0)
        elif operation == _READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            data = SCRIPT[offset : offset + size]
        elif operation == _STATFS:
            data = struct.pack("<QQQQQIIII24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0)
        elif operation == _GETXATTR:
            error = errno.ENODATA
        elif operation not in (_READDIR, _RELEASE, _RELEASEDIR, _FLUSH, _ACCESS):
            error = errno.ENOSYS
        try:
            os.write(self.device, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)
        except OSError as failed:
            if failed.errno != errno.ENOENT:  # the process that asked is gone
                raise

    def _attributes(self, node: int) -> bytes:
        mode, size = (0o40755, 4096) if node == _ROOT else (0o100644, len(SCRIPT))
        return struct.pack("<6Q3I7I", self.inodes[node], size, 8, 1, 1, 1, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def _layout(place: str, victim: int) -> Server:
    """Prepare a tmpfs on ``place``, which holds everything hostile."""
    mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    mount("ground", place, "tmpfs", 0, "mode=755")
    for name in (
        *("fuse", "lower", "lower2", "over", "over2", "plain", "empty", "later", "kept", "gone"),
        *("written", "upper", "work"),
    ):
        os.mkdir(f"{place}/{name}")
    server = Server(f"{place}/fuse", victim)
    mount("o", f"{place}/over", "overlay", 0, f"lowerdir={place}/fuse:{place}/lower")
    mount("o", f"{place}/over2", "overlay", 0, f"lowerdir={place}/over:{place}/lower2")
    layers = f"lowerdir={place}/fuse,upperdir={place}/upper,workdir={place}/work"
    mount("o", f"{place}/written", "overlay", 0, layers)
    mount("t", f"{place}/later", "tmpfs", 0, "mode=755")
    _put(f"{place}/later/x", SCRIPT)
    _put(f"{place}/plain/x", SCRIPT)
    _put(f"{place}/plain/memfd:x", SCRIPT)
    _put(f"{place}/plain/script", f"#!{place}/over/x\n".encode(), 0o755)
    os.mkfifo(f"{place}/plain/fifo")
    os.symlink(f"{place}/over/x", f"{place}/plain/link")
    os.symlink("../over/x", f"{place}/plain/beside")
    mount(f"{place}/over", f"{place}/kept", "", _MS_BIND)
    return server


def _put(path: str, content: bytes, mode: int = 0o644) -> None:
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, mode)


def _swap(place: str) -> None:
    """Put the overlay where a tmpfs was, whose mount id it most likely gets."""
    unmount(f"{place}/later")
    mount("o", f"{place}/later", "overlay", 0, f"lowerdir={place}/fuse:{place}/lower")


def _fill(place: str, count: int) -> None:
    for number in range(count):
        point = f"{place}/empty/{number}"
        os.mkdir(point)
        mount("t", point, "tmpfs")


def _caller(path: str, cwd: str, root: str, detached: str) -> int:
    """Start a process whose exec fails, and which then stays; return its pid once it has failed.

    Its descriptor 9 is its working directory. A mount at ``detached`` is removed from under it.
    """
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        number = 0
        try:
            if detached:
                mount(f"{os.path.dirname(detached)}/over", detached, "", _MS_BIND)
            os.chdir(cwd)
            os.dup2(os.open(cwd, os.O_PATH), 9)
            if detached:
                unmount(detached)
            if root:
                os.chroot(root)
            os.execv(path, ["x"])
        except OSError as error:
            number = error.errno or 0
        os.write(theirs, str(number).encode() or b"0")
        signal.pause()
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as answer:
        # The child keeps the other end open for as long as it stays.
        answer.raw.read(16)
    return pid


def _hold(server: Server, place: str, name: str, as_root: bool) -> int:
    """Start a process that has a file of an overlay open for writing; return its pid.

    It has the inode number of the file of that name that is in plain view. The overlay is the root
    directory of its mount namespace if ``as_root``: then others see nothing but the name.
    """
    server.inodes[_NODES[name.encode()]] = os.stat(f"{place}/plain/{name}").st_ino
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if as_root:
                _make_root(f"{place}/written")
            os.open(f"/{name}" if as_root else f"{place}/written/{name}", os.O_WRONLY)
            os.write(theirs, b"open")
        except OSError as error:
            os.write(theirs, str(error).encode())
        signal.pause()
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as answer:
        said = answer.raw.read(256)
    assert said == b"open", said
    return pid


def _make_root(directory: str) -> None:
    """Move to a mount namespace that begins at this mount."""
    os.chdir(directory)
    if _libc.unshare(_CLONE_NEWNS) or _libc.pivot_root(b".", b"."):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), directory)


def main(place: str, victim: int) -> None:
    """Take commands."""
    os.setpgid(0, 0)
    server = _layout(place, victim)
    commands: dict[str, Callable[..., object]] = {
        "requests": lambda: list(server.of_victim),
        "caller": _caller,
        "hold": lambda name, as_root: _hold(server, place, name, as_root),
        "swap": lambda: _swap(place),
        "fill": lambda count: _fill(place, count),
    }
    print(json.dumps(None), flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = commands[name](*arguments)
        except OSError as error:
            answer = str(error)
        print(json.dumps(answer), flush=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
