"""What has changed between a failed exec and the look, by the ctimes of files."""

from __future__ import annotations

import functools
import os

from execwhy.bpf.events import clock
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.moment import Moment


class Changes:
    """Compares the ctimes of inodes with the time of an exec, and with what the kernel program read.

    Args:
        record: The failed exec.
        moment: When it began and failed.
    """

    def __init__(self, record: ExecFailure, moment: Moment) -> None:
        self._timestamp = record.timestamp
        self._binary = record.binary
        self._moment = moment

    @functools.cached_property
    def later(self) -> str:
        """How long after the exec the look is: "40 ms later"."""
        return f"{words.span(clock.now() - self._timestamp)} later"

    def is_certain(self, status: os.stat_result) -> bool:
        """Return whether the inode has surely changed since the exec, not perhaps right before it."""
        ctime, binary = status.st_ctime_ns, self._binary
        if binary is not None and binary.inode_number == status.st_ino:
            return binary.ctime != ctime or (binary.source != "kernel" and self._moment.is_changed(ctime))
        return self._moment.is_changed(ctime)

    def doubt(self, path: str, status: os.stat_result) -> str | None:
        """Return a sentence unless the inode has surely not changed since the exec."""
        shown = words.quoted_briefly(path)
        ctime, binary = status.st_ctime_ns, self._binary
        if self._moment.is_changed(ctime):
            is_the_same = (
                binary is not None
                and binary.source == "kernel"
                and (binary.inode_number, binary.ctime) == (status.st_ino, ctime)
            )
            if is_the_same:
                return f"The ctime of {shown} lies after the exec, so the clock was set since."
            return f"{shown} has changed since the exec, when looked at {self.later}."
        if binary is not None and binary.inode_number == status.st_ino and binary.ctime != ctime:
            return f"{shown} has changed since the exec (another ctime {self.later})."
        if not self._moment.is_unchanged(ctime):
            return f"{shown} changed at about the time of the exec."
        return None
