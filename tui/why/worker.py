"""The thread that diagnoses: what is on screen first, then the newest, the rest when there is time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from bpf.record import Again, Diagnosis, ExecFailure
from tui.why.remembered import Diagnose, Remembered, alike

MAX_WAITING: Final = 100_000
"""Records that wait, of several hundred bytes each where they are unlike all others."""

Failure = ExecFailure | Again


class Diagnostician:
    """Diagnoses in a daemon thread. Methods are called from one thread, and none of them waits for it.

    The newest record goes first, after those that are preferred, and with each all that are alike: the
    oldest of them is looked at, and what is certain of it is certain of all after it, so that a storm of
    one failure takes two looks. Beyond ``MAX_WAITING`` the oldest is dropped, and has no diagnosis until
    it is submitted again.
    """

    def __init__(self, diagnose: Diagnose) -> None:
        self._diagnose = Remembered(diagnose)
        self._waiting: OrderedDict[Hashable, dict[int, Failure]] = OrderedDict()
        self._key_of: dict[int, Hashable] = {}
        self._preferred: tuple[int, ...] = ()
        self._done: list[tuple[Sequence[int], Diagnosis]] = []
        self._condition = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="diagnostician", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many records wait."""
        return len(self._key_of)

    def submit(self, failures: Iterable[tuple[int, Failure]]) -> None:
        """Have records diagnosed: event id and failure, oldest first."""
        with self._condition:
            for event_id, failure in failures:
                key = alike(failure)
                others = self._waiting.get(key)
                if others is None:
                    others = self._waiting[key] = {}
                else:
                    self._waiting.move_to_end(key)
                others[event_id] = failure
                self._key_of[event_id] = key
            while len(self._key_of) > MAX_WAITING:
                self._drop_oldest()
            self._condition.notify()

    def prefer(self, event_ids: Iterable[int]) -> None:
        """Diagnose these first, in this order, such as the visible rows; replaces the ones before."""
        with self._condition:
            self._preferred = tuple(event_ids)

    def results(self) -> list[tuple[Sequence[int], Diagnosis]]:
        """Take what was diagnosed since the last call: event ids, ascending, and their diagnosis."""
        with self._condition:
            done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Stop; what still waits is dropped. May be called twice."""
        with self._condition:
            self._closed = True
            self._waiting.clear()
            self._key_of.clear()
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self._closed:
                    self._condition.wait()
                if self._closed:
                    return
                wanted, others = self._take()
            self._tell([wanted[0]], wanted[1])
            if others:
                self._tell(list(others), next(iter(others.values())))

    def _tell(self, event_ids: Sequence[int], failure: Failure) -> None:
        diagnosis = self._diagnose(failure.whole() if isinstance(failure, Again) else failure)
        with self._condition:
            self._done.append((event_ids, diagnosis))

    def _take(self) -> tuple[tuple[int, Failure], dict[int, Failure]]:
        """The record that is next, and all others that wait and are alike."""
        preferred = (event_id for event_id in self._preferred if event_id in self._key_of)
        event_id = next(preferred, None)
        if event_id is None:
            event_id = next(reversed(next(reversed(self._waiting.values()))))
        others = self._waiting.pop(self._key_of[event_id])
        for other in others:
            del self._key_of[other]
        return (event_id, others.pop(event_id)), others

    def _drop_oldest(self) -> None:
        """Drop the oldest of those that have not come again for the longest time."""
        key, others = next(iter(self._waiting.items()))
        oldest = next(iter(others))
        del others[oldest], self._key_of[oldest]
        if not others:
            del self._waiting[key]
