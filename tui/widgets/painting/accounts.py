"""Names of users and groups, from the local files only.

The name service switch is not asked: it may go to the network, and the screen must not wait for it.
"""

from __future__ import annotations

from functools import cache
from typing import Final

_MAX_BYTES: Final = 1 << 20
"""More than any local file holds; a file that is something else must not fill the memory."""


@cache
def _names(path: str) -> dict[int, str]:
    """Ids and names of a file in the format of passwd(5) or group(5); nothing where it cannot be read."""
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_BYTES).decode("utf-8", "surrogateescape")
    except OSError:
        return {}
    names: dict[int, str] = {}
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2].isdecimal():
            names.setdefault(int(fields[2]), fields[0])
    return names


def user_name(uid: int) -> str | None:
    """The local user's name; None where there is none."""
    return _names("/etc/passwd").get(uid)


def group_name(gid: int) -> str | None:
    """The local group's name; None where there is none."""
    return _names("/etc/group").get(gid)
