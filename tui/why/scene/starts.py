"""Where the caller's paths begin: whether the way to its root or working directory still leads there."""

from __future__ import annotations

import os
from typing import Final

from execwhy.bpf.caller.caller_root import CallerRoot
from execwhy.bpf.caller.lookup import ResolvedFile, look_at
from execwhy.bpf.caller.resolution import Step, WalkContext
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.proof.names import NOT_SEEN

_DELETED: Final = " (deleted)"
"""What the kernel appends to the path of a removed directory (d_path)."""


def way_to_root(caller_root: CallerRoot, deadline: float) -> ResolvedFile:
    """Walk from our own root directory to that of a caller in our mount namespace."""
    top = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        return look_at(caller_root, WalkContext(top, caller_root.mounts, deadline=deadline), caller_root.base)
    finally:
        os.close(top)


def doubt_of_root(caller_root: CallerRoot, way: ResolvedFile) -> str | None:
    """Return a sentence unless the path of the caller's root directory leads to that directory."""
    if way.resolution.end in NOT_SEEN:
        return None
    if way.file is not None and os.path.samestat(way.file.stat, os.fstat(caller_root.root)):
        return None
    return f"The way to the root directory {words.quoted(caller_root.base)} has changed."


def doubt_of_cwd(cwd: str, begin: Step, way: ResolvedFile) -> str | None:
    """Return a sentence unless the path of the working directory leads to where a relative path began.

    Args:
        cwd: The path that the kernel program read.
        begin: The directory where the walk of the relative path began.
        way: What ``cwd`` leads to at the look.
    """
    if way.resolution.end in NOT_SEEN:
        return None
    if cwd.endswith(_DELETED) and not begin.stat.st_nlink:
        # In a removed directory nothing is found. But a directory can have such a name.
        return None if way.file is None else f"There is a directory whose name is {words.quoted(cwd)}."
    if way.file is not None and os.path.samestat(way.file.stat, begin.stat):
        return None
    return f"The working directory is no longer {words.quoted(cwd)}."
