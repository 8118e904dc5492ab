"""Which evidence proves that a file is as the kernel found it, and which does not."""

from __future__ import annotations

import dataclasses
import errno
import mmap
import os
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import pytest

from execwhy.bpf.caller.lookup import ResolvedFile
from execwhy.bpf.caller.mounts import MountTable
from execwhy.bpf.events import clock
from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.record import Binary, Diagnosis, ExecFailure
from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.lookers.grouping import cause_key
from execwhy.tui.why.scene import caller, moment
from execwhy.tui.why.scene.moment import CLOCK_STEP, Moment
from execwhy.tui.why.scene.proc import CallerProcess
from execwhy.tui.why.scene.proof import mounted, names
from execwhy.tui.why.scene.scene import Scene
from tests.settled import SETTLED
from tests.unit.tui.why.failing import a_failure, failed_exec

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
MS = 1_000_000


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """Yield a directory on a tmpfs."""
    path = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def no_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moment, "_readings", deque())


@pytest.fixture
def prompt_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every change take effect at its ctime, so that files of others than root need not age first."""
    monkeypatch.setattr(moment, "SLOW_SECONDS", 0)


def script(directory: Path, line: str = "#!/no/such/interpreter") -> Path:
    path = directory / "job"
    path.write_text(f"{line}\n")
    path.chmod(0o755)
    return path


def doubts(diagnosis: Diagnosis) -> str:
    assert diagnosis.certain is not any(fact.startswith("Not certain") for fact in diagnosis.evidence)
    return " ".join(fact for fact in diagnosis.evidence if fact.startswith("Not certain"))


def test_a_change_during_an_exec_counts_as_neither_before_nor_after(no_readings: None) -> None:
    now = time.time_ns()
    at = Moment(now, 3000)
    during = now - SECOND
    assert Moment(now).is_unchanged(during)
    assert not at.is_unchanged(during)
    assert not at.is_changed(during)
    assert at.is_unchanged(now - 3 * SECOND - CLOCK_STEP - SECOND // 100)
    assert at.is_changed(now + SECOND // 100)


def test_a_call_whose_beginning_is_unknown_is_as_old_as_its_process(no_readings: None) -> None:
    now = time.time_ns()
    started = now - clock.boot_time() - 10 * SECOND
    at = Moment.of(a_failure("/x", errno.ENOENT, timestamp=now, started=started))
    assert not at.is_unchanged(now - 9 * SECOND)
    assert at.is_unchanged(now - 11 * SECOND)
    at = Moment.of(a_failure("/x", errno.ENOENT, timestamp=now, started=started, duration_ms=4))
    assert at.is_unchanged(now - 9 * SECOND)


def key(**facts: Any) -> Hashable:
    return cause_key(a_failure("/nowhere", errno.ENOENT, timestamp=1, **facts))


def test_a_delayed_exec_shares_no_look_with_others() -> None:
    tick = round(clock.TICK_NS / MS)
    assert key(duration_ms=tick) == key(duration_ms=2 * tick)
    assert len({key(duration_ms=duration) for duration in (3000, None, tick)}) == 3


def test_calls_of_unknown_beginning_share_a_look_only_if_they_started_together() -> None:
    assert key(started=1, pid=1) == key(started=1, pid=2)
    assert key(started=1) != key(started=2), "a file may have changed since the first, and not the second"
    assert key(started=1, duration_ms=1) == key(started=2, duration_ms=1)
    first = a_failure("/nowhere", errno.ENOENT, started=1)
    again = Occurrence(first, 2, 1, 1, 1, started=2)
    assert cause_key(again) == cause_key(again.materialize()) != cause_key(first)


@pytest.mark.parametrize(("tick_ms", "brief"), [(1, 4), (4, 16), (10, 40)])
def test_a_brief_exec_is_measured_in_clock_ticks(
    tick_ms: int, brief: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moment, "CLOCK_STEP", 8 * tick_ms * MS)
    assert key(duration_ms=1) == key(duration_ms=brief) != key(duration_ms=brief + 1)
    ended = time.time_ns()
    changed = ended - brief * MS
    assert not Moment(ended, 1).is_unchanged(changed), "the longer call may have begun before that"


def test_a_change_within_a_few_clock_ticks_proves_nothing(no_readings: None) -> None:
    now = time.time_ns()
    at = Moment(now)
    assert at.is_unchanged(now - CLOCK_STEP - SECOND // 100 - 1)
    assert not at.is_unchanged(now - CLOCK_STEP // 2)
    assert not at.is_changed(now - CLOCK_STEP // 2)
    assert at.is_changed(now + SECOND // 100)
    assert not at.is_unchanged(now + SECOND)


def test_a_ctime_of_whole_seconds_may_be_cut_off(no_readings: None) -> None:
    now = time.time_ns() // SECOND * SECOND + SECOND * 7 // 10
    whole = now // SECOND * SECOND
    assert Moment(now).is_unchanged(whole + 1)
    assert not Moment(now).is_unchanged(whole)
    assert Moment(now).is_unchanged(whole - SECOND)


class Clocks:
    """The wall clock and the boot clock, which a test sets.

    Attributes:
        boot: Nanoseconds since the boot.
        ahead: Nanoseconds by which the wall clock is ahead of the boot clock.
    """

    def __init__(self) -> None:
        self.boot = clock.now() - clock.boot_time()
        self.ahead = clock.boot_time()

    @property
    def wall(self) -> int:
        """Return the wall clock's time, from which files have their ctime."""
        return self.boot + self.ahead


