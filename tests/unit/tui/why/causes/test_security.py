"""EPERM: file capabilities are checked first, and only real changes since the exec are reported."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from execwhy.bpf.caller import lookup
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.causes import diagnose
from tests.settled import SETTLED
from tests.unit.tui.why.failing import a_failure

_REVISION_2 = 0x02000000
_EFFECTIVE = 1


def _own_bounding_set() -> int:
    with open("/proc/self/status") as status:
        return int(next(line.split()[1] for line in status if line.startswith("CapBnd:")), 16)


def lowest(bits: int) -> int:
    """Return the lowest of the bits."""
    return bits & -bits


GRANTED = lowest(_own_bounding_set() or 1)
LACKING = lowest(~_own_bounding_set() & ~(1 << 63))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Return a program that has settled."""
    path = tmp_path / "capf"
    path.write_bytes(Path("/bin/true").read_bytes())
    path.chmod(0o755)
    time.sleep(SETTLED)
    return path


def set_capability(patch: pytest.MonkeyPatch, permitted: int, magic: int = _REVISION_2 | _EFFECTIVE) -> None:
    """Have every file that is looked at have this one, which takes root to set."""
    raw = struct.pack("<IIIII", magic, permitted & 0xFFFFFFFF, 0, permitted >> 32, 0)

    def read(descriptor: int, name: str) -> bytes | None:
        return raw if name == "security.capability" else None

    patch.setattr(lookup, "extended_attribute", read)


def of_one_gone(path: Path, error: int = errno.EPERM, **facts: Any) -> ExecFailure:
    """Return the failure of a child of ours that has ended."""
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    return a_failure(os.fspath(path), error, pid=child.pid, tid=child.pid, ppid=os.getpid(), **facts)


def test_a_vanished_caller_may_have_lacked_capabilities_of_its_parent(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_capability(monkeypatch, GRANTED)
    diagnosis = diagnose(of_one_gone(program))
    assert (diagnosis.code, diagnosis.certain) == ("file-capabilities-not-granted", False)
    assert f'"{program}" has file capabilities (CAP_' in diagnosis.summary
    assert "with the effective bit" in diagnosis.summary
    assert any("bounding set of the caller could not be read" in fact for fact in diagnosis.evidence)


def test_capabilities_that_the_parent_lacks_are_named(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_capability(monkeypatch, LACKING)
    diagnosis = diagnose(of_one_gone(program))
    assert (diagnosis.code, diagnosis.certain) == ("file-capabilities-not-granted", False)
    assert "is not in its bounding set" in diagnosis.summary


def test_a_living_caller_with_the_capabilities_was_not_refused_for_them(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_capability(monkeypatch, GRANTED)
    record = a_failure(os.fspath(program), errno.EPERM, pid=os.getpid(), tid=os.getpid(), ppid=os.getppid())
    assert diagnose(record).code != "file-capabilities-not-granted"


def test_capabilities_without_the_effective_bit_refuse_nothing(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_capability(monkeypatch, GRANTED, _REVISION_2)
    assert diagnose(of_one_gone(program)).code != "file-capabilities-not-granted"


def test_file_capabilities_set_right_before_the_exec_are_the_cause_and_not_a_later_change(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_capability(monkeypatch, GRANTED)
    program.chmod(0o755)
    diagnosis = diagnose(of_one_gone(program))
    assert diagnosis.code == "file-capabilities-not-granted"
    assert not any("has changed since" in fact for fact in diagnosis.evidence)


@pytest.mark.parametrize("error", [errno.EACCES, errno.EPERM])
def test_a_file_changed_right_before_the_exec_is_not_reported_as_changed_since(
    program: Path, error: int
) -> None:
    program.chmod(0o755)
    now = program.stat().st_ctime_ns
    diagnosis = diagnose(of_one_gone(program, error, timestamp=now + 1_000_000))
    said = " ".join([diagnosis.summary, *diagnosis.evidence])
    assert diagnosis.code.startswith("unexplained") or diagnosis.code == "seccomp-filter"
    assert "has changed since" not in said and "changed at about the time of the exec" in said


@pytest.mark.parametrize("error", [errno.EACCES, errno.EPERM])
def test_a_file_changed_after_the_exec_is_reported_as_changed_since(program: Path, error: int) -> None:
    record = of_one_gone(program, error)
    time.sleep(SETTLED)
    program.chmod(0o711)
    diagnosis = diagnose(record)
    assert diagnosis.code in ("changed-since", "seccomp-filter")
    assert any("has changed since the exec" in fact for fact in diagnosis.evidence)
