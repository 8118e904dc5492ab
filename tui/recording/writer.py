"""Writing the selected records of a recording, and counting them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from execwhy.bpf.events.arrivals import Event, Occurrence
from execwhy.bpf.events.record import Diagnosis
from execwhy.bpf.events.users import user_of
from execwhy.tui.model.files.event_lines import EventLines
from execwhy.tui.recording.files.bounded import BoundedOutput
from execwhy.tui.recording.files.omissions import FAILED
from execwhy.tui.recording.files.shares import NOBODY
from execwhy.tui.recording.selection import Selector


class RecordWriter:
    """Writes the records that a filter selects, up to a limit.

    Args:
        output: The files.
        lines: Makes the lines.
        selector: Selects the records.
        most: Records after which the recording is complete; None for no limit.
        on_cause: Called with each cause that is written, and the number of records that have it.
    """

    def __init__(
        self,
        output: BoundedOutput,
        lines: EventLines,
        selector: Selector,
        most: int | None,
        on_cause: Callable[[Diagnosis, int], None],
    ) -> None:
        self._output = output
        self._lines = lines
        self._selector = selector
        self._most = math.inf if most is None else most
        self._on_cause = on_cause
        # Records that the bounds leave out count, too: the limit ends a recording that writes none.
        self._count = 0

    @property
    def is_complete(self) -> bool:
        """Whether the limit is reached."""
        return self._count >= self._most

    def selected(self, events: Sequence[Event | Occurrence]) -> list[Event | Occurrence]:
        """Return the records to write, up to the limit, and every loss."""
        return self._selector.select(events, self._most - self._count)

    def write(self, events: Sequence[Event | Occurrence]) -> None:
        """Write events; all of them are in the file when this returns.

        Each is a write of its own, so that a disk that fills up keeps every record that still fitted.
        """
        written = 0
        try:
            for event in events:
                failure = event.failure
                is_record = failure is not None
                user = NOBODY if failure is None else user_of(failure.template.uid)
                line = self._lines.of(event).encode()
                self._output.write(line, event.timestamp, is_record=is_record, user=user)
                written += 1
                self._count += is_record
                if failure is not None and (diagnosis := failure.template.diagnosis) is not None:
                    self._on_cause(diagnosis, 1)
        except Exception:
            self._output.leave_out(FAILED, events[written:])
            raise