@pytest.fixture
def clocks(no_readings: None, monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(time, "time_ns", lambda: clocks.wall)
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _: clocks.boot)
    return clocks


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_after_the_exec_makes_no_change_older(hours: int, clocks: Clocks) -> None:
    Moment(clock.now())
    clocks.boot += SECOND
    exec_failed = clock.now()
    clocks.boot += SECOND
    changed_before = clocks.wall
    clocks.ahead += hours * HOUR
    changed_after = clocks.wall
    clocks.boot += SECOND
    assert not Moment(exec_failed).is_unchanged(changed_before)
    assert not Moment(exec_failed).is_unchanged(changed_after)
    clocks.boot += HOUR
    assert not Moment(exec_failed).is_unchanged(changed_before)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_was_set_before_the_exec_is_the_one_that_counts(hours: int, clocks: Clocks) -> None:
    Moment(clock.now())
    clocks.boot += SECOND
    clocks.ahead += hours * HOUR
    Moment(clock.now())
    clocks.boot += SECOND
    changed = clocks.wall
    clocks.boot += SECOND
    exec_failed = clock.now()
    clocks.boot += SECOND
    assert Moment(exec_failed).is_unchanged(changed)
    assert Moment(exec_failed).is_changed(clocks.wall)


def test_a_write_through_a_mapping_on_a_tmpfs_leaves_no_trace(in_memory: Path) -> None:
    path = script(in_memory)
    assert diagnose(failed_exec(path)).certain is (path.stat().st_uid == 0)
    if os.geteuid() != 0:
        return
    os.chown(path, 1000, 1000)
    record = failed_exec(path)
    time.sleep(SETTLED)
    before = path.stat().st_ctime_ns
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        assert mapping[:2] == b"#!"
        mapping[2:10] = b"/another"
    assert path.stat().st_ctime_ns == before
    diagnosis = diagnose(record)
    assert "without a trace" in doubts(diagnosis)


def test_permissions_on_a_tmpfs_are_proven(in_memory: Path, prompt_changes: None) -> None:
    path = script(in_memory)
    path.chmod(0o644)
    if os.geteuid() == 0:
        os.chown(path, 1000, 1000)
    diagnosis = diagnose(failed_exec(path))
    assert (diagnosis.code, diagnosis.certain) == ("no-execute-permission", True), diagnosis


def test_a_file_system_without_times_of_changes_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = script(tmp_path)
    record = failed_exec(path)
    assert diagnose(record).certain
    monkeypatch.setattr(names, "kind_of", lambda step: "vfat")
    assert "of type vfat" in doubts(diagnose(record))


