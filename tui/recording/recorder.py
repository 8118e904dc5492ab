"""``--record``: failed execs as JSON Lines, without a screen."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from execwhy.bpf.events.arrivals import Event, Occurrence, Report, SearchEnd, expand_bursts
from execwhy.bpf.events.identity_memo import IdentityMemo
from execwhy.bpf.events.record import Diagnosis, ExecFailure, Search
from execwhy.bpf.events.source import Counters, EventSource, Origin, Stage
from execwhy.bpf.events.users import user_of
from execwhy.tui.arrivals import Looking
from execwhy.tui.model.files.event_lines import EventLines
from execwhy.tui.model.files.safe_file import SnapshotError
from execwhy.tui.model.history.resident import Resident
from execwhy.tui.model.text.printable import printable
from execwhy.tui.recording.bounded import BoundedOutput
from execwhy.tui.recording.bounds import UNBOUNDED, Bounds
from execwhy.tui.recording.held_back import HoldBackQueue
from execwhy.tui.recording.omissions import FAILED, NO_TIME
from execwhy.tui.recording.output import Output, ReaderGone
from execwhy.tui.recording.shares import NOBODY
from execwhy.tui.why.causes import unseen

_WAIT: Final = 0.2
"""Seconds: how late a signal or the end of the duration may be noticed. Five looks a second cost nothing."""

_LOOKING_WAIT: Final = 0.03
"""Seconds between two looks at what lookers have found, while they are at work."""

_STARTING_WAIT: Final = 0.02
"""Seconds between looks at a source that compiles and attaches, which takes half a second."""

_TAKING_SECONDS: Final = 0.03
"""How long what has come is taken in before what is complete is written."""

_WRITING_SECONDS: Final = 0.05
"""How long what is complete is written before something new is taken in."""

_LAST_LOOKS_SECONDS: Final = 2.5
"""How long a recording that ends goes on as before: the ring and the queue are emptied, and looks come."""

_ENDING_SECONDS: Final = 3.5
"""From when on nothing more is written of what was recorded: the rest is counted as left out."""

_FEWEST_SECONDS: Final = 0.2
"""How long what was recorded is written even so: enough for those who have little of it."""


class WaitingSource(EventSource, Protocol):
    """A source that its caller can sleep on."""

    def drain(self, held_up: Collection[int] = ()) -> Sequence[Report]:
        """Take as of ``EventSource``, and nothing of these users, as of ``bpf.events.users.user_of``."""

    def wait(self, seconds: float) -> None:
        """Sleep until there is something to drain, or that long."""

    def finish(self) -> None:
        """Record nothing more; what was recorded before can be drained, also once the stage is ENDED."""

    def abandon(self) -> None:
        """Drop what waits to be drained, counted as lost."""


class Selection(Protocol):
    """What decides which records are written: a ``Query``."""

    @property
    def depends_on_moment(self) -> bool:
        """Whether it may write one of two that are alike but for their time and their process."""

    def matches(self, record: ExecFailure, now: int) -> bool:
        """Whether this record is written; ``now`` in nanoseconds since 1970 UTC."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """When a recording ends by itself.

    Attributes:
        duration: Seconds after the hooks are attached; None for no end.
        count: Records written; None for no end.
    """

    duration: float | None = None
    count: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What became of a recording.

    Attributes:
        began: The source delivered, and a header was written.
        written: How many records were written.
        counters: The counters at the end.
        problem: One sentence where it did not end as it was meant to, else "".
        left_out: Records that should have been written and were not, by the name of what was in the way.
        files: How many files were written.
        kept: How many of these have not been removed for newer ones.
        name: What the last one is called.
        fate: "removed", "truncated" or "renamed or replaced" where that happened to it, else "".
        fault: What went wrong in this program, if that ended the recording.
    """

    began: bool
    written: int
    counters: Counters
    problem: str = ""
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    files: int = 1
    kept: int = 1
    name: str = ""
    fate: str = ""
    fault: Exception | None = None


