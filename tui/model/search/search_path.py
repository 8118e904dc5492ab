"""The directories that a PATH search tries, and the errors after which it goes on.

An exec is part of a search only if execvp(3) or a relative could have made it: its directory is in PATH.
The PATH of a record is the one in envp. A caller that searches another PATH than the one it passes on, as
posix_spawnp(3) does when it is given an environment, is not seen as searching, so its tries stay rows.
Where PATH was not read, for example because too much comes before it in envp, a caller could claim any
directory, so only those of the default path count.
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
"""Errors after which glibc's execvp tries the next directory (posix/execvpe.c); musl's does after the
first three. dash and Python continue after any error, but any other error is worth a row."""

_AT_FDCWD: Final = -100


class SearchPath:
    """The entries of PATH, compared with the directories of paths.

    It holds only the value, because each open search has one: the table of an 8 KiB value that is all colons
    and letters would be a hundred times as large.

    Args:
        value: The value of the variable: directories, separated by colons.
        is_ordered: Whether they are tried in this order.

    Attributes:
        value: The value of the variable.
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
        """Return whether a search has no directory left once it has tried ``path`` this many times."""
        directory = _directory(path)
        if not self._is_ordered or directory != _comparable(self.value.rpartition(":")[2]):
            return False
        return times >= _entries[self.value][directory].times


class _Entry(NamedTuple):
    """A directory of a PATH: its first and last index, and how many times it is listed."""

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
"""The tables of the latest PATHs: nearly all callers use one of a few."""


def _directory(path: str) -> str:
    head, slash, _ = path.rpartition("/")
    return _comparable(head + slash)


def _comparable(entry: str) -> str:
    """Return an entry in its shortest form: "/bin//" is "/bin", and "" is ".", the working directory."""
    stripped = entry.rstrip("/")
    if not stripped:
        return "/" if entry else "."
    return stripped.removeprefix("./") or "."


_DEFAULT: Final = SearchPath("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", is_ordered=False)
"""The built-in search paths of dash, bash, musl, glibc and Python together, used without a PATH."""


def _search_path(record: ExecFailure) -> SearchPath | None:
    """Return the PATH of a record, or the default one if it has none; None where PATH was not read."""
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
        # The end of a truncated value is missing, so its last entry may be incomplete.
        return None
    return SearchPath(variables[at + 6 :].partition("\0")[0])


class Try(NamedTuple):
    """An exec as a try of a search.

    Attributes:
        name: The name that is searched for; "" if the exec is no try.
        path: The PATH that the caller probably searched; None where it was not read.
        times: How often PATH, or without it the default path, lists the directory of the exec.
    """

    name: str
    path: SearchPath | None
    times: int


_NO_TRY: Final = Try("", None, 0)


def _as_try(record: ExecFailure) -> Try:
    """Return the try that a record is, if it is by path and in a directory of PATH or the default path."""
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
    """Return a failed exec as a try of a search; its name is "" if it is none."""
    template = failure.template
    # A record comes only once, but a template comes with each of its occurrences.
    return _as_try(template) if template is failure else _as_try_again(template)


def in_default_path(path: str) -> bool:
    """Return whether the directory of a path is in the default path."""
    return _DEFAULT.times(path) > 0


def name_of(path: str) -> str:
    """Return the last component of a path; "" if the path ends with a slash."""
    return path.rpartition("/")[2]