def test_a_directory_named_like_a_deleted_one_is_not_certainly_deleted(tmp_path: Path) -> None:
    named = tmp_path / "here (deleted)"
    named.mkdir()
    time.sleep(SETTLED)
    record = a_failure("job", errno.ENOENT, cwd=str(named))
    diagnosis = diagnose(record)
    assert not diagnosis.certain, diagnosis
    gone = diagnose(dataclasses.replace(record, cwd=str(tmp_path / "none (deleted)")))
    assert (gone.code, gone.certain) == ("working-directory-gone", True), gone


def test_a_working_directory_not_examined_in_time_is_not_reported_as_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    record = failed_exec("job", cwd=tmp_path / "here")
    aside = Scene.aside

    def too_late(scene: Scene, path: str) -> ResolvedFile | None:
        deadline, scene._deadline = scene._deadline, 0.0
        try:
            return aside(scene, path)
        finally:
            scene._deadline = deadline

    monkeypatch.setattr(Scene, "aside", too_late)
    said = doubts(diagnose(record))
    assert "could not be looked at." in said
    assert "is no longer" not in said


def test_a_replaced_working_directory_is_not_the_callers(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    record = failed_exec("job", cwd=tmp_path / "here")
    assert diagnose(record).certain
    (tmp_path / "here").rename(tmp_path / "away")
    (tmp_path / "there").rename(tmp_path / "here")
    assert not diagnose(record).certain


def test_the_earlier_target_of_a_descriptor_is_unknown(tmp_path: Path) -> None:
    time.sleep(SETTLED)
    directory = os.open(tmp_path, os.O_PATH)
    try:
        me = os.getpid()
        record = a_failure("none", errno.ENOENT, dirfd=directory, flags=0, pid=me, tid=me)
        diagnosis = diagnose(record)
    finally:
        os.close(directory)
    assert diagnosis.code == "missing-file"
    assert f"file descriptor {directory}" in doubts(diagnosis)


def test_the_file_that_the_kernel_had_open_needs_no_proof_of_its_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path = script(tmp_path / "real", "text")
    link = tmp_path / "link"
    link.symlink_to("real")
    record = failed_exec(link / "job")
    link.unlink()
    link.symlink_to("real")
    assert not diagnose(record).certain
    status = path.stat()
    device = os.major(status.st_dev) << 20 | os.minor(status.st_dev)
    number, ctime, mode = status.st_ino, status.st_ctime_ns, status.st_mode
    seen = Binary(str(path), device, f"{device >> 20}:{device & 0xFFFFF}", number, ctime, mode, "kernel")
    diagnosis = diagnose(dataclasses.replace(record, binary=seen))
    assert (diagnosis.code, diagnosis.certain) == ("no-shebang", True), diagnosis


@pytest.mark.skipif(os.geteuid() != 0, reason="only root owns what fusermount would not mount on")
def test_without_a_mount_watch_a_path_that_a_user_could_mount_on_is_not_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prompt_changes: None
) -> None:
    monkeypatch.setattr(mounted, "mount_watch", lambda mount_ns: None)
    monkeypatch.setattr(MountTable, "unchanged_since", lambda table, moment: False)
    path = script(tmp_path)

    def failed() -> ExecFailure:
        return dataclasses.replace(failed_exec(path), capabilities=0)

    assert diagnose(failed()).certain
    os.chown(tmp_path, 1000, 1000)
    assert "may have had something mounted on it" in doubts(diagnose(failed()))
    os.chown(tmp_path, 0, 0)
    tmp_path.chmod(0o1777)
    assert diagnose(failed()).certain, "fusermount asks for the ownership of a sticky directory"
    tmp_path.chmod(0o777)
    record = failed()
    assert "may have had something mounted on it" in doubts(diagnose(record))
    # In a container the runtime mounts; but any user can make a pid namespace.
    me = os.getpid()
    inside = dataclasses.replace(record, pid=me, tid=me, pid_ns=os.stat("/proc/self/ns/pid").st_ino)
    monkeypatch.setattr(mounted, "_own_pid_ns", lambda: 1)
    for has_all_ids in (True, False):
        monkeypatch.setattr(mounted, "_has_all_ids", lambda pid, answer=has_all_ids: answer)
        assert diagnose(inside).certain is has_all_ids


