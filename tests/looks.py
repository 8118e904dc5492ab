"""Lookers for tests, without processes of their own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

import numpy as np

from execwhy.bpf.events.arrivals import Burst, Failure, Occurrence
from execwhy.bpf.events.record import Diagnosis, ExecFailure, Look
from execwhy.tui.why.lookers.fair_queue import EventIds
from execwhy.tui.why.lookers.process import LookAt, serve
from execwhy.tui.why.lookers.spawner import Spawned


class InlineLookers:
    """Looks at each failure as soon as the results are asked for."""

    def __init__(self, why: Callable[[ExecFailure], Diagnosis]) -> None:
        self._why = why
        self._waiting: list[tuple[int, Failure | Burst]] = []
        self.preferred: list[int] = []
        self.problem = ""
        self.is_closed = False

    @property
    def is_looking(self) -> bool:
        return not self.problem

    @property
    def is_busy(self) -> bool:
        return bool(self._waiting)

    def submit(self, failures: Iterable[tuple[int, Failure | Burst]]) -> None:
        self._waiting += failures

    def prefer(self, failures: Iterable[tuple[int, Failure]]) -> None:
        self.preferred = [event_id for event_id, _ in failures]

    def results(self, most: int | None = None) -> list[tuple[EventIds, Look]]:
        waiting, self._waiting = self._waiting, []
        return [self._look(event_id, failure) for event_id, failure in waiting]

    def wait(self, seconds: float) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True

    def _look(self, event_id: int, failure: Failure | Burst) -> tuple[EventIds, Look]:
        count = len(failure) if isinstance(failure, Burst) else 1
        last = failure.last if isinstance(failure, Burst) else failure
        record = last.materialize() if isinstance(last, Occurrence) else last
        return np.arange(event_id, event_id + count), Look(self._why(record))


class ThreadSpawner:
    """Serves lookers from threads of this process; "kill" closes the connection and forgets the thread."""

    def __init__(self, look_at: LookAt) -> None:
        self._look_at = look_at
        self.undead: frozenset[int] = frozenset()
        self.spawned = 0
        self.killed: list[int] = []
        self._theirs: dict[int, socket.socket] = {}

    def spawn(self) -> Spawned | None:
        ours, theirs = socket.socketpair()
        self.spawned += 1
        self._theirs[self.spawned] = theirs
        threading.Thread(target=self._serve, args=(theirs,), daemon=True).start()
        return Spawned(ours, self.spawned)

    def _serve(self, theirs: socket.socket) -> None:
        try:
            serve(theirs, self._look_at)
        except OSError:
            return
        theirs.close()

    def kill(self, pid: int) -> None:
        self.killed.append(pid)
        theirs = self._theirs.pop(pid, None)
        if theirs is not None:
            with suppress(OSError):  # it has ended by itself
                theirs.shutdown(socket.SHUT_RDWR)

    def look_for_undead(self) -> None:
        pass

    def end(self) -> None:
        pass

    def close(self) -> None:
        for theirs in self._theirs.values():
            theirs.close()
