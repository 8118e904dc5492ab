"""A snapshot or a recording as a source of events: what ``--open`` shows, to its end or as it grows."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from execwhy.bpf.events.record import Event, ExecFailure, Loss
from execwhy.bpf.events.source import Capture, Counters, Origin, Stage, Status
from execwhy.tui.model.files.in_order import InOrder
from execwhy.tui.model.files.lines import Lines, Shrunk
from execwhy.tui.model.files.snapshot import (
    MAX_LINE_BYTES,
    UNREADABLE,
    Ending,
    Header,
    SnapshotError,
    UnknownVersion,
    parse_line,
)

_PENDING_BYTES: Final = 32 << 20
"""Bytes of lines that wait to be drained; the reader waits then, so that any file fits in memory."""

_NONE_OF_OURS: Final = 100
"""After so many unreadable lines and no readable one, this is some other file."""

_FRESH: Final = 60.0
"""Seconds since a file grew in which it counts as live, where nobody tells whether someone writes to it."""

_LEFT: Final = 1.0
"""Seconds without a writer after which none is expected: the last one may just have written the ending."""

OPEN: Final = (Stage.READING, Stage.LIVE, Stage.WAITING)
"""Stages of a file from which more may come."""

Mark = Callable[[Event, Origin], Event]
"""Adds to an event what only its file knows; the origin is that of the header."""


class FileSource:
    """Reads a file in a background thread.

    A line that cannot be read is left out and told in the status; the rest of the file is kept. A pipe is
    read until its last writer closes it; a recording whose ending is still to come is followed as it grows.

    Args:
        path: The file, or "-".
        standard_input: The descriptor that "-" stands for; it is closed at the end.
        name: What it is called in messages; None for the path.
        mark: What is done to each event; None for nothing.
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
        self._origin = Origin(host="", kernel="", boot_time=0)
        self._header: Header | None = None
        self._ending: Ending | None = None
        self._records = 0
        self._losses: dict[str, int] = {}
        self._readable = self._bad = 0
        self._first_bad = ""
        self._unread = self._left_out = 0
        self._latest: int | None = None
        self._in_order = InOrder()
        self._quiet_since: float | None = None
        self._first_end: int | None = None
        self._has_hosts = False
        self._thread = threading.Thread(target=self._run, name="execwhy-replay", daemon=True)

    def start(self) -> None:
        """Start reading, unless that has begun. Errors show in ``status``."""
        if self._thread.ident is None:
            self._stage, self._detail = Stage.READING, self._name
            self._thread.start()

    def begin(self, seconds: float) -> None:
        """Start reading, and wait until it is known whether anything here can be read; that long at most."""
        self.start()
        with self._changed:
            self._changed.wait_for(lambda: self._readable or self._stage not in OPEN, seconds)

    def drain(self) -> Sequence[Event]:
        """Take the events that were read since the last call."""
        with self._changed:
            events, self._pending, self._pending_bytes = self._pending, [], 0
            self._changed.notify_all()
        return events

    def status(self) -> Status:
        """The state now. The counters are those of the capture, as far as the file tells them."""
        with self._changed:
            damage = self._damage() if self._readable else ""
            if self._stage is Stage.WAITING:
                problem = f"{self._problem} {damage}".strip()
            else:
                problem = self._problem or damage
            return Status(self._stage, self._detail, self._counters(), self._origin, problem, self._has_hosts)

    @property
    def query(self) -> str:
        """The filter that the file was written with; "" before its header was read."""
        return "" if self._header is None else self._header.query

    @property
    def quiet(self) -> float:
        """Seconds for which all that was there has been read: 0 while there is more, endless at the end."""
        with self._changed:
            if self._stage not in OPEN:
                return math.inf
            return 0.0 if self._quiet_since is None else time.monotonic() - self._quiet_since

    def wait(self, seconds: float) -> None:
        """Sleep until there is something to drain or the file has ended, or that long."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._stage not in OPEN, seconds)

    def set_capture(self, capture: Capture | None) -> None:
        """A file's events are captured already.

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

    def _counters(self) -> Counters:
        counters = self._captured()
        return replace(counters, unreadable=self._bad + self._left_out)

    def _captured(self) -> Counters:
        """The last that is known of: the ending's, the header's, or what was counted in the file.

        A recording's header tells the counters of its beginning, so one that was cut off has more.
        """
        if self._ending is not None:
            return self._ending.counters
        lost = sum(self._losses.values())
        if self._header is not None and self._header.counters.seen >= self._records + lost:
            return self._header.counters
        return Counters(
            seen=self._records + lost, recorded=self._records, lost=lost, losses=dict(self._losses)
        )

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
            stage, detail = (
                Stage.FAILED,
                f"{self._name} cannot be read ({reason}): check its name and its mode.",
            )
        except ValueError:
            stage, detail = Stage.FAILED, f'"{self._name}" is no name of a file: give that of a recording.'
        except Exception as error:
            # Nobody sees the traceback of a thread below a full screen.
            # Its message may quote what a process wrote; its name cannot.
            fault = f"{self._name} cannot be read, {type(error).__name__} stopped it"
            stage, detail = Stage.FAILED, f"{fault}: report this, with the file where you may."
        with self._changed:
            self._stage, self._detail, self._problem = stage, detail, problem
            self._changed.notify_all()

    def _read(self, lines: Lines) -> tuple[Stage, str, str]:
        """Read it all; the stage, the name or sentence, and the problem that it ends with."""
        torn = False
        for found in lines:
            if self._closed:
                break
            if found is None:
                self._caught_up(lines)
                continue
            number, line = found
            try:
                told = parse_line(line)
            except UnknownVersion:
                raise
            except SnapshotError as error:
                torn = len(line) <= MAX_LINE_BYTES and not line.endswith(b"\n")
                with self._changed:
                    self._bad += 1
                    self._unread += 1
                    self._first_bad = self._first_bad or f"line {number}: {error}"
                if not self._readable and self._bad >= _NONE_OF_OURS:
                    break
                continue
            self._take(told, len(line))
            lines.grows = self._header is not None and self._header.recording and self._ending is None
        self._tell_unread()
        self._hand_on()
        return self._conclusion(lines, torn=torn)

    def _caught_up(self, lines: Lines) -> None:
        """All that is there was read, and more may come."""
        has_writer = lines.has_writer if lines.is_regular else None
        if self._first_end is None:
            self._first_end = lines.brought
        if lines.is_regular:
            grows = lines.brought > self._first_end and lines.age < _FRESH
        else:
            grows = lines.brought > 0
        self._tell_unread()
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
        """Keep what a line says; an event is queued once there is room for it."""
        with self._changed:
            self._readable += 1
            self._quiet_since = None
            if self._stage is Stage.WAITING:
                self._stage, self._problem = Stage.READING, ""
            match found:
                case Ending():
                    self._ending = found
                    return
                case Header():
                    self._origin, self._header, self._ending = found.origin, found, None
                    self._changed.notify_all()
                    return
                case ExecFailure():
                    self._records += 1
                case Loss(reason=reason) if reason == UNREADABLE:
                    self._left_out += found.count
                case Loss():
                    self._losses[found.reason] = self._losses.get(found.reason, 0) + found.count
        if self._latest is None:
            self._latest = found.timestamp
        self._tell_unread()
        self._latest = found.timestamp
        self._put_in_order(found, size)

    def _put_in_order(self, event: Event, size: int) -> None:
        """Hand over an event at its turn: a recording has them in the order in which they were complete."""
        if self._header is None or not self._header.recording:
            self._queue(event, size)
            return
        for due, its_size in self._in_order.put(event, size):
            self._queue(due, its_size)

    def _hand_on(self) -> None:
        """Wait for nothing older: all that is there was read."""
        for event, size in self._in_order.rest():
            self._queue(event, size)

    def _tell_unread(self) -> None:
        """Put the lines that could not be read where they were: behind the last event."""
        if self._unread and self._readable:
            written = 0 if self._header is None else self._header.written
            loss = Loss(written if self._latest is None else self._latest, self._unread, UNREADABLE)
            self._unread = 0
            self._put_in_order(loss, 0)

    def _queue(self, event: Event, size: int) -> None:
        """Hand over an event, once there is room for it."""
        with self._changed:
            self._has_hosts |= event.host is not None
            marked = event if self._mark is None else self._mark(event, self._origin)
            self._changed.wait_for(lambda: self._closed or self._pending_bytes < _PENDING_BYTES)
            self._pending.append(marked)
            self._pending_bytes += size
            self._changed.notify_all()

    def _conclusion(self, lines: Lines, *, torn: bool) -> tuple[Stage, str, str]:
        if not self._readable:
            if not lines.brought and not lines.is_regular:
                return Stage.FAILED, f"{self._name} brought nothing: see why its command failed.", ""
            reason = self._first_bad or "it is empty"
            return Stage.FAILED, f"{self._name} is no snapshot or recording of execwhy ({reason}).", ""
        problem = ""
        if torn and self._bad == 1:
            problem = f"{self._name} was cut off: its last line is incomplete and left out."
        elif not self._bad and lines.grows and not self._closed:
            problem = (
                f"{self._name} ended before its recording did: the connection or its command was cut off."
            )
        return Stage.ENDED, self._name, problem

    def _damage(self) -> str:
        if not self._bad:
            return ""
        more = f", and {self._bad - 1} more" if self._bad > 1 else ""
        return f"{self._name} is damaged, these lines are left out: {self._first_bad}{more}."
