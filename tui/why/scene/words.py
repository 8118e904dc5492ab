"""Words for sentences: quoted names, modes, spans of time, users.

Names are not escaped here: ``tui.model.text.printable`` makes them safe to show.
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Sequence
from typing import Final

from execwhy.bpf.events.accounts import USERS, read_names
from execwhy.bpf.events.record import DOUBT

MAX_QUOTED: Final = 4096
"""Characters of a name that a sentence quotes; PATH_MAX bytes are no more than that."""

MAX_IN_REMARK: Final = 512
"""Characters of a path in a sentence that is one of many, such as one about a directory on the way."""


def quoted(name: str) -> str:
    """Return a name for a sentence."""
    return f'"{shortened(name, MAX_QUOTED)}"'


def quoted_briefly(path: str) -> str:
    """Return a path for a sentence that is one of many."""
    return f'"{shortened(path, MAX_IN_REMARK)}"'


def shortened(path: str, most: int) -> str:
    """Return a path with "…" in place of components in its middle, unless it is short enough.

    Only whole components are dropped, because part of a secret might not be recognized and masked.
    """
    if len(path) <= most:
        return path
    begin, end = path[: most // 2], path[1 - most // 2 :]
    return f"{begin[: begin.rfind('/') + 1]}…{end[end.find('/') :] if '/' in end else ''}"


def permissions(mode: int) -> str:
    """Return the permissions as ls shows them, without the file type: "rw-r--r--"."""
    return stat.filemode(mode)[1:]


def mode(number: int) -> str:
    """Return a mode with its file type, as ls shows it: "-rw-r--r--"."""
    return stat.filemode(number)


_TYPES: Final = {
    stat.S_IFREG: "a regular file",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFLNK: "a symbolic link",
}


def file_type(mode: int) -> str:
    """Return the type of a file with its article: "a directory"."""
    return _TYPES.get(stat.S_IFMT(mode), "a file of no known type")


def span(nanoseconds: int) -> str:
    """Return a span of time in one unit: "40 ms", "3 s", "2 h"."""
    milliseconds = max(0, nanoseconds) / 1e6
    if milliseconds < 1000:
        return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def doubt(sentence: str) -> str:
    """Mark a sentence as one about what is missing for certainty."""
    first = sentence[:1].lower() if sentence[1:2].islower() else sentence[:1]
    return f"{DOUBT}{first}{sentence[1:]}"


def is_doubt(sentence: str) -> bool:
    """Return whether it is a sentence that ``doubt`` made."""
    return sentence.startswith(DOUBT)


def sentence(text: str) -> str:
    """Return a sentence with a capital letter if it begins with a user without a name."""
    if text.startswith("uid "):
        return f"The {text}"
    return f"The {text[4:]}" if text.startswith("the ") else text


def strerror(return_value: int) -> str:
    """Return what a negative errno means: "no such file or directory" for -2."""
    return os.strerror(-return_value).lower()


def listed(items: Sequence[str]) -> str:
    """Return items for a sentence: "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def user(uid: int) -> str:
    """Return the name of a user of this host, or "uid 1000"."""
    name = _names(USERS, _stamp(USERS)).get(uid) or f"uid {uid}"
    # "nobody may not execute it" would say the contrary.
    return f"the user {name}" if name == "nobody" else name


def _stamp(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=4)
def _names(path: str, _stamp: int) -> dict[int, str]:
    return read_names(path)
