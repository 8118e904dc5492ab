"""Callers that a forked child cannot be: 32-bit, vfork, spawned, in a cgroup of its own."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from execwhy.bpf.events.record import ExecFailure
from tests.live import circumstances
from tests.live.cases import MISSING
from tests.live.command import recording
from tests.live.compat_cases import COMPAT_CALLS, COMPAT_PROGRAMS
from tests.live.exec_child import (
    Exec,
    attempted,
    attempted_by,
    attempted_in_vfork,
    libc,
)
from tests.live.expectation import Expected, File, check
from tests.live.listener import Listener, fail_to_exec
from tests.live.zoo import Zoo

ONLY_X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="int $0x80 is of x86")


X32_EXECVE = 0x40000000 | 520
"""__X32_SYSCALL_BIT, and execve of arch/x86/entry/syscalls/syscall_64.tbl for x32."""


@ONLY_X86
@pytest.mark.parametrize("program", COMPAT_PROGRAMS)
@pytest.mark.parametrize(("call", "error"), COMPAT_CALLS.values(), ids=COMPAT_CALLS)
def test_a_32_bit_call_is_recorded_from_either_kind_of_program(
    program: str, call: Exec, error: str, zoo: Zoo, listener: Listener
) -> None:
    with attempted_by(zoo / program, call) as attempt:
        records = listener.records_of(attempt.caller.pid, attempt.before)
        assert len(records) == 1
        file = None
        if error == "EACCES":
            stdin = f"/proc/{attempt.caller.pid}/fd/0"
            file = File(os.readlink(stdin), stdin)
        check(records[0], attempt, Expected(error, file))


@ONLY_X86
def test_a_failing_munmap_is_not_recorded_as_a_32_bit_execve(zoo: Zoo, listener: Listener) -> None:
    # Number 11: execve of 32-bit callers, munmap of 64-bit ones.
    listener.catch_up()
    before = len(listener.failures)
    for _ in range(100):
        assert libc.munmap(1, 1) == -1
    listener.catch_up()
    assert not [failure for failure in listener.failures[before:] if failure.pid == os.getpid()]


@ONLY_X86
def test_a_call_of_the_x32_kind_is_recorded(listener: Listener) -> None:
    path = f"/no/{uuid.uuid4()}"
    libc.syscall(ctypes.c_long(X32_EXECVE), path.encode(), None, None)
    # A kernel without x32 refuses the number; one with x32 does not find the file.
    error = errno.errorcode[ctypes.get_errno()]
    assert error in ("ENOSYS", "ENOENT")
    listener.catch_up()
    (record,) = (failure for failure in listener.failures if failure.path == path)
    assert (record.error, record.compat, record.pid) == (error, True, os.getpid())


def test_a_vfork_child_is_the_caller(zoo: Zoo, listener: Listener) -> None:
    with attempted_in_vfork(zoo / "vforks", Exec(MISSING)) as attempt:
        records = listener.records_of(attempt.caller.pid, attempt.before)
        assert len(records) == 1
        check(records[0], attempt, Expected("ENOENT"))


def spawned(path: str, marker: str) -> None:
    with pytest.raises(FileNotFoundError):
        os.posix_spawn(path, [path, marker], {})


def spawned_by_subprocess(path: str, marker: str) -> None:
    with pytest.raises(FileNotFoundError):
        subprocess.run([path, marker], env={}, check=False)


@pytest.mark.parametrize("spawn", [spawned, spawned_by_subprocess])
def test_a_spawned_child_is_the_caller(spawn: Callable[[str, str], None], listener: Listener) -> None:
    marker = str(uuid.uuid4())
    spawn("/no/such/program", marker)
    (record,) = listener.records_with(marker)
    assert record.arguments == ("/no/such/program", marker)
    assert record.ppid == os.getpid()
    assert record.pid == record.tid != os.getpid()
    assert (record.path, record.error, record.syscall) == ("/no/such/program", "ENOENT", "execve")


def test_many_processes_one_after_the_other_are_recorded_each_once(listener: Listener) -> None:
    paths = [f"/no/{uuid.uuid4()}" for _ in range(500)]
    for path in paths:
        fail_to_exec(path)
    listener.catch_up()
    wanted = set(paths)
    recorded = [failure for failure in listener.failures if failure.path in wanted]
    assert [failure.path for failure in recorded] == paths
    assert {failure.ppid for failure in recorded} == {os.getpid()}


def test_a_path_that_is_too_deep_shows_that_components_are_missing(zoo: Zoo, listener: Listener) -> None:
    def prepare() -> Exec:
        circumstances.go_to_deep_directory(zoo / "directory", 150)
        return Exec(b"nothing")

    with attempted(prepare) as attempt:
        (record,) = listener.records_of(attempt.caller.pid, attempt.before)
    cwd = os.fsdecode(attempt.caller.cwd)
    assert record.cwd is not None
    shown = record.cwd.removeprefix("...")
    assert shown != record.cwd or record.cwd == cwd
    assert cwd.endswith(shown)
    assert len(shown) > 1500


def test_every_directory_of_a_path_search_is_an_exec(zoo: Zoo, listener: Listener) -> None:
    marker = str(uuid.uuid4())
    subprocess.run(
        ["/bin/sh", "-c", f"exec no-such-program {marker}"],
        env={"PATH": "/no/first:/no/second:/no/third"},
        stderr=subprocess.DEVNULL,
        check=False,
    )
    paths = [record.path for record in listener.records_with(marker)]
    assert paths == [f"/no/{directory}/no-such-program" for directory in ("first", "second", "third")]


CONTAINER = "4f1c8a90b7d2e3f5" * 4


@pytest.fixture
def container_cgroup(tmp_path: Path) -> Iterator[str]:
    """Yield a cgroup like docker's, below the one of this test."""
    top = circumstances.cgroup_file_system()
    if top is None:
        with mounted(["-t", "cgroup2", "none"], tmp_path):
            yield from cgroup_below(str(tmp_path))
    else:
        yield from cgroup_below(top)


