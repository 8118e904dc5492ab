"""The directories that a PATH search tries, and the errors after which it goes on.

An exec is part of a search only if execvp(3) or its kin could have made it: its directory is one of PATH.
The PATH of a record is that of envp. A caller that searches with another one than it hands on, as
posix_spawnp(3) with an environment of its own does, is not seen as searching, so its tries stay rows.
Where PATH was not read, for instance because much else stands before it, a caller could claim any directory:
only those of the default path count then.
"""

from __future__ import annotations

import errno
from sys import getsizeof
from typing import Final, NamedTuple

from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.identity_memo import IdentityMemo
from execwhy.bpf.events.kinds import EXEC
from execwhy.bpf.events.known import Known
from execwhy.bpf.events.record import ExecFailure

CONTINUING: Final = frozenset(
    {errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ENODEV, errno.ETIMEDOUT, errno.ESTALE}
)
"""Errors after which glibc's execvp tries the next directory (posix/execvpe.c); musl's goes on after the
first three. dash and Python go on after any, but what they pass over then is worth a row."""

_AT_FDCWD: Final = -100


class SearchPath:
    """The entries of PATH, as far as they can be compared with the directories of paths.

    It takes as much as the value does: a search that goes on has one, and of 8 KiB that are all colons and
    letters the table would be a hundred times as large.

    Args:
        value: The directories, as the variable has them.
        is_ordered: They are tried in this order.

    Attributes:
        value: The same.
    """

    def __init__(self, value: str, *, is_ordered: bool = True) -> None:
        self.value = value
        self._is_ordered = is_ordered

    def times(self, path: str) -> int:
        """Return how many entries are the directory of this path."""
        entries = _entries[self.value]
        as_written = entries.get(path[: path.rfind("/")]) if path.rfind("/") > 0 else None
        found = entries.get(_directory(path)) if as_written is None else as_written
        return 0 if found is None else found.times

    def comes_after(self, path: str, before: str) -> bool:
        """Return whether a search that has tried ``before`` may come to ``path``."""
        entries = _entries[self.value]
        later, earlier = entries.get(_directory(path)), entries.get(_directory(before))
        if later is None or earlier is None:
            return False
        return earlier.first < later.last or not self._is_ordered

    def ends_at(self, path: str, times: int) -> bool:
        """Return whether a search has nothing left to try after ``path``, which it has tried that often."""
        directory = _directory(path)
        if not self._is_ordered or directory != _comparable(self.value.rpartition(":")[2]):
            return False
        return times >= _entries[self.value][directory].times


class _Entry(NamedTuple):
    """A directory of a PATH: at which places it comes first and last there, and how often."""

    first: int
    last: int
    times: int


def _entries_of(value: str) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    for index, entry in enumerate(map(_comparable, value.split(":"))):
        known = entries.get(entry)
        entries[entry] = (
            _Entry(index, index, 1) if known is None else _Entry(known.first, index, known.times + 1)
        )
    return entries


_KNOWN_BYTES: Final = 4 << 20
_ENTRY_BYTES: Final = 300

_entries: Final = Known(
    _entries_of, _KNOWN_BYTES, lambda value: 2 * getsizeof(value) + _ENTRY_BYTES * (value.count(":") + 1)
)
"""The tables of the PATHs that came last: nearly all callers have one of a few."""


def _directory(path: str) -> str:
    head, slash, _ = path.rpartition("/")
    return _comparable(head + slash)


def _comparable(entry: str) -> str:
    """Return an entry without what makes no difference: "/bin//" is "/bin", and "" the working directory."""
    stripped = entry.rstrip("/")
    if not stripped:
        return "/" if entry else "."
    return stripped.removeprefix("./") or "."


_DEFAULT: Final = SearchPath("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", is_ordered=False)
"""Where programs search without a PATH: the built-in ones of dash, bash, musl, glibc and Python together."""


def _search_path(record: ExecFailure) -> SearchPath | None:
    """Return the PATH of its environment, or what takes its place; None where that was not read."""
    environment, truncated = record.environment, record.truncated
    try:
        # No variable holds a null character, and one long text is searched faster than forty short ones.
        variables = "\0" + "\0".join(environment)  # type: ignore[arg-type]
        is_whole = not truncated.environment and record.arguments_source != "unreadable"
    except TypeError:
        variables = "\0" + "\0".join(variable or "" for variable in environment)
        is_whole = False
    at = variables.find("\0PATH=")
    if at < 0:
        return _DEFAULT if is_whole else None
    if truncated.environment_indexes and variables.count("\0", 0, at) in truncated.environment_indexes:
        # Of a value of which only the beginning was read, the last entry is not known, nor the next.
        return None
    return SearchPath(variables[at + 6 :].partition("\0")[0])


class Try(NamedTuple):
    """What an exec is as a try of a search.

    Attributes:
        name: What is searched for; "" where it is no try.
        path: The PATH that its caller probably searched; None where that was not read.
        times: How many entries of PATH, or else of the default path, are its directory.
    """

    name: str
    path: SearchPath | None
    times: int


_NO_TRY: Final = Try("", None, 0)


def _as_try(record: ExecFailure) -> Try:
    """Return what a record is as a try: by path, and in a directory of PATH or of the default path."""
    path = record.path
    name = "" if path is None else name_of(path)
    if path is None or not name or record.kernel_invoked or record.kind != EXEC.name:
        return _NO_TRY
    if record.dirfd is not None and record.dirfd != _AT_FDCWD and not path.startswith("/"):
        return _NO_TRY
    searched = _search_path(record)
    times = (searched or _DEFAULT).times(path)
    return Try(name, searched, times) if times else _NO_TRY


_as_try_again: Final = IdentityMemo(_as_try)


def as_try(failure: ExecFailure | Occurrence) -> Try:
    """Return what a failed exec is as a try of a search."""
    template = failure.template
    # A record of its own comes once; a template comes again with each repeat.
    return _as_try(template) if template is failure else _as_try_again(template)


def in_default_path(path: str) -> bool:
    """Return whether a path's directory is one of the default path."""
    return _DEFAULT.times(path) > 0


def name_of(path: str) -> str:
    """Return the last component; "" where there is none, as of a directory with a slash at its end."""
    return path.rpartition("/")[2]
