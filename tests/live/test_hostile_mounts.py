"""No look waits for a file server of a user: no path to it leads to a request."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest

from execwhy.bpf.caller import mountinfo, mounts, namespaces
from execwhy.bpf.caller.caller_root import reach
from execwhy.bpf.caller.lookup import look_at, look_up
from execwhy.bpf.caller.namespaces import own_mount_ns
from execwhy.bpf.caller.resolution import End
from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.why.causes import diagnose
from tests.own_root import own_root

SERVER: Final = Path(__file__).with_name("silent_server.py")
GENEROUS: Final = 60.0
"""Seconds after which a look counts as blocked for ever."""


class Hostile:
    """A hostile user with a FUSE server, in a mount namespace of its own."""

    def __init__(self, place: Path, command: list[str]) -> None:
        self.place = place
        self._process = subprocess.Popen(
            [*command, sys.executable, "-I", str(SERVER), str(place), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def ask(self, name: str, *arguments: object) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def failure(
        self,
        path: str,
        cwd: str = "/",
        root: str = "",
        detached: str = "",
        *,
        held: tuple[str, bool] | None = None,
        known: Mapping[str, object] = MappingProxyType({}),
    ) -> ExecFailure:
        """Let an exec fail, and make the record of it that the kernel would give.

        With ``held``, another process has a file of that name of the server's open for writing, in its root
        directory or not.
        """
        if held is not None:
            holder = self.ask("hold", *held)
            assert isinstance(holder, int), holder
        pid = self.ask("caller", path, cwd, root, detached)
        assert isinstance(pid, int), pid
        facts: dict[str, object] = {"cwd": cwd, "root": root or "/", **known}
        record = ExecFailure(
            timestamp=time.time_ns(),
            path=path,
            return_value=-13,
            pid=pid,
            tid=pid,
            ppid=os.getpid(),
            mount_ns=os.stat(f"/proc/{pid}/ns/mnt").st_ino,
            environment=(f"PATH={self.place}/over:/usr/bin",),
            arguments=("x",),
        )
        return dataclasses.replace(record, **facts)  # type: ignore[arg-type]

    def close(self) -> None:
        """End it: then the kernel answers who still waits."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the hostile user has ended"
        return json.loads(line)


