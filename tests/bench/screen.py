"""How the screen keeps up: the longest gap of its event loop under 100,000 events a second."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from execwhy.bpf.events.arrivals import Occurrence, Report
from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.model.history.store import History
from execwhy.tui.screen.app import ExecwhyApp
from execwhy.tui.terminal.terminal import responsive
from tests.bench.figures import Figure
from tests.looks import InlineLookers
from tests.ui.scripted_source import ScriptedSource
from tests.unit.records import failure

SECONDS: Final = 10.0
RATES: Final = (1_000, 10_000, 100_000)
PIECE: Final = 0.01
"""Seconds between two batches of events: the reader's are a few thousand."""
LEFT: Final = 2.0
"""Percent of the events of ten seconds that may still be unread at the end."""
TICK: Final = 0.002
"""Seconds between two readings of the clock in the event loop."""


class Steady(ScriptedSource):
    """A source of this many events a second of a few programs, from a thread like the reader's."""

    def __init__(self, rate: int) -> None:
        super().__init__()
        self._rate = rate
        self._kinds = [replace(failure(f"/opt/app/program{number}"), task=number + 1) for number in range(20)]
        self._came: list[Report] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.brought = 0
        threading.Thread(target=self._bring, daemon=True).start()

    def _bring(self) -> None:
        began = time.monotonic()
        while not self._ended.wait(PIECE):
            due = int((time.monotonic() - began) * self._rate)
            now = time.time_ns()
            came = [self._event(number, now) for number in range(self.brought, due)]
            with self._lock:
                self._came += came
            self.brought = due

    def _event(self, number: int, now: int) -> Occurrence:
        kind, pid = number % 20, number % 30_000
        return Occurrence(self._kinds[kind], now + number, pid, pid, kind + 1, 1)

    def drain(self) -> Sequence[Report]:
        """Return what has come since the last call."""
        with self._lock:
            came, self._came = self._came, []
        self._recorded += len(came)
        return came

    def end(self) -> None:
        """Bring no more."""
        self._ended.set()


def _why(_record: ExecFailure) -> Diagnosis:
    return Diagnosis("missing-file", "It is missing.")


async def gaps(rate: int) -> tuple[list[float], list[float], float]:
    """Return each gap in ms, ascending, the loop's processor time in each, and the share of events read."""
    source = Steady(rate)
    app = ExecwhyApp(source, history=History(), lookers=InlineLookers(_why))
    walls: list[float] = []
    busy: list[float] = []
    with responsive():
        async with app.run_test(size=(120, 40)):
            await asyncio.sleep(1.0)
            deadline = time.monotonic() + SECONDS
            while (before := time.monotonic()) < deadline:
                worked = time.thread_time()
                await asyncio.sleep(TICK)
                walls.append((time.monotonic() - before - TICK) * 1e3)
                busy.append((time.thread_time() - worked) * 1e3)
            source.end()
            taken = app.history.end_id / max(1, source.brought)
    return sorted(walls), sorted(busy), taken


def measure() -> Iterator[Figure]:
    """Measure the gaps at each rate: by the clock, and without processor time taken by other programs."""
    for rate in RATES:
        walls, busy, taken = asyncio.run(gaps(rate))
        bound = 50 if rate == RATES[-1] else None
        note = f"99 % below {walls[int(len(walls) * 0.99)]:.1f} ms"
        yield Figure(f"longest gap of the event loop at {rate:,} events/s", walls[-1], "ms", bound, note)
        yield Figure(f"  of it the loop's own work at {rate:,} events/s", busy[-1], "ms", bound)
        yield Figure(f"  not taken in at the end at {rate:,} events/s", (1 - taken) * 100, "%", LEFT)
