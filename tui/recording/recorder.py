"""``--record``: write failed execs as JSON Lines, without a screen."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from execwhy.bpf.events.arrivals import Event, Occurrence, SearchEnd, expand_bursts
from execwhy.bpf.events.record import Diagnosis
from execwhy.bpf.events.source import Counters, Origin, Stage
from execwhy.tui.arrivals import Looking
from execwhy.tui.model.files.event_lines import EventLines
from execwhy.tui.model.files.safe_file import SnapshotError
from execwhy.tui.model.history.resident import Resident
from execwhy.tui.recording.files.bounded import BoundedOutput
from execwhy.tui.recording.files.bounds import UNBOUNDED, Bounds
from execwhy.tui.recording.files.omissions import FAILED, NO_TIME
from execwhy.tui.recording.files.output import Output, ReaderGone
from execwhy.tui.recording.held_back import HoldBackQueue
from execwhy.tui.recording.result import UNLIMITED, Limits, Result
from execwhy.tui.recording.selection import Selection, Selector
from execwhy.tui.recording.source import WaitingSource
from execwhy.tui.recording.writer import RecordWriter
from execwhy.tui.why.causes import unseen

_Arrival = Event | Occurrence | SearchEnd

_WAIT: Final = 0.2
"""Seconds by which a signal or the end of the duration may be noticed late."""

_LOOKING_WAIT: Final = 0.03
"""Seconds between two checks for results of the lookers, while they are working."""

_STARTING_WAIT: Final = 0.02
"""Seconds between two checks of a source that compiles and attaches, which takes half a second."""

_TAKING_SECONDS: Final = 0.03
"""Seconds for which arrivals are taken in before complete events are written."""

_WRITING_SECONDS: Final = 0.05
"""Seconds for which complete events are written before arrivals are taken in."""

_LAST_LOOKS_SECONDS: Final = 2.5
"""Seconds for which a recording that ends goes on: the ring and the queue are emptied, and looks finish."""

_ENDING_SECONDS: Final = 3.5
"""Seconds after which a recording that ends writes no more records: the rest is counted as left out."""

_FEWEST_SECONDS: Final = 0.2
"""Seconds for which records are written in any case: enough for users who have few."""


class Recording:
    """One recording, from the start of its source to the ending line.

    Args:
        source: The source of events, which is started and closed here.
        output: The first file, which is closed here.
        selection: Selects the records to write. Losses are always written.
        query: The filter's text, for the header.
        lookers: Look at each failure; closed here. None to diagnose nothing.
        show_secrets: Whether to write values that look like secrets unmasked.
        limits: When to end.
        bounds: How much may be written.
        on_notice: Called with a sentence that the user should see at once.
        on_begin: Called with the origin when the hooks are attached and the header is written.
        on_cause: Called with each cause that is written, and the number of records that have it.
    """

    def __init__(
        self,
        source: WaitingSource,
        output: Output,
        *,
        selection: Selection,
        query: str,
        lookers: Looking | None,
        show_secrets: bool = False,
        limits: Limits = UNLIMITED,
        bounds: Bounds = UNBOUNDED,
        on_notice: Callable[[str], None] = lambda _notice: None,
        on_begin: Callable[[Origin], None] = lambda _origin: None,
        on_cause: Callable[[Diagnosis, int], None] = lambda _diagnosis, _count: None,
    ) -> None:
        self._source = source
        self._output = BoundedOutput(output, bounds, status=source.status, query=query, on_notice=on_notice)
        self._lookers = lookers
        self._limits = limits
        self._on_begin = on_begin
        self._on_notice = on_notice
        self._lookers_problem = ""
        self._held_back = HoldBackQueue(unseen.ended_before, Resident())
        self._writer = RecordWriter(
            self._output,
            EventLines(show_secrets=show_secrets),
            Selector(selection, self._held_back.tries_of),
            limits.count,
            on_cause,
        )
        self._stopped = False
        self._deadline = math.inf

    def stop(self) -> None:
        """End in order and soon; may be called from a signal handler."""
        self._stopped = True
        self._output.hurry()

    def run(self) -> Result:
        """Record until a limit, ``stop`` or the end of the source."""
        began, problem, fate = False, "", ""
        fault: Exception | None = None
        try:
            self._source.start()
            began = self._attached()
            if began:
                self._record()
                fate = self._output.fate
                self._output.close()
            else:
                self._output.discard()
        except ReaderGone:
            self._count_unwritten()
            self._output.close()
        except SnapshotError as error:
            problem, fate = str(error), self._output.fate
            self._count_unwritten()
            with contextlib.suppress(SnapshotError):
                self._output.close()
        except Exception as error:
            # The caller reports it, after the file has its ending.
            fault = error
            self._end_after_fault(began)
        finally:
            self._source.close()
            if self._lookers is not None:
                self._lookers.close()
        status = self._source.status()
        if status.stage is Stage.FAILED:
            problem = problem or status.detail
        return Result(
            began,
            self._output.written,
            status.counters,
            problem or self._output.problem or self._lookers_problem,
            dict(self._output.left_out),
            self._output.files,
            self._output.kept,
            self._output.name,
            fate,
            fault,
        )

    def _attached(self) -> bool:
        """Wait until the source delivers; return whether it does."""
        while not self._stopped:
            stage = self._source.status().stage
            if stage in (Stage.LIVE, Stage.READING, Stage.ENDED):
                return True
            if stage is Stage.FAILED:
                return False
            time.sleep(_STARTING_WAIT)
        return False

    def _record(self) -> None:
        """Write the header, the events until it is time to end, and the ending."""
        if self._limits.duration is not None:
            self._deadline = time.monotonic() + self._limits.duration
        self._output.begin()
        self._on_begin(self._source.status().origin)
        while not self._is_over():
            most = _LOOKING_WAIT if self._waits_for_looks else _WAIT
            self._source.wait(min(most, max(0.0, self._deadline - time.monotonic())))
            self._take()
            self._output.look()
            self._look_after_lookers()
        self._finish()
        self._output.end()

    def _finish(self) -> None:
        """Stop recording, write what was recorded, and count what there is no time to write."""
        self._source.finish()
        now = time.monotonic()
        last_look, end = now + _LAST_LOOKS_SECONDS, now + _ENDING_SECONDS
        while time.monotonic() < last_look:
            has_ended = self._source.status().stage in (Stage.ENDED, Stage.FAILED)
            if not self._take():
                if has_ended and not self._waits_for_looks:
                    break
                time.sleep(_LOOKING_WAIT)
        self._source.close()
        while self._take() and time.monotonic() < last_look:
            pass
        self._source.abandon()
        # What was just dropped is a loss, too, and so is what the storm has left no time to report.
        reports = list(expand_bursts(self._source.drain()))
        self._hold_back(reports, self._source.status().counters, ())
        self._held_back.give_up()
        self._write_complete(max(_FEWEST_SECONDS, end - time.monotonic()))
        self._leave_out_rest(NO_TIME)

    def _count_unwritten(self) -> None:
        """Count what can no longer be written: in the source as lost, here as left out."""
        self._source.finish()
        self._source.close()
        self._held_back.take(list(expand_bursts(self._source.drain())), time.monotonic_ns())
        self._source.abandon()
        self._leave_out_rest(FAILED)

    def _end_after_fault(self, began: bool) -> None:
        """Count what is not written, and end the output; skip steps that fail, too."""
        end = (self._output.end, self._output.close) if began else (self._output.discard,)
        for step in (
            self._source.finish,
            self._source.close,
            lambda: self._leave_out_after_fault(self._held_back.take_all()),
            lambda: self._leave_out_after_fault(_events(expand_bursts(self._source.drain()))),
            self._source.abandon,
            *end,
        ):
            with contextlib.suppress(Exception):
                step()

    def _leave_out_after_fault(self, events: Sequence[Event | Occurrence]) -> None:
        """Count the events that the filter selects, or all events if the filter fails."""
        selected = events
        with contextlib.suppress(Exception):
            selected = self._writer.selected(events)
        self._output.leave_out(FAILED, selected)

    def _leave_out_rest(self, reason: str) -> None:
        """Count the selected events that are still held back as left out."""
        for events in self._held_back.rest():
            self._output.leave_out(reason, self._writer.selected(events))

    @property
    def _waits_for_looks(self) -> bool:
        return self._lookers is not None and self._held_back.waits_for_looks

    def _take(self) -> bool:
        """Process arrivals and write complete events; return whether there were any."""
        deadline = time.monotonic() + _TAKING_SECONDS
        came = False
        # Events of users whose share is full here wait in the source, which is shared between users, too.
        while reports := self._source.drain(self._held_back.held_up):
            came = True
            # The end of a search is counted as lost before what its task did next comes out.
            self._hold_back(list(expand_bursts(reports)), self._source.status().counters, None)
            if time.monotonic() > deadline:
                break
        status = self._source.status()
        self._hold_back((), status.counters, status.behind)
        return self._write_complete(_WRITING_SECONDS) or came

    def _hold_back(
        self, piece: Sequence[_Arrival], counters: Counters, behind: Collection[int] | None
    ) -> None:
        before = len(self._held_back)
        try:
            wanted = self._held_back.take(piece, time.monotonic_ns(), counters.ends_lost, behind)
        except Exception:
            self._leave_out_after_fault(_events(piece)[len(self._held_back) - before :])
            raise
        if self._lookers is not None and wanted:
            self._lookers.submit(wanted)

    def _write_complete(self, seconds: float) -> bool:
        """Write complete events for about this many seconds; return whether there were any."""
        if self._lookers is not None:
            self._held_back.add_looks(self._lookers.results())
        self._held_back.expire(time.monotonic_ns())
        deadline = time.monotonic() + seconds
        wrote = False
        while time.monotonic() < deadline and (events := self._held_back.next_turn()):
            wrote = True
            try:
                selected = self._writer.selected(events)
            except Exception:
                self._output.leave_out(FAILED, events)
                raise
            self._writer.write(selected)
        return wrote

    def _look_after_lookers(self) -> None:
        """Report at once that causes are missing from now on, and at the end if they still are."""
        problem = "" if self._lookers is None else self._lookers.problem
        if problem and problem != self._lookers_problem:
            self._on_notice(problem)
        self._lookers_problem = problem

    def _is_over(self) -> bool:
        return (
            self._stopped
            or self._writer.is_complete
            or not self._output.is_wanted
            or time.monotonic() >= self._deadline
            or self._source.status().stage in (Stage.ENDED, Stage.FAILED)
        )


def _events(reports: Iterable[_Arrival]) -> list[Event | Occurrence]:
    return [report for report in reports if not isinstance(report, SearchEnd)]