def in_a_child(hostile: Hostile | None, look: Callable[[], Any]) -> Any:
    """Return what a look returns in a process of its own; one that would block ends with the server."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def child() -> None:
        theirs.send(look())

    process = context.Process(target=child)
    process.start()
    theirs.close()
    try:
        if ours.poll(GENEROUS):
            return ours.recv()
        pytest.fail("the look waits for the hostile user")
    except EOFError:
        pytest.fail("the look failed")
    finally:
        if process.is_alive() and hostile is not None and not ours.closed:
            process.join(1)
        if process.is_alive() and hostile is not None:
            hostile.close()
        process.kill()
        process.join()


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """Drop what was read for other tests."""
    namespaces.tables.begin_anew()


@pytest.fixture(scope="module", params=["user", "root"])
def hostile(request: pytest.FixtureRequest) -> Iterator[Hostile]:
    """Yield a user in a user namespace of its own, or root in ours with a server of its own."""
    place = Path(tempfile.mkdtemp(prefix="hostile-"))
    place.chmod(0o755)
    user = ["unshare", "--user", "--map-root-user", "--mount"]
    hostile = Hostile(place, user if request.param == "user" else ["unshare", "--mount"])
    yield hostile
    hostile.close()
    shutil.rmtree(place, ignore_errors=True)


def looks(record: ExecFailure) -> tuple[object, Diagnosis]:
    return look_up(record, time.time_ns()), diagnose(record)


# ---- nothing of a server's is asked ----


def _ways(place: Path) -> dict[str, dict[str, Any]]:
    return {
        "itself": {"path": f"{place}/fuse/x"},
        "overlay": {"path": f"{place}/over/x"},
        "overlay-on-overlay": {"path": f"{place}/over2/x"},
        "bind-mount": {"path": f"{place}/kept/x"},
        "missing-there": {"path": f"{place}/over/no/x"},
        "mount-point": {"path": f"{place}/over"},
        "link": {"path": f"{place}/plain/link"},
        "relative-link": {"path": f"{place}/plain/beside"},
        "dots": {"path": f"{place}/plain/../over/../over/x"},
        "interpreter": {"path": f"{place}/plain/script"},
        "working-directory": {"path": "x", "cwd": f"{place}/over"},
        "unknown-working-directory": {"path": "x", "cwd": f"{place}/over", "known": {"cwd": None}},
        "proc-cwd": {"path": "/proc/self/cwd/x", "cwd": f"{place}/over"},
        "proc-descriptor": {"path": "/proc/self/fd/9/x", "cwd": f"{place}/over"},
        "descriptor": {"path": "x", "cwd": f"{place}/over", "known": {"dirfd": 9}},
        "detached": {
            "path": "x",
            "cwd": f"{place}/gone",
            "detached": f"{place}/gone",
            "known": {"cwd": None},
        },
        "detached-descriptor": {
            "path": "/proc/self/fd/9/x",
            "cwd": f"{place}/gone",
            "detached": f"{place}/gone",
        },
        "root-directory": {"path": "/x", "root": f"{place}/over"},
        "unknown-root-directory": {"path": "/x", "root": f"{place}/over", "known": {"root": None}},
        "search": {"path": f"{place}/plain/y", "known": {"return_value": -2}},
        "busy": {"path": f"{place}/plain/x", "held": ("x", False), "known": {"return_value": -26}},
        "busy-memfd": {
            "path": f"{place}/plain/memfd:x",
            "held": ("memfd:x", True),
            "known": {"return_value": -26},
        },
    }


@pytest.mark.parametrize("way", list(_ways(Path())))
def test_a_look_sends_no_request_to_a_users_file_server(way: str, hostile: Hostile) -> None:
    record = hostile.failure(**_ways(hostile.place)[way])
    in_a_child(hostile, lambda: looks(record))
    assert hostile.ask("requests") == []


def test_a_file_system_that_is_not_entered_is_named(hostile: Hostile) -> None:
    record = hostile.failure(f"{hostile.place}/over/x")
    (binary, interpreter), diagnosis = in_a_child(hostile, lambda: looks(record))
    assert (binary, interpreter) == (None, None)
    assert diagnosis.code == "not-looked-at"
    assert f'"{hostile.place}/over" (overlay)' in diagnosis.summary
    assert not diagnosis.certain


def test_files_beside_a_hostile_mount_are_examined(hostile: Hostile) -> None:
    record = hostile.failure(f"{hostile.place}/plain/x")
    (binary, interpreter), diagnosis = in_a_child(hostile, lambda: looks(record))
    assert (binary.path, interpreter) == (f"{hostile.place}/plain/x", "/bin/sh")
    assert diagnosis.code == "no-execute-permission"


def test_an_overlay_that_replaced_a_safe_mount_is_not_entered_from_a_stale_table(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = hostile.failure(f"{hostile.place}/later/x")

    def before_and_after() -> tuple[object, object]:
        mounted = namespaces.tables.of
        kept: list[Any] = []

        def keeping(*arguments: Any) -> Any:
            kept.append(mounted(*arguments) if not kept else kept[0])
            return kept[0]

        monkeypatch.setattr(namespaces.tables, "of", keeping)
        with reach(record) as before:  # type: ignore[union-attr]
            first = look_at(before, before.context(record), record.path or "").file
        os.write(theirs, b".")
        os.read(go_on, 1)
        with reach(record) as after:  # type: ignore[union-attr]
            second = look_at(after, after.context(record), record.path or "").resolution
        return first is not None, second.end

    done, theirs = os.pipe()
    go_on, go = os.pipe()
    context = multiprocessing.get_context("fork")
    ours, answer = context.Pipe(duplex=False)
    process = context.Process(target=lambda: answer.send(before_and_after()))
    process.start()
    os.read(done, 1)
    assert hostile.ask("swap") is None
    os.write(go, b".")
    ended = ours.poll(GENEROUS)
    if not ended:
        hostile.close()
    process.kill()
    process.join()
    assert ended
    assert ours.recv() == (True, End.MAY_BLOCK)
    assert hostile.ask("requests") == []
    for descriptor in (done, theirs, go_on, go):
        os.close(descriptor)


# ---- what root mounted is looked at ----


def test_an_overlay_mounted_by_root_is_examined(tmp_path: Path) -> None:
    place = tmp_path
    script = (
        f"mount -t tmpfs t {place} && cd {place} && mkdir lower upper work merged"
        " && echo '#!/bin/no' > lower/x && chmod 755 lower/x"
        f" && mount -t overlay o -o lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work merged"
        " && echo ready && exec sleep 600"
    )
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE, text=True
    ) as caller:
        assert caller.stdout is not None and caller.stdout.readline() == "ready\n"
        record = ExecFailure(
            timestamp=time.time_ns(),
            path=f"{place}/merged/x",
            return_value=-2,
            pid=caller.pid,
            tid=caller.pid,
            cwd="/",
            root="/",
            mount_ns=os.stat(f"/proc/{caller.pid}/ns/mnt").st_ino,
        )
        binary, interpreter = look_up(record, time.time_ns())
        diagnosis = diagnose(record)
        caller.kill()
    assert binary is not None and interpreter == "/bin/no"
    assert diagnosis.code == "missing-interpreter"


# ---- /proc, /sys and devices are never read ----


@contextlib.contextmanager
def opened_for_reading() -> Iterator[list[str]]:
    """Record the files of callers that this process opens, through descriptors that it has."""
    seen: list[str] = []
    real = os.open

    def watched(path: Any, flags: int, *arguments: Any, **others: Any) -> int:
        if isinstance(path, str) and path.startswith("/proc/self/fd/") and not flags & os.O_PATH:
            seen.append(os.readlink(path))
        return real(path, flags, *arguments, **others)

    os.open = watched
    try:
        yield seen
    finally:
        os.open = real


@pytest.mark.parametrize(
    "path",
    [
        "/proc/kmsg",
        "/proc/self/smaps_rollup",
        "/proc/self/environ",
        "/proc/self/ns/mnt",
        "/proc/self/map_files/0-1000",
        "/proc/self/task/self/mem",
        "/proc/sys/kernel/ostype",
        "/proc",
        "/sys/kernel/uevent_seqnum",
        "/sys/kernel/mm",
        "/dev/null",
        "/dev/kmsg",
    ],
)
def test_no_kernel_file_is_read_as_a_program(path: str, tmp_path: Path) -> None:
    script, env = tmp_path / "script", tmp_path / "env"
    script.write_text(f"#!{path}\n")
    env.write_text(f"#!/usr/bin/env {path}\n")
    for file in (script, env):
        file.chmod(0o755)
    with opened_for_reading() as opened:
        for asked in (path, str(script), str(env), f"{path}/x"):
            record = ExecFailure(
                timestamp=time.time_ns(),
                path=asked,
                return_value=-13,
                pid=os.getpid(),
                tid=os.getpid(),
                cwd="/",
                root=own_root(),
                mount_ns=own_mount_ns(),
                environment=(f"PATH={path}:{os.path.dirname(path)}:/proc/self/fd",),
            )
            looks(record)
            looks(dataclasses.replace(record, return_value=-2))
    assert [name for name in opened if name.startswith(("/proc", "/sys", "/dev"))] == []
    assert str(script) in opened


# ---- many mounts ----


def counted_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Yield a list that gets an entry for each time that mounts are read."""
    reads: list[int] = []
    real = mountinfo.Watch.read

    def counted(watch: mountinfo.Watch, limit: int) -> bytes | None:
        reads.append(limit)
        return real(watch, limit)

    monkeypatch.setattr(mountinfo.Watch, "read", counted)
    return reads


def test_many_mounts_of_one_namespace_are_read_once(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = hostile.failure("/nonexistent/one")
    reads = counted_reads(monkeypatch)
    begin = time.monotonic()
    for number in range(100):
        look_up(dataclasses.replace(record, path=f"/nonexistent/{number}"), time.time_ns())
    assert len(reads) <= 2 + (time.monotonic() - begin) / 0.5


def test_too_many_mounts_are_reported_and_not_read(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "MAX_FOREIGN_BYTES", 16 << 10)
    assert hostile.ask("fill", 300) is None
    record = hostile.failure("/nonexistent/one")
    reads = counted_reads(monkeypatch)
    diagnoses = [looks(dataclasses.replace(record, path=f"/nonexistent/{n}"))[1] for n in range(20)]
    assert all("more mounts than are read" in diagnosis.summary for diagnosis in diagnoses)
    assert {diagnosis.code for diagnosis in diagnoses} == {"not-looked-at"}
    assert len(reads) <= 4
