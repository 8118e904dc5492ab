"""Processes that have a file open, and threads of a user: bounded looks through /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.caller.lookup import File
from execwhy.bpf.caller.own_time import own_time
from execwhy.tui.why.scene.proc import read_proc
from execwhy.tui.why.scene.processes import descriptors, listing
from execwhy.tui.why.scene.scene import Scene

MAX_PROCESSES: Final = 4096


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a file open: its pid, comm and descriptor."""

    pid: int
    comm: str
    descriptor: int


@dataclass(frozen=True, slots=True)
class Writers:
    """The processes that have a file open for writing.

    Attributes:
        holders: The processes that were found.
        left_out: A sentence about the processes that the look did not reach, or None.
    """

    holders: tuple[Holder, ...]
    left_out: str | None


def writers(scene: Scene, file: File) -> Writers:
    """Return the processes that have a file open for writing now, by any name, as far as there is time.

    First come relatives of the caller, then processes that have a file of that name open, then those that
    have it open by another name, which the inode shows.
    """
    deadline = own_time() + listing.SECONDS
    name = os.path.basename(file.path)
    found: dict[tuple[int, int], Holder] = {}

    def look(some: Iterable[descriptors.Descriptor]) -> None:
        for one in some:
            if (one.pid, one.number) in found or not one.link.startswith("/"):
                continue
            facts = descriptors.facts_of(one)
            if descriptors.writes(facts) and descriptors.is_file(scene, one, facts, file):
                found[one.pid, one.number] = Holder(one.pid, comm(one.pid), one.number)

    for some in listing.of_relatives(scene, deadline):
        look(one for one in some if one.name == name)
        if found:
            return Writers(tuple(found.values()), None)
    everyone = listing.current(scene)
    look(everyone.named(name, deadline))
    if not found:
        look(everyone.with_inode(file.stat.st_ino, deadline))
    left_out = everyone.left_out or listing.began_before(everyone, scene)
    return Writers(tuple(found.values()), left_out)


def fanotify_holders(scene: Scene) -> tuple[str, ...]:
    """Return who has a fanotify group, which may decide about every exec: "fapolicyd (pid 7)"."""
    found = listing.current(scene).named("anon_inode:[fanotify]", own_time() + listing.SECONDS)
    pids = dict.fromkeys(one.pid for one in found)
    return tuple(f"{comm(pid)} (pid {pid})" for pid in pids)


def threads_of(scene: Scene, uid: int) -> int | None:
    """Return how many threads a user has, as RLIMIT_NPROC counts them; None if they are too many to count."""
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
    """Return a process's command name; "?" if it is gone."""
    return (read_proc(f"/proc/{pid}/comm") or "?\n").rstrip("\n")


def _status_lines(pid: int) -> list[str]:
    return (read_proc(f"/proc/{pid}/status") or "").splitlines()


def _pids() -> list[int]:
    try:
        return sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)
    except OSError:
        return []
