"""Which try of a search has the row that represents all of them."""

from __future__ import annotations

import errno
from typing import Final

MOST_ATTEMPTS: Final = 256
"""Tries of a search that are listed one by one: more than a PATH has directories. All are counted."""

_PASSED_OVER: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
"""Errors after which a search goes on as if there were no file (glibc and musl execvp, dash, CPython)."""


def supersedes(return_value: int, before: int) -> bool:
    """Return whether a later try represents the search in place of the representative so far.

    The last try does, unless an earlier one had an error that execvp(3) remembers: if one directory gave
    EACCES, execvp fails with EACCES, whatever the directories after it gave.

    Args:
        return_value: The return value of the later try.
        before: The return value of the representative so far.
    """
    return -return_value not in _PASSED_OVER or -before in _PASSED_OVER
