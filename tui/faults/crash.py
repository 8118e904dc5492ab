"""What is said of a crash in a thread."""

from __future__ import annotations

import sys
import threading

from execwhy.tui.model.text.fault import crash_report

__all__ = ["crash_report", "report_threads"]


def report_threads() -> None:
    """Have the crash of any thread told in the same way, and not in Python's."""
    threading.excepthook = lambda fault: print(crash_report(fault.exc_value), file=sys.stderr)
