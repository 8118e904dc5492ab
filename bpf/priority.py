"""The nice value of this process and of its session.

If the kernel groups processes by session (``kernel.sched_autogroup_enabled``, as on desktops), the nice
value of a process counts only within its session, and that of the session counts among sessions: sched(7),
"The autogroup feature". So both are changed; the session's only for as long as the program needs it.
"""

from __future__ import annotations

import os
import re
import resource
import time
from contextlib import suppress
from typing import Final

_NICER: Final = -5
"""Added to the nice value: three times the processor time of another process that never sleeps."""

_AUTOGROUP: Final = "/proc/self/autogroup"

_SECONDS: Final = 1.0
"""How long to retry a write: from processes without root, the kernel accepts only one in 0.1 s in total
(``proc_sched_autogroup_set_nice`` in kernel/sched/autogroup.c)."""

_PAUSE: Final = 0.02

_LINE: Final = re.compile(rb"/autogroup-\d+ nice (-?\d+)\n")
"""The kernel's text; it is empty if the session has no group of its own."""


class Session:
    """The session of this process. If its nice value cannot be changed, nothing happens."""

    def __init__(self, path: str = _AUTOGROUP) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._former: int | None = None
        self._may_return = False

    def go_first(self) -> None:
        """Have the session run before most others until ``step_back``; this takes root."""
        with suppress(OSError):
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        if self._descriptor is None:
            return
        former = _nice_value(self._descriptor)
        # A value as low as this was set by another program, or left behind by one that was killed.
        if former is not None and former > _NICER:
            self._may_return = _permit()
            if _write(self._descriptor, _NICER):
                self._former = former
                return
        self._close()

    def pause(self) -> None:
        """Step back while the program is stopped, if ``resume`` will be allowed to undo it."""
        if self._may_return:
            self.step_back()

    def resume(self) -> None:
        """Go first again after ``pause``."""
        if self._descriptor is not None and self._former is not None and self._may_return:
            _write(self._descriptor, _NICER)

    def step_back(self) -> None:
        """Restore the session's nice value. May be called at any time, and more than once."""
        if self._descriptor is not None and self._former is not None:
            _write(self._descriptor, self._former)

    def stay_first(self) -> None:
        """Do the same as ``go_first`` for a session that ends with this process."""
        self.go_first()
        self._former = None
        self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


SESSION: Final = Session()
"""The session of the monitor, which is also that of its shell."""


def go_first() -> None:
    """Run before most other processes when the processors are busy, and have the session do so.

    Otherwise a user who starts many failing processes leaves no time to show the failures of others.
    """
    with suppress(OSError):
        os.nice(_NICER)
    SESSION.go_first()


def _nice_value(descriptor: int) -> int | None:
    try:
        found = _LINE.fullmatch(os.pread(descriptor, 100, 0))
    except OSError:
        return None
    return None if found is None else int(found[1])


def _permit() -> bool:
    """Allow this process to write ``_NICER`` even without root: RLIMIT_NICE is 20 minus the lowest value.

    Returns:
        Whether it is allowed. Raising the limit takes CAP_SYS_RESOURCE, which containers lack.
    """
    least = 20 - _NICER
    soft, hard = resource.getrlimit(resource.RLIMIT_NICE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NICE, (max(soft, least), max(hard, least)))
    return resource.getrlimit(resource.RLIMIT_NICE)[0] >= least


def _write(descriptor: int, nice: int) -> bool:
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            os.write(descriptor, b"%d" % nice)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE)
        except OSError:
            return False
        else:
            return True
