"""How the screen keeps up: the longest gap of its event loop under 100,000 events a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from bpf.record import Again, Report
from tests.bench.figures import Figure
from tests.ui.scripted_source import ScriptedSource
from tests.unit.records import failure
from tui.app import ExecwhyApp
from tui.model.history import History
from tui.terminal import rare_collections

SECONDS: Final = 10.0
RATES: Final = (1_000, 10_000, 100_000)
TICK: Final = 0.002
"""Seconds between two looks of the clock in the event loop."""


class Steady(ScriptedSource):
    """Brings so many events a second, of a few programs that fail over and over."""

    def __init__(self, rate: int) -> None:
        super().__init__()
        self._rate = rate
        self._began = time.monotonic()
        self.brought = 0
        self._kinds = [replace(failure(f"/opt/app/program{number}"), task=number + 1) for number in range(20)]

    def drain(self) -> Sequence[Report]:
        """What has come since the last time."""
        due = int((time.monotonic() - self._began) * self._rate)
        now = time.time_ns()
        came = [
            Again(
                self._kinds[number % 20], now + number, number % 30_000, number % 30_000, number % 20 + 1, 1
            )
            for number in range(self.brought, due)
        ]
        self.brought = due
        self._recorded += len(came)
        return came


async def gaps(rate: int) -> tuple[list[float], list[float], float]:
    """Milliseconds of each gap, ascending; of the loop's own processor time in each; the part taken in."""
    source = Steady(rate)
    app = ExecwhyApp(source, history=History())
    walls: list[float] = []
    busy: list[float] = []
    with rare_collections():
        async with app.run_test(size=(120, 40)):
            await asyncio.sleep(1.0)
            deadline = time.monotonic() + SECONDS
            while (before := time.monotonic()) < deadline:
                worked = time.thread_time()
                await asyncio.sleep(TICK)
                walls.append((time.monotonic() - before - TICK) * 1e3)
                busy.append((time.thread_time() - worked) * 1e3)
            taken = app.history.end_id / max(1, source.brought)
    return sorted(walls), sorted(busy), taken


def measure() -> Iterator[Figure]:
    """The gaps at each rate: by the clock, and without what other programs took of the processor."""
    for rate in RATES:
        walls, busy, taken = asyncio.run(gaps(rate))
        bound = 50 if rate == RATES[-1] else None
        note = f"99 % below {walls[int(len(walls) * 0.99)]:.1f} ms; {taken:.0%} taken in"
        yield Figure(f"longest gap of the event loop at {rate:,} events/s", walls[-1], "ms", bound, note)
        yield Figure(f"  of it the loop's own work at {rate:,} events/s", busy[-1], "ms", bound)
