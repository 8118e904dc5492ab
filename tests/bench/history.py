"""The memory that a million events take, and the time to filter them."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Final

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import parse
from execwhy.tui.model.view.view import View
from tests.bench.figures import Figure
from tests.unit.records import failure

MILLION: Final = 1_000_000
STEP: Final = 0.005
"""Seconds of scanning between two looks at the keyboard, as in the screen."""
BOUND: Final = 64
"""MiB."""
UNLIKE: Final = 100_000
VARIABLE: Final = 4000
"""Characters of a variable that is unique to each event."""
SCREEN: Final = 50
"""Rows visible at once."""
QUERIES: Final = (
    "uid==3",
    "program77",
    "path~program[0-9]7$",
    "uid==3 and not comm:comm1",
    "env:VARIABLE_3=value-7",
    "pid==2000",
    "nothing-has-this",
)


def events(count: int, variables: int, paths: int) -> Iterator[list[ExecFailure]]:
    """Yield batches of failures: 50 environments, some uids and comms, this many paths, all pids distinct."""
    base = failure()
    environments = [
        tuple(f"VARIABLE_{index}=value-{number}" for index in range(variables)) for number in range(50)
    ]
    for start in range(0, count, 1000):
        yield [
            replace(
                base,
                path=f"/opt/app/bin/program{number % paths}",
                arguments=(f"program{number % paths}", "--config", "/etc/app.toml"),
                environment=environments[number % 50],
                timestamp=10**18 + number * 1000,
                pid=1000 + number % 30_000,
                uid=number % 7,
                comm=f"comm{number % 20}",
            )
            for number in range(start, min(start + 1000, count))
        ]


def filled(count: int, variables: int = 40, paths: int = 1000) -> tuple[History, float, float]:
    """Return a history of that many events, the resident memory it took, and microseconds per append."""
    gc.collect()
    before, taken = resident(), 0.0
    history = History(max_events=count, max_bytes=16 << 30)
    for batch in events(count, variables, paths):
        began = time.perf_counter()
        history.append(batch)
        taken += time.perf_counter() - began
    return history, resident() - before, taken / count * 1e6


def resident() -> float:
    """MB of memory that this process has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def timed(history: History, query: str) -> tuple[float, float, float]:
    """Return milliseconds to the first screen, to the end, and of the longest step, which blocks the keys."""
    view = View(history, parse(""))
    while not view.complete:
        view.advance(STEP)
    began = time.perf_counter()
    view.query = parse(query)
    first, longest = 0.0, time.perf_counter() - began
    while not view.complete:
        if not first and len(view) >= SCREEN:
            first = time.perf_counter() - began
        step = time.perf_counter()
        view.advance(STEP)
        longest = max(longest, time.perf_counter() - step)
    whole = time.perf_counter() - began
    return (first or whole) * 1e3, whole * 1e3, longest * 1e3


def measure() -> Iterator[Figure]:
    """Measure the history and the filter."""
    history, memory, append = filled(MILLION)
    # Memory that other parts have freed is reused, so it does not show in the difference.
    memory = max(memory, history.nbytes / 1e6)
    yield Figure(
        "history of 1,000,000 events, environments repeat", memory, "MB", 400, f"{append:.1f} us each"
    )
    times = {query: timed(history, query) for query in QUERIES}
    slowest = max(times, key=lambda query: times[query][1])
    first = max(times, key=lambda query: times[query][0])
    yield Figure("filter over 1,000,000 events: first screen", times[first][0], "ms", 50, f"slowest: {first}")
    yield Figure("filter over 1,000,000 events: all", times[slowest][1], "ms", 300, f"slowest: {slowest}")
    yield Figure("filter: longest step between two keys", max(t[2] for t in times.values()), "ms", 50)
    del history
    yield bounded()
    yield from growth()


def bounded() -> Figure:
    """Return the most memory that a history takes while distinct events overflow it."""
    history, most = History(max_bytes=BOUND << 20), 0
    base = failure()
    for start in range(0, UNLIKE, 100):
        history.append(
            [
                replace(base, timestamp=number, environment=(f"UNLIKE={unlike(number)}",))
                for number in range(start + 1, start + 101)
            ]
        )
        most = max(most, history.nbytes)
    note = f"{UNLIKE:,} unlike events, {history.evicted:,} evicted"
    return Figure(f"history bounded to {BOUND} MiB: the most it took", most / 2**20, "MB", BOUND, note)


def unlike(number: int) -> str:
    """Text that no other has anything in common with, and that packs badly."""
    return Random(number).randbytes(VARIABLE // 2).hex()


def growth() -> Iterator[Figure]:
    """Measure how memory, as the history counts it, and filters scale with events, variables and paths."""
    for count in (10_000, 100_000, 3_000_000):
        history, _, append = filled(count)
        yield Figure(f"history of {count:,} events", history.nbytes / 1e6, "MB", note=f"{append:.1f} us each")
        yield Figure(f"filter over {count:,} events: all", timed(history, "program77")[1], "ms")
    for variables in (4, 400):
        history, _, append = filled(100_000, variables=variables)
        name = f"history of 100,000 events of {variables} variables"
        yield Figure(name, history.nbytes / 1e6, "MB", note=f"{append:.1f} us each")
    for paths in (1, 10_000):
        history, _, append = filled(100_000, paths=paths)
        name = f"100,000 events of {paths:,} paths"
        yield Figure(f"history of {name}", history.nbytes / 1e6, "MB", note=f"{append:.1f} us each")
        yield Figure(f"filter over {name}: all", timed(history, "program7")[1], "ms")