def test_handlers_of_another_user_namespace_are_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = script(tmp_path, "text")
    record = failed_exec(path)
    assert diagnose(record).certain
    record = dataclasses.replace(record, foreign_user_ns=True)
    of_one_with = {None: False, ((0, 2**32 - 1),): True, ((1000, 1),): False}
    for ranges, certain in of_one_with.items():
        monkeypatch.setattr(CallerProcess, "ids", lambda process, name, answer=ranges: answer)
        diagnosis = diagnose(record)
        assert (diagnosis.code, diagnosis.certain) == ("no-shebang", certain), diagnosis
    assert "handlers of its own" in doubts(diagnosis)
    system = os.uname()
    older = os.uname_result((*system[:2], "6.6.1", *system[3:]))
    monkeypatch.setattr(os, "uname", lambda: older)
    assert diagnose(record).certain


def refused_interpreter(directory: Path) -> ExecFailure:
    (directory / "interpreter").write_text("text")
    (directory / "interpreter").chmod(0o644)
    return failed_exec(script(directory, f"#!{directory}/interpreter"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files that nobody else may write")
def test_the_interpreter_of_a_refused_script_is_proven_only_if_nobody_else_could_write_it(
    tmp_path: Path, prompt_changes: None
) -> None:
    diagnosis = diagnose(refused_interpreter(tmp_path))
    assert (diagnosis.code, diagnosis.certain) == ("interpreter-not-executable", True), diagnosis
    os.chown(tmp_path / "job", 1000, 1000)
    record = failed_exec(tmp_path / "job")
    assert "had it mapped for writing" in doubts(diagnose(record))
    # The kernel had it open, so nobody else had it open for writing.
    binary = record.binary
    assert binary is not None
    opened = dataclasses.replace(record, binary=dataclasses.replace(binary, source="kernel"))
    assert diagnose(opened).certain
    # The missing permission of the script itself does not depend on its content.
    (tmp_path / "job").chmod(0o644)
    diagnosis = diagnose(failed_exec(tmp_path / "job"))
    assert (diagnosis.code, diagnosis.certain) == ("no-execute-permission", True), diagnosis


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files that nobody else may write")
def test_a_kernel_that_executes_what_is_open_for_writing_proves_no_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(script(tmp_path), 1000, 1000)
    record = failed_exec(tmp_path / "job")
    assert diagnose(record).certain
    system = os.uname()
    for release, certain in (("6.11.4", False), ("6.12.1-x", False), ("6.12.10", True), ("6.1.11", True)):
        known = os.uname_result((*system[:2], release, *system[3:]))
        monkeypatch.setattr(os, "uname", lambda known=known: known)
        assert diagnose(record).certain is certain, release


@pytest.mark.parametrize("name", ["exe", "cwd/job", "root/{path}"])
def test_the_targets_of_links_in_proc_are_not_proven(name: str, tmp_path: Path) -> None:
    path = script(tmp_path, "text")
    path.chmod(0o644)
    with subprocess.Popen(["/bin/sleep", "60"], cwd=tmp_path) as other:
        try:
            led = f"/proc/{other.pid}/{name.format(path=str(path)[1:])}"
            record = a_failure(led, errno.EACCES if name != "exe" else errno.ENOEXEC)
            diagnosis = diagnose(record)
        finally:
            other.kill()
    assert not diagnosis.certain
    assert "leads to was looked at" in doubts(diagnosis)


def test_a_vanished_tracer_is_ruled_out_only_for_root() -> None:
    me = os.getpid()
    for facts, certain in (({}, True), ({"uid": 1000}, False), ({"foreign_user_ns": True}, False)):
        roots = {"uid": 0, "euid": 0, "fsuid": 0, "pid": me, "tid": me}
        with Scene(a_failure("/x", errno.EBADF, **(roots | facts))) as scene:
            scene.__dict__["thread"] = "/proc/self"
            said = caller.forged(scene) or ""
        assert certain or "tracer" in said or "filter" in said
        assert not certain or not said or "filter" in said
