"""Failures share a diagnosis only if they agree in all that it depends on."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.why.causes import advise, diagnose
from execwhy.tui.why.lookers.grouping import cause_key
from tests.unit.tui.why.failing import a_failure, failed_exec


def said(record: ExecFailure) -> tuple[str, str | None]:
    """Return what a diagnosis says, without how long ago the exec was."""
    diagnosis: Diagnosis = diagnose(record)
    return diagnosis.summary, diagnosis.advice


def are_told_apart(one: ExecFailure, other: ExecFailure) -> None:
    other = dataclasses.replace(other, timestamp=one.timestamp, pid=one.pid, tid=one.tid)
    assert said(one) != said(other), "the test shows nothing"
    assert cause_key(one) != cause_key(other)


def executable(path: Path, content: str = "#!/bin/sh\n") -> Path:
    path.write_text(content)
    path.chmod(0o755)
    return path


def test_another_search_path_has_other_suggestions() -> None:
    with_ls = failed_exec("/usr/local/bin/ls", ["ls"], {"PATH": "/usr/local/bin:/usr/bin"})
    without = failed_exec("/usr/local/bin/ls", ["ls"], {"PATH": "/usr/local/bin"})
    are_told_apart(with_ls, without)


def test_another_argument_zero_has_other_suggestions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "execwhy.tui.why.causes.absent.suggestions.SYSTEM_DIRECTORIES",
        {str(tmp_path / "a"), str(tmp_path / "b")},
    )
    for name in ("a/cooking", "b/cookingzz"):
        (tmp_path / name).parent.mkdir()
        executable(tmp_path / name)
    path = {"PATH": f"{tmp_path}/b:{tmp_path}/a"}
    by_name = failed_exec(tmp_path / "a/cookingz", ["cookingz"], path)
    by_path = failed_exec(tmp_path / "a/cookingz", [f"{tmp_path}/a/cookingz"], path)
    are_told_apart(by_name, by_path)


def test_another_working_directory_has_another_script_that_asks_env(tmp_path: Path) -> None:
    records = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        executable(tmp_path / name / "job", "#!/usr/bin/env no-such-program\n")
        record = failed_exec("/usr/bin/no-such-program", ["no-such-program", "./job"], cwd=tmp_path / name)
        records.append(dataclasses.replace(record, comm="job"))
    are_told_apart(*records)


def test_another_working_directory_has_another_relative_interpreter(tmp_path: Path) -> None:
    script = executable(tmp_path / "job", "#!tools/none\n")
    records = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        records.append(failed_exec(script, cwd=tmp_path / name))
    are_told_apart(*records)


def test_a_set_user_id_program_gets_no_commands_of_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advise, "ROOT", os.getuid())
    script = executable(tmp_path / "job", "echo\n")
    record = failed_exec(script)
    are_told_apart(record, dataclasses.replace(record, euid=record.euid + 1))


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (errno.EPERM, {"ppid": 7}),
        (errno.EPERM, {"cgroup": "/other"}),
        (errno.EACCES, {"ppid": 7}),
        (errno.ENOENT, {"mount_ns": 7}),
        (errno.ENOENT, {"fsuid": 12345}),
        (errno.ENOENT, {"check_only": True}),
    ],
)
def test_what_a_look_depends_on_is_part_of_the_key(error: int, facts: dict[str, Any]) -> None:
    record = a_failure("/nowhere", error, timestamp=1)
    assert cause_key(record) != cause_key(dataclasses.replace(record, **facts))


@pytest.mark.parametrize(
    ("error", "path", "facts"),
    [
        (errno.E2BIG, "/bin/x", {}),
        (errno.EAGAIN, "/bin/x", {}),
        (errno.EACCES, "/bin/x", {"fsuid": 7, "capabilities": 1}),
        (errno.ENOENT, "/proc/self/fd/3", {}),
        (errno.ENOENT, "x", {"dirfd": 3}),
        (errno.ENOENT, "/bin/x", {"killed_by": "SIGSEGV"}),
    ],
)
def test_what_only_one_process_has_is_not_shared(error: int, path: str, facts: dict[str, Any]) -> None:
    record = a_failure(path, error, timestamp=1, pid=1, **facts)
    assert cause_key(record) != cause_key(dataclasses.replace(record, timestamp=2))
    assert cause_key(record) != cause_key(dataclasses.replace(record, pid=2))


@pytest.mark.parametrize("error", [errno.ENOENT, errno.ENOTDIR, errno.ENOEXEC, errno.ETXTBSY])
@pytest.mark.parametrize(
    "facts",
    [
        {"pid": 2, "tid": 2, "timestamp": 2},
        {"ppid": 7},
        {"environment": ("A=1",)},
        {"tty": "pts/1"},
    ],
    ids=str,
)
def test_what_makes_no_difference_is_no_part_of_the_key(error: int, facts: dict[str, Any]) -> None:
    record = a_failure("/nowhere", error, timestamp=1, pid=1, fsuid=0)
    assert cause_key(record) == cause_key(dataclasses.replace(record, **facts))
