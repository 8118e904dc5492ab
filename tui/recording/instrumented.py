"""``--metrics``: a source that counts its events, and writes the counters to a file."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from execwhy.bpf.events.arrivals import Report
from execwhy.bpf.events.record import Diagnosis
from execwhy.bpf.events.source import Capture, Status
from execwhy.tui.model.files import metrics
from execwhy.tui.model.files.safe_file import SnapshotError, replacing
from execwhy.tui.recording.source import WaitingSource

_CLOSING_SECONDS: Final = 0.2
"""Seconds for which the remaining events are counted when the source is closed."""

INTERVAL: Final = 10.0
"""Seconds between two writes; Prometheus reads at intervals of 15 s or more."""

_READABLE: Final = 0o644
"""node_exporter runs as another user, and the file has no strings of processes."""


class InstrumentedSource:
    """Counts the events of another source. Like that source, it is used from one thread.

    Args:
        source: The other source.
        path: The file, which is replaced as a whole every ``INTERVAL`` and at the end.
    """

    def __init__(self, source: WaitingSource, path: str) -> None:
        self._source = source
        self._path = path
        self._errors = metrics.Totals()
        self._causes = metrics.Totals()
        self._due = 0.0
        self._problem = ""
        self._rest: tuple[Report, ...] = ()

    @property
    def problem(self) -> str:
        """One sentence if the last write of the file failed, else ""."""
        return self._problem

    def write(self) -> None:
        """Write the file now.

        Raises:
            SnapshotError: The file cannot be written.
        """
        text = metrics.text(self._source.status(), self._errors, self._causes, time.time_ns())
        with replacing(self._path, overwrite=True, mode=_READABLE, durable=False) as file:
            file.write(text.encode())

    def count_cause(self, diagnosis: Diagnosis, count: int) -> None:
        """Count events by their cause."""
        self._causes.add(metrics.label_of(diagnosis), count)

    def start(self) -> None:
        """Start the other source."""
        self._source.start()

    def drain(self, held_up: Collection[int] = ()) -> Sequence[Report]:
        """Return what the other source has."""
        reports = [*self._rest, *self._taken(held_up)] if self._rest else self._taken(held_up)
        self._rest = ()
        if time.monotonic() >= self._due:
            self._renew()
        return reports

    def _taken(self, held_up: Collection[int] = ()) -> Sequence[Report]:
        reports = self._source.drain(held_up)
        for report in reports:
            if (failure := report.failure) is not None:
                self._errors.add(failure.template.error, failure.event_count)
        return reports

    def _renew(self) -> None:
        self._due = time.monotonic() + INTERVAL
        try:
            self.write()
            self._problem = ""
        except SnapshotError as error:
            self._problem = str(error)

    def status(self) -> Status:
        """Return the other source's state; a file that cannot be written is a problem."""
        status = self._source.status()
        return replace(status, problem=status.problem or self._problem) if self._problem else status

    def set_capture(self, capture: Capture | None) -> None:
        """Set the capture filter of the other source."""
        self._source.set_capture(capture)

    def wait(self, seconds: float) -> None:
        """Wait for the other source."""
        self._source.wait(seconds)

    def finish(self) -> None:
        """Stop recording in the other source."""
        self._source.finish()

    def abandon(self) -> None:
        """Drop what the other source still has, and write the file, where it now counts as lost."""
        self._source.abandon()
        self._renew()

    def close(self) -> None:
        """Close the other source, and count the events that it still has, which can be drained.

        The file is written each time, so that closing again counts causes that were found in between.
        """
        self._source.close()
        deadline = time.monotonic() + _CLOSING_SECONDS
        rest = list(self._rest)
        while (taken := self._taken()) and time.monotonic() < deadline:
            rest += taken
        self._rest = (*rest, *taken)
        self._renew()
