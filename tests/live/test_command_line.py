"""``execwhy --record`` without a screen, as an operator runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from execwhy.bpf.caller.cgroups import cgroup_in, where_of
from execwhy.tui.model.files.record_json import record_from_json
from tests.live.exec_child import PATIENCE
from tests.live.listener import Listener, fail_to_exec

EXECWHY = [sys.executable, "-m", "execwhy.tui.cli.main"]
PROJECT = Path(__file__).parent.parent.parent


@contextmanager
def execwhy(output: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run execwhy with its output in a file, since a pipe that nobody reads would block it."""
    with (
        output.open("w") as file,
        subprocess.Popen(
            [*EXECWHY, *options], stdout=file, stderr=subprocess.PIPE, text=True, cwd=PROJECT
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def keep_failing(path: str, process: subprocess.Popen[str]) -> None:
    """Exec a path that does not exist, again and again, until the process ends."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None:
        fail_to_exec(path, "argument")
        if time.monotonic() > deadline:
            raise TimeoutError("execwhy did not end")
        time.sleep(0.1)


def parsed(lines: str) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """Return the header, the events, and the ending of a recording."""
    header, *events, ending = map(json.loads, lines.splitlines())
    return header, events, ending


def adds_up(counters: dict[str, int]) -> bool:
    return counters["seen"] == counters["recorded"] + counters["suppressed"] + counters["lost"]


def test_record_ends_after_count_events(tmp_path: Path) -> None:
    path = f"/execwhy-counted/{uuid.uuid4()}"
    output = tmp_path / "output"
    with execwhy(output, "--record", "-", "--count", "3", "--capture", f"path=={path}") as process:
        keep_failing(path, process)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    header, events, ending = parsed(output.read_text())
    assert header["execwhy"] == 1
    assert header["kernel"] == os.uname().release
    assert [event["path"] for event in events] == [path] * 3
    for event in events:
        assert event["error"] == "ENOENT"
        assert event["arguments"] == [path, "argument"]
        assert event["environment"] == []
        assert event["ppid"] == os.getpid()
        assert event["truncated"]["argc"] == 2
        assert event["diagnosis"]["summary"]
    assert adds_up(ending["counters"])
    assert ending["counters"]["recorded"] >= 3


def test_a_line_of_a_recording_equals_the_record_of_the_source(listener: Listener, tmp_path: Path) -> None:
    path = f"/execwhy-twice/{uuid.uuid4()}\x1b[31m\n\udcff\u202e"
    output = tmp_path / "output"
    prefix = path.partition("\x1b")[0]
    with execwhy(output, "--record", "-", "--count", "1", "--capture", f"path:{prefix}**") as process:
        keep_failing(path, process)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    _, (event,), _ = parsed(output.read_text())
    written = record_from_json(event)
    listener.catch_up()
    (captured,) = (
        failure for failure in listener.failures if failure.tid == written.tid and failure.path == path
    )
    # Each converts the boot clock by itself, and no file holds the task. With cgroup v1 each reads the
    # cgroup itself, and the caller may be gone before one of them does.
    assert abs(written.timestamp - captured.timestamp) < 1_000_000_000
    cgroups = Path("/proc/self/cgroup").read_text()
    unified = next(line[3:] for line in cgroups.splitlines() if line.startswith("0::"))
    assert {captured.cgroup, written.cgroup} <= {cgroup_in(cgroups), unified}
    differing: dict[str, Any] = {"timestamp": 0, "cgroup": None, **where_of("/")._asdict()}
    assert replace(captured, task=0, **differing) == replace(
        written, diagnosis=None, search=None, **differing
    )


def test_record_ends_after_a_duration_and_prints_the_counters(tmp_path: Path) -> None:
    path = f"/execwhy-timed/{uuid.uuid4()}"
    output = tmp_path / "output"
    began = time.monotonic()
    with execwhy(output, "--record", "-", "--duration", "3") as process:
        keep_failing(path, process)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert time.monotonic() - began >= 3
    _, events, ending = parsed(output.read_text())
    assert path in [event.get("path") for event in events]
    assert adds_up(ending["counters"])
    assert errors.count("\n") == 1, "a screen that reads standard output is not written upon when it begins"
    for word in ("seen", "recorded", "suppressed", "lost"):
        assert word in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interrupted_recording_is_complete(number: signal.Signals, tmp_path: Path) -> None:
    path = f"/execwhy-interrupted/{uuid.uuid4()}"
    recording = tmp_path / "recording.jsonl"
    with execwhy(tmp_path / "output", "--record", str(recording)) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"execwhy: recording into {recording} (")
        fail_to_exec(path)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert recording.stat().st_mode & 0o777 == 0o600
    _, events, ending = parsed(recording.read_text())
    assert path in [event.get("path") for event in events]
    assert adds_up(ending["counters"])


def test_check_names_the_plan_that_then_runs() -> None:
    result = subprocess.run(
        [*EXECWHY, "--check"], capture_output=True, text=True, cwd=PROJECT, timeout=PATIENCE, check=False
    )
    assert result.returncode == 0, result.stderr
    for plan in ("fentry", "kprobe", "legacy", "tracepoint"):
        assert plan in result.stdout
