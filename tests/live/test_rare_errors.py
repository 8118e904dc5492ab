"""Errors that a file system itself returns, made for real: each has a sentence of its own."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.causes.unknown import OTHER_MEANINGS
from tests.live.exec_child import EXECVE, PATIENCE, Exec, attempted
from tests.live.file_systems import (
    answering_file_system,
    cut_off_file_system,
    damaged_file_system,
    dead_file_system,
    encrypted_file_system,
)
from tests.live.listener import Listener
from tests.live.stand_in import opening_waits

FROM_A_SERVER = sorted(errno.errorcode[number] for number in OTHER_MEANINGS.keys() - {errno.ENOTCONN})
"""Names of the errors that a FUSE server can answer with; ENOTCONN needs a dead server."""


def the_failure(path: Path, error: str, listener: Listener) -> tuple[ExecFailure, Diagnosis]:
    """Return the record and the diagnosis of an exec; the caller lives until both exist."""
    with attempted(lambda: Exec(bytes(path))) as attempt:
        assert attempt.error == error
        (record,) = listener.records_of(attempt.caller.pid, attempt.before)
        assert record.error == error
        return record, diagnose(record)


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("fuse") / "mounted"
    with answering_file_system(directory):
        yield directory


@pytest.mark.parametrize("error", FROM_A_SERVER)
def test_an_error_of_a_fuse_file_system_is_reported_with_its_mount(
    error: str, answering: Path, listener: Listener
) -> None:
    _, diagnosis = the_failure(answering / error, error, listener)
    assert diagnosis.code == error.lower()
    assert OTHER_MEANINGS[getattr(errno, error)] in diagnosis.summary
    assert f'"{answering}" (fuse)' in " ".join(diagnosis.evidence)
    assert not diagnosis.certain


def test_a_fuse_file_system_whose_server_has_ended_is_named(tmp_path: Path, listener: Listener) -> None:
    with dead_file_system(tmp_path / "dead"):
        _, diagnosis = the_failure(tmp_path / "dead/program", "ENOTCONN", listener)
    assert diagnosis.code == "enotconn"
    assert "has lost its server process" in diagnosis.summary


def test_a_damaged_file_system_is_named(tmp_path: Path, listener: Listener) -> None:
    with damaged_file_system(tmp_path) as directory:
        _, deleted = the_failure(directory / "deleted", "EUCLEAN", listener)
        _, checksum = the_failure(directory / "checksum", "EBADMSG", listener)
    assert (deleted.code, checksum.code) == ("euclean", "ebadmsg")
    assert "the file system is damaged" in deleted.summary
    for diagnosis in (deleted, checksum):
        assert any("could not be looked at" in fact for fact in diagnosis.evidence)


def test_an_encrypted_program_without_its_key_is_named(tmp_path: Path, listener: Listener) -> None:
    with encrypted_file_system(tmp_path) as program:
        record, diagnosis = the_failure(program, "ENOKEY", listener)
    assert diagnosis.code == "enokey"
    assert "the key of the encrypted file" in diagnosis.summary
    assert record.binary is not None and record.binary.path == str(program)


def test_a_program_on_an_unreadable_disk_is_named(tmp_path: Path, listener: Listener) -> None:
    with cut_off_file_system(tmp_path) as directory:
        _, diagnosis = the_failure(directory / "program", "EIO", listener)
    assert diagnosis.code == "read-error"
    assert "could not be read when looked at" in diagnosis.summary


def test_an_exec_that_a_signal_interrupts_is_not_seen(tmp_path: Path, listener: Listener) -> None:
    # Whether it restarts or fails with EINTR is decided on the way to the handler, after all hooks.
    program = tmp_path / "program"
    shutil.copy("/bin/true", program)

    def in_child() -> Exec:
        signal.signal(signal.SIGUSR1, lambda *_: None)
        return Exec(bytes(program))

    def interrupt(pid: int) -> None:
        threading.Thread(target=interrupt_exec_of, args=(pid,), daemon=True).start()

    with opening_waits(str(program)), attempted(in_child, meanwhile=interrupt) as attempt:
        assert attempt.error == "EINTR"
        assert listener.records_of(attempt.caller.pid, attempt.before) == []


def interrupt_exec_of(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}/syscall").read_text().split()[0] != str(EXECVE):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(pid, signal.SIGUSR1)
