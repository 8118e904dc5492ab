"""EFAULT, EBADF, EINVAL, ENOSYS, ENAMETOOLONG: the call itself is at fault, whatever the file is."""

from __future__ import annotations

import errno
import os
import re
from typing import Final

from execwhy.bpf.caller.lookup import AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW
from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import unknown
from execwhy.tui.why.registry import NEVER_SHARED, Stage, cause, finds
from execwhy.tui.why.scene import caller, words
from execwhy.tui.why.scene.scene import Scene

PATH_MAX: Final = 4096
AT_EXECVE_CHECK: Final = 0x10000
"""include/uapi/linux/fcntl.h, since 6.14. ``bpf.read.failed_exec`` has it too."""


_UNREAD: Final = "Memory that is paged out or was never touched cannot be read here either, and may be valid."
"""What could not be read at the beginning and the end of the call, the kernel may have been able to read."""


_READ: Final = "What could be read may not have been in the caller's memory when the kernel read it."


def _can_check() -> bool:
    """Return whether this kernel knows AT_EXECVE_CHECK, so that it refused another flag."""
    numbers = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= (6, 14)


@finds(errno.EFAULT, stage=Stage.CALL)
@cause(
    "bad-path-pointer",
    errno.EFAULT,
    manual="The path's address is not in the caller's memory.",
    reads=(NEVER_SHARED,),
)
@cause(
    "bad-argument-pointer",
    errno.EFAULT,
    manual="An address in argv or envp is not in the caller's memory.",
    reads=(NEVER_SHARED,),
)
def bad_address(scene: Scene) -> list[Diagnosis]:
    """Name the pointer that the kernel could not follow (EFAULT)."""
    record = scene.record
    if record.path is None:
        return [
            scene.diagnosis(
                "bad-path-pointer",
                "The path's address is not in the caller's memory.",
                "bad address of the path",
                lacking=_UNREAD,
            )
        ]
    broken = [f"argument {n}" for n, value in enumerate(record.arguments) if value is None]
    broken += [f"environment element {n}" for n, value in enumerate(record.environment) if value is None]
    if len(broken) == 1:
        return [
            scene.diagnosis(
                "bad-argument-pointer",
                f"The address of {broken[0]} is not in the caller's memory.",
                f"bad address of {broken[0]}",
                "Every other string could be read.",
                lacking=_UNREAD,
            )
        ]
    truncated = record.truncated
    if not (broken or truncated.arguments or truncated.environment):
        return [unknown.contradicted(scene, "the path, argv and envp could be read", lacking=_READ)]
    which = words.listed(broken[:8]) if broken else "argv or envp"
    how = "could not be read" if broken else "could not be read to the end"
    return [
        scene.diagnosis(
            "bad-argument-pointer",
            f"An address in argv or envp {'is not' if broken else 'may not be'} in the caller's memory;"
            f" {which} {how}.",
            "bad address in argv or envp",
            lacking=_UNREAD,
        )
    ]


@finds(errno.EBADF, stage=Stage.CALL)
@cause("bad-descriptor", errno.EBADF, manual="The descriptor that was passed to execveat is not open.")
def bad_descriptor(scene: Scene) -> list[Diagnosis]:
    """Report that execveat's dirfd is not open (EBADF)."""
    record = scene.record
    if not scene.by_descriptor:
        return []
    open_now = scene.process.directory is not None and os.path.lexists(
        f"{scene.process.directory}/task/{record.tid}/fd/{record.dirfd}"
    )
    which = f"file descriptor {record.dirfd}, where execveat was to begin,"
    if open_now:
        return [unknown.contradicted(scene, f"{which} is open")]
    is_seen = scene.process.directory is not None
    return [
        scene.diagnosis(
            "bad-descriptor",
            f"F{which[1:]} {'is not' if is_seen else 'may not have been'} open.",
            f"dirfd {record.dirfd} is not open",
            lacking=caller.forged(scene) or caller.undated(scene, "What it has open"),
        )
    ]


@finds(errno.EINVAL, stage=Stage.CALL)
@cause("unknown-flags", errno.EINVAL, manual="execveat was given flags that this kernel does not know.")
def invalid(scene: Scene) -> list[Diagnosis]:
    """Name the flags that this kernel does not know (EINVAL)."""
    flags = scene.record.flags or 0
    unknown = flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | (AT_EXECVE_CHECK if _can_check() else 0))
    if not unknown:
        return []
    if unknown == AT_EXECVE_CHECK:
        return [
            scene.diagnosis(
                "unknown-flags",
                "The caller only wanted to check whether it may execute the file (AT_EXECVE_CHECK),"
                " which this kernel does not know yet (Linux 6.14).",
                "AT_EXECVE_CHECK is not known here",
                f"The flags are {flags:#x}.",
            )
        ]
    return [
        scene.diagnosis(
            "unknown-flags",
            f"execveat has no such flags: {unknown & ~AT_EXECVE_CHECK:#x}.",
            f"unknown flags {unknown & ~AT_EXECVE_CHECK:#x}",
            f"The flags are {flags:#x}; known are AT_EMPTY_PATH (0x1000), AT_SYMLINK_NOFOLLOW (0x100) and"
            " AT_EXECVE_CHECK (0x10000).",
        )
    ]


@finds(errno.ENOSYS, stage=Stage.CALL)
@cause(
    "no-such-system-call",
    errno.ENOSYS,
    manual="The kernel does not offer this call to this program, or a seccomp filter pretends so.",
)
def no_such_call(scene: Scene) -> list[Diagnosis]:
    """Report that the kernel lacks the call for such programs, or that a filter pretends so (ENOSYS)."""
    kind = "32-bit programs" if scene.record.compat else "this program"
    return [
        scene.diagnosis(
            "no-such-system-call",
            f"Either the kernel does not offer {scene.record.syscall or 'this system call'} to {kind}, or a"
            " seccomp filter pretends so.",
            "system call not available",
            "32-bit (IA32) and x32 calls can be left out of the kernel or switched off at boot.",
            lacking="Which of the two it was leaves no trace.",
        )
    ]


@finds(errno.ENAMETOOLONG, stage=Stage.CALL)
@cause("path-too-long", errno.ENAMETOOLONG, manual="The whole path is longer than the kernel allows.")
def path_too_long(scene: Scene) -> list[Diagnosis]:
    """Report that the whole path is too long (ENAMETOOLONG)."""
    record = scene.record
    length = len(os.fsencode(record.path or ""))
    if not record.truncated.path and length < PATH_MAX:
        return []
    return [
        scene.diagnosis(
            "path-too-long",
            f"The path is too long: the kernel takes {PATH_MAX - 1:,} bytes at most.",
            f"path too long: over {PATH_MAX - 1:,} bytes",
            advice="Change to a directory on the way and use a shorter, relative path.",
        )
    ]
