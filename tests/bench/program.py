"""The real program on a pseudo-terminal: how it starts, idles, and survives a core that fails to exec."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.bench.figures import Figure
from tests.pty.terminal import Terminal

ROUNDS: Final = 5
IDLE_SECONDS: Final = 10.0
STORM_SECONDS: Final = 20
ENDURANCE_SECONDS: Final = 600
SETTLE: Final = 3.0
"""Seconds after which a monitor is idle."""
GROWTH: Final = 64
"""MB by which the memory of a full history may vary: a few of its blocks."""
PATHS: Final = (1, 100, 10_000)
"""How many paths fail in turn: a storm is mostly one path, over and over."""


class Monitor(Terminal):
    """The monitor, on a terminal of its own."""

    def __init__(self, *options: str) -> None:
        self.began = time.monotonic()
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TERM": "xterm-256color", "HOME": "/root"}
        super().__init__("-m", "execwhy.tui.cli.main", *options, size=(120, 40), environment=environment)

    def seconds_to(self, text: str) -> float:
        """Return the seconds from the start until this text is on the screen."""
        self.wait_for_text(text)
        return time.monotonic() - self.began

    def quit(self) -> None:
        """Leave."""
        self.type("q")
        self.status()


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """MB of memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6


def starts() -> Iterator[Figure]:
    """First frame and hooks; then what an idle monitor costs."""
    frames, hooks = [], []
    for _ in range(ROUNDS):
        monitor = Monitor()
        frames.append(monitor.seconds_to("execwhy"))
        hooks.append(monitor.seconds_to("live"))
        monitor.quit()
    yield Figure("start to the first frame", statistics.median(frames) * 1e3, "ms", 300)
    yield Figure("start to the hooks attached", statistics.median(hooks) * 1e3, "ms", 500)
    monitor = Monitor()
    monitor.seconds_to("live")
    _settle(monitor)
    before, began = cpu_seconds(monitor.pid), time.monotonic()
    while time.monotonic() < began + IDLE_SECONDS:
        monitor.read()
    share = (cpu_seconds(monitor.pid) - before) / (time.monotonic() - began)
    yield Figure("idle: part of a core", share * 100, "%", 1)
    yield Figure("idle: memory", resident(monitor.pid), "MB", 80)
    monitor.quit()


def storm(loop: Path, seconds: int = STORM_SECONDS, paths: int = 1) -> Iterator[Figure]:
    """Measure while one core fails to exec at full speed, with this many paths and the monitor open."""
    name = "storm" if paths == 1 else f"storm of {paths:,} paths"
    bare = float(_run(loop, 300_000))
    monitor = Monitor()
    monitor.seconds_to("live")
    times = int(seconds * 1e9 / (5 * bare))
    began = time.monotonic()
    command = [str(loop), "fail-in-turn", str(times), "/nonexistent/program", str(paths)]
    waits: list[tuple[float, float]] = []
    early = 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            monitor.read(0.02)
            if not waits or time.monotonic() - waits[-1][0] > 1:
                waits.append((time.monotonic(), _answer(monitor)))
            if not early and time.monotonic() - began > seconds / 10:
                early = resident(monitor.pid)
    took = time.monotonic() - began
    counters = _counters(monitor)
    memory = resident(monitor.pid)
    monitor.quit()
    assert counters["seen"] == counters["recorded"] + counters["suppressed"] + counters["lost"]
    lost = counters["lost"] / max(1, counters["seen"]) * 100
    bound = 0 if paths == 1 else None
    yield Figure(f"{name}: failing execs a second, of one core", times / took, "/s", None, f"{took:.0f} s")
    yield Figure(
        f"{name}: lost", lost, "%", bound, f"{counters['lost']:,} of {counters['seen']:,}, each counted"
    )
    yield Figure(f"{name}: longest wait of a key", max(wait for _, wait in waits) * 1e3, "ms")
    yield Figure(f"{name}: memory afterwards", memory, "MB", None, f"{early:,.0f} MB after a tenth of it")
    if seconds == ENDURANCE_SECONDS:
        yield Figure(f"{name}: growth of the memory in its last nine tenths", memory - early, "MB", GROWTH)


def _counters(monitor: Monitor) -> dict[str, int]:
    """Return the counters in the header of a snapshot."""
    with tempfile.TemporaryDirectory() as place:
        target = Path(place, "end.jsonl")
        monitor.type("/pid==1\r")  # the header is wanted, not a million lines
        _settle(monitor)  # the screen does not show when the next key is no longer part of the filter
        monitor.type("w")
        monitor.wait_for_text("Enter writes")
        monitor.type("\x15")
        monitor.wait_for_text("The ending decides the format")
        monitor.type(str(target))
        monitor.wait_for_text(target.name)
        monitor.type("\r")
        monitor.wait_for(target.exists, "wrote the snapshot")
        with target.open(encoding="utf-8") as file:
            counters: dict[str, int] = json.loads(file.readline())["counters"]
            return counters


def _settle(monitor: Monitor) -> None:
    deadline = time.monotonic() + SETTLE
    while time.monotonic() < deadline:
        monitor.read()


def _run(loop: Path, times: int) -> str:
    return subprocess.run([loop, "fail", str(times)], stdout=subprocess.PIPE, check=True, text=True).stdout


def _answer(monitor: Monitor) -> float:
    """Return the seconds until help is open, which cannot be mistaken; close it again."""
    began = time.monotonic()
    monitor.type("?")
    monitor.wait_for_text("Esc")
    seconds = time.monotonic() - began
    monitor.type("\x1b")  # the next key must not be taken for Alt and that key
    monitor.wait_for(lambda: "Esc" not in monitor.text, "closed its help")
    return seconds


def measure(loop: Path) -> Iterator[Figure]:
    """Measure the real program; this needs root and BPF."""
    yield from starts()
    for paths in PATHS:
        yield from storm(loop, paths=paths)


def endure(loop: Path) -> Iterator[Figure]:
    """Run the storm for ten minutes: memory must not grow, and keys must be answered until the end."""
    yield from storm(loop, ENDURANCE_SECONDS)
