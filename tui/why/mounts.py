"""What a mount forbids."""

from __future__ import annotations

from typing import Final

from bpf.lookup import File

_NEVER: Final = frozenset({"proc", "sysfs", "cgroup", "cgroup2"})
"""File systems that the kernel marks SB_I_NOEXEC, whatever the mount's options say."""


def forbids_exec(file: File) -> bool:
    """path_noexec() of fs/exec.c."""
    mount = file.mount
    return mount is not None and ("noexec" in mount.options or mount.file_system in _NEVER)


def ignores_privileges(file: File) -> bool:
    """The mount is nosuid: set-user-id bits and file capabilities count for nothing."""
    return file.mount is not None and "nosuid" in file.mount.options
