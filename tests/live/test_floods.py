"""An unprivileged user floods the monitor; another user's failure is still shown, with its cause."""

from __future__ import annotations

import itertools
import json
import mmap
import os
import pwd
import re
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from execwhy.tui.why.lookers.bounds import MAX_ANSWER
from tests.live.command import COMMAND, PLAIN, Recorder, on_terminal, recording
from tests.live.exec_child import PATIENCE
from tests.live.listener import fail_to_exec

SECONDS = float(os.environ.get("EXECWHY_FLOOD_SECONDS", "6"))
"""How long each kind of flood lasts: some seconds in the tests, a minute in make soak."""

NOBODY = pwd.getpwnam("nobody")
VICTIM = pwd.getpwnam("daemon")
PROGRAMS = Path(__file__).parents[1] / "programs"
KINDS = ("mounts", "overlay", "proc", "busy", "environments", "links", "forged")
MOST_SECONDS, MOST_SECONDS_TO_END = (1.0, 5.0) if SECONDS >= 60 else (20.0, 20.0)
"""Seconds until nearly every failure of another user is seen, and until the program has ended. The tests
run beside others on a busy machine, where both may take many times as long."""

MOST_SECONDS_OF_ANY = 20.0
"""Seconds until the last of these failures is seen."""
MOST_ABOVE_REST = 100 << 10
"""KiB of resident memory that all processes of a recording may use above their memory at rest."""

MOST_OF_RECORD = MAX_ANSWER + (8 << 10)
"""Bytes of a record with a short path and a long diagnosis: a looker's answer, and 8 KiB for all else, of
which a path, an argument and the numbers take 2. Without bounds it had 4 MB."""

