"""The fixed clock of the pictures, and a source that hands over by it what was recorded before."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from execwhy.bpf.events.arrivals import Report, SearchEnd
from execwhy.bpf.events.clock import this_machine
from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import Capture, Counters, Stage, Status

LAST: Final = 1_795_557_020_114_000_000
"""2026-11-24 21:50:20.114 UTC."""


def moved(reports: Sequence[ExecFailure | SearchEnd]) -> list[Report]:
    """The same on the fixed clock."""
    span = LAST - max(report.timestamp for report in reports)
    out: list[Report] = []
    for report in reports:
        if isinstance(report, ExecFailure) and report.binary is not None:
            report = replace(report, binary=replace(report.binary, ctime=report.binary.ctime + span))
        out.append(replace(report, timestamp=report.timestamp + span))
    return out


class Recorded:
    """A source that hands over what was recorded before.

    Args:
        reports: What was recorded, on the fixed clock.
        lead: Seconds until the first comes, the others in their own time; None hands all over at once.
    """

    def __init__(self, reports: Sequence[Report], lead: float | None = None) -> None:
        self._reports = list(reports)
        self._failures = 0
        self._first = self._reports[0].timestamp
        self._lead = lead
        self._began = time.monotonic()
        self._origin = replace(this_machine("tracepoint"), host="web-1")

    def start(self) -> None:
        """Nothing runs."""

    def drain(self) -> Sequence[Report]:
        """What has come by now."""
        came = len(self._reports)
        if self._lead is not None:
            until = self._first + int((time.monotonic() - self._began - self._lead) * 1e9)
            came = sum(report.timestamp <= until for report in self._reports)
        reports, self._reports = self._reports[:came], self._reports[came:]
        self._failures += sum(isinstance(report, ExecFailure) for report in reports)
        return reports

    def status(self) -> Status:
        """Live, and nothing lost."""
        counters = Counters(self._failures, self._failures)
        return Status(Stage.LIVE, "", counters, self._origin)

    def set_capture(self, capture: Capture | None) -> None:
        """Taken as it is."""

    def close(self) -> None:
        """Nothing to free."""
