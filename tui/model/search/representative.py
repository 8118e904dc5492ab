"""Which try of a search stands for it: its row tells the others, too."""

from __future__ import annotations

import errno
from typing import Final

MOST_ATTEMPTS: Final = 256
"""Tries of one search that are kept one by one: more than a PATH has directories; all are counted."""

_PASSED_OVER: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
"""Errors after which a search goes on as if nothing had been there (glibc and musl execvp, dash, CPython)."""


def supersedes(return_value: int, before: int) -> bool:
    """Whether of two tries the later one is to stand for the search.

    The last try stands for it, but for one whose error was not just passed over: where one directory
    gave EACCES, execvp(3) fails with EACCES, whatever the directories after it gave.

    Args:
        return_value: The later try's.
        before: The return value of the one that stands for it so far.
    """
    return -return_value not in _PASSED_OVER or -before in _PASSED_OVER
