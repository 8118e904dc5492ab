"""The thread that diagnoses: what is on screen first, then the newest, the rest when there is time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Final

from bpf.record import Diagnosis, ExecFailure
from tui.why.remembered import Diagnose, Remembered, alike

MAX_WAITING: Final = 100_000
"""Records that wait. They are held by the history as well, so this bounds references, not copies."""


class Diagnostician:
    """Diagnoses in a daemon thread. Methods are called from one thread, and none of them waits for it.

    The newest record goes first, after those that are preferred, and after each the oldest that is alike:
    what is certain of the oldest is certain of all after it, so that a backlog of one failure takes two
    looks. Beyond ``MAX_WAITING`` the oldest is dropped, and has no diagnosis until it is submitted again.
    """

    def __init__(self, diagnose: Diagnose) -> None:
        self._diagnose = Remembered(diagnose)
        self._waiting: OrderedDict[int, ExecFailure] = OrderedDict()
        self._alike: dict[Hashable, OrderedDict[int, None]] = {}
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
            self._alike.setdefault(alike(record), OrderedDict())[event_id] = None
            if len(self._waiting) > MAX_WAITING:
                self._take(next(iter(self._waiting)))
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
            self._alike.clear()
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self._closed:
                    self._condition.wait()
                if self._closed:
                    return
                taken = self._next()
            for event_id, record in taken:
                diagnosis = self._diagnose(record)
                with self._condition:
                    self._done.append((event_id, diagnosis))

    def _next(self) -> list[tuple[int, ExecFailure]]:
        """The record that is next, and the oldest that waits and is alike."""
        preferred = (event_id for event_id in self._preferred if event_id in self._waiting)
        event_id = next(preferred, None)
        if event_id is None:
            event_id = next(reversed(self._waiting))
        record = self._take(event_id)
        taken = [(event_id, record)]
        if others := self._alike.get(alike(record)):
            oldest = next(iter(others))
            taken.append((oldest, self._take(oldest)))
        return taken

    def _take(self, event_id: int) -> ExecFailure:
        record = self._waiting.pop(event_id)
        key = alike(record)
        others = self._alike[key]
        del others[event_id]
        if not others:
            del self._alike[key]
        return record
