"""Several files or streams as one source, in the order of time."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from execwhy.bpf.events.record import Event, Loss
from execwhy.bpf.events.source import Capture, Counters, Origin, Stage, Status
from execwhy.tui.model.files.replay import OPEN, FileSource, Mark

HOLD: Final = 2.5
"""Seconds for which an event waits for older ones of hosts that say nothing: a recording tells a try of a
search up to 2 s late, and the network takes its time. What comes later still is shown where it comes."""

_AT_ONCE: Final = 4_096
"""Events handed over at a time: some milliseconds of work."""

_MOST_IDS: Final = 2**63
"""Searches have ids of 63 bits."""


class MergedSource:
    """Gives the events of several sources in the order of their times.

    Args:
        sources: What is merged; each is started and closed here.
        clock: Seconds of a clock that does not jump.
    """

    def __init__(self, sources: Sequence[FileSource], clock: Callable[[], float] = time.monotonic) -> None:
        self._sources = sources
        self._clock = clock
        self._queues: list[deque[tuple[float, Event]]] = [deque() for _ in sources]

    def start(self) -> None:
        """Start all of them."""
        for source in self._sources:
            source.start()

    def begin(self, seconds: float) -> None:
        """Start all of them, and wait until it is known of each whether it can be read; that long at most."""
        self.start()
        deadline = time.monotonic() + seconds
        for source in self._sources:
            source.begin(max(0.0, deadline - time.monotonic()))

    def drain(self) -> Sequence[Event]:
        """What can be told by now: nothing older is to be expected within ``HOLD``."""
        now = self._clock()
        silent: list[bool] = []
        for source, queue in zip(self._sources, self._queues, strict=True):
            # Asked first: what was read before it fell silent is in the queue then.
            silent.append(source.quiet > 0)
            if len(queue) < _AT_ONCE:
                queue.extend((now, event) for event in source.drain())
        ended = [source.status().stage not in OPEN for source in self._sources]
        told: list[Event] = []
        while len(told) < _AT_ONCE:
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
            told.append(event)
        return told

    def status(self) -> Status:
        """The state of all of them together; what has failed of some is told as a problem."""
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
        """The events of files are captured already.

        Raises:
            ValueError: Always, unless ``capture`` is None.
        """
        for source in self._sources:
            source.set_capture(capture)

    def close(self) -> None:
        """Stop all of them."""
        for source in self._sources:
            source.close()


def opened(paths: Sequence[str], *, standard_input: int = 0) -> FileSource | MergedSource:
    """The source for these files.

    Args:
        paths: Files, or "-"; one at least.
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
    """Each event says where it comes from, and no search has the id of another file's."""

    def mark(event: Event, origin: Origin) -> Event:
        host = event.host or origin.host or name
        if isinstance(event, Loss) or event.search is None:
            return replace(event, host=host)
        number = (event.search.id * places + place) % _MOST_IDS
        return replace(event, host=host, search=replace(event.search, id=number))

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
    """Hosts, kernels and plans, each once, in the order of the files."""
    plans = [origin.plan for origin in origins if origin.plan is not None]
    return Origin(
        host=", ".join(dict.fromkeys(origin.host for origin in origins)),
        kernel=", ".join(dict.fromkeys(origin.kernel for origin in origins)),
        boot_time=min((origin.boot_time for origin in origins), default=0),
        plan=", ".join(dict.fromkeys(plans)) or None,
    )