class Recording:
    """One recording, from the first look at its source to the ending line.

    Args:
        source: Where the events come from; it is started and closed here.
        output: Where they go; it is closed here.
        selection: Which records are written. Losses always are.
        query: The filter's text, for the header.
        lookers: Look at each failure; None where nothing is to be diagnosed. They are closed here.
        show_secrets: Secret-looking values are written as they are.
        limits: When to end.
        bounds: How much it may take.
        on_notice: Called with a sentence about what an operator should know at once.
        on_begin: Called once the hooks are attached and the header is written, with the origin.
        on_cause: Called with each cause that is written, and with how many records have it.
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
        limits: Limits = Limits(),
        bounds: Bounds = UNBOUNDED,
        on_notice: Callable[[str], None] = lambda _notice: None,
        on_begin: Callable[[Origin], None] = lambda _origin: None,
        on_cause: Callable[[Diagnosis, int], None] = lambda _diagnosis, _count: None,
    ) -> None:
        self._source = source
        self._output = BoundedOutput(output, bounds, status=source.status, query=query, on_notice=on_notice)
        self._selection = selection
        self._lookers = lookers
        self._lines = EventLines(show_secrets=show_secrets)
        self._selects_alike = IdentityMemo(lambda record: selection.matches(record, 0))
        self._limits = limits
        self._on_begin = on_begin
        self._on_notice = on_notice
        self._lookers_problem = ""
        self._on_cause = on_cause
        self._held_back = HoldBackQueue(unseen.ended_before, Resident())
        self._decided: dict[int, _Decided] = {}
        self._written = 0  # or left out, which ends a recording of so many, too
        self._stopped = False
        self._deadline = math.inf

    def stop(self) -> None:
        """End soon, in order; may be called from a signal handler."""
        self._stopped = True
        self._output.hurry()

    def run(self) -> Result:
        """Record until a limit, ``stop``, or the source's end."""
        problem = ""
        began, fate = False, ""
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
            # It is reported by whoever runs this, after what was recorded until now has its ending.
            fault = error
            self._end_after_fault(began)
        finally:
            self._source.close()
            if self._lookers is not None:
                self._lookers.close()
        status = self._source.status()
        if status.stage is Stage.FAILED:
            problem = problem or status.detail
        output = self._output
        return Result(
            began,
            output.written,
            status.counters,
            problem or output.problem or self._lookers_problem,
            dict(output.left_out),
            output.files,
            output.kept,
            output.name,
            fate,
            fault,
        )

    def _attached(self) -> bool:
        """Wait until the source delivers; False where it never does."""
        while not self._stopped:
            stage = self._source.status().stage
            if stage in (Stage.LIVE, Stage.READING, Stage.ENDED):
                return True
            if stage is Stage.FAILED:
                return False
            time.sleep(_STARTING_WAIT)
        return False

    def _record(self) -> None:
        """Write the header, what comes until it is time to end, what came until then, and the ending."""
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
        """Record nothing more, and write what was recorded; what there is no time for is counted."""
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
        self._held_back.give_up()
        self._write_complete(max(_FEWEST_SECONDS, end - time.monotonic()))
        self._leave_out_rest(NO_TIME)

    def _count_unwritten(self) -> None:
        """Count what was recorded and can be written no more: in the source as lost, here as left out."""
        self._source.finish()
        self._source.close()
        self._held_back.take(list(expand_bursts(self._source.drain())), time.monotonic_ns())
        self._source.abandon()
        self._leave_out_rest(FAILED)

    def _end_after_fault(self, began: bool) -> None:
        """Count what is not written, and end the output; a step that fails, too, is passed over."""
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
        """Count those that the filter selects, or all where it is the filter that fails."""
        selected = events
        with contextlib.suppress(Exception):
            selected = self._selected(events)
        self._output.leave_out(FAILED, selected)

    def _leave_out_rest(self, reason: str) -> None:
        """Count what is held and should have been written as left out."""
        for events in self._held_back.rest():
            self._output.leave_out(reason, self._selected(events))

    @property
    def _waits_for_looks(self) -> bool:
        return self._lookers is not None and self._held_back.waits_for_looks

    def _take(self) -> bool:
        """Have looked at what has come, and write what is complete; False where there was neither."""
        untold = self._source.status().counters.untold
        deadline = time.monotonic() + _TAKING_SECONDS
        came = False
        # Of whoever has a full share here, the rest waits in the source, which is fair to all users as well.
        while reports := self._source.drain(self._held_back.held_up):
            came = True
            self._hold_back(list(expand_bursts(reports)), untold)
            if time.monotonic() > deadline:
                break
        self._hold_back((), untold)
        return self._write_complete(_WRITING_SECONDS) or came

    def _hold_back(self, piece: Sequence[Event | Occurrence | SearchEnd], untold: int) -> None:
        before = len(self._held_back)
        try:
            wanted = self._held_back.take(piece, time.monotonic_ns(), untold)
        except Exception:
            self._leave_out_after_fault(_events(piece)[len(self._held_back) - before :])
            raise
        if self._lookers is not None and wanted:
            self._lookers.submit(wanted)

    def _write_complete(self, seconds: float) -> bool:
        """Write what is complete, for about that long; False where nothing is."""
        if self._lookers is not None:
            self._held_back.add_looks(self._lookers.results())
        self._held_back.expire(time.monotonic_ns())
        deadline = time.monotonic() + seconds
        wrote = False
        while time.monotonic() < deadline and (events := self._held_back.next_turn()):
            wrote = True
            try:
                selected = self._selected(events)
            except Exception:
                self._output.leave_out(FAILED, events)
                raise
            self._write(selected)
        return wrote

    def _look_after_lookers(self) -> None:
        """Say at once that causes are missing from now on, and at the end that they still are."""
        problem = "" if self._lookers is None else self._lookers.problem
        if problem and problem != self._lookers_problem:
            self._on_notice(problem)
        self._lookers_problem = problem

    def _is_over(self) -> bool:
        return (
            self._stopped
            or self._is_complete()
            or not self._output.is_wanted
            or time.monotonic() >= self._deadline
            or self._source.status().stage in (Stage.ENDED, Stage.FAILED)
        )

    def _is_complete(self) -> bool:
        return self._limits.count is not None and self._written >= self._limits.count

    def _write(self, events: Sequence[Event | Occurrence]) -> None:
        """Write events; all of them are in the file when this returns.

        Each is one write, so that a disk that fills up keeps every record that still fitted.
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
                self._written += is_record
                self._count_cause(event)
        except Exception:
            self._output.leave_out(FAILED, events[written:])
            raise

    def _count_cause(self, event: Event | Occurrence) -> None:
        failure = event.failure
        if failure is not None and (diagnosis := failure.template.diagnosis) is not None:
            self._on_cause(diagnosis, 1)

    def _selected(self, events: Sequence[Event | Occurrence]) -> list[Event | Occurrence]:
        """The records that the filter selects, up to the count, each search whole; and every loss."""
        now = time.time_ns()
        room = math.inf if self._limits.count is None else self._limits.count - self._written
        self._decide_searches(events, now)
        selected: list[Event | Occurrence] = []
        for event in events:
            if (failure := event.failure) is not None:
                search = failure.search
                wanted = self._selects_try(search) if search else self._selects(failure, now)
                if room <= 0 or not wanted:
                    continue
                room -= 1
            selected.append(event)
        return selected

    def _selects_try(self, search: Search) -> bool:
        """What was decided of a search; it is forgotten with the last of its tries."""
        decided = self._decided[search.id]
        decided.tries -= 1
        if decided.tries <= 0:
            del self._decided[search.id]
        return decided.wanted

    def _selects(self, failure: ExecFailure | Occurrence, now: int) -> bool:
        template = failure.template
        if template is failure or self._selection.depends_on_moment:
            return self._selection.matches(failure.materialize(), now)
        return self._selects_alike(template)

    def _decide_searches(self, events: Sequence[Event | Occurrence], now: int) -> None:
        """Decide which searches of these events are selected: those of which one try is, held back or not."""
        tried = [event.failure.materialize() for event in events if event.failure and event.search]
        fresh = {event.search.id for event in tried if event.search} - self._decided.keys()
        if not fresh:
            return
        held = [event for search_id in fresh for event in self._held_back.tries_of(search_id)]
        for event in (*tried, *held):
            if event.search is None or event.search.id not in fresh:
                continue
            decided = self._decided.setdefault(event.search.id, _Decided(event.search.tries))
            decided.wanted = decided.wanted or self._selection.matches(event, now)


def _events(reports: Iterable[Event | Occurrence | SearchEnd]) -> list[Event | Occurrence]:
    return [report for report in reports if not isinstance(report, SearchEnd)]


@dataclasses.dataclass(slots=True)
class _Decided:
    """Whether a search is written, and how many of its tries are still to come."""

    tries: int
    wanted: bool = False


@contextlib.contextmanager
def ending_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Within, the first SIGINT, SIGTERM or SIGHUP calls ``stop``; a second one ends the program at once.

    SIGHUP that is ignored stays so: under nohup a recording goes on when its terminal is gone.
    """

    def first(number: int, _frame: object) -> None:
        stop()
        signal.signal(number, signal.SIG_DFL)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = [signal.signal(number, first) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def beginning(origin: Origin, path: str, *, at_terminal: bool) -> str:
    """That it records from now on, in one line for standard error: who makes execs fail may begin."""
    plan = f" ({printable(origin.plan)} plan)" if origin.plan else ""
    ends = "; Ctrl-C ends it" if at_terminal else ""
    return f"execwhy: recording into {printable(path)}{plan}{ends}."


def summary(result: Result, path: str) -> str:
    """The counters and what was written, in one line for standard error."""
    counters = result.counters
    causes = ", ".join(f"{printable(name)}: {number:,}" for name, number in counters.losses.items() if number)
    lost = f"{counters.lost:,} lost" + (f" ({causes})" if causes else "")
    target = "standard output" if path == "-" else printable(result.name or path)
    if result.files > 1:
        kept = f", of which the newest {result.kept:,} are kept" if result.kept < result.files else ""
        target = f"{result.files:,} files{kept}, the last {printable(result.name)}"
    if result.fate:
        target += f", which was {result.fate} meanwhile"
    if result.left_out:
        reasons = ", ".join(f"{name}: {number:,}" for name, number in result.left_out.items())
        target += f", {sum(result.left_out.values()):,} left out ({reasons})"
    return (
        f"execwhy: {counters.seen:,} seen = {counters.recorded:,} recorded + "
        f"{counters.suppressed:,} suppressed + {lost}; {result.written:,} written to {target}."
    )
