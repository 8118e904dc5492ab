"""The file of a record is the one that the exec met, even if callers exit and files change."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from execwhy.bpf.events.record import ExecFailure
from tests.live.listener import Listener
from tests.live.zoo import Zoo


@pytest.fixture
def path(zoo: Zoo) -> Iterator[str]:
    """Return a path in the zoo at which nothing exists yet."""
    path = zoo / str(uuid.uuid4())
    yield path
    if os.path.exists(path):
        os.unlink(path)


def write(path: str, content: bytes, mode: int) -> os.stat_result:
    """Replace the file at a path and return the stat(2) result of the new one."""
    with open(f"{path}.new", "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
    os.rename(f"{path}.new", path)
    return os.stat(path)


def failed(path: str) -> str:
    """Have a path fail to be executed, by a process that is gone then; returns an argument of that exec."""
    marker = str(uuid.uuid4())
    with pytest.raises(OSError):
        os.posix_spawn(path, [path, marker], {})
    return marker


def is_the_file(record: ExecFailure, status: os.stat_result) -> bool:
    return record.binary is not None and (
        record.binary.inode_number,
        record.binary.ctime,
        record.binary.inode_mode,
        record.binary.size,
    ) == (status.st_ino, status.st_ctime_ns, status.st_mode, status.st_size)


def test_a_file_that_is_replaced_between_two_tries_is_another_file(path: str, listener: Listener) -> None:
    first_file = write(path, b"#!/no/such/first\n", 0o755)
    (first,) = listener.records_with(failed(path))
    second_file = write(path, b"#!/no/such/second\n", 0o755)
    (second,) = listener.records_with(failed(path))
    assert is_the_file(first, first_file) and first.interpreter_path == "/no/such/first"
    assert is_the_file(second, second_file) and second.interpreter_path == "/no/such/second"


def test_a_file_whose_mode_changes_between_two_tries_has_its_new_mode(path: str, listener: Listener) -> None:
    first_file = write(path, b"no program", 0o644)
    (first,) = listener.records_with(failed(path))
    os.chmod(path, 0o755)
    (second,) = listener.records_with(failed(path))
    assert first.error == "EACCES" and is_the_file(first, first_file)
    assert second.error == "ENOEXEC" and is_the_file(second, os.stat(path))


def test_a_file_that_appears_between_two_tries_is_seen(path: str, listener: Listener) -> None:
    (first,) = listener.records_with(failed(path))
    status = write(path, b"no program", 0o644)
    (second,) = listener.records_with(failed(path))
    assert first.error == "ENOENT" and first.binary is None
    assert second.error == "EACCES" and is_the_file(second, status)


def test_a_file_that_vanishes_between_two_tries_is_not_in_the_second_record(
    path: str, listener: Listener
) -> None:
    status = write(path, b"no program", 0o644)
    (first,) = listener.records_with(failed(path))
    os.unlink(path)
    (second,) = listener.records_with(failed(path))
    assert first.error == "EACCES" and is_the_file(first, status)
    assert second.error == "ENOENT" and second.binary is None


def test_the_file_of_a_caller_that_exits_at_once_is_still_found(zoo: Zoo, listener: Listener) -> None:
    # subprocess: a vfork child that changes its directory, fails and exits within microseconds.
    markers = [str(uuid.uuid4()) for _ in range(50)]
    for marker in markers:
        with pytest.raises(PermissionError):
            subprocess.run(["./not-executable", marker], cwd=zoo.directory, check=False)
    status = os.stat(zoo / "not-executable")
    for marker in markers:
        (record,) = listener.records_with(marker)
        assert (record.path, record.cwd) == ("./not-executable", zoo.directory)
        assert record.binary is not None
        assert record.binary.path == zoo / "not-executable"
        assert (record.binary.inode_number, record.binary.ctime) == (status.st_ino, status.st_ctime_ns)
