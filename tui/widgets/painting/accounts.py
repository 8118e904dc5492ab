"""Names of users and groups, as the screen shows them."""

from __future__ import annotations

from functools import cache

from execwhy.bpf.events.accounts import GROUPS, USERS, read_names

_names = cache(read_names)
"""Read once: names are painted all the time."""


def user_name(uid: int) -> str | None:
    """Return the name of a local user; None if there is none."""
    return _names(USERS).get(uid)


def group_name(gid: int) -> str | None:
    """Return the name of a local group; None if there is none."""
    return _names(GROUPS).get(gid)
