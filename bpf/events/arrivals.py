"""Events as they arrive: one at a time, as repeats of an earlier record, or in bulk; and what ends a search.

All of them have the same attributes, so callers rarely need to know which one they have:

======================== ======================= =================== ============= ========
of                       ``ExecFailure``         ``Occurrence``      ``Burst``     ``Loss``
======================== ======================= =================== ============= ========
``kind``                 its own                 its template's      the same      "loss"
``failure``              itself                  itself              itself        None
``template``             itself                  a record like it    the same      --
``first``, ``last``      itself                  itself              of its run    --
``at(index)``            itself                  itself              of its run    --
``event_count``          1                       1                   how many      1
``search``               its search, if any      None                None          None
``materialize()``        itself                  the whole record    --            itself
======================== ======================= =================== ============= ========
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, overload

from execwhy.bpf.events.kinds import FailureKind
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure

if TYPE_CHECKING:
    # The process that loads the program reads this module, too, perhaps with a Python that has no numpy.
    import numpy as np
    import numpy.typing as npt

_FOOTPRINT: Final = 200
"""Bytes of an occurrence: its record is shared."""


class _OccurrenceFacts(NamedTuple):
    template: ExecFailure
    timestamp: int
    pid: int
    tid: int
    task: int
    started: int | None


class Occurrence(_OccurrenceFacts):
    """A repeat of a failed exec: it differs only in these facts, as most do in a storm.

    It is a tuple because making one takes a tenth of the time that a record takes.

    Attributes:
        template: A record like it, and part of no search.
    """

    __slots__ = ()

    event_count: ClassVar[int] = 1
    search: ClassVar[None] = None
    footprint: ClassVar[int] = _FOOTPRINT

    @property
    def kind(self) -> FailureKind:
        """Its kind."""
        return self.template.kind

    @property
    def failure(self) -> Occurrence:
        """Itself."""
        return self

    first = last = failure

    def at(self, index: int) -> Occurrence:
        """Return itself: it is one event."""
        del index
        return self

    def materialize(self) -> ExecFailure:
        """Return the whole record."""
        template, timestamp, pid, tid, task, started = self
        return replace(template, timestamp=timestamp, pid=pid, tid=tid, task=task, started=started)

    def with_template(self, template: ExecFailure) -> Occurrence:
        """Return the same as a repeat of another record."""
        return Occurrence(template, *self[1:])


@dataclass(frozen=True, slots=True, eq=False)
class Burst:
    """A run of failed execs of one task that differ only in time.

    A core that does nothing but fail brings hundreds of thousands a second, and nothing else is fast enough.

    Attributes:
        last: The last one.
        timestamps: When each one failed, ascending: nanoseconds since 1970 UTC.
    """

    last: Occurrence
    timestamps: npt.NDArray[np.int64]

    search: ClassVar[None] = None

    @property
    def kind(self) -> FailureKind:
        """Their kind."""
        return self.last.template.kind

    @property
    def failure(self) -> Burst:
        """Itself."""
        return self

    @property
    def template(self) -> ExecFailure:
        """A record like each of them."""
        return self.last.template

    @property
    def first(self) -> Occurrence:
        """The first one."""
        return self.at(0)

    @property
    def timestamp(self) -> int:
        """When the last one failed."""
        return self.last.timestamp

    @property
    def event_count(self) -> int:
        """How many there are."""
        return len(self.timestamps)

    @property
    def footprint(self) -> int:
        """About how many bytes it takes beside its template."""
        return _FOOTPRINT + int(self.timestamps.nbytes)

    def at(self, index: int) -> Occurrence:
        """Return one of them."""
        return self.last._replace(timestamp=int(self.timestamps[index]))

    def __len__(self) -> int:
        return len(self.timestamps)

    def __getitem__(self, index: int) -> Occurrence:
        return self.at(index)

    def __iter__(self) -> Iterator[Occurrence]:
        template, _, pid, tid, task, started = self.last
        for timestamp in self.timestamps.tolist():
            yield Occurrence(template, timestamp, pid, tid, task, started)

    def split(self, count: int) -> tuple[Burst, Burst]:
        """Return the first ``count`` of them, and the others; there must be some of each."""
        return Burst(self.at(count - 1), self.timestamps[:count]), Burst(self.last, self.timestamps[count:])


@dataclass(frozen=True, slots=True)
class SearchEnd:
    """The end of a search: a task whose last exec failed has succeeded with another, or has ended.

    Attributes:
        timestamp: Nanoseconds since 1970 UTC.
        task: The ``ExecFailure.task`` of its failures.
        found_path: The path of the exec that succeeded, as the caller gave it; None where the task ended.
        tid: The thread; after an exec it has its process's id.
    """

    timestamp: int
    task: int
    found_path: str | None
    tid: int = 0

    event_count: ClassVar[int] = 0
    failure: ClassVar[None] = None

    def materialize(self) -> None:
        """Return nothing: it is no event."""


Event = ExecFailure | Loss
"""An event, whole."""

Failure = ExecFailure | Occurrence
"""A failed exec, whole or as a repeat."""

Arrival = Event | Occurrence | Burst
"""An event as it arrives, or a run of them."""

Report = Arrival | SearchEnd
"""What a source hands over: events, and what ends a search of earlier ones."""


@overload
def expand_bursts(reports: Iterable[Arrival]) -> Iterator[Event | Occurrence]: ...
@overload
def expand_bursts(reports: Iterable[Report]) -> Iterator[Event | Occurrence | SearchEnd]: ...
def expand_bursts(reports: Iterable[Report]) -> Iterator[Event | Occurrence | SearchEnd]:
    """Yield the reports, each failed exec of a burst on its own."""
    for report in reports:
        if isinstance(report, Burst):
            yield from report
        else:
            yield report


def separate_losses(
    events: Iterable[Event | Occurrence], first: int = 0
) -> tuple[list[Failure], dict[int, Loss]]:
    """Return the failures among these events, and the losses by their position.

    Args:
        events: The events.
        first: The position of the first one.
    """
    failures: list[Failure] = []
    losses: dict[int, Loss] = {}
    for position, event in enumerate(events, first):
        if event.failure is not None:
            failures.append(event.failure)
        elif event.kind == "loss":
            losses[position] = event
    return failures, losses
