"""The thread that diagnoses: what is on screen first, then the newest, the rest when there is time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from bpf.record import Diagnosis, ExecFailure
from tui.why.remembered import Diagnose, Remembered

MAX_WAITING: Final = 100_000
"""Records that wait. They are held by the history as well, so this bounds references, not copies."""


class Diagnostician:
    """Diagnoses in a daemon thread. Methods are called from one thread, and none of them waits for it.

    The newest record goes first, after those that are preferred. Beyond ``MAX_WAITING`` the oldest is
    dropped, and stays without a diagnosis until it is submitted again.
    """

    def __init__(self, diagnose: Diagnose) -> None:
        self._diagnose = Remembered(diagnose)
        self._waiting: OrderedDict[int, ExecFailure] = OrderedDict()
        self._preferred: tuple[int, ...] = ()
        self._done: list[tuple[int, Diagnosis]] = []
        self._condition = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="diagnostician", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many records wait."""
        return len(self._waiting)

    def submit(self, event_id: int, record: ExecFailure) -> None:
        """Have a record diagnosed."""
        with self._condition:
            self._waiting[event_id] = record
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popitem(last=False)
            self._condition.notify()

    def prefer(self, event_ids: Iterable[int]) -> None:
        """Diagnose these first, in this order, such as the visible rows; replaces the ones before."""
        with self._condition:
            self._preferred = tuple(event_ids)

    def results(self) -> list[tuple[int, Diagnosis]]:
        """Take what was diagnosed since the last call: event id and diagnosis."""
        with self._condition:
            done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Stop; what still waits is dropped. May be called twice."""
        with self._condition:
            self._closed = True
            self._waiting.clear()
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self._closed:
                    self._condition.wait()
                if self._closed:
                    return
                event_id, record = self._next()
            diagnosis = self._diagnose(record)
            with self._condition:
                self._done.append((event_id, diagnosis))

    def _next(self) -> tuple[int, ExecFailure]:
        for event_id in self._preferred:
            record = self._waiting.pop(event_id, None)
            if record is not None:
                return event_id, record
        return self._waiting.popitem()