@contextmanager
def mounted(what: list[str], directory: Path) -> Iterator[None]:
    subprocess.run(["mount", *what, directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


def cgroup_below(top: str) -> Iterator[str]:
    with open("/proc/self/cgroup") as file:
        here = next(line.rstrip("\n")[3:] for line in file if line.startswith("0::"))
    slice_ = f"{top}{here.rstrip('/')}/execwhy.slice"
    directory = f"{slice_}/docker-{CONTAINER}.scope"
    os.makedirs(directory)
    yield directory
    os.rmdir(directory)
    os.rmdir(slice_)


def test_cgroup_unit_and_container_are_the_callers(
    container_cgroup: str, zoo: Zoo, listener: Listener
) -> None:
    def prepare() -> Exec:
        circumstances.join_cgroup(container_cgroup)
        return Exec(MISSING)

    with attempted(prepare) as attempt:
        (record,) = listener.records_of(attempt.caller.pid, attempt.before)
        check(record, attempt, Expected("ENOENT"))
    assert record.cgroup is not None and container_cgroup.endswith(record.cgroup)
    assert record.container_id == CONTAINER


@pytest.fixture
def v1_cgroups(tmp_path: Path) -> Iterator[Path]:
    """Yield a v1 hierarchy without a controller, as any host can have one beside v2."""
    top = tmp_path / "v1"
    top.mkdir()
    with mounted(["-t", "cgroup", "-o", "none,name=execwhy-test", "none"], top):
        yield top


def test_a_container_in_a_v1_hierarchy_is_recorded_while_its_process_lives(
    v1_cgroups: Path, tmp_path: Path
) -> None:
    directory = f"{v1_cgroups}/docker/{CONTAINER}"
    os.makedirs(directory)
    marker = str(uuid.uuid4())
    script = f"""
import os, time
open("{directory}/cgroup.procs", "w").write("0")
for _ in range(50):
    try: os.execv("/no/such/program", ["x", "{marker}"])
    except OSError: time.sleep(0.1)
"""
    try:
        with recording(tmp_path / "fails.jsonl") as recorder:
            subprocess.run([sys.executable, "-I", "-c", script], check=True)
            recorder.end()
    finally:
        os.rmdir(directory)
        os.rmdir(os.path.dirname(directory))
    lines = [json.loads(line) for line in (tmp_path / "fails.jsonl").read_text().splitlines()]
    records = [line for line in lines if marker in (line.get("arguments") or ())]
    assert len(records) == 50
    found = {
        (each["cgroup"], each["container_id"], each["container_runtime"])
        for each in records
        if each.get("container_id")
    }
    assert found == {(f"/docker/{CONTAINER}", CONTAINER, "docker")}


def test_a_successful_exec_leaves_no_record(zoo: Zoo, listener: Listener) -> None:
    marker = str(uuid.uuid4())
    subprocess.run([zoo / "succeeds", marker], check=True)
    subprocess.run([zoo / "dynamic", marker], check=True)
    subprocess.run([zoo / "script", marker], check=True)
    assert listener.records_with(marker) == []


def test_a_failure_followed_by_a_success_of_one_task_is_one_record(zoo: Zoo, listener: Listener) -> None:
    marker = str(uuid.uuid4())
    # The shell fails in the first directory and continues with the second in the same process.
    subprocess.run(
        ["/bin/sh", "-c", f"exec succeeds {marker}"], env={"PATH": f"/no/such:{zoo.directory}"}, check=True
    )
    records: list[ExecFailure] = listener.records_with(marker)
    assert [record.path for record in records] == ["/no/such/succeeds"]
