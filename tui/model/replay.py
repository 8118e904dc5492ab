"""A snapshot or a recording as a source of events: what ``--open`` shows."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

from bpf.record import Event, ExecFailure, Loss
from bpf.source import Capture, Counters, Origin, Stage, Status
from tui.model.snapshot import (
    MAX_LINE_BYTES,
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


class FileSource:
    """Reads a file in a background thread.

    A line that cannot be read is left out and told in the status; the rest of the file is kept.

    Args:
        path: The file, or "-".
        standard_input: The descriptor that "-" stands for; it is closed at the end.
    """

    def __init__(self, path: str, *, standard_input: int = 0) -> None:
        self._path = path
        self._name = "standard input" if path == "-" else path
        self._standard_input = standard_input
        self._changed = threading.Condition()
        self._pending: list[Event] = []
        self._pending_bytes = 0
        self._closed = False
        self._stage = Stage.STARTING
        self._detail = ""
        self._origin = Origin(host="", kernel="", boot_time=0)
        self._query = ""
        self._header_counters = Counters()
        self._ending: Ending | None = None
        self._records = 0
        self._losses: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="execwhy-replay", daemon=True)

    def start(self) -> None:
        """Start reading. Errors show in ``status``."""
        self._stage, self._detail = Stage.READING, self._name
        self._thread.start()

    def drain(self) -> Sequence[Event]:
        """Take the events that were read since the last call."""
        with self._changed:
            events, self._pending, self._pending_bytes = self._pending, [], 0
            self._changed.notify_all()
        return events

    def status(self) -> Status:
        """The state now. The counters are those of the capture, as far as the file tells them."""
        with self._changed:
            return Status(self._stage, self._detail, self._counters(), self._origin)

    @property
    def query(self) -> str:
        """The filter that the file was written with; "" before its header was read."""
        return self._query

    def wait(self, seconds: float) -> None:
        """Sleep until there is something to drain or the file has ended, or that long."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._stage is not Stage.READING, seconds)

    def set_capture(self, capture: Capture | None) -> None:
        """A file's events are captured already.

        Raises:
            ValueError: Always, unless ``capture`` is None.
        """
        if capture is not None:
            raise ValueError("A file's events are captured already: use the filter instead.")

    def close(self) -> None:
        """Stop reading. A thread that waits for a pipe's next line ends with the program."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _counters(self) -> Counters:
        """The last that is known of: the ending's, the header's, or what was counted in the file.

        A recording's header tells the counters of its beginning, so one that was cut off has more.
        """
        if self._ending is not None:
            return self._ending.counters
        lost = sum(self._losses.values())
        if self._header_counters.seen >= self._records + lost:
            return self._header_counters
        return Counters(
            seen=self._records + lost, recorded=self._records, lost=lost, losses=dict(self._losses)
        )

    def _run(self) -> None:
        try:
            with self._open() as file:
                stage, detail = self._read(file)
        except UnknownVersion as error:
            stage, detail = Stage.FAILED, f"{self._name} cannot be read: {error}."
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            stage, detail = (
                Stage.FAILED,
                f"{self._name} cannot be read ({reason}): check its name and its mode.",
            )
        except ValueError:
            stage, detail = Stage.FAILED, f'"{self._name}" is no name of a file.'
        except Exception as error:
            # Nobody sees the traceback of a thread below a full screen.
            stage, detail = Stage.FAILED, f"{self._name} cannot be read: {error!r}."
        with self._changed:
            self._stage, self._detail = stage, detail
            self._changed.notify_all()

    def _open(self) -> BinaryIO:
        if self._path == "-":
            return os.fdopen(self._standard_input, "rb")
        return open(self._path, "rb")

    def _lines(self, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """Each line that is not blank, with its number; of one that is too long only its beginning."""
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if line.strip():
                yield number, line
            while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES + 1)

    def _read(self, file: BinaryIO) -> tuple[Stage, str]:
        """Read it all; the stage and the sentence it ends with."""
        readable = bad = 0
        first_bad = ""
        torn = False
        for number, line in self._lines(file):
            if self._closed:
                break
            try:
                found = parse_line(line)
            except UnknownVersion:
                raise
            except SnapshotError as error:
                bad += 1
                torn = len(line) <= MAX_LINE_BYTES and not line.endswith(b"\n")
                first_bad = first_bad or f"line {number}: {error}"
                if not readable and bad >= _NONE_OF_OURS:
                    break
                continue
            readable += 1
            self._take(found, len(line))
        return self._conclusion(readable, bad, first_bad, torn=torn)

    def _take(self, found: Header | Event | Ending, size: int) -> None:
        """Keep what a line says; an event is queued once there is room for it."""
        with self._changed:
            match found:
                case Ending():
                    self._ending = found
                    return
                case Header():
                    self._origin, self._query = found.origin, found.query
                    self._header_counters = found.counters
                    return
                case ExecFailure():
                    self._records += 1
                case Loss():
                    self._losses[found.reason] = self._losses.get(found.reason, 0) + found.count
            self._changed.wait_for(lambda: self._closed or self._pending_bytes < _PENDING_BYTES)
            self._pending.append(found)
            self._pending_bytes += size
            self._changed.notify_all()

    def _conclusion(self, readable: int, bad: int, first_bad: str, *, torn: bool) -> tuple[Stage, str]:
        if not readable:
            reason = first_bad or "it is empty"
            return Stage.FAILED, f"{self._name} is no snapshot or recording of execwhy ({reason})."
        if torn and bad == 1:
            return Stage.ENDED, f"{self._name} was cut off: its last line is incomplete and left out."
        if bad:
            more = f", and {bad - 1} more" if bad > 1 else ""
            return Stage.ENDED, f"{self._name} is damaged, these lines are left out: {first_bad}{more}."
        return Stage.ENDED, self._name
