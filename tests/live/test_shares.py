"""A user who fills the ring takes no room from others, no matter how long the reader does not run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from execwhy.bpf.maps.counters import RING_FULL, SHARE_FULL
from tests.live.command import recording
from tests.live.zoo import Zoo

HOG, OTHER = 61_236, 61_237
"""Uids that no account has."""
PROCESSES = 3
STOPPED = 3.0
"""Seconds for which the reader does not run: a ring of 16 MiB is full in a fraction of one."""
FAILURES = 16


@contextmanager
def storm(zoo: Zoo) -> Iterator[None]:
    """Fail to exec at full speed, from several processes of one user."""
    command = [zoo / "loop", "fail", "2000000000", "/execwhy-hog/program"]
    with ExitStack() as stack:
        for _ in range(PROCESSES):
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.DEVNULL, user=HOG, group=HOG, extra_groups=[])
            )
            stack.callback(process.kill)
        yield


def fail_as_other(zoo: Zoo, number: int) -> None:
    command = [zoo / "storm", f"/execwhy-other/{number}", "other", "1", "1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=OTHER, group=OTHER, extra_groups=[])


def test_a_users_storm_during_a_reader_stall_costs_nobody_else_a_record(zoo: Zoo, tmp_path: Path) -> None:
    output = tmp_path / "file"
    with recording(output) as recorder:
        with storm(zoo):
            os.kill(recorder.pid, signal.SIGSTOP)
            try:
                for number in range(FAILURES):
                    time.sleep(STOPPED / FAILURES)
                    fail_as_other(zoo, number)
            finally:
                os.kill(recorder.pid, signal.SIGCONT)
        said = recorder.end()
    assert recorder.process.returncode == 0, said
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    paths = sorted(line["path"] for line in lines if line.get("uid") == OTHER)
    assert paths == sorted(f"/execwhy-other/{number}" for number in range(FAILURES))
    counters = lines[-1]["counters"]
    assert RING_FULL not in counters["losses"], counters
    assert counters["losses"][SHARE_FULL] > FAILURES, counters
    assert counters["seen"] == counters["recorded"] + counters["suppressed"] + counters["lost"]
