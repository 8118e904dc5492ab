"""What /proc shows of a caller, while it lives."""

from __future__ import annotations

import functools
import os
from typing import Final

from execwhy.bpf.caller.processes import caller_of, start_of_thread
from execwhy.bpf.events import clock
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.scene.credentials import ALL_IDS, Ranges

_MOST_BYTES: Final = 16384


class CallerProcess:
    """The process of a failed exec. Its pid, or its thread's id, can be another's by now, which is noticed.

    Args:
        record: The failed exec.
    """

    def __init__(self, record: ExecFailure) -> None:
        self._record = record

    @functools.cached_property
    def directory(self) -> str | None:
        """Its "/proc/PID"; None if it is gone."""
        return caller_of(self._record)

    @functools.cached_property
    def limits(self) -> str | None:
        """Its /proc/PID/limits; None once its parent has waited for it."""
        remains = caller_of(self._record, even_dead=True)
        return None if remains is None else read_proc(f"{remains}/limits")

    @functools.cached_property
    def thread(self) -> str | None:
        """The "/proc/PID/task/TID" of the calling thread; None if it is gone.

        Each thread has filters, a tracer and capabilities of its own. A thread that started after the exec is
        another one that has got the same id.
        """
        if self.directory is None:
            return None
        record = self._record
        thread = f"{self.directory}/task/{record.tid or record.pid}"
        began = start_of_thread(thread)
        return None if began is None or began > record.timestamp - clock.boot_time() else thread

    def read(self, name: str) -> str | None:
        """Return a file of the calling thread, such as "status"; None if the thread is gone."""
        return None if self.thread is None else read_proc(f"{self.thread}/{name}")

    def ids(self, name: str) -> Ranges | None:
        """Return the ids of its user namespace, as ids of ours; None if they cannot be read.

        Args:
            name: "uid_map" or "gid_map".
        """
        text = self.read(name)
        if text is None:
            return None
        rows = [line.split() for line in text.splitlines()]
        return tuple((int(row[1]), int(row[2])) for row in rows if len(row) == 3)

    @functools.cached_property
    def has_all_ids(self) -> bool:
        """Whether it is in the first user namespace at the look, or in one with as many ids."""
        ranges = self.ids("uid_map")
        return ranges is not None and sum(count for _, count in ranges) >= ALL_IDS


def read_proc(path: str) -> str | None:
    """Return the beginning of a file of /proc or /sys; None if it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return os.fsdecode(file.read(_MOST_BYTES))
    except OSError:
        return None
