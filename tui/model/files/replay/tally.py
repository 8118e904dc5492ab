"""What the lines of a file have shown so far: its header, its ending, its counters and its damage."""

from __future__ import annotations

from dataclasses import replace

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import Counters, Origin
from execwhy.tui.model.files.json_lines import UNREADABLE, Ending, Header


class Tally:
    """Counts the lines of one file. It has no lock: its owner has one.

    Attributes:
        header: The latest header; None before the first one.
        ending: The ending that followed it; None while the recording goes on.
        readable: Lines that could be read.
        unreadable: Lines that could not.
        records: Failed execs.
        first_unreadable: The number of the first one and what is wrong with it; "" if there is none.
    """

    def __init__(self) -> None:
        self.header: Header | None = None
        self.ending: Ending | None = None
        self.readable = 0
        self.unreadable = 0
        self.first_unreadable = ""
        self.records = 0
        self._losses: dict[str, int] = {}
        self._left_out = 0

    def add(self, found: Header | Event | Ending) -> None:
        """Count a line."""
        self.readable += 1
        match found:
            case Ending():
                self.ending = found
            case Header():
                self.header, self.ending = found, None
            case ExecFailure():
                self.records += 1
            case Loss(reason=reason) if reason == UNREADABLE:
                self._left_out += found.count
            case Loss():
                self._losses[found.reason] = self._losses.get(found.reason, 0) + found.count

    def add_unreadable(self, number: int, problem: str) -> None:
        """Count a line that cannot be read.

        Args:
            number: The line's number in the file.
            problem: What is wrong with it, as a clause.
        """
        self.unreadable += 1
        self.first_unreadable = self.first_unreadable or f"line {number}: {problem}"

    @property
    def origin(self) -> Origin:
        """Where and how the events were captured, as far as it is known."""
        return Origin(host="", kernel="", boot_time=0) if self.header is None else self.header.origin

    @property
    def is_recording(self) -> bool:
        """Whether the file is a recording, whose lines are not in the order of their times."""
        return self.header is not None and self.header.recording

    @property
    def counters(self) -> Counters:
        """The counters of the capture, with all lines that could not be read, now or earlier."""
        return replace(self._captured(), unreadable=self.unreadable + self._left_out)

    def _captured(self) -> Counters:
        """Return the latest counters that are known: the ending's, the header's, or those of the lines read.

        A recording's header has the counters of its beginning, so a recording that was cut off has more
        lines than its header counts.
        """
        if self.ending is not None:
            return self.ending.counters
        lost = sum(self._losses.values())
        if self.header is not None and self.header.counters.seen >= self.records + lost:
            return self.header.counters
        return Counters(seen=self.records + lost, recorded=self.records, lost=lost, losses=dict(self._losses))

    def damage(self, name: str) -> str:
        """Return a sentence about the lines that could not be read; "" if there are none.

        Args:
            name: What the file is called in messages.
        """
        if not self.unreadable:
            return ""
        more = f", and {self.unreadable - 1} more" if self.unreadable > 1 else ""
        return f"{name} is damaged, these lines are left out: {self.first_unreadable}{more}."
