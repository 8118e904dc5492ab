"""The thread that diagnoses: what is on screen first, then the newest, the rest when there is time."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from bpf.record import Again, Burst, Diagnosis, ExecFailure, count_of
from tui.why.remembered import Diagnose, Remembered, alike, is_of_its_moment

MAX_WAITING: Final = 100_000
"""Records that wait, of several hundred bytes each where they are unlike all others."""

Failure = ExecFailure | Again
EventIds = npt.NDArray[np.int64]


class _Alike:
    """Failures that wait and have one cause, as far as one can tell beforehand.

    Attributes:
        count: How many.
    """

    def __init__(self) -> None:
        self.count = 0
        self._entries: deque[tuple[int, Failure | Burst]] = deque()

    def add(self, event_id: int, failure: Failure | Burst) -> None:
        self._entries.append((event_id, failure))
        self.count += count_of(failure)

    def drop_oldest(self) -> int:
        """Drop the oldest one, and with it its burst; how many these are."""
        dropped = count_of(self._entries.popleft()[1])
        self.count -= dropped
        return dropped

    @property
    def newest(self) -> tuple[int, Failure]:
        event_id, failure = self._entries[-1]
        if isinstance(failure, Burst):
            return event_id + len(failure) - 1, failure.last
        return event_id, failure

    @property
    def oldest(self) -> Failure:
        _, failure = min(self._entries, key=lambda entry: entry[0])
        return failure[0] if isinstance(failure, Burst) else failure

    def ids_without(self, event_id: int) -> EventIds:
        """The event ids of all of them but that one, ascending, each once."""
        firsts: EventIds = np.array([event_id for event_id, _ in self._entries])
        if self.count > len(firsts):
            counts = np.array([count_of(failure) for _, failure in self._entries])
            before = np.cumsum(counts) - counts
            firsts = np.arange(self.count) + np.repeat(firsts - before, counts)
        ids: EventIds = np.unique(firsts)
        others: EventIds = ids[ids != event_id]
        return others


class Diagnostician:
    """Diagnoses in a daemon thread. Methods are called from one thread, and none of them waits for it.

    The newest record goes first, after those that are preferred, and with each all that are alike: the
    oldest of them is looked at, and what is certain of it is certain of all after it, so that a storm of
    one failure takes two looks. Beyond ``MAX_WAITING`` the oldest is dropped, and has no diagnosis until
    it is submitted again.
    """

    def __init__(self, diagnose: Diagnose) -> None:
        self._diagnose = Remembered(diagnose)
        self._waiting: OrderedDict[Hashable, _Alike] = OrderedDict()
        self._count = 0
        self._preferred: Sequence[tuple[int, Failure]] = ()
        self._done: list[tuple[EventIds, Diagnosis]] = []
        self._condition = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="diagnostician", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many records wait."""
        return self._count

    def submit(self, failures: Iterable[tuple[int, Failure | Burst]]) -> None:
        """Have records diagnosed: event id (of a burst its first one's) and failure, oldest first."""
        with self._condition:
            for event_id, failure in failures:
                self._add(event_id, failure)
            while self._count > MAX_WAITING:
                self._drop_oldest()
            self._condition.notify()

    def prefer(self, failures: Iterable[tuple[int, Failure]]) -> None:
        """Diagnose these first, in this order, such as the visible rows; replaces the ones before.

        They may wait already, or have been dropped in a storm.
        """
        preferred = list(failures)
        self.submit(preferred)
        with self._condition:
            self._preferred = preferred

    def results(self) -> list[tuple[EventIds, Diagnosis]]:
        """Take what was diagnosed since the last call: event ids, ascending, and their diagnosis."""
        with self._condition:
            done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Stop; what still waits is dropped. May be called twice."""
        with self._condition:
            self._closed = True
            self._waiting.clear()
            self._count = 0
            self._condition.notify()

    def _add(self, event_id: int, failure: Failure | Burst) -> None:
        if isinstance(failure, Burst):
            if is_of_its_moment(failure.last):
                for number, single in enumerate(failure, event_id):
                    self._add(number, single)
                return
            key = alike(failure.last)
        else:
            key = alike(failure)
        others = self._waiting.get(key)
        if others is None:
            others = self._waiting[key] = _Alike()
        else:
            self._waiting.move_to_end(key)
        others.add(event_id, failure)
        self._count += count_of(failure)

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self._closed:
                    self._condition.wait()
                if self._closed:
                    return
                event_id, failure, others = self._take()
            self._tell(np.array([event_id]), failure)
            if len(ids := others.ids_without(event_id)):
                self._tell(ids, others.oldest)

    def _tell(self, event_ids: EventIds, failure: Failure) -> None:
        diagnosis = self._diagnose(failure)
        with self._condition:
            self._done.append((event_ids, diagnosis))

    def _take(self) -> tuple[int, Failure, _Alike]:
        """The record that is next, and all that wait and are alike; it is one of them."""
        for event_id, failure in self._preferred:
            others = self._waiting.pop(alike(failure), None)
            if others is not None:
                self._count -= others.count
                return event_id, failure, others
        _, others = self._waiting.popitem()
        self._count -= others.count
        return *others.newest, others

    def _drop_oldest(self) -> None:
        """Drop the oldest of those that have not come again for the longest time."""
        key, others = next(iter(self._waiting.items()))
        self._count -= others.drop_oldest()
        if not others.count:
            del self._waiting[key]
