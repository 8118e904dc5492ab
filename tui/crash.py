"""What is said of a fault of this program: where it is, and nothing of what the program was looking at."""

from __future__ import annotations

import sys
import threading
import traceback


def crash_report(error: BaseException | None) -> str:
    """Where a crash happened, and nothing of what was on the screen.

    The exception's own words are left out as the locals are: they may hold someone's arguments.
    """
    lines = [f"execwhy stopped: {type(error).__name__} (a fault of this program; please report it)"]
    for frame in traceback.extract_tb(error.__traceback__ if error is not None else None):
        lines.append(f"  {frame.filename}:{frame.lineno} in {frame.name}")
    return "\n".join(lines)


def report_threads() -> None:
    """Have the crash of any thread told in the same way, and not in Python's."""
    threading.excepthook = lambda fault: print(crash_report(fault.exc_value), file=sys.stderr)
