"""Diagnoses that are taken over from a failure that was the same in all that a cause depends on."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from bpf.record import Diagnosis, ExecFailure
from tui.why import failed

MAX_KNOWN: Final = 4096
KNOWN_SECONDS: Final = 2.0
"""A storm of one failure is diagnosed about once in this time; the files may change meanwhile."""

Diagnose = Callable[[ExecFailure], Diagnosis]


class Remembered:
    """A way to diagnose that remembers: for use by one thread."""

    def __init__(self, diagnose: Diagnose) -> None:
        self._diagnose = diagnose
        self._known: OrderedDict[Hashable, tuple[float, Diagnosis]] = OrderedDict()

    def __call__(self, record: ExecFailure) -> Diagnosis:
        """Why an exec failed. Never raises."""
        key = _key(record)
        known = self._known.get(key)
        if known is not None and time.monotonic() - known[0] < KNOWN_SECONDS:
            return known[1]
        try:
            diagnosis = self._diagnose(record)
        except Exception as error:
            diagnosis = failed(record, error)
        self._known[key] = (time.monotonic(), diagnosis)
        self._known.move_to_end(key)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return diagnosis


_BY_ARGUMENTS: Final = frozenset({"E2BIG", "EFAULT", "EAGAIN"})
"""Errors that argv, envp or the moment decide: never taken over from another record."""


def _key(record: ExecFailure) -> Hashable:
    binary = record.binary
    same_file = None if binary is None else (binary.device_id, binary.inode_number, binary.ctime)
    own = record.error in _BY_ARGUMENTS or record.killed_by is not None or record.dirfd not in (None, -100)
    return (
        same_file,
        record.return_value,
        record.path,
        record.interpreter_path,
        record.root,
        None if record.path is not None and record.path.startswith("/") else record.cwd,
        (record.fsuid, record.fsgid, record.groups, record.capabilities),
        (
            record.mount_ns,
            record.syscall,
            record.flags,
            record.compat,
            record.kernel_invoked,
            record.check_only,
        ),
        (record.pid, record.timestamp) if own else 0,
    )
