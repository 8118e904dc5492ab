"""One snapshot or recording as a source of events, read to its end or followed as it grows."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.source import Capture, Origin, Stage, Status
from execwhy.tui.model.files.json_lines import (
    MAX_LINE_BYTES,
    UNREADABLE,
    Ending,
    Header,
    UnknownVersion,
    parse_line,
)
from execwhy.tui.model.files.replay.in_order import InOrder
from execwhy.tui.model.files.replay.lines import Lines, Shrunk
from execwhy.tui.model.files.replay.tally import Tally
from execwhy.tui.model.files.safe_file import SnapshotError

_PENDING_BYTES: Final = 32 << 20
"""Bytes of lines that wait to be drained; at this limit the reader waits, so that any file fits in memory."""

_NONE_OF_OURS: Final = 100
"""A file with this many unreadable lines and no readable one is not ours."""

_FRESH: Final = 60.0
"""Seconds for which a file that grew counts as live, if it is not known whether a process writes to it."""

_LEFT: Final = 1.0
"""Seconds without a writer before the file counts as cut off: its last writer may just have ended it."""

OPEN: Final = (Stage.READING, Stage.LIVE, Stage.WAITING)
"""Stages in which more events may come."""

Mark = Callable[[Event, Origin], Event]
"""Adds to an event what only its file knows, given the origin in the header."""


class FileSource:
    """Reads a file in a background thread.

    A line that cannot be read is left out and reported in the status; the rest of the file is kept. A pipe
    is read until its last writer closes it; a recording that has no ending yet is followed as it grows.

    Args:
        path: The file, or "-".
        standard_input: The descriptor that "-" stands for; it is closed at the end.
        name: What the file is called in messages; None for the path.
        mark: Applied to each event; None to leave events as they are.
    """

    def __init__(
        self, path: str, *, standard_input: int = 0, name: str | None = None, mark: Mark | None = None
    ) -> None:
        self._path = path
        self._name = name or ("standard input" if path == "-" else path)
        self._standard_input = standard_input
        self._mark = mark
        self._changed = threading.Condition()
        self._lines: Lines | None = None
        self._pending: list[Event] = []
        self._pending_bytes = 0
        self._closed = False
        self._stage = Stage.STARTING
        self._detail = self._problem = ""
        self._tally = Tally()
        self._unreported = 0
        self._latest: int | None = None
        self._in_order = InOrder()
        self._quiet_since: float | None = None
        self._first_end: int | None = None
        self._has_hosts = False
        self._thread = threading.Thread(target=self._run, name="execwhy-replay", daemon=True)

    def start(self) -> None:
        """Start reading, unless it has started already. ``status`` reports errors."""
        if self._thread.ident is None:
            self._stage, self._detail = Stage.READING, self._name
            self._thread.start()

    def begin(self, seconds: float) -> None:
        """Start reading, and wait at most ``seconds`` until it is known whether the file can be read."""
        self.start()
        with self._changed:
            self._changed.wait_for(lambda: self._tally.readable or self._stage not in OPEN, seconds)

    def drain(self) -> Sequence[Event]:
        """Return the events that were read since the last call."""
        with self._changed:
            events, self._pending, self._pending_bytes = self._pending, [], 0
            self._changed.notify_all()
        return events

    def status(self) -> Status:
        """Return the current state, with the counters of the capture as far as the file has them."""
        with self._changed:
            damage = self._tally.damage(self._name) if self._tally.readable else ""
            if self._stage is Stage.WAITING:
                problem = f"{self._problem} {damage}".strip()
            else:
                problem = self._problem or damage
            return Status(
                self._stage, self._detail, self._tally.counters, self._tally.origin, problem, self._has_hosts
            )

    @property
    def query(self) -> str:
        """The filter that the file was written with; "" before its header is read."""
        header = self._tally.header
        return "" if header is None else header.query

    @property
    def quiet(self) -> float:
        """Seconds since everything in the file has been read: 0 while there is more, infinite at its end."""
        with self._changed:
            if self._stage not in OPEN:
                return math.inf
            return 0.0 if self._quiet_since is None else time.monotonic() - self._quiet_since

    def wait(self, seconds: float) -> None:
        """Sleep until there is something to drain or the file has ended, at most ``seconds``."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._stage not in OPEN, seconds)

    def set_capture(self, capture: Capture | None) -> None:
        """Refuse a capture filter, because a file's events have already been captured.

        Raises:
            ValueError: Always, unless ``capture`` is None.
        """
        if capture is not None:
            raise ValueError("A file's events are captured already: use the filter instead.")

    def close(self) -> None:
        """Stop reading."""
        with self._changed:
            self._closed = True
            if self._lines is not None:
                self._lines.stop()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        problem = ""
        try:
            lines = Lines(self._path, standard_input=self._standard_input)
            with self._changed:
                self._lines = lines
                if self._closed:
                    lines.stop()
            try:
                stage, detail, problem = self._read(lines)
            finally:
                with self._changed:
                    self._lines = None
                lines.close()
        except UnknownVersion as error:
            stage, detail = Stage.FAILED, f"{self._name} cannot be read, since {error}."
        except Shrunk:
            stage, detail = Stage.ENDED, self._name
            problem = (
                f"{self._name} became shorter while it was read: open it again to see what it holds now."
            )
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            stage = Stage.FAILED
            detail = f"{self._name} cannot be read ({reason}): check its name and its mode."
        except ValueError:
            stage = Stage.FAILED
            detail = f'"{self._name}" is not the name of a file: give that of a recording.'
        except Exception as error:
            # The screen hides the traceback of a thread. The error's message may quote what a process wrote,
            # but the name of its class cannot.
            fault = f"{self._name} cannot be read, {type(error).__name__} stopped it"
            stage, detail = Stage.FAILED, f"{fault}: report this, with the file where you may."
        with self._changed:
            self._stage, self._detail, self._problem = stage, detail, problem
            self._changed.notify_all()

    def _read(self, lines: Lines) -> tuple[Stage, str, str]:
        """Read the whole file; return the final stage, its detail and its problem."""
        torn = False
        for found in lines:
            if self._closed:
                break
            if found is None:
                self._caught_up(lines)
                continue
            number, line = found
            try:
                content = parse_line(line)
            except UnknownVersion:
                raise
            except SnapshotError as error:
                torn = len(line) <= MAX_LINE_BYTES and not line.endswith(b"\n")
                with self._changed:
                    self._tally.add_unreadable(number, str(error))
                    self._unreported += 1
                if not self._tally.readable and self._tally.unreadable >= _NONE_OF_OURS:
                    break
                continue
            self._take(content, len(line))
            lines.grows = self._tally.is_recording and self._tally.ending is None
        self._report_unreadable()
        self._hand_on()
        return self._conclusion(lines, torn=torn)

    def _caught_up(self, lines: Lines) -> None:
        """Note that the whole file has been read, and that more may come."""
        has_writer = lines.has_writer if lines.is_regular else None
        if self._first_end is None:
            self._first_end = lines.brought
        if lines.is_regular:
            grows = lines.brought > self._first_end and lines.age < _FRESH
        else:
            grows = lines.brought > 0
        self._report_unreadable()
        self._hand_on()
        with self._changed:
            if self._quiet_since is None:
                self._quiet_since = time.monotonic()
            self._stage = Stage.LIVE if has_writer or (has_writer is None and grows) else Stage.WAITING
            is_left = has_writer is False and time.monotonic() - self._quiet_since >= _LEFT
            self._problem = self._without_ending(lines) if is_left else ""
            self._changed.notify_all()

    def _without_ending(self, lines: Lines) -> str:
        torn = " and an incomplete last line" if lines.has_begun_line else ""
        nobody = "no process of this machine writes to it: its recording was cut off."
        return f"{self._name} has no ending{torn}, and {nobody}"

    def _take(self, found: Header | Event | Ending, size: int) -> None:
        """Take in a line: count it, and hand on an event once there is room for it."""
        with self._changed:
            self._tally.add(found)
            self._quiet_since = None
            if self._stage is Stage.WAITING:
                self._stage, self._problem = Stage.READING, ""
            if isinstance(found, Header | Ending):
                self._changed.notify_all()
                return
        if self._latest is None:
            self._latest = found.timestamp
        self._report_unreadable()
        self._latest = found.timestamp
        self._put_in_order(found, size)

    def _put_in_order(self, event: Event, size: int) -> None:
        """Hand on an event in its turn: a recording has events in the order in which they became complete."""
        if not self._tally.is_recording:
            self._queue(event, size)
            return
        for due, its_size in self._in_order.put(event, size):
            self._queue(due, its_size)

    def _hand_on(self) -> None:
        """Hand on the events that waited for older ones, since everything in the file has been read."""
        for event, size in self._in_order.rest():
            self._queue(event, size)

    def _report_unreadable(self) -> None:
        """Put the lines that could not be read where they were, after the last event."""
        if self._unreported and self._tally.readable:
            header = self._tally.header
            written = 0 if header is None else header.written
            loss = Loss(written if self._latest is None else self._latest, self._unreported, UNREADABLE)
            self._unreported = 0
            self._put_in_order(loss, 0)

    def _queue(self, event: Event, size: int) -> None:
        """Hand on an event once there is room for it."""
        with self._changed:
            self._has_hosts |= event.host is not None
            marked = event if self._mark is None else self._mark(event, self._tally.origin)
            self._changed.wait_for(lambda: self._closed or self._pending_bytes < _PENDING_BYTES)
            self._pending.append(marked)
            self._pending_bytes += size
            self._changed.notify_all()

    def _conclusion(self, lines: Lines, *, torn: bool) -> tuple[Stage, str, str]:
        if not self._tally.readable:
            if not lines.brought and not lines.is_regular:
                return Stage.FAILED, f"{self._name} brought nothing: see why its command failed.", ""
            reason = self._tally.first_unreadable or "it is empty"
            return Stage.FAILED, f"{self._name} is not a snapshot or recording of execwhy ({reason}).", ""
        problem = ""
        if torn and self._tally.unreadable == 1:
            problem = f"{self._name} was cut off: its last line is incomplete and left out."
        elif not self._tally.unreadable and lines.grows and not self._closed:
            problem = f"{self._name} ended before its recording did: its connection or command was cut off."
        return Stage.ENDED, self._name, problem
