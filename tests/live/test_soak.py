"""Hours of steady and bursty load in minutes: nothing grows that should not.

EXECWHY_SOAK_SECONDS makes it longer (``make soak``: five minutes).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.live.command import on_terminal, recording
from tests.live.listener import fail_to_exec
from tests.live.zoo import Zoo
from tests.pty.terminal import Terminal

SECONDS = float(os.environ.get("EXECWHY_SOAK_SECONDS", "12"))
UID = 61_236
"""A uid without an account, whose failed execs are counted."""
ROUNDS = 4
FLAT = 24 << 20
"""Bytes that a warm process may grow by, because of the allocator and not of records."""


class Usage:
    """Memory, descriptors and threads of a process, as /proc has them."""

    def __init__(self, pid: int) -> None:
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        self.memory = int(status["VmRSS"].split()[0]) << 10
        self.threads = int(status["Threads"])
        self.descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))

    def __str__(self) -> str:
        return f"{self.memory >> 20} MiB, {self.threads} threads, {self.descriptors} descriptors"


def storm(zoo: Zoo, marker: str, times: int) -> int:
    """Fail that often from each of 4 threads, as a user of its own; how often in all."""
    subprocess.run(
        [zoo / "storm", f"/execwhy-soak/{marker}", marker, "4", str(times)],
        check=True, stdout=subprocess.DEVNULL, user=UID, group=UID, extra_groups=[],
    )  # fmt: skip
    return 4 * times


def load(zoo: Zoo, seconds: float, meanwhile: Callable[[], None]) -> int:
    """Steadily a few, and now and then many at once; how many in all."""
    made, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        made += storm(zoo, f"burst-{made % 7}", 1500)
        for _ in range(10):
            made += storm(zoo, f"steady-{made % 7}", 5)
            meanwhile()
            time.sleep(0.1)
    return made


def assert_flat(usages: list[Usage]) -> None:
    """Assert that nothing grows after the first round, in which caches fill."""
    warm, last = usages[0], usages[-1]
    history = "; ".join(map(str, usages))
    assert last.memory <= warm.memory + FLAT, history
    assert last.threads <= warm.threads, history
    assert last.descriptors <= warm.descriptors, history


def test_a_long_recording_does_not_grow(zoo: Zoo, tmp_path: Path) -> None:
    output, made = tmp_path / "file", 0
    usages = []
    with recording(output, "--capture", f"uid=={UID}") as recorder:
        for _ in range(ROUNDS):
            made += load(zoo, SECONDS / 2 / ROUNDS, lambda: None)
            usages.append(Usage(recorder.pid))
        said = recorder.end()
    assert recorder.process.returncode == 0, said
    lines = output.read_bytes().splitlines()
    ending = json.loads(lines[-1])
    counters, left_out = ending["counters"], sum(ending["left_out"].values())
    print(f"\n{said.strip()} {'; '.join(map(str, usages))}")
    assert counters["recorded"] + counters["lost"] == made
    assert counters["seen"] == made + counters["suppressed"]
    written = sum(b'"return_value"' in line for line in lines)
    assert written + left_out == counters["recorded"]
    assert written > made / 4, "a busy machine leaves no time for all at the end, but for most before"
    assert_flat(usages)


def test_a_long_running_screen_does_not_grow(zoo: Zoo) -> None:
    with on_terminal("--capture", f"uid=={UID}", "--history", "2000", width=200) as terminal:
        usages, made = [], 0
        for _ in range(ROUNDS):
            made += load(zoo, SECONDS / 2 / ROUNDS, lambda: look_around(terminal))
            usages.append(Usage(terminal.pid))
        print(f"\n{made:,} failed; {'; '.join(map(str, usages))}")
        assert_flat(usages)
        # An exec that is suppressed, so that the screen shows the full account.
        fail_to_exec("/execwhy-soak/suppressed")
        terminal.wait_for(lambda: recorded_or_lost(terminal.text) == made, f"all {made:,} accounted for")
        terminal.type("q")
        assert terminal.status() == 0
        assert terminal.modes_left_on() == []


def look_around(terminal: Terminal) -> None:
    """Move, and change what is shown."""
    terminal.type("kkjG")
    terminal.type("tt")
    drained = time.monotonic() + 0.2
    while terminal.output_is_waiting() and time.monotonic() < drained:
        terminal.read(0.01)
    # Old output is no longer needed.
    del terminal.output[: -(1 << 16)]


def recorded_or_lost(screen: str) -> int | None:
    """Return how many execs that pass the filter are recorded or lost, by the account on the screen."""
    account = re.search(r"([\d,]+) recorded \+ [\d,]+ suppressed \+ ([\d,]+) lost", screen)
    return None if account is None else sum(int(number.replace(",", "")) for number in account.groups())
