"""Crash reports, also for threads."""

from __future__ import annotations

import sys
import threading

from execwhy.tui.model.text.fault import crash_report

__all__ = ["crash_report", "report_threads"]


def report_threads() -> None:
    """Print a crash report for an exception in any thread, instead of Python's own message."""
    threading.excepthook = lambda fault: print(crash_report(fault.exc_value), file=sys.stderr)
