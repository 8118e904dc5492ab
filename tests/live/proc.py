"""The state of a task in ``/proc``, read from outside: the truth that records are compared with."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from dataclasses import dataclass
from typing import Final

TICK: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
"""Nanoseconds of one unit of /proc/PID/stat."""

_NS_GET_USERNS: Final = 0xB701
"""include/uapi/linux/nsfs.h; ioctl_ns(2)."""
_FIRST_USER_NAMESPACE: Final = 0xEFFFFFFD
"""PROC_USER_INIT_INO of include/linux/proc_ns.h."""


@dataclass(frozen=True)
class Caller:
    """The content of ``/proc/PID/task/TID``, read from outside; bytes as they are."""

    pid: int
    tid: int
    ppid: int
    uids: tuple[int, ...]
    gids: tuple[int, ...]
    groups: tuple[int, ...]
    capabilities: int
    comm: bytes
    ancestors: tuple[tuple[int, bytes], ...]
    cwd: bytes
    root: bytes
    tty: str | None
    cgroup: bytes | None
    cgroups: bytes
    mount_ns: int
    foreign_mount_ns: bool
    foreign_user_ns: bool
    pid_ns: int
    stdin: tuple[int, bytes] | None
    started: int

    @classmethod
    def of(cls, pid: int, tid: int) -> Caller:
        """Return the caller as it is now. ``stdin`` is (st_mode, what /proc shows) or None if closed."""
        task = f"/proc/{pid}/task/{tid}"
        status = _status(task)
        stdin = None
        if os.path.lexists(f"{task}/fd/0"):
            stdin = os.stat(f"{task}/fd/0").st_mode, os.readlink(os.fsencode(f"{task}/fd/0"))
        # After the comm, which may hold anything: state, ppid, pgrp, session, tty_nr, ... (proc(5)).
        numbers = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        return cls(
            pid=pid,
            tid=tid,
            ppid=int(status["PPid"]),
            uids=tuple(map(int, status["Uid"].split())),
            gids=tuple(map(int, status["Gid"].split())),
            groups=tuple(map(int, status["Groups"].split())),
            capabilities=int(status["CapEff"], 16),
            comm=_comm(task),
            ancestors=_ancestors(int(status["PPid"])),
            cwd=os.readlink(os.fsencode(f"{task}/cwd")),
            root=os.readlink(os.fsencode(f"{task}/root")),
            tty=_tty(int(numbers[4])),
            cgroup=_cgroup(task),
            cgroups=_read(f"{task}/cgroup"),
            mount_ns=os.stat(f"{task}/ns/mnt").st_ino,
            foreign_mount_ns=_owner_of(f"{task}/ns/mnt") != _FIRST_USER_NAMESPACE,
            foreign_user_ns=os.stat(f"{task}/ns/user").st_ino != _FIRST_USER_NAMESPACE,
            pid_ns=os.stat(f"{task}/ns/pid").st_ino,
            stdin=stdin,
            started=int(numbers[19]),
        )


def _owner_of(namespace: str) -> int:
    """Inode number of the user namespace that a namespace belongs to."""
    with open(namespace, "rb") as file:
        owner = fcntl.ioctl(file, _NS_GET_USERNS)
    try:
        return os.fstat(owner).st_ino
    finally:
        os.close(owner)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _status(task: str) -> dict[str, str]:
    lines = _read(f"{task}/status").decode(errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _comm(task: str) -> bytes:
    return _read(f"{task}/comm").removesuffix(b"\n")


def _ancestors(pid: int) -> tuple[tuple[int, bytes], ...]:
    above = []
    while pid:
        above.append((pid, _comm(f"/proc/{pid}")))
        pid = int(_status(f"/proc/{pid}")["PPid"])
    return tuple(above)


def _cgroup(task: str) -> bytes | None:
    for line in _read(f"{task}/cgroup").splitlines():
        if line.startswith(b"0::"):
            return line.removeprefix(b"0::")
    return None


def _tty(number: int) -> str | None:
    """Return the name of a tty_nr of /proc/PID/stat: only pseudo-terminals are used here."""
    if not number:
        return None
    minor = (number & 0xFF) | ((number >> 12) & 0xFFF00)
    return f"pts/{minor}" if os.path.exists(f"/dev/pts/{minor}") else str(number)


def mounted_device(path: str, pid: int) -> str | None:
    """Return the device of the mount that a file is on, by /proc/PID/mountinfo; stat(2) may report another.

    None if the process is gone or the file is on no mount.
    """
    descriptor = os.open(path, os.O_PATH)
    try:
        information = _read(f"/proc/self/fdinfo/{descriptor}")
        mounts = _read(f"/proc/{pid}/mountinfo").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    finally:
        os.close(descriptor)
    (mount,) = re.findall(rb"^mnt_id:\t(\d+)$", information, re.MULTILINE)
    devices = [fields[2] for line in mounts if (fields := line.split())[0] == mount]
    return devices[0].decode() if devices else None


def file_type(mode: int) -> int:
    """Return the file type of an st_mode, as in ``stdin_type``."""
    return stat.S_IFMT(mode)
