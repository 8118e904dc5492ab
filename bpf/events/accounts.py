"""Users and groups of this host's own files, in the format of passwd(5) and group(5).

The name service switch is not asked: it may go to the network, and nothing here may wait for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

USERS: Final = "/etc/passwd"
GROUPS: Final = "/etc/group"
_MOST_BYTES: Final = 1 << 20
"""More than any local file holds; a file that is something else must not fill the memory."""


def parse(data: bytes) -> Iterator[tuple[str, int]]:
    """Yield the name and the id of each account; skip lines that hold none."""
    for fields in (line.split(b":") for line in data.split(b"\n")):
        if len(fields) > 2 and fields[2].isdigit():
            yield fields[0].decode("utf-8", "surrogateescape"), int(fields[2])


def read_names(path: str) -> dict[int, str]:
    """Return the names of a file's accounts by id, the first of each; an empty dict if it cannot be read."""
    names: dict[int, str] = {}
    for name, number in parse(_read(path)):
        names.setdefault(number, name)
    return names


def read_ids(path: str) -> dict[str, int]:
    """Return the ids of a file's accounts by name, the first of each; an empty dict if it cannot be read."""
    ids: dict[str, int] = {}
    for name, number in parse(_read(path)):
        ids.setdefault(name, number)
    return ids


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return b""
