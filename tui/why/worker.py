"""The thread that diagnoses: what is on screen first, then the newest, the rest when there is time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from bpf.record import Again, Burst, Diagnosis, ExecFailure
from tui.why.remembered import Diagnose, Remembered, alike

MAX_WAITING: Final = 100_000
"""Records that wait, of a kilobyte each where they are unlike all others."""

_ALIKE_IN_ONE: Final = 64
"""Events of a burst that are counted as one record: each takes eight bytes."""

_BACKLOG: Final = 256
"""Records that wait, from which on half of the time is left to others."""

_LONGEST_PAUSE: Final = 0.02
"""Seconds."""

Failure = ExecFailure | Again
EventIds = npt.NDArray[np.int64]


def _weight(failure: Failure | Burst) -> int:
    return 1 + len(failure) // _ALIKE_IN_ONE if isinstance(failure, Burst) else 1


class _Alike:
    """Failures that wait and have one cause, as far as one can tell beforehand.

    Attributes:
        weight: How much they are of ``MAX_WAITING``.
    """

    def __init__(self) -> None:
        self.weight = 0
        # By the event's id, of a burst its first one's.
        self._failures: dict[int, Failure | Burst] = {}
        self._bursts: dict[int, Burst] = {}

    def add(self, event_id: int, failure: Failure | Burst) -> None:
        if event_id in self._failures:
            return
        self._failures[event_id] = failure
        if isinstance(failure, Burst):
            self._bursts[event_id] = failure
        self.weight += _weight(failure)

    def drop_oldest(self) -> None:
        """Drop the one that was added first, and with it its burst."""
        event_id = next(iter(self._failures))
        self.weight -= _weight(self._failures.pop(event_id))
        self._bursts.pop(event_id, None)

    def get(self, event_id: int) -> Failure | None:
        """The failure that is this event; None where it is not among them."""
        if event_id not in self._bursts and (failure := self._failures.get(event_id)) is not None:
            assert not isinstance(failure, Burst)
            return failure
        for first, burst in self._bursts.items():
            if first <= event_id < first + len(burst):
                return burst[event_id - first]
        return None

    @property
    def newest(self) -> tuple[int, Failure]:
        event_id, failure = next(reversed(self._failures.items()))
        if isinstance(failure, Burst):
            return event_id + len(failure) - 1, failure.last
        return event_id, failure

    @property
    def oldest(self) -> Failure:
        failure = self._failures[min(self._failures)]
        return failure[0] if isinstance(failure, Burst) else failure

    def ids_without(self, event_id: int) -> EventIds:
        """The event ids of all of them but that one, ascending, each once."""
        pieces = [np.arange(first, first + len(burst)) for first, burst in self._bursts.items()]
        ids: EventIds = np.unique(np.concatenate([np.fromiter(self._failures, np.int64), *pieces]))
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
        self._weight = 0
        self._looked_at = _Alike()
        self._preferred: Sequence[tuple[int, Hashable]] = ()
        self._done: list[tuple[EventIds, Diagnosis]] = []
        self._condition = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="diagnostician", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many records wait; a burst counts for few."""
        return self._weight

    def submit(self, failures: Iterable[tuple[int, Failure | Burst]]) -> None:
        """Have records diagnosed: event id (of a burst its first one's) and failure, oldest first."""
        with self._condition:
            for event_id, failure in failures:
                last = failure.last if isinstance(failure, Burst) else failure
                self._add(alike(last), event_id, failure)
            self._hold_bound()
            self._condition.notify()

    def prefer(self, failures: Iterable[tuple[int, Failure]]) -> None:
        """Diagnose these first, in this order, such as the visible rows; replaces the ones before.

        One that waits no longer, since it was dropped in a storm, waits again.
        """
        with self._condition:
            preferred = []
            for event_id, failure in failures:
                key = alike(failure)
                if not self._is_looked_at(event_id):
                    if key not in self._waiting or self._waiting[key].get(event_id) is None:
                        self._add(key, event_id, failure)
                    preferred.append((event_id, key))
            self._preferred = preferred
            self._hold_bound()
            self._condition.notify()

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
            self._weight = 0
            self._condition.notify()

    def _is_looked_at(self, event_id: int) -> bool:
        """Whether a diagnosis of it is under way, or was not taken yet."""
        return self._looked_at.get(event_id) is not None or any(event_id in ids for ids, _ in self._done)

    def _add(self, key: Hashable, event_id: int, failure: Failure | Burst) -> None:
        others = self._waiting.get(key)
        if others is None:
            others = self._waiting[key] = _Alike()
        else:
            self._waiting.move_to_end(key)
        self._weight -= others.weight
        others.add(event_id, failure)
        self._weight += others.weight

    def _hold_bound(self) -> None:
        """Drop the oldest of those that have not come again for the longest time."""
        while self._weight > MAX_WAITING:
            key, others = next(iter(self._waiting.items()))
            self._weight -= others.weight
            others.drop_oldest()
            self._weight += others.weight
            if not others.weight:
                del self._waiting[key]

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self._closed:
                    self._condition.wait()
                if self._closed:
                    return
                event_id, failure, others = self._take()
            began = time.monotonic()
            self._tell(np.array([event_id]), failure)
            if len(ids := others.ids_without(event_id)):
                self._tell(ids, others.oldest)
            with self._condition:
                self._looked_at = _Alike()
                is_behind = self._weight > _BACKLOG
            if is_behind:
                # The reader, who can ask a caller only while it lives, and the screen go first.
                time.sleep(min(_LONGEST_PAUSE, time.monotonic() - began))

    def _tell(self, event_ids: EventIds, failure: Failure) -> None:
        diagnosis = self._diagnose(failure)
        with self._condition:
            self._done.append((event_ids, diagnosis))

    def _take(self) -> tuple[int, Failure, _Alike]:
        """The record that is next, and all that wait and are alike; it is one of them."""
        event_id, failure, key = self._next()
        others = self._looked_at = self._waiting.pop(key)
        self._weight -= others.weight
        return event_id, failure, others

    def _next(self) -> tuple[int, Failure, Hashable]:
        for event_id, key in self._preferred:
            if key in self._waiting and (failure := self._waiting[key].get(event_id)) is not None:
                return event_id, failure, key
        key, others = next(reversed(self._waiting.items()))
        return *others.newest, key
