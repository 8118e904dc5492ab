"""ETXTBSY names the process that writes the file, no matter how many files are open elsewhere."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.scene.processes import descriptors, holders, listing
from tests.unit.tui.why.failing import failed_exec

SCRIPT = b"#!/bin/sh\n"


@pytest.fixture(autouse=True)
def no_list_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    listing._last.clear()
    monkeypatch.setattr(listing, "SECONDS", 600)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "a program"
    path.write_bytes(SCRIPT)
    path.chmod(0o755)
    return path


WRITER = """
import os, sys, time
if sys.argv[2] == "apart" and os.fork():
    os._exit(0)
file = open(sys.argv[1], "ab")
if sys.argv[2] == "renamed":
    os.rename(sys.argv[1], sys.argv[1] + ".new")
    os.link(sys.argv[1] + ".new", sys.argv[1])
    os.unlink(sys.argv[1] + ".new")
os.write(1, b"%d\\n" % os.getpid())
time.sleep(600)
"""


@pytest.fixture
def writers() -> Iterator[list[int]]:
    started: list[int] = []
    yield started
    for pid in started:
        os.kill(pid, 9)


def start_writer(how: str, path: Path, writers: list[int]) -> int:
    command = [sys.executable, "-IS", "-c", WRITER, str(path), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=how == "apart") as process:
        assert process.stdout is not None
        writers.append(int(process.stdout.readline()))
        process.stdout.close()
        if how == "apart":
            process.wait()
        else:
            process.returncode = 0  # it is ended by its pid; nobody waits for it before
    return writers[-1]


def explained(path: Path) -> Diagnosis:
    diagnosis = diagnose(failed_exec(path))
    assert diagnosis.code == "open-for-writing", diagnosis
    return diagnosis


@pytest.mark.parametrize("how", ["child", "apart", "renamed"])
def test_the_process_that_writes_the_file_is_named(how: str, program: Path, writers: list[int]) -> None:
    pid = start_writer(how, program, writers)
    diagnosis = explained(program)
    assert f"(pid {pid}, fd " in diagnosis.summary
    assert not diagnosis.certain, "it may have opened it since"
    assert diagnosis.advice is not None and str(pid) not in diagnosis.advice


def test_an_unrelated_writer_is_found_through_another_name_of_the_file(
    program: Path, writers: list[int]
) -> None:
    other = program.with_name("other name")
    other.hardlink_to(program)
    pid = start_writer("apart", other, writers)
    assert f"(pid {pid}, fd " in explained(program).summary


def test_a_process_that_only_reads_the_file_is_not_blamed(program: Path, writers: list[int]) -> None:
    with program.open("rb"):
        pid = start_writer("apart", program, writers)
        assert explained(program).summary.count("(pid ") == 1
        assert f"(pid {pid}, " in explained(program).summary


def test_a_file_of_the_same_name_elsewhere_is_not_confused_with_it(
    program: Path, tmp_path: Path, writers: list[int]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / program.name
    other.write_bytes(SCRIPT)
    start_writer("apart", other, writers)
    file = program.open("ab")
    record = failed_exec(program)
    file.close()
    assert "no process was found" in diagnose(record).summary


def test_many_open_files_do_not_hide_a_writer(
    program: Path, writers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 processes with 1,000 descriptors each used up the time."""
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(few, 1100), max(most, 1100)))
    crowd = "import os, time\nfor _ in range(1000): os.open('/dev/null', os.O_WRONLY)\n"
    crowd += "os.write(1, b'x')\ntime.sleep(600)"
    # The other processes are newer than the writer, so they are listed first.
    pid = start_writer("apart", program, writers)
    open_ones = [
        subprocess.Popen([sys.executable, "-IS", "-c", crowd], stdout=subprocess.PIPE) for _ in range(20)
    ]
    asked: list[descriptors.Descriptor] = []
    facts_of = descriptors.facts_of

    def counted(descriptor: descriptors.Descriptor) -> dict[str, str]:
        asked.append(descriptor)
        return facts_of(descriptor)

    for module in (descriptors, listing):
        monkeypatch.setattr(module, "facts_of", counted)
    try:
        for one in open_ones:
            assert one.stdout is not None and one.stdout.read(1) == b"x"
        assert f"(pid {pid}, fd " in explained(program).summary
        assert {one.name for one in asked} == {program.name}, "each was asked for more than its name"
        listed = listing.Listing(os.getuid())
        assert next(listed.named(program.name, float("inf"))).pid == pid
        assert listed._seen < 20 * 1000, "all descriptors of the crowd were listed before the writer's"
    finally:
        for one in open_ones:
            one.kill()
            one.communicate()


def test_one_list_of_open_files_serves_all_failures_before_it(
    program: Path, writers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    records = []
    for number in range(5):
        path = program.with_name(f"program {number}")
        path.write_bytes(SCRIPT)
        path.chmod(0o755)
        start_writer("apart", path, writers)
        records.append(failed_exec(path))
    made: list[int] = []
    pids = listing._pids

    def counted() -> list[int]:
        made.append(1)
        return pids()

    monkeypatch.setattr(listing, "_pids", counted)
    monkeypatch.setattr(listing, "_LASTS", 600 * 10**9)
    for record, pid in zip(records, writers, strict=True):
        assert f"(pid {pid}, fd " in diagnose(record).summary
    assert len(made) == 1


def test_the_comm_of_a_vanished_process_is_a_question_mark() -> None:
    assert holders.comm(0) == "?"
