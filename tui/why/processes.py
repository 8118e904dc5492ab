"""What other processes have to do with it: bounded looks through /proc."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bpf.lookup import File
from bpf.mounts import device_of
from tui.why.scene import Scene, read_proc

MAX_PROCESSES: Final = 4096
MAX_DESCRIPTORS: Final = 20_000
"""Over all processes; each costs about 5 us."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a file open: its pid, comm and descriptor."""

    pid: int
    comm: str
    descriptor: int


@dataclass(frozen=True, slots=True)
class Writers:
    """Who has a file open for writing.

    Attributes:
        holders: Those that were found.
        left_out: A sentence about whom the look did not reach, or None.
    """

    holders: tuple[Holder, ...]
    left_out: str | None


def writers(scene: Scene, file: File) -> Writers:
    """Who has a file open for writing now, by whichever of its names, as far as time allows to look."""
    found: list[Holder] = []
    name = os.path.basename(file.path)
    descriptors = _Descriptors(scene)
    for pid, descriptor, link in descriptors:
        same_name = os.path.basename(link.removesuffix(" (deleted)")) == name
        if link.startswith("/") and _is_open_for_writing(pid, descriptor, file, same_name):
            found.append(Holder(pid, comm(pid), descriptor))
    return Writers(tuple(found), descriptors.left_out)


def fanotify_holders(scene: Scene) -> tuple[str, ...]:
    """Who has a fanotify group, which may decide about every exec: "fapolicyd (pid 7)"."""
    pids = dict.fromkeys(pid for pid, _, link in _Descriptors(scene) if link == "anon_inode:[fanotify]")
    return tuple(f"{comm(pid)} (pid {pid})" for pid in pids)


def threads_of(scene: Scene, uid: int) -> int | None:
    """How many threads a user has, as RLIMIT_NPROC counts; None where they are too many to count."""
    count = 0
    pids = _pids()
    if len(pids) > MAX_PROCESSES:
        return None
    for pid in pids:
        if scene.out_of_time:
            return None
        values = dict(line.split(":\t", 1) for line in _status_lines(pid) if ":\t" in line)
        if values.get("Uid", "").split("\t")[0] == str(uid):
            count += int(values.get("Threads", "0"))
    return count


def comm(pid: int) -> str:
    """A process's command name; "?" where it is gone."""
    return (read_proc(f"/proc/{pid}/comm") or "?\n").rstrip("\n")


def _status_lines(pid: int) -> list[str]:
    return (read_proc(f"/proc/{pid}/status") or "").splitlines()


def _pids() -> list[int]:
    try:
        return sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)
    except OSError:
        return []


class _Descriptors:
    """Every open descriptor: pid, number and what its link says. The newest processes first.

    Attributes:
        left_out: A sentence about what was not looked at, once it has ended; None where that is nothing.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.left_out: str | None = None

    def __iter__(self) -> Iterator[tuple[int, int, str]]:
        pids, seen = _pids(), 0
        if len(pids) > MAX_PROCESSES:
            self.left_out = f"Of {len(pids):,} processes the newest {MAX_PROCESSES:,} were looked at."
        for done, pid in enumerate(pids[:MAX_PROCESSES]):
            if self._scene.out_of_time or seen > MAX_DESCRIPTORS:
                why = "time" if self._scene.out_of_time else f"room for {MAX_DESCRIPTORS:,} open files"
                self.left_out = (
                    f"Of {len(pids):,} processes {done:,} were looked at: there is only so much {why}."
                )
                return
            try:
                numbers = os.listdir(f"/proc/{pid}/fd")
            except OSError:
                continue
            for number in numbers[: MAX_DESCRIPTORS + 1 - seen]:
                seen += 1
                try:
                    yield pid, int(number), os.readlink(f"/proc/{pid}/fd/{number}")
                except OSError:
                    continue


def _is_open_for_writing(pid: int, descriptor: int, file: File, same_name: bool) -> bool:
    """Whether a descriptor writes a file."""
    text = read_proc(f"/proc/{pid}/fdinfo/{descriptor}") or ""
    facts = {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
    if int(facts.get("flags", "0"), 8) & os.O_ACCMODE == os.O_RDONLY:
        return False
    # Since Linux 5.14 the inode's number is there; before, another name of the same inode is not found.
    if facts.get("ino", str(file.stat.st_ino) if same_name else "") != str(file.stat.st_ino):
        return False
    return _is_same(f"/proc/{pid}/fd/{descriptor}", file)


def _is_same(link: str, file: File) -> bool:
    """Whether a descriptor of another process is that file. Only its file system is asked for its inode."""
    expected = f"{os.major(file.stat.st_dev)}:{os.minor(file.stat.st_dev)}"
    try:
        reached = os.open(link, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if device_of(reached) != expected:
            return False
        status = os.fstat(reached)
    except OSError:
        return False
    finally:
        os.close(reached)
    return status.st_ino == file.stat.st_ino and stat.S_ISREG(status.st_mode)
