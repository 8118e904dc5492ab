"""Whose time a look takes: the user, and the mount namespace.

Both are grouped, so that nobody can be many: a user may run as each of 65,536 subordinate ids, and may make a
mount namespace for each failure.
"""

from __future__ import annotations

from typing import Final

from execwhy.bpf.caller.namespaces import home_namespaces
from execwhy.bpf.events.arrivals import Failure
from execwhy.bpf.events.users import user_of

Owner = tuple[int, int | None]
"""A user, and a group of their mount namespaces: our own, None where it is not known, or a small number."""

NAMESPACE_GROUPS: Final = 256
"""The numbers of namespaces follow each other, so that fewer than this are mostly a group each."""


def owner_of(failure: Failure) -> Owner:
    """Return whose time a look at this failure takes."""
    record = failure.template
    namespace = record.mount_ns
    if namespace is not None and namespace not in home_namespaces():
        namespace %= NAMESPACE_GROUPS
    return user_of(record.uid), namespace
