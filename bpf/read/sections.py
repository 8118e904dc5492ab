"""The sections of a raw record that every failure has: walked paths, the caller's ancestors, its cgroup."""

from __future__ import annotations

import stat
import struct
from typing import Final

from execwhy.bpf.caller.cgroups import Where, where_of
from execwhy.bpf.events.known import Known
from execwhy.bpf.events.record import Ancestor
from execwhy.bpf.program import layout

GROUP: Final = struct.Struct("<I")
_SECTION_BYTES: Final = 256 << 10
"""Bytes of sections that are known again: of walked paths, ancestors and cgroups some hundred each.
Decoded they take up to 8 times as much."""


def text_of(raw: bytes) -> str:
    """Return bytes that a process chose as text, from which they can be had back."""
    return raw.decode("utf-8", "surrogateescape")


def path_of(section: bytes, end: int) -> str:
    """Return a walked path, whose components are leaf first, each with its NUL.

    Args:
        section: The components.
        end: How the walk ended.
    """
    return _paths[section, end]


def _joined(walked: tuple[bytes, int]) -> str:
    section, end = walked
    components = section.split(b"\0")[:-1]
    path = text_of(b"/".join(reversed(components)))
    return ".../" + path if end == layout.UNFINISHED else "/" + path


_paths: Final = Known(_joined, _SECTION_BYTES, lambda walked: len(walked[0]))


def cwd_of(section: bytes, end: int, bits: int) -> str:
    """Return the working directory, in the words of getcwd(2) if it is unreachable or removed."""
    path = path_of(section, end)
    if end == layout.AT_TOP:
        # Not below the caller's root directory.
        path = "(unreachable)" + path
    return path + " (deleted)" if bits & layout.CWD_DELETED else path


def stdin_path(section: bytes, end: int, mode: int, inode: int, bits: int) -> str | None:
    """Return the path of descriptor 0, as /proc/PID/fd has it; None if it is closed."""
    if end == layout.NO_FILE:
        return None
    if end == layout.OF_NO_TREE:
        return _pseudo_file(text_of(section[:-1]), mode, inode)
    path = path_of(section, end)
    return path + " (deleted)" if bits & layout.STDIN_DELETED else path


def binary_path(section: bytes, end: int, mode: int, inode: int) -> str | None:
    """Return the path of the file that the kernel had open; None if it had none, or one without a name."""
    if end == layout.NO_FILE:
        return None
    if end == layout.OF_NO_TREE:
        return _pseudo_file(text_of(section[:-1]), mode, inode)
    return path_of(section, end)


def _pseudo_file(name: str, mode: int, inode: int) -> str | None:
    """Return the name in /proc/PID/fd of a file in no directory; None if only its file system knows it."""
    if stat.S_ISSOCK(mode):
        return f"socket:[{inode}]"
    if stat.S_ISFIFO(mode):
        return f"pipe:[{inode}]"
    if name.startswith("memfd:"):
        return f"/{name} (deleted)"
    return None if name in ("", "/") else f"anon_inode:{name}"


def tty_of(name: bytes) -> str | None:
    """Return the name of a terminal's node: "pts/3" for what the kernel calls "pts3"."""
    text = text_of(name)
    return f"pts/{text[3:]}" if text.startswith("pts") and text[3:].isdigit() else text or None


def _ancestors(section: bytes) -> tuple[Ancestor, ...]:
    return tuple(
        Ancestor(pid, text_of(comm.split(b"\0", 1)[0]))
        for pid, comm in layout.ANCESTOR_STRUCT.iter_unpack(section)
    )


ancestors_of: Final = Known(_ancestors, _SECTION_BYTES, len).__getitem__


def groups_of(section: bytes) -> tuple[int, ...]:
    """Return the supplementary groups."""
    return tuple(group for (group,) in GROUP.iter_unpack(section))


def _where(cgroup: str | None) -> Where:
    return where_of(cgroup or "/")


cgroup_facts: Final = Known(_where, _SECTION_BYTES, lambda cgroup: len(cgroup or "")).__getitem__
