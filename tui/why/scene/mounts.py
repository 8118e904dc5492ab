"""What a mount forbids, and the mount of a device number."""

from __future__ import annotations

from typing import Final

from execwhy.bpf.caller.caller_root import CallerRoot
from execwhy.bpf.caller.lookup import File
from execwhy.bpf.caller.mountinfo import Mount
from execwhy.tui.why.scene import words

_NEVER: Final = frozenset({"proc", "sysfs", "cgroup", "cgroup2"})
"""File systems that the kernel marks SB_I_NOEXEC, whatever the mount's options say."""


def never_executes(file: File) -> bool:
    """Return whether its file system holds no programs, whatever the mount options are."""
    return file.mount is not None and file.mount.file_system in _NEVER


def forbids_exec(file: File) -> bool:
    """Return whether its mount forbids execution (path_noexec, fs/exec.c)."""
    return never_executes(file) or (file.mount is not None and "noexec" in file.mount.options)


def ignores_privileges(file: File) -> bool:
    """Return whether its mount is nosuid, so that set-user-id bits and file capabilities do not count."""
    return file.mount is not None and "nosuid" in file.mount.options


def device(number: str, caller_root: CallerRoot | None, path: str | None) -> str:
    """Return a device number for a sentence, with the file system's type if the caller has it mounted.

    Args:
        number: "major:minor", as in mountinfo.
        caller_root: The caller's root directory and mounts, if they are known.
        path: A file on it. Of several mounts of the device, the one that has this file is named.
    """
    mounts = [] if caller_root is None else caller_root.mounts.on_device(number)
    if not mounts:
        return f"device {number}"
    full = None if caller_root is None or path is None else caller_root.base + path
    nearest = max(mounts, key=lambda mount: (_leads_to(mount, full), -len(mount.point)))
    return f"device {number} ({nearest.file_system} on {words.quoted(nearest.point)})"


def on_the_way(caller_root: CallerRoot, path: str) -> Mount | None:
    """Return the mount of a path of the caller's whose links are resolved; None if it is not known."""
    return caller_root.mounts.on_the_way(caller_root.base + path)


def _leads_to(mount: Mount, path: str | None) -> int:
    """Return how many characters of a path its mount point takes; 0 if it is not on the way."""
    point = mount.point.rstrip("/")
    return len(mount.point) if path is not None and f"{path}/".startswith(f"{point}/") else 0
