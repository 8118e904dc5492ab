"""What failures are grouped by: whose time a look at them takes, and what their diagnosis depends on.

Users and mount namespaces are grouped, so that nobody can pass for many: a user may run as each of 65,536
subordinate ids, and may make a mount namespace for each failure.

Failures with the same ``cause_key`` have the same cause as long as no file changes. The key holds what every
look reads of the record (``scene.readings``) and what the causes of its errno declare.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Final

from execwhy.bpf.caller.namespaces import home_namespaces
from execwhy.bpf.events.arrivals import Failure, Occurrence
from execwhy.bpf.events.identity_memo import IdentityMemo
from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.users import user_of
from execwhy.tui.why.causes import readings
from execwhy.tui.why.registry import Sharing

Owner = tuple[int, int | None]
"""A user, and a group of their mount namespaces: our own, None if it is not known, or a small number."""

NAMESPACE_GROUPS: Final = 256
"""The kernel numbers namespaces in sequence, so fewer than this many mostly get a group each."""


def owner_of(failure: Failure) -> Owner:
    """Return whose time a look at this failure takes."""
    record = failure.template
    namespace = record.mount_ns
    if namespace is not None and namespace not in home_namespaces():
        namespace %= NAMESPACE_GROUPS
    return user_of(record.uid), namespace


def cause_key(failure: ExecFailure | Occurrence) -> Hashable:
    """Return what the diagnosis of a failure depends on; failures with the same key share one look."""
    first = failure.template
    common, is_shared = _circumstances(first)
    if not is_shared:
        return common, failure.pid, failure.timestamp
    # A call that nobody saw begin may have begun when its process did.
    return (common, failure.started) if first.duration_ms is None else common


def _read(record: ExecFailure) -> tuple[Hashable, bool]:
    """Return all that is read, and whether a failure with the same values can share the diagnosis."""
    values = tuple([read(record) for read in _functions(record.return_value)])
    return values, Sharing.NEVER not in values


@functools.cache
def _functions(return_value: int) -> tuple[Callable[[ExecFailure], Hashable], ...]:
    return tuple(reading.of for reading in readings(-return_value))


_circumstances: Final = IdentityMemo(_read)
"""What the causes read of a record, and whether the diagnosis can be shared."""
