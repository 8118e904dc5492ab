"""After a crash: the events in memory, written to a file that ``--open`` reads.

The history itself may be what failed, and memory may be short. So events are read one by one, the newest
first, and those that cannot be read are counted.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np

from execwhy.bpf.events.arrivals import Event, Report, expand_bursts
from execwhy.bpf.events.source import Counters, EventSource, Origin
from execwhy.tui.faults.crash_file import new_file
from execwhy.tui.model.files.json_lines import Header, event_line, header_line
from execwhy.tui.model.history.block import Block
from execwhy.tui.model.history.store import History
from execwhy.tui.model.text.counted import counted

MAX_BYTES: Final = 256 << 20
"""Bytes in the file at most."""

MOST_SECONDS: Final = 60.0
"""Seconds to write for at most: somebody is waiting for the prompt."""

_CHUNK: Final = 1 << 20
_MOVED: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Rescued:
    """What was written.

    Attributes:
        path: The file.
        events: Events in it.
        broken: Events that could not be read.
        left_out: Older events that did not fit.
    """

    path: str
    events: int
    broken: int
    left_out: int

    def __str__(self) -> str:
        rest = []
        if self.broken:
            rest.append(f"{self.broken:,} could not be read")
        if self.left_out:
            rest.append(f"{counted(self.left_out, 'older one is', 'older ones are')} left out")
        also = f" ({', '.join(rest)})" if rest else ""
        events = counted(self.events, "event in memory is", "events in memory are")
        return f"The {events} in {self.path}{also}: execwhy --open {self.path}"


def rescue(
    history: History,
    source: EventSource,
    *,
    show_secrets: bool,
    late: Sequence[Report] = (),
    max_bytes: int = MAX_BYTES,
) -> Rescued | None:
    """Write the events of a history to a file.

    Args:
        history: The events; it may be broken.
        source: Where they come from, for the header.
        show_secrets: Whether to write values that look like secrets unmasked.
        late: Events that have not reached the history yet.
        max_bytes: Size of the file at most.

    Returns:
        What was written; None if there was nothing to write.

    Raises:
        OSError: No file can be created.
    """
    lines = _Lines(history, late, show_secrets=show_secrets)
    first = next(iter(lines), None)
    if first is None and not lines.broken:
        return None
    path, descriptor = new_file()
    try:
        header = _header(history, source).encode()
        # Written from the end: the newest events come first, and their total size is not known in advance.
        file = _Backwards(descriptor, max_bytes, header)
        deadline = time.monotonic() + MOST_SECONDS
        # Ctrl-C ends the wait and keeps what has been written.
        with contextlib.suppress(KeyboardInterrupt):
            for line in () if first is None else chain([first], lines):
                if not file.put(line) or time.monotonic() > deadline:
                    break
        file.finish()
        return Rescued(path, file.lines, lines.broken, max(0, _held(history) - file.lines - lines.broken))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    finally:
        os.close(descriptor)


class _Lines:
    """Yields the lines of all events, the newest first.

    Attributes:
        broken: Events so far whose line could not be made.
    """

    def __init__(self, history: History, late: Sequence[Report], *, show_secrets: bool) -> None:
        self.broken = 0
        self._history = history
        self._show_secrets = show_secrets
        self._lines = self._all(late)

    def __iter__(self) -> Iterator[bytes]:
        return self._lines

    def _all(self, late: Sequence[Report]) -> Iterator[bytes]:
        for report in reversed(late):
            for event in reversed(list(expand_bursts([report]))):
                line = None
                with self._counted():
                    if (whole := event.materialize()) is not None:
                        line = self._line(whole)
                if line is not None:
                    yield line
        blocks: list[Block] = []
        with self._counted(_held(self._history)):
            blocks = list(self._history.blocks)
        for block in reversed(blocks):
            ids: list[int] = []
            with self._counted(len(block)):
                ids = block.ids_of(np.arange(len(block))).tolist()
            for event_id in reversed(ids):
                line = None
                with self._counted():
                    line = self._line(self._history[event_id])
                if line is not None:
                    yield line

    def _line(self, event: Event) -> bytes:
        return event_line(event, show_secrets=self._show_secrets).encode()

    @contextlib.contextmanager
    def _counted(self, events: int = 1) -> Iterator[None]:
        try:
            yield
        except Exception:
            self.broken += events


class _Backwards:
    """Writes a file from its end towards its beginning.

    Args:
        descriptor: The file.
        end: The offset at which the last line is to end.
        header: The first line of the file.

    Attributes:
        lines: Lines in the file, without the header.
    """

    def __init__(self, descriptor: int, end: int, header: bytes) -> None:
        self.lines = 0
        self._descriptor = descriptor
        self._begin = len(header)
        self._end = self._at = end
        self._room = end - len(header)
        self._waiting: list[bytes] = []
        _write_at(descriptor, header, 0)
        self._bytes = 0

    def put(self, line: bytes) -> bool:
        """Put a line before all others; return False if it does not fit."""
        if len(line) > self._room:
            return False
        self._room -= len(line)
        self._waiting.append(line)
        self._bytes += len(line)
        return self._bytes < _CHUNK or self._flush()

    def _flush(self) -> bool:
        data, lines = b"".join(reversed(self._waiting)), len(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        try:
            _write_at(self._descriptor, data, self._at - len(data))
        except OSError:
            # The disk is full: keep what has been written.
            self._room = 0
            return False
        self._at -= len(data)
        self.lines += lines
        return True

    def finish(self) -> None:
        """Move the lines to the beginning, right after the header."""
        self._flush()
        to = self._begin
        # If the disk fills up meanwhile, a part is better than nothing; readers skip a line that is cut off.
        with contextlib.suppress(OSError):
            while self._at < self._end:
                data = os.pread(self._descriptor, min(_MOVED, self._end - self._at), self._at)
                _write_at(self._descriptor, data, to)
                self._at += len(data)
                to += len(data)
        os.ftruncate(self._descriptor, to)
        os.fsync(self._descriptor)


def _write_at(descriptor: int, data: bytes, at: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, at)
        rest, at = rest[written:], at + written


def _held(history: History) -> int:
    with contextlib.suppress(Exception):
        return len(history)
    return 0


def _header(history: History, source: EventSource) -> str:
    origin, counters = Origin("", "", 0, None), Counters()
    with contextlib.suppress(Exception):
        status = source.status()
        origin, counters = status.origin, status.counters
        if counters.seen != counters.recorded + counters.suppressed + counters.lost:
            counters = Counters()
    evicted = 0
    with contextlib.suppress(Exception):
        evicted = history.evicted
    return header_line(Header(origin, "", counters, time.time_ns(), evicted=evicted))