HISTORY, MOST_ABOVE_HISTORY = 128 << 10, 100 << 10
"""KiB that the history of a screen may take, and how much more the whole monitor may."""


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a directory that everybody may enter, with one in it that belongs to nobody."""
    with tempfile.TemporaryDirectory(prefix="execwhy-flood-") as directory:
        os.chmod(directory, 0o755)
        for source in (PROGRAMS / "flood.py", Path(__file__).with_name("silent_server.py")):
            shutil.copy(source, directory)
        (Path(directory) / "work").mkdir()
        os.chown(Path(directory) / "work", NOBODY.pw_uid, NOBODY.pw_gid)
        # The mode that udev sets: here it may be accessible only to root.
        os.mknod(Path(directory) / "fuse", stat.S_IFCHR, os.makedev(10, 229))
        os.chmod(Path(directory) / "fuse", 0o666)
        yield Path(directory)


@contextmanager
def flooding(kind: str, place: Path, work: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    command = ["/usr/bin/python3", str(place / "flood.py"), kind, str(work or place / "work"), str(SECONDS)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd="/", env=PLAIN,
        user=NOBODY.pw_uid, group=NOBODY.pw_gid, extra_groups=(), start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            for group in (process.pid, os.getpgid(process.pid) if process.poll() is None else process.pid):
                with suppress(ProcessLookupError):
                    os.killpg(group, 9)


@contextmanager
def first_in_turn() -> Iterator[None]:
    """Run before all others, like a terminal on another machine, except for children started in between.

    A terminal emulator that shares the processors with the flood is itself seconds late.
    """
    os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Victim:
    """Another user with some scripts whose interpreter is missing."""

    def __init__(self, place: Path) -> None:
        self._place = place / "victim"
        self._place.mkdir()
        self.waited: list[float] = []

    @property
    def waited_mostly(self) -> float:
        """Return the seconds within which 95 % of the failures were seen."""
        return sorted(self.waited)[(len(self.waited) * 95 - 1) // 100]

    def fails(self, wait: Callable[[str], object]) -> str:
        """Let a script fail, and measure how long it takes until ``wait`` returns."""
        script = self._place / uuid.uuid4().hex[:12]
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o755)
        time.sleep(0.2)  # otherwise the file is as new as the failure
        child = os.fork()
        if child == 0:
            os.setresgid(VICTIM.pw_gid, VICTIM.pw_gid, VICTIM.pw_gid)
            os.setresuid(VICTIM.pw_uid, VICTIM.pw_uid, VICTIM.pw_uid)
            with suppress(OSError):
                os.execv(script, [str(script)])
            os._exit(0)
        began = time.monotonic()
        os.waitpid(child, 0)
        wait(str(script))
        self.waited.append(time.monotonic() - began)
        return str(script)


class Tail:
    """Reads a growing recording, each line once: rereading it would distort the measurement."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rest = b""

    def wait_for(self, text: str) -> dict[str, Any]:
        """Wait for a line with a text, and return the record."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
            found = [line for line in lines if text.encode() in line]
            if found:
                record: dict[str, Any] = json.loads(found[0])
                return record
            time.sleep(0.01)
        raise TimeoutError(f"{text!r} was not recorded")


def records(recorder: Recorder, text: str) -> list[dict[str, Any]]:
    with recorder.output.open() as file:
        return [json.loads(line) for line in file if text in line]


def resident(monitor: int) -> int:
    """KiB of private and shared memory of the monitor and of the processes that look for it."""
    found, pids = 0, [monitor]
    while pids:
        pid = pids.pop()
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                found += int(line.split()[1]) if line.startswith("Pss:") else 0
            for thread in os.listdir(f"/proc/{pid}/task"):
                pids += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_delays_nobody_else_in_a_recording(kind: str, place: Path) -> None:
    with recording(place / "file.jsonl") as recorder:
        victim, tail = Victim(place), Tail(recorder.output)
        victim.fails(tail.wait_for)
        at_rest = most = resident(recorder.pid)
        with flooding(kind, place) as flood:
            scripts = []
            deadline = time.monotonic() + SECONDS
            while flood.poll() is None and time.monotonic() < deadline:
                scripts.append(victim.fails(tail.wait_for))
                most = max(most, resident(recorder.pid))
        began = time.monotonic()
        recorder.end()
        took = time.monotonic() - began
        print(
            f"{kind}: {len(scripts)} failures of another user in the file, 95 % within"
            f" {victim.waited_mostly:.2f} s, all within {max(victim.waited):.2f} s;"
            f" {at_rest / 1024:.0f} MB at rest, {most / 1024:.0f} at most; ended within {took:.1f} s"
        )
        for script in scripts:
            (record,) = records(recorder, script)
            assert record["diagnosis"]["code"] == "missing-interpreter", record["diagnosis"]
            assert record["uid"] == VICTIM.pw_uid
            assert record["diagnosis"]["certain"] or kind == "forged", record["diagnosis"]
        assert scripts
        assert victim.waited_mostly < MOST_SECONDS
        assert max(victim.waited) < MOST_SECONDS_OF_ANY
        assert most - at_rest < MOST_ABOVE_REST
        assert took < MOST_SECONDS_TO_END
        if kind == "links":
            of_flood = records(recorder, str(place / "work"))
            last = [record["diagnosis"]["evidence"][-1] for record in of_flood]
            assert any("more sentences" in sentence for sentence in last), "no diagnosis was too long"
            assert max(len(json.dumps(record)) for record in of_flood) < MOST_OF_RECORD
        if kind == "forged":
            shown = records(recorder, "/usr/bin/innocent")
            assert not any(record["diagnosis"]["certain"] for record in shown)


@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_hides_nobody_else_on_the_screen(kind: str, place: Path) -> None:
    with (
        on_terminal("--filter", f"user={VICTIM.pw_name}", width=160) as terminal,
        flooding(kind, place),
        first_in_turn(),
    ):
        victim = Victim(place)
        deadline = time.monotonic() + SECONDS

        def wait(path: str) -> None:
            cause = re.compile(re.escape(path.rpartition("/")[2]) + r".*?(\? )?missing interpreter")
            terminal.wait_for(lambda: cause.search(terminal.text) is not None, f"explained {path!r}")
            found = cause.search(terminal.text)
            assert found is not None
            assert kind == "forged" or not found[1], found[0]

        while len(victim.waited) < 3 or time.monotonic() < deadline:
            victim.fails(wait)
        terminal.type("q")
        began = time.monotonic()
        while (status := terminal.status()) is None:
            assert time.monotonic() < began + PATIENCE
        took = time.monotonic() - began
        print(
            f"{kind}: {len(victim.waited)} on screen, 95 % within {victim.waited_mostly:.2f} s,"
            f" all within {max(victim.waited):.2f} s; q took {took:.2f} s"
        )
        assert status == 0
        assert victim.waited_mostly < MOST_SECONDS
        assert max(victim.waited) < MOST_SECONDS_OF_ANY
        assert took < MOST_SECONDS_TO_END


def test_memory_is_bounded_through_every_flood(place: Path) -> None:
    with on_terminal("--history-bytes", f"{HISTORY >> 10}M", width=160) as terminal:
        at_rest = most = resident(terminal.pid)
        by_kind = {}
        for kind in KINDS:
            work = place / kind
            work.mkdir()
            os.chown(work, NOBODY.pw_uid, NOBODY.pw_gid)
            with flooding(kind, place, work) as flood:
                by_kind[kind], deadline = 0, time.monotonic() + SECONDS
                while flood.poll() is None and time.monotonic() < deadline:
                    terminal.read_unseen(0.5)
                    by_kind[kind] = max(by_kind[kind], resident(terminal.pid))
            most = max(most, by_kind[kind])
        print(
            f"screen with a history of {HISTORY >> 10} MB: {at_rest >> 10} MB at rest, {most >> 10} at most:",
            {kind: f"{found >> 10} MB" for kind, found in by_kind.items()},
        )
        assert most < HISTORY + MOST_ABOVE_HISTORY


def test_memory_is_bounded_while_nobody_reads_a_recording(place: Path) -> None:
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb") as pipe,
        subprocess.Popen(
            [*COMMAND, "--record", "-"], stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.DEVNULL,
            env=PLAIN, cwd="/",
        ) as process,
    ):  # fmt: skip
        os.close(writing)
        try:
            assert b'"plan"' in pipe.readline()
            at_rest = most = resident(process.pid)
            with flooding("environments", place) as flood:
                deadline = time.monotonic() + SECONDS
                while flood.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.2)
                    most = max(most, resident(process.pid))
            assert process.poll() is None
        finally:
            process.kill()
        print(f"unread: {at_rest / 1024:.0f} MB at rest, {most / 1024:.0f} at most")
        left = pipe.read()
    assert b"/nonexistent/flood-" in left
    assert len(left) > 32 << 10, "the pipe was not full"
    assert most - at_rest < MOST_ABOVE_REST


def test_a_recording_holds_the_failures_of_the_floods_themselves(place: Path) -> None:
    """Without records of their own failures, the floods would prove nothing."""
    with recording(place / "file.jsonl") as recorder:
        with flooding("environments", place):
            time.sleep(1)
        fail_to_exec("/execwhy-after-the-flood")
        recorder.wait_for("/execwhy-after-the-flood")
        recorder.end()
        assert len(records(recorder, "/nonexistent/flood-")) > 50


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_recording_ends_soon_after_a_storm_and_counts_all_its_execs(
    number: signal.Signals, place: Path
) -> None:
    with recording(place / "file.jsonl") as recorder:
        made = mmap.mmap(-1, mmap.PAGESIZE)
        storms = [storming(made, at) for at in range(4)]
        time.sleep(3)
        for pid in storms:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        began = time.monotonic()
        said = recorder.end(number)
        took = time.monotonic() - began
        ending = json.loads(recorder.output.read_text().splitlines()[-1])
        written = len(records(recorder, '"return_value":'))
    counters, left_out = ending["counters"], sum(ending["left_out"].values())
    print(f"{number.name}: ended in {took:.1f} s; {written} written, {left_out} left out, {counters}")
    assert recorder.process.returncode == 0, said
    assert counters["seen"] >= sum(struct.unpack_from("<4Q", made)) > 1000
    assert counters["seen"] == counters["recorded"] + counters["lost"]
    assert counters["recorded"] == ending["written"] + left_out
    assert ending["written"] == written > 0
    assert took < MOST_SECONDS_TO_END


def storming(made: mmap.mmap, at: int) -> int:
    """Start a process of a user of its own that fails without end, and counts how often."""
    child = os.fork()
    if child == 0:
        os.setresuid(2000 + at, 2000 + at, 2000 + at)
        environment = {f"V{name}": str(name) for name in range(100 * (at == 3))}
        for count in itertools.count(1):
            with suppress(OSError):
                os.execve(f"/no/such/storm-{count if at else 0}", ["x"], environment)
            struct.pack_into("<Q", made, at * 8, count)
    return child
