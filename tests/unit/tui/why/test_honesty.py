"""A file that has changed since the exec is never explained as if it had not."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from execwhy.bpf.events import clock
from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.scene.moment import CLOCK_STEP
from tests.unit.tui.why.failing import a_failure, failed_exec


def test_a_look_that_fails_leaves_no_descriptor_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record = failed_exec(tmp_path / "nothing", settled=0)
    assert diagnose(record).code == "missing-file"
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr("execwhy.tui.why.scene.scene.Credentials.of", lambda _record: 1 / 0)
    assert diagnose(record).code == "diagnosis-failed"
    assert os.listdir("/proc/self/fd") == before


def bad_script(tmp_path: Path) -> Path:
    path = tmp_path / "job"
    path.write_text("#!/no/such/interpreter\n")
    path.chmod(0o755)
    return path


def text(tmp_path: Path) -> Path:
    path = tmp_path / "job"
    path.write_text("echo\n")
    path.chmod(0o755)
    return path


def no_program(tmp_path: Path) -> Path:
    path = tmp_path / "job"
    path.write_text("echo\n")
    path.chmod(0o644)
    return path


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    other.rename(path)


def rewrite(path: Path) -> None:
    path.write_text("#!/bin/sh\n")


@pytest.mark.parametrize("make", [bad_script, text, no_program])
@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (Path.unlink, {"vanished-since"}),
        (replace, {"replaced-since"}),
        (lambda path: path.chmod(0o755), {"missing-interpreter", "no-shebang", "changed-since"}),
        (rewrite, {"appeared-since", "changed-since", "no-execute-permission"}),
        (lambda path: path.chmod(0), {"missing-interpreter", "no-shebang", "no-execute-permission"}),
    ],
    ids=["removed", "replaced", "made executable", "rewritten", "made inaccessible"],
)
def test_a_file_changed_right_after_the_exec_is_not_claimed_to_explain_it(
    make: Callable[[Path], Path], change: Callable[[Path], None], codes: set[str], tmp_path: Path
) -> None:
    path = make(tmp_path)
    record = failed_exec(path)
    change(path)
    diagnosis = diagnose(record)
    assert diagnosis.code in codes
    assert not diagnosis.certain
    said = " ".join([diagnosis.summary, *diagnosis.evidence])
    assert "since" in said or "later" in said


@pytest.mark.parametrize("seconds", [-3600, 0, 3600])
def test_a_clock_that_was_set_since_the_start_changes_nothing(
    seconds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = text(tmp_path)
    record = failed_exec(path)
    # Records use the clock as it was at the start, and the ctime of files the clock that was set.
    shift = seconds * 1_000_000_000
    start = clock.boot_time()
    monkeypatch.setattr(clock, "boot_time", lambda: start + shift)
    record = dataclasses.replace(record, timestamp=record.timestamp + shift, binary=None)
    assert diagnose(record).certain
    path.chmod(0o755)
    assert not diagnose(record).certain


@pytest.mark.parametrize("make", [bad_script, text, no_program])
def test_the_same_file_unchanged_is_certain(make: Callable[[Path], Path], tmp_path: Path) -> None:
    for _ in range(5):
        diagnosis = diagnose(failed_exec(make(tmp_path)))
        assert diagnosis.certain, diagnosis


@pytest.mark.parametrize("make", [bad_script, text, no_program])
def test_a_file_written_right_before_may_have_been_written_again_in_that_tick(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    # Its ctime would be the same: that of the last clock tick.
    path = make(tmp_path)
    record = failed_exec(path)
    right_after = path.stat().st_ctime_ns + CLOCK_STEP // 2
    assert not diagnose(dataclasses.replace(record, timestamp=right_after)).certain


def test_a_file_that_vanished_before_the_look_leaves_doubt(tmp_path: Path) -> None:
    path = bad_script(tmp_path)
    record = dataclasses.replace(failed_exec(path), binary=None, interpreter_path=None)
    path.unlink()
    diagnosis = diagnose(record)
    assert diagnosis.code == "missing-file"
    assert not diagnosis.certain


def test_a_file_created_after_the_exec_is_not_blamed(tmp_path: Path) -> None:
    record = failed_exec(tmp_path / "job")
    text(tmp_path)
    diagnosis = diagnose(record)
    assert diagnosis.code == "appeared-since"
    assert not diagnosis.certain


def test_a_script_created_after_the_exec_is_not_blamed_with_certainty(tmp_path: Path) -> None:
    record = failed_exec(tmp_path / "job")
    bad_script(tmp_path)
    assert not diagnose(record).certain


def test_an_interpreter_that_appeared_after_the_exec_is_reported(tmp_path: Path) -> None:
    interpreter = tmp_path / "interpreter"
    path = tmp_path / "job"
    path.write_text(f"#!{interpreter}\n")
    path.chmod(0o755)
    record = failed_exec(path)
    interpreter.symlink_to("/bin/sh")
    diagnosis = diagnose(record)
    assert diagnosis.code == "appeared-since"
    assert not diagnosis.certain


def test_an_error_that_the_facts_do_not_explain_gets_no_cause(tmp_path: Path) -> None:
    path = tmp_path / "job"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    os.utime(path)
    for error in (errno.EUSERS, errno.EXDEV, errno.ENOEXEC, errno.ELOOP, errno.ENOTDIR, errno.EBADF, 999):
        diagnosis = diagnose(a_failure(str(path), error))
        assert diagnosis.code in ("unexplained", "changed-since"), error
        assert not diagnosis.certain


def test_an_error_with_one_meaning_is_named_for_a_file_made_just_before(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    diagnosis = diagnose(a_failure(str(path), errno.ENOKEY))
    assert diagnosis.code == "enokey"
    assert any("changed" in fact for fact in diagnosis.evidence)
    assert not diagnosis.certain


def test_every_errno_gets_a_sentence_that_is_not_certain_without_evidence() -> None:
    for number in range(1, 134):
        diagnosis = diagnose(a_failure("/bin/sh", number))
        assert diagnosis.summary.endswith(".")
        assert diagnosis.brief
        assert diagnosis.code != "diagnosis-failed", (number, diagnosis)
        doubts = [fact for fact in diagnosis.evidence if fact.startswith("Not certain: ")]
        assert bool(doubts) is not diagnosis.certain, (number, diagnosis)


def test_a_record_without_facts_is_diagnosed_without_an_error() -> None:
    for number in range(1, 134):
        bare = a_failure(None, number, cwd=None, mount_ns=None, groups=None)
        assert diagnose(bare).code != "diagnosis-failed"
