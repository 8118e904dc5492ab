"""Several files or streams as one source, merged by time."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.source import Capture, Counters, Origin, Stage, Status
from execwhy.tui.model.files.replay.file_source import OPEN, FileSource, Mark

HOLD: Final = 2.5
"""Seconds for which an event waits for older events from silent hosts: a recording writes the tries of a
search up to 2 s late, and the network adds to that. Events that come later still are shown out of order."""

_AT_ONCE: Final = 4_096
"""Events returned at a time: some milliseconds of work."""

_MOST_IDS: Final = 2**63
"""Ids of searches have 63 bits."""


class MergedSource:
    """Merges the events of several sources by time.

    Args:
        sources: The sources, which are started and closed with this one.
        clock: Returns the seconds of a monotonic clock.
    """

    def __init__(self, sources: Sequence[FileSource], clock: Callable[[], float] = time.monotonic) -> None:
        self._sources = sources
        self._clock = clock
        self._queues: list[deque[tuple[float, Event]]] = [deque() for _ in sources]

    def start(self) -> None:
        """Start all sources."""
        for source in self._sources:
            source.start()

    def begin(self, seconds: float) -> None:
        """Start all sources, and wait at most ``seconds`` until it is known whether each can be read."""
        self.start()
        deadline = time.monotonic() + seconds
        for source in self._sources:
            source.begin(max(0.0, deadline - time.monotonic()))

    def drain(self) -> Sequence[Event]:
        """Return the events that no older one is expected to follow within ``HOLD``."""
        now = self._clock()
        silent: list[bool] = []
        for source, queue in zip(self._sources, self._queues, strict=True):
            # Checked before draining: events read before the source fell silent are then in the queue.
            silent.append(source.quiet > 0)
            if len(queue) < _AT_ONCE:
                queue.extend((now, event) for event in source.drain())
        ended = [source.status().stage not in OPEN for source in self._sources]
        due: list[Event] = []
        while len(due) < _AT_ONCE:
            heads = [(queue[0][1].timestamp, place) for place, queue in enumerate(self._queues) if queue]
            if not heads:
                break
            _, place = min(heads)
            came, event = self._queues[place][0]
            if not all(
                queue or ended[other] or (silent[other] and now - came >= HOLD)
                for other, queue in enumerate(self._queues)
            ):
                break
            self._queues[place].popleft()
            due.append(event)
        return due

    def status(self) -> Status:
        """Return the state of all sources together; the failure of only some is a problem."""
        all_of_them = [source.status() for source in self._sources]
        failed = [status.detail for status in all_of_them if status.stage is Stage.FAILED]
        problems = [status.problem for status in all_of_them if status.problem]
        stage = next(
            stage
            for stage in (
                Stage.STARTING, Stage.READING, Stage.LIVE, Stage.WAITING, Stage.ENDED, Stage.FAILED,
            )
            if any(status.stage is stage for status in all_of_them)
        )  # fmt: skip
        if stage is Stage.ENDED and any(self._queues):
            stage = Stage.READING
        if stage is Stage.FAILED:
            detail = " ".join(failed)
        else:
            detail = ", ".join(status.detail for status in all_of_them if status.stage is not Stage.FAILED)
            problems += failed
        return Status(
            stage,
            detail,
            _sum([status.counters for status in all_of_them]),
            _common([status.origin for status in all_of_them if status.origin.host]),
            " ".join(problems),
            is_merged=True,
        )

    def set_capture(self, capture: Capture | None) -> None:
        """Refuse a capture filter, because the events of files have already been captured.

        Raises:
            ValueError: Always, unless ``capture`` is None.
        """
        for source in self._sources:
            source.set_capture(capture)

    def close(self) -> None:
        """Stop all sources."""
        for source in self._sources:
            source.close()


def opened(paths: Sequence[str], *, standard_input: int = 0) -> FileSource | MergedSource:
    """Return the source for these files.

    Args:
        paths: At least one file, or "-".
        standard_input: The descriptor that "-" stands for.
    """
    if len(paths) == 1:
        return FileSource(paths[0], standard_input=standard_input)
    sources = []
    for place, path in enumerate(paths):
        is_stream = path.startswith(("/dev/fd/", "/proc/self/fd/"))
        name = f"input {place + 1} ({path})" if is_stream else None
        mark = _marking(place, len(paths), os.path.basename(path))
        sources.append(FileSource(path, standard_input=standard_input, name=name, mark=mark))
    return MergedSource(sources)


def _marking(place: int, places: int, name: str) -> Mark:
    """Return a mark that adds the host to each event and keeps search ids distinct between files."""

    def mark(event: Event, origin: Origin) -> Event:
        host = event.host or origin.host or name
        marked: Event = replace(event, host=host)
        if (failure := marked.failure) is None or failure.search is None:
            return marked
        number = (failure.search.id * places + place) % _MOST_IDS
        return replace(failure, search=replace(failure.search, id=number))

    return mark


def _sum(counters: Sequence[Counters]) -> Counters:
    return Counters(
        seen=sum(one.seen for one in counters),
        recorded=sum(one.recorded for one in counters),
        suppressed=sum(one.suppressed for one in counters),
        lost=sum(one.lost for one in counters),
        losses=_sum_by_name([one.losses for one in counters]),
        untold=sum(one.untold for one in counters),
        untracked=sum(one.untracked for one in counters),
        incomplete=_sum_by_name([one.incomplete for one in counters]),
        unreadable=sum(one.unreadable for one in counters),
    )


def _sum_by_name(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for name, number in one.items():
            total[name] = total.get(name, 0) + number
    return total


def _common(origins: Sequence[Origin]) -> Origin:
    """Return the hosts, kernels and plans, each once, in the order of the files."""
    plans = [origin.plan for origin in origins if origin.plan is not None]
    return Origin(
        host=", ".join(dict.fromkeys(origin.host for origin in origins)),
        kernel=", ".join(dict.fromkeys(origin.kernel for origin in origins)),
        boot_time=min((origin.boot_time for origin in origins), default=0),
        plan=", ".join(dict.fromkeys(plans)) or None,
    )
