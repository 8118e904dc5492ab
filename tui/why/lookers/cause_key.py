"""The key of a shared diagnosis: failures with the same key have the same cause while no file changes.

It holds what every look reads of the record (``scene.readings``) and what the causes of its errno declare.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Final

from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.identity_memo import IdentityMemo
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.causes import readings
from execwhy.tui.why.registry import Sharing


def cause_key(failure: ExecFailure | Occurrence) -> Hashable:
    """Return what the diagnosis of a failure depends on; failures that agree in it share one look."""
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
"""What is read of a record."""
