"""Decode records into reports, with a ``Loss`` wherever events are missing between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from execwhy.bpf.events.arrivals import Report
from execwhy.bpf.read.decode import DecodeError, Decoder
from execwhy.bpf.read.losses import Losses
from execwhy.bpf.read.ring import RecordRun

_SILENCE: Final = 0.25
"""Seconds between two checks for losses that no record has reported."""
_BUSY_SILENCE: Final = 1.0
"""Most seconds by which such a check is postponed while records keep coming."""


class Reporter:
    """Decode records, and report each loss once. Threads must not share it.

    Attributes:
        decoder: The decoder; its ``boot_time`` may change.
    """

    def __init__(self, decoder: Decoder, counted: Callable[[], Mapping[str, int]]) -> None:
        """Prepare.

        Args:
            decoder: The decoder.
            counted: Return the number of lost events, by the name of the loss.
        """
        self.decoder = decoder
        self._losses = Losses(counted)
        self._losses_due = 0.0

    def decode(self, record: bytes | RecordRun) -> list[Report]:
        """Return the reports of a record or a run, each after the losses that it reports."""
        try:
            decoded = (
                [self.decoder.decode(record)]
                if isinstance(record, bytes)
                else self.decoder.decode_alike(record)
            )
        except DecodeError:
            self._losses.not_decoded(1 if isinstance(record, bytes) else len(record.times))
            return []
        reports: list[Report] = []
        for report, lost_before in decoded:
            if lost_before:
                reports += self._losses.before(lost_before, report.timestamp)
            reports.append(report)
        return reports

    def silent_losses(self, now: int, *, is_idle: bool, is_ending: bool) -> list[Report]:
        """Return losses that no record has reported, if a check is due.

        Args:
            now: Their timestamp.
            is_idle: No records wait; otherwise a record to come may report the losses.
            is_ending: No more records will come.
        """
        overdue = time.monotonic() - self._losses_due
        if overdue < _BUSY_SILENCE and not (is_idle and (overdue >= 0 or is_ending)):
            return []
        self._losses_due = time.monotonic() + _SILENCE
        return [*self._losses.silent(now)]
