"""Resource limits of this process that are too low, by the names with which an operator sets them."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from typing import Final

MEMORY: Final = 1 << 30
"""Bytes of address space that are enough for any work here: compiling takes 400 MB, the screen less."""

FILES: Final = 256
"""Descriptors that are enough for any work here."""

_MEMORY_LIMITS: Final = ((resource.RLIMIT_AS, "v"), (resource.RLIMIT_DATA, "d"))
"""The limits on memory, each with its option of ulimit."""

_NO_THREAD: Final = "can't start new thread"
"""Python's message if a thread cannot be started, for any reason."""

_NO_MEMORY: Final = (
    "there is not enough memory: give it 300 MB, and the screen as much more as --history-bytes says."
)

_UNMAPPED: Final = (
    "cannot allocate memory",
    "failed to map segment",
    "cannot create shared object descriptor",
)
"""The dynamic linker's messages if there is no memory for a library."""


def obstacle(error: BaseException | None) -> str | None:
    """Return which limit caused this error, or one that led to it; None if no limit did.

    Returns:
        One sentence that names the limit with its value, and says what to do.
    """
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno == errno.EMFILE:
            return _too_few_files()
        if isinstance(each, OSError) and each.errno == errno.ENFILE:
            return "all files that the system may have open are in use (sysctl fs.file-max): raise it."
        if _is_lack_of_memory(each):
            return memory_obstacle() or _NO_MEMORY
        if isinstance(each, RuntimeError) and _NO_THREAD in str(each):
            return memory_obstacle() or _processes()
        if isinstance(each, OSError) and each.errno == errno.EAGAIN:
            return _processes()
    return None


def file_obstacle() -> str | None:
    """Return a sentence about the limit on open files if it is so low that anything may fail; else None."""
    return _too_few_files() if 0 <= _soft(resource.RLIMIT_NOFILE) < FILES else None


def _too_few_files() -> str:
    return (
        f"too few files may be open at once (ulimit -n is {_soft(resource.RLIMIT_NOFILE)}): set "
        f"ulimit -n to {FILES} or more."
    )


def memory_obstacle() -> str | None:
    """Return a sentence about the limit on memory if it is so low that anything may fail; else None."""
    for limit, option in _MEMORY_LIMITS:
        value = _soft(limit)
        if 0 <= value < MEMORY:
            return (
                f"too little memory may be used (ulimit -{option} is {value >> 10}): "
                f"set ulimit -{option} to {MEMORY >> 10} or unlimited."
            )
    return None


def _processes() -> str:
    value = _soft(resource.RLIMIT_NPROC)
    if value >= 0:
        return (
            f"no more processes and threads of this user may run (ulimit -u is {value}): raise it, or end "
            "some of them."
        )
    return (
        "no more processes and threads may run: raise what bounds them, pids.max of the cgroup (in a unit "
        "TasksMax=) or sysctl kernel.threads-max."
    )


def _soft(limit: int) -> int:
    """Return the current (soft) limit; -1 for none."""
    value = resource.getrlimit(limit)[0]
    return -1 if value == resource.RLIM_INFINITY else value


def _is_lack_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # The error of a library that cannot be loaded has no errno.
    return isinstance(error, ImportError | OSError) and any(words in str(error) for words in _UNMAPPED)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error, and those that led to it."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
