"""Diagnoses that are taken over from a failure that was the same in all that a cause depends on."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from bpf import clock
from bpf.per_record import PerRecord
from bpf.record import Again, Diagnosis, ExecFailure, first_like
from bpf.vantage import AT_FDCWD, own_mount_ns
from tui.why import failed
from tui.why.by_env import may_be_scripts
from tui.why.mount_watch import mount_watch

MAX_KNOWN: Final = 4096
KNOWN_SECONDS: Final = 2.0
"""How long one look serves a backlog; the files are no part of what alike failures have in common."""

Diagnose = Callable[[ExecFailure], Diagnosis]


@dataclass(frozen=True, slots=True)
class _Known:
    """One look: the timestamp of the record that it was for, when it began, and what it found.

    ``began`` is nanoseconds on the clock of the records, ``expires`` seconds on time.monotonic().
    """

    timestamp: int
    began: int
    expires: float
    diagnosis: Diagnosis

    def holds_for(self, record: ExecFailure | Again) -> bool:
        """Whether a look of its own could tell nothing else about a record.

        What failed after this look is looked at anew. What failed before the record that it was for may
        have failed before something changed, which only leaves alone what is uncertain anyway.
        """
        if record.timestamp > self.began or time.monotonic() > self.expires:
            return False
        return record.timestamp >= self.timestamp or not self.diagnosis.certain


class Remembered:
    """A way to diagnose that remembers: for use by one thread."""

    def __init__(self, diagnose: Diagnose) -> None:
        mount_watch()
        self._diagnose = diagnose
        self._known: OrderedDict[Hashable, _Known] = OrderedDict()

    def __call__(self, failure: ExecFailure | Again) -> Diagnosis:
        """Why an exec failed. Never raises."""
        key = alike(failure)
        known = self._known.get(key)
        if known is not None and known.holds_for(failure):
            return known.diagnosis
        record = failure.whole() if isinstance(failure, Again) else failure
        began = clock.now()
        try:
            diagnosis = self._diagnose(record)
        except Exception as error:
            diagnosis = failed(record, error)
        self._known[key] = _Known(record.timestamp, began, time.monotonic() + KNOWN_SECONDS, diagnosis)
        self._known.move_to_end(key)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return diagnosis


_BY_MOMENT: Final = frozenset({"E2BIG", "EFAULT", "EAGAIN", "EMFILE", "ENFILE", "ENOMEM"})
"""Errors that argv, envp, or the caller's limits decide: never taken over from another record."""

_OF_ONE_PROCESS: Final = ("/proc/", "/dev/")
"""Where names lead to what the process itself has open, such as /dev/fd/3."""


def alike(failure: ExecFailure | Again) -> Hashable:
    """What two failures have in common whose cause is the same while no file changes."""
    common, own = _circumstances(first_like(failure))
    return (common, failure.pid, failure.timestamp) if own else common


def _work_out(record: ExecFailure) -> tuple[Hashable, bool]:
    """What the cause depends on, and whether it depends on the process and its moment as well."""
    binary, path = record.binary, record.path or ""
    same_file = None if binary is None else (binary.device_id, binary.inode_number, binary.ctime)
    own = (
        record.error in _BY_MOMENT
        or record.killed_by is not None
        or record.dirfd not in (None, AT_FDCWD)
        or path.startswith(_OF_ONE_PROCESS)
    )
    # The next namespace gets the number of one that has ended; seccomp and bounding set are inherited.
    inherited = record.error == "EPERM" or record.mount_ns != own_mount_ns()
    common = (
        same_file,
        record.return_value,
        record.path,
        record.truncated.path,
        record.interpreter_path,
        record.root,
        None if path.startswith("/") else record.cwd,
        may_be_scripts(record) if record.error == "ENOENT" else (),
        (record.fsuid, record.fsgid, record.groups, record.capabilities),
        (
            record.mount_ns,
            record.syscall,
            record.flags,
            record.compat,
            record.kernel_invoked,
            record.check_only,
        ),
        (record.ppid, record.cgroup) if inherited else None,
    )
    return common, own


_circumstances: Final = PerRecord(_work_out)
