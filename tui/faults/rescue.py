"""What a crash leaves: the events in memory, in a file that ``--open`` reads.

Nothing is taken for granted here: the history itself may be what has failed, and memory may be short.
Events are read one by one, the newest first, and those that cannot be read are counted.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np

from execwhy.bpf.events.record import Event, Occurrence, Report, SearchEnd, expand_bursts
from execwhy.bpf.events.source import Counters, EventSource, Origin
from execwhy.tui.model.files.safe_file import owner_behind_sudo
from execwhy.tui.model.files.snapshot import Header, event_line, header_line
from execwhy.tui.model.history.block import Block
from execwhy.tui.model.history.store import History
from execwhy.tui.model.text.counted import counted

MAX_BYTES: Final = 256 << 20
"""Of the file."""

MOST_SECONDS: Final = 60.0
"""That it takes at most: somebody waits for the prompt."""

_CHUNK: Final = 1 << 20
_MOVED: Final = 4 << 20
_LAST_RESORT: Final = "/var/tmp"


@dataclass(frozen=True, slots=True)
class Rescued:
    """What has been written.

    Attributes:
        path: Where.
        events: How many events.
        broken: How many could not be read.
        left_out: How many older ones did not fit any more.
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
    """Write what a history holds.

    Args:
        history: Where the events are; it may be broken.
        source: Where they come from, for the header.
        show_secrets: Secret-looking values are written as they are.
        late: What has not come to the history yet.
        max_bytes: Size of the file.

    Returns:
        What was written; None where there is nothing.

    Raises:
        OSError: There is no place for it.
    """
    lines = _Lines(history, late, show_secrets=show_secrets)
    first = next(iter(lines), None)
    if first is None and not lines.broken:
        return None
    path, descriptor = _new_file()
    try:
        header = _header(history, source).encode()
        # From the end: the newest come first, and how much room all take nobody knows before.
        file = _Backwards(descriptor, max_bytes, header)
        deadline = time.monotonic() + MOST_SECONDS
        # Who does not want to wait keeps what is written by then.
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
    """The lines of all events, the newest first.

    Attributes:
        broken: How many could not be made so far.
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
                    if not isinstance(event, SearchEnd):
                        line = self._line(event.materialize() if isinstance(event, Occurrence) else event)
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
    """A file that is written from its end towards its beginning.

    Args:
        descriptor: The file.
        end: Where it ends for now.
        header: Its first line.

    Attributes:
        lines: How many lines are in it, but for the first one.
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
        """Put a line before all others; False where it does not fit."""
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
            # The disk is full: what is there already is kept.
            self._room = 0
            return False
        self._at -= len(data)
        self.lines += lines
        return True

    def finish(self) -> None:
        """Move all to the beginning, behind the header."""
        self._flush()
        to = self._begin
        # Where the disk fills up meanwhile, a part is better than nothing; readers pass over a cut off line.
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


def _new_file() -> tuple[str, int]:
    """Make a new, empty file in a directory that no other user can write to; else in /var/tmp.

    Raises:
        OSError: There is none either.
    """
    name = f"execwhy-crash-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}.jsonl"
    for path in (*_own_directories(), _LAST_RESORT):
        try:
            directory = _last_resort() if path == _LAST_RESORT else _own_directory(path)
        except OSError:
            continue
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o600, dir_fd=directory)
            os.fchmod(descriptor, 0o600)
            if path == _LAST_RESORT and (owner := owner_behind_sudo()) is not None:
                os.fchown(descriptor, *owner)
            return f"{path}/{name}", descriptor
        except OSError:
            continue
        finally:
            os.close(directory)
    raise OSError("there is no directory to write to")


def _own_directories() -> Iterator[str]:
    state = os.environ.get("XDG_STATE_HOME", "")
    if state.startswith("/"):
        yield f"{os.path.normpath(state)}/execwhy"
    with contextlib.suppress(KeyError):
        yield f"{pwd.getpwuid(os.geteuid()).pw_dir.rstrip('/')}/.local/state/execwhy"


def _own_directory(path: str) -> int:
    """Open a directory that only this user or root can change, all the way; make it where it is missing.

    Raises:
        OSError: There is none, or a link or someone else's directory is on the way.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    directory = os.open("/", flags)
    try:
        for name in filter(None, path.split("/")):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=directory)
            inner = os.open(name, flags, dir_fd=directory)
            os.close(directory)
            directory = inner
            status = os.fstat(directory)
            if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise PermissionError(f"{path} is not this user's own")
        return directory
    except BaseException:
        os.close(directory)
        raise


def _last_resort() -> int:
    return os.open(_LAST_RESORT, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
