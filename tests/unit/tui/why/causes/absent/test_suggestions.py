"""Suggested programs work: the caller may execute them, and they need no set-up of a user."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.causes.absent import suggestions
from tests.unit.tui.why.failing import failed_exec

NOBODY_IN_PARTICULAR = 54321

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root executes as another user")


def program(path: Path, line: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line)
    path.chmod(0o755)
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Yield a directory that everyone can reach."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.getuid() and not directory.stat().st_mode & 0o001:
            directory.chmod(directory.stat().st_mode | 0o011)
    return tmp_path


@pytest.mark.parametrize("where", ["shims", "pyenv/shims", "bin"])
def test_no_shebang_line_is_suggested_that_names_a_file_in_a_users_directory(
    where: str, tmp_path: Path
) -> None:
    program(tmp_path / where / "oython3.6")
    script = program(tmp_path / "job", "#!/usr/local/bin/oython3.4\n")
    record = failed_exec(script, environment={"PATH": f"{tmp_path}/{where}:/usr/bin"})
    diagnosis = diagnose(record)
    assert (diagnosis.code, diagnosis.certain) == ("missing-interpreter", True)
    assert diagnosis.advice is None


@pytest.mark.parametrize(("where", "advised"), [("bin", True), ("shims", False)])
def test_a_shim_is_not_suggested_even_in_the_directory_of_the_missing_name(
    where: str, advised: bool, tmp_path: Path
) -> None:
    near = program(tmp_path / where / "oython3.6")
    advice = diagnose(failed_exec(tmp_path / where / "oython3.4")).advice
    assert advice == (f"Did you mean {near}?" if advised else None)


def test_a_link_to_a_shim_is_a_shim(tmp_path: Path) -> None:
    shim = program(tmp_path / "shims" / "tool")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/oython3.6").symlink_to(shim)
    assert diagnose(failed_exec(tmp_path / "bin/oython3.4")).advice is None


@pytest.mark.parametrize(("mode", "advised"), [(0o755, True), (0o644, False)])
def test_a_file_that_nobody_may_execute_is_not_suggested(mode: int, advised: bool, tmp_path: Path) -> None:
    near = program(tmp_path / "deploy-all")
    near.chmod(mode)
    advice = diagnose(failed_exec(tmp_path / "deploy-al")).advice
    assert advice == (f"Did you mean {near}?" if advised else None)


def test_the_next_nearest_name_is_suggested_if_the_nearest_is_not_a_program(tmp_path: Path) -> None:
    program(tmp_path / "deploy-all").chmod(0o644)
    near = program(tmp_path / "deploy-alll")
    assert diagnose(failed_exec(tmp_path / "deploy-al")).advice == f"Did you mean {near}?"


@as_root
@pytest.mark.parametrize(("mode", "advised"), [(0o755, True), (0o700, False)])
@pytest.mark.parametrize("closed", ["directory", "file"])
def test_a_program_that_the_caller_may_not_execute_is_not_suggested(
    closed: str, mode: int, advised: bool, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = program(place / "private/bin/oython3.6")
    (near if closed == "file" else near.parent.parent).chmod(mode)
    monkeypatch.setattr(suggestions, "SYSTEM_DIRECTORIES", {str(near.parent)})
    script = program(place / "job", "#!/usr/local/bin/oython3.4\n")
    environment = {"PATH": str(near.parent)}
    record = failed_exec(script, environment=environment, user=NOBODY_IN_PARTICULAR)
    advice = diagnose(record).advice
    assert advice == (f"If {near} is meant, name that in the first line." if advised else None)


@as_root
def test_a_program_for_env_is_not_suggested_from_the_callers_own_directory(place: Path) -> None:
    theirs = program(place / "theirs/oython3.6").parent
    for path in (theirs, theirs / "oython3.6"):
        os.chown(path, NOBODY_IN_PARTICULAR, NOBODY_IN_PARTICULAR)
    script = program(place / "job", "#!/usr/bin/env oython3.4\n")
    environment = {"PATH": str(theirs)}
    missing = f"{theirs}/oython3.4"
    by_env = failed_exec(missing, ["oython3.4", str(script)], environment, user=NOBODY_IN_PARTICULAR)
    diagnosis = diagnose(dataclasses.replace(by_env, comm="job"))
    assert (diagnosis.code, diagnosis.advice) == ("missing-program-of-env", None)
    by_name = failed_exec(missing, ["oython3.4"], environment, user=NOBODY_IN_PARTICULAR)
    assert diagnose(by_name).advice == f"Did you mean {theirs}/oython3.6?"
