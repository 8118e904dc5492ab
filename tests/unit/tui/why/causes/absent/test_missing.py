"""ENOENT: the sentence names what is missing."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path

import pytest

from execwhy.bpf.caller.lookup import AT_EMPTY_PATH
from execwhy.tui.why.causes import diagnose, kernel_invoked
from execwhy.tui.why.causes.absent import suggestions
from tests.unit.tui.why.failing import a_failure, failed_exec


def script(path: Path, line: str) -> Path:
    path.write_bytes(line.encode())
    path.chmod(0o755)
    return path


def test_the_nearest_name_in_the_directory_is_suggested(tmp_path: Path) -> None:
    script(tmp_path / "backup.sh", "#!/bin/sh\n")
    diagnosis = diagnose(failed_exec(tmp_path / "bakcup.sh"))
    assert diagnosis.code == "missing-file"
    assert diagnosis.advice == f"Did you mean {tmp_path}/backup.sh?"
    assert diagnosis.certain


def test_the_nearest_directory_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "releases").mkdir()
    diagnosis = diagnose(failed_exec(tmp_path / "release/bin/app"))
    assert diagnosis.code == "missing-directory"
    assert diagnosis.advice == f"Did you mean {tmp_path}/releases?"


def test_a_program_of_the_same_name_in_path_is_suggested_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggestions, "SYSTEM_DIRECTORIES", {f"{tmp_path}/bin", f"{tmp_path}/sbin"})
    (tmp_path / "bin").mkdir()
    (tmp_path / "sbin").mkdir()
    script(tmp_path / "sbin" / "ship", "#!/bin/sh\n")
    script(tmp_path / "bin" / "shap", "#!/bin/sh\n")
    environment = {"PATH": f"{tmp_path}/bin:{tmp_path}/sbin"}
    diagnosis = diagnose(failed_exec(tmp_path / "bin/ship", environment=environment))
    assert diagnosis.advice == f"There is a program of that name: {tmp_path}/sbin/ship."


def test_a_mistyped_program_is_found_in_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggestions, "SYSTEM_DIRECTORIES", {str(tmp_path)})
    script(tmp_path / "deploy-all", "#!/bin/sh\n")
    diagnosis = diagnose(failed_exec("/usr/bin/deploy-alll", environment={"PATH": f"/usr/bin:{tmp_path}"}))
    assert diagnosis.advice == f"Did you mean {tmp_path}/deploy-all?"


def test_a_name_not_searched_in_path_gets_no_suggestion_from_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggestions, "SYSTEM_DIRECTORIES", {f"{tmp_path}/bin"})
    (tmp_path / "bin").mkdir()
    script(tmp_path / "bin" / "deploy-all", "#!/bin/sh\n")
    failure = failed_exec(tmp_path / "deploy-alll", environment={"PATH": f"{tmp_path}/bin"})
    assert diagnose(failure).advice is None


def test_a_distant_name_is_not_suggested(tmp_path: Path) -> None:
    script(tmp_path / "restore", "#!/bin/sh\n")
    assert diagnose(failed_exec(tmp_path / "backup", environment={"PATH": str(tmp_path)})).advice is None


def test_a_file_that_is_not_a_program_is_not_suggested_from_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggestions, "SYSTEM_DIRECTORIES", {str(tmp_path)})
    (tmp_path / "zyxwvut").write_text("no program")
    (tmp_path / "sub").mkdir()
    failure = failed_exec(tmp_path / "sub/zyxwvut", environment={"PATH": str(tmp_path)})
    advice = diagnose(failure).advice
    assert advice is None or "There is a program" not in advice


def test_a_mistyped_interpreter_is_named_with_the_one_that_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggestions, "SYSTEM_DIRECTORIES", {str(tmp_path)})
    script(tmp_path / "pythonic", "#!/bin/sh\n")
    program = script(tmp_path / "job", f"#!{tmp_path}/bin/pyhtonic\n")
    diagnosis = diagnose(failed_exec(program, environment={"PATH": str(tmp_path)}))
    assert diagnosis.code == "missing-interpreter"
    assert diagnosis.brief == f"missing interpreter {tmp_path}/bin/pyhtonic"
    assert diagnosis.advice is not None and f"{tmp_path}/pythonic" in diagnosis.advice


def test_a_dangling_link_is_named_with_its_target(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("releases/7")
    diagnosis = diagnose(failed_exec(tmp_path / "current/bin/app"))
    assert diagnosis.code == "dangling-link"
    assert f'"{tmp_path}/current" is a link to "releases/7"' in diagnosis.summary
    assert f'"{tmp_path}/releases" does not exist' in diagnosis.summary


def test_a_missing_component_behind_a_valid_link_is_not_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "current").symlink_to("7")
    diagnosis = diagnose(failed_exec(tmp_path / "current/app"))
    assert diagnosis.code == "missing-file"
    assert f'"{tmp_path}/7/app"' in diagnosis.summary
    assert f'"{tmp_path}/current" links to "7".' in diagnosis.evidence


def test_a_name_that_occurs_twice_in_a_path_is_not_confused(tmp_path: Path) -> None:
    diagnosis = diagnose(failed_exec(tmp_path / "app/app"))
    assert diagnosis.code == "missing-directory"


def test_a_cr_in_the_first_line_is_found(tmp_path: Path) -> None:
    program = script(tmp_path / "job", "#!/bin/sh -e\r\necho\r\n")
    with_argument = script(tmp_path / "plain", "#!/bin/sh\r\necho\r\n")
    # The CR is part of the argument here, so the kernel finds the shell, and the shell complains.
    with pytest.raises(AssertionError, match="could be executed"):
        failed_exec(program)
    diagnosis = diagnose(failed_exec(with_argument))
    assert diagnosis.code == "crlf-interpreter"
    assert '"/bin/sh\r"' in diagnosis.summary


def test_the_script_whose_first_line_gives_env_a_name_with_cr_is_named(tmp_path: Path) -> None:
    program = script(tmp_path / "a job", "#!/usr/bin/env python3\r\nprint()\r\n")
    record = failed_exec("/usr/bin/python3\r", ["python3\r", str(program)])
    diagnosis = diagnose(dataclasses.replace(record, comm="a job"))
    assert diagnosis.code == "name-ends-in-cr"
    assert f'the script "{program}", whose first line ends in CR' in diagnosis.summary
    assert diagnosis.brief == "CR ends the #! line of a job"
    assert not diagnosis.certain, "nothing proves that the script was run"


def test_a_name_with_cr_is_certain_without_a_script(tmp_path: Path) -> None:
    program = script(tmp_path / "a job", "#!/usr/bin/env python3\nprint()\n")
    record = failed_exec("/usr/bin/python3\r", ["python3\r", str(program)])
    diagnosis = diagnose(dataclasses.replace(record, comm="a job"))
    assert (diagnosis.code, diagnosis.certain) == ("name-ends-in-cr", True)
    assert str(program) not in f"{diagnosis.summary} {diagnosis.evidence} {diagnosis.advice}"


def test_a_mistyped_interpreter_is_searched_in_its_directory_before_path(tmp_path: Path) -> None:
    for directory in ("usual", "other"):
        (tmp_path / directory).mkdir()
        script(tmp_path / directory / "python3", "#!/bin/sh\n")
    program = script(tmp_path / "job", f"#!{tmp_path}/usual/pyhton3\n")
    diagnosis = diagnose(failed_exec(program, environment={"PATH": str(tmp_path / "other")}))
    assert f"If {tmp_path}/usual/python3 is meant" in (diagnosis.advice or "")


def test_a_relative_path_is_named_with_the_working_directory(tmp_path: Path) -> None:
    diagnosis = diagnose(failed_exec("bin/app", cwd=tmp_path))
    assert diagnosis.code == "missing-directory"
    assert f'The path is relative to the working directory "{tmp_path}".' in diagnosis.evidence


def test_hostile_names_are_kept_as_they_are_and_appear_in_no_advice(tmp_path: Path) -> None:
    existing = tmp_path / "it's \x1b[31m;rm -rf"
    script(existing, "")
    diagnosis = diagnose(failed_exec(tmp_path / "it's \x1b[31m;rm -r"))
    assert "\x1b[31m" in diagnosis.summary
    assert diagnosis.advice is None
    script(tmp_path / "it's ;rm -rf", "")
    assert diagnose(failed_exec(tmp_path / "it's ;rm -r")).advice == (
        f"Did you mean '{tmp_path}/it'\"'\"'s ;rm -rf'?"
    )


def test_bytes_that_are_not_utf8_survive(tmp_path: Path) -> None:
    diagnosis = diagnose(failed_exec(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")))
    assert diagnosis.code == "missing-file"
    assert "\udcff\udcfe" in diagnosis.summary


def test_an_empty_path_names_no_file() -> None:
    assert diagnose(a_failure("", 2)).code == "empty-path"


def test_a_descriptor_of_a_vanished_caller_is_not_guessed() -> None:
    failure = a_failure("bin/app", 2, syscall="execveat", dirfd=5, flags=0, pid=2**22 + 1)
    diagnosis = diagnose(failure)
    assert diagnosis.code == "not-looked-at"
    assert not diagnosis.certain


def test_a_mount_namespace_that_is_gone_is_reported_as_gone() -> None:
    diagnosis = diagnose(a_failure("/usr/bin/no-such-program", 2, mount_ns=1, pid=2**22 + 1))
    assert diagnosis.code == "namespace-gone"
    assert not diagnosis.certain
    assert diagnosis.advice is not None and "sh -c, followed by sleep 1" in diagnosis.advice


def test_an_unknown_mount_namespace_makes_the_cause_uncertain(tmp_path: Path) -> None:
    diagnosis = diagnose(a_failure(str(tmp_path / "nothing"), 2, mount_ns=None, root=None))
    assert diagnosis.code == "missing-file"
    assert not diagnosis.certain


def test_a_kernel_helper_is_named_with_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"/proc/sys/kernel/core_pattern": "|/usr/lib/no-such-handler %p\n"}
    monkeypatch.setattr(kernel_invoked, "read_proc", settings.get)
    diagnosis = diagnose(a_failure("/usr/lib/no-such-handler", 2, kernel_invoked=True, syscall=None))
    assert diagnosis.code == "missing-kernel-helper"
    assert diagnosis.brief == "missing kernel helper of kernel.core_pattern"
    assert "to receive a core dump" in diagnosis.evidence[0]


def test_a_kernel_helper_of_no_known_setting_keeps_its_cause() -> None:
    diagnosis = diagnose(a_failure("/no/such/helper", 2, kernel_invoked=True, syscall=None))
    assert diagnosis.code == "missing-directory"
    assert "The kernel itself started it" in diagnosis.evidence[0]


def test_a_removed_script_is_not_confused_with_a_removed_directory(tmp_path: Path) -> None:
    path = script(tmp_path / "job", "#!/no/such/interpreter\n")
    descriptor = os.open(path, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    path.unlink()
    me = os.getpid()
    try:
        record = a_failure("", errno.ENOENT, dirfd=descriptor, flags=AT_EMPTY_PATH, pid=me, tid=me)
        diagnosis = diagnose(record)
    finally:
        os.close(descriptor)
    assert diagnosis.code == "missing-interpreter", diagnosis
