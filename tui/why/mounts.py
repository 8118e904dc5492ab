"""What a mount forbids."""

from __future__ import annotations

from typing import Final

from bpf.lookup import File

_NEVER: Final = frozenset({"proc", "sysfs", "cgroup", "cgroup2"})
"""File systems that the kernel marks SB_I_NOEXEC, whatever the mount's options say."""


def never_executes(file: File) -> bool:
    """Its file system has no programs, whatever the options of the mount say."""
    return file.mount is not None and file.mount.file_system in _NEVER


def forbids_exec(file: File) -> bool:
    """path_noexec() of fs/exec.c."""
    return never_executes(file) or (file.mount is not None and "noexec" in file.mount.options)


def ignores_privileges(file: File) -> bool:
    """The mount is nosuid: set-user-id bits and file capabilities count for nothing."""
    return file.mount is not None and "nosuid" in file.mount.options
