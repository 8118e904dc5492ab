"""Open descriptors of a process: their numbers, what their links say, and the files that they are of.

Looking at a link asks no file system; a file is looked at only where its file system cannot block.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.caller.descriptors import is_memfd_mount, mount_id
from execwhy.bpf.caller.lookup import File
from execwhy.bpf.caller.mountinfo import Mount
from execwhy.bpf.caller.mounts import mounts_of
from execwhy.tui.why.scene.proc import read_proc
from execwhy.tui.why.scene.scene import Scene

MAX_OF_ONE: Final = 8192
"""Descriptors of one process that are listed."""

_DELETED: Final = " (deleted)"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An open descriptor: its process, its number, and its link in /proc."""

    pid: int
    number: int
    link: str

    @property
    def name(self) -> str:
        """The last component of the path, or the whole link if it is no path."""
        return self.link.removesuffix(_DELETED).rpartition("/")[2]


def numbers_of(pid: int) -> list[int]:
    """Return the numbers of a process's open descriptors, the highest first; [] if the process is gone."""
    numbers: list[int] = []
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                numbers.append(int(entry.name))
                if len(numbers) >= MAX_OF_ONE:
                    break
    except OSError:
        pass
    return sorted(numbers, reverse=True)


def descriptors_of(pid: int, numbers: Iterable[int]) -> list[Descriptor]:
    """Return those of a process's descriptors that are still open."""
    found: list[Descriptor] = []
    try:
        directory = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return found
    try:
        for number in numbers:
            try:
                found.append(Descriptor(pid, number, os.readlink(str(number), dir_fd=directory)))
            except OSError:
                continue
    finally:
        os.close(directory)
    return found


def facts_of(descriptor: Descriptor) -> dict[str, str]:
    """Return what /proc/PID/fdinfo says about a descriptor, without asking the file; {} if it is closed."""
    text = read_proc(f"/proc/{descriptor.pid}/fdinfo/{descriptor.number}") or ""
    lines = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, found, value in lines if found}


def writes(facts: dict[str, str]) -> bool:
    """Return whether it is open for writing."""
    return int(facts.get("flags", "0"), 8) & os.O_ACCMODE != os.O_RDONLY


def is_file(scene: Scene, descriptor: Descriptor, facts: dict[str, str], file: File) -> bool:
    """Return whether a descriptor is of this file, without asking a file system that may block."""
    # Since Linux 5.14 the inode's number is there; before, another name of the same inode is not found.
    known = facts.get("ino")
    if known is not None and known != str(file.stat.st_ino):
        return False
    number = int(facts.get("mnt_id", "-1"))
    # The link alone does not prove a memfd: any user can have such a file in a root directory of their own.
    if is_memfd_mount(number):
        return _has_inode_of(descriptor, number, file)
    mount = _mount(scene, descriptor, number)
    if mount is None or mount.device_id != file.device_id:
        return False
    return known is not None or (not mount.may_block and _has_inode_of(descriptor, number, file))


def _mount(scene: Scene, descriptor: Descriptor, number: int) -> Mount | None:
    known = scene.mount_of(number)
    if known is not None or number < 0:
        return known
    return mounts_of(f"/proc/{descriptor.pid}", trusted=False).get(number)


def _has_inode_of(descriptor: Descriptor, mount_number: int, file: File) -> bool:
    try:
        opened = os.open(f"/proc/{descriptor.pid}/fd/{descriptor.number}", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # By now the process may have another file there, on a file system that never answers.
        if mount_id(opened) != mount_number:
            return False
        status = os.fstat(opened)
    except OSError:
        return False
    finally:
        os.close(opened)
    same = (status.st_dev, status.st_ino) == (file.stat.st_dev, file.stat.st_ino)
    return same and stat.S_ISREG(status.st_mode)
