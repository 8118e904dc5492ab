"""If an interpreter is at fault, the summary names it and how the kernel got there."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
from pathlib import Path

import pytest

from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import diagnose, forbidden
from tests.unit.tui.why.failing import failed_exec


def program(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    path.chmod(0o755)
    return path


def chained(directory: Path, last: str, *between: str) -> Diagnosis:
    """Return the diagnosis of a script "job" whose interpreters end in "last"."""
    names = ["job", *between, "last"]
    for name, following in itertools.pairwise(names):
        program(directory / name, f"#!{directory}/{following}\n")
    program(directory / "last", last)
    return diagnose(failed_exec(directory / "job"))


def test_a_cr_is_blamed_on_the_interpreter_whose_first_line_has_it(tmp_path: Path) -> None:
    diagnosis = chained(tmp_path, "#!/bin/sh\r\n")
    assert diagnosis.code == "crlf-interpreter"
    assert diagnosis.summary == (
        f'The interpreter "{tmp_path}/last" of "{tmp_path}/job" exists, but its first line ends in CR'
        ' (a Windows line ending), so the kernel looked for "/bin/sh\r".'
    )
    assert diagnosis.brief == "#! line ends in CR (interpreter last)"


def test_an_interpreter_of_an_interpreter_is_named_with_both(tmp_path: Path) -> None:
    diagnosis = chained(tmp_path, "#!/bin/sh\r\n", "middle")
    assert diagnosis.summary.startswith(
        f'The interpreter "{tmp_path}/last" of "{tmp_path}/middle",'
        f' the interpreter of "{tmp_path}/job" exists'
    )


def test_a_cr_in_the_script_itself_is_blamed_on_the_script(tmp_path: Path) -> None:
    diagnosis = diagnose(failed_exec(program(tmp_path / "job", "#!/bin/sh\r\n")))
    assert diagnosis.summary.startswith(f'The script "{tmp_path}/job" exists, but its first line ends in CR')
    assert diagnosis.brief == "its #! line ends in CR"


def test_what_an_interpreter_lacks_is_named_with_the_script(tmp_path: Path) -> None:
    diagnosis = chained(tmp_path, "#!/opt/none\n")
    assert diagnosis.summary == (
        f'The interpreter "{tmp_path}/last" of "{tmp_path}/job" exists,'
        ' but its interpreter "/opt/none" does not.'
    )


@pytest.mark.parametrize("interpreted", [True, False])
def test_a_noexec_mount_of_the_interpreter_is_named_as_such(
    interpreted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "mount"
    directory.mkdir()
    program(directory / "last", "#!/bin/sh\n")
    job = program(tmp_path / "job", f"#!{directory}/last\n") if interpreted else directory / "last"
    record = dataclasses.replace(failed_exec(tmp_path / "none"), path=str(job), return_value=-errno.EACCES)
    monkeypatch.setattr(forbidden, "forbids_exec", lambda file: os.path.dirname(file.path) == str(directory))
    diagnosis = diagnose(record)
    if interpreted:
        assert diagnosis.code == "interpreter-on-noexec-mount"
        assert diagnosis.summary.startswith(f'The interpreter "{directory}/last" of "{job}" lies on ')
        assert diagnosis.brief.startswith("interpreter on noexec mount ")
        assert (diagnosis.advice or "").startswith("Move the interpreter to a file system")
    else:
        assert diagnosis.code == "noexec-mount"
        assert diagnosis.summary.startswith(f'"{job}" lies on ')
        assert (diagnosis.advice or "").startswith("Move the program to a file system")


def test_the_root_directory_is_named_if_it_is_not_ours(tmp_path: Path) -> None:
    program(tmp_path / "start", "#!/bin/bash\n")
    record = failed_exec(tmp_path / "none")
    inner = diagnose(dataclasses.replace(record, path="/start", root=str(tmp_path), cwd="/"))
    assert inner.code == "missing-interpreter"
    assert inner.summary == (
        '"/start" exists, but its interpreter "/bin/bash" does not: there is no directory "/bin".'
    )
    where = f'The paths begin at the caller\'s root directory "{tmp_path}".'
    assert where in inner.evidence
    (tmp_path / "bin").mkdir()
    inner = diagnose(dataclasses.replace(record, path="/start", root=str(tmp_path), cwd="/"))
    assert inner.summary == (
        f'"/start" exists, but its interpreter "/bin/bash" does not exist in the root directory "{tmp_path}".'
    )
    missing = diagnose(dataclasses.replace(record, path="/bin/none", root=str(tmp_path), cwd="/"))
    assert missing.summary == f'"/bin/none" does not exist in the root directory "{tmp_path}".'
    ours = diagnose(record)
    assert not any("root directory" in text for text in (ours.summary, *ours.evidence))


def test_a_cause_without_a_path_does_not_mention_the_root_directory(tmp_path: Path) -> None:
    record = failed_exec(tmp_path / "none")
    big = diagnose(dataclasses.replace(record, return_value=-errno.E2BIG, root=str(tmp_path)))
    assert not any("root directory" in text for text in (big.summary, *big.evidence))
