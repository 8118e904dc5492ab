"""A change of a file without a new ctime, or long after it, makes no wrong cause certain."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.scene import moment
from tests.live.circumstances import USER, become_user
from tests.live.exec_child import Exec, attempted
from tests.live.file_systems import encrypted_directory, ext4_file_system
from tests.live.listener import Listener
from tests.settled import SETTLED
from tests.unit.tui.why.scene.test_content import elf

_BLOCK: Final = 4096

# include/uapi/linux/ext4.h; a move_extent has: reserved, donor_fd, orig_start, donor_start, len, moved_len.
_MOVE_EXTENT: Final = struct.Struct("<IIQQQQ")
_MOVE_EXT: Final = 3 << 30 | _MOVE_EXTENT.size << 16 | ord("f") << 8 | 15

_GET_FLAGS, _SET_FLAGS = 2 << 30 | 8 << 16 | ord("f") << 8 | 1, 1 << 30 | 8 << 16 | ord("f") << 8 | 2
_DIRSYNC: Final = 0x10000

_HOGS: Final = 4
_ROUNDS: Final = 12
_ENOUGH: Final = 20
"""Seconds after which no further round begins."""

_PATIENCE: Final = 300
"""Seconds after which a stray process ends itself."""

_EXECS: Final = 80


def of_user(path: Path, content: bytes) -> Path:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o755)
    os.chown(path, USER, USER)
    return path


def zero(path: Path, block: int) -> None:
    """Make a block of a file zeros, as its owner can."""
    other = of_user(path.with_name("other"), b"x" * 2 * _BLOCK)
    with other.open("r+b") as origin, path.open("r+b") as donor:
        move = bytearray(_MOVE_EXTENT.pack(0, donor.fileno(), block, block, 1, 0))
        fcntl.ioctl(origin, _MOVE_EXT, move)
        os.posix_fadvise(donor.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def wrong_machine() -> bytes:
    program = bytearray(elf(b"/no/ld.so"))
    program[18] = 21
    return bytes(program)


@pytest.fixture(scope="module")
def ext4() -> Iterator[Path]:
    """Yield a directory of root that all may enter, on an ext4."""
    with tempfile.TemporaryDirectory(prefix="execwhy-late-") as place:
        os.chmod(place, 0o755)
        with ext4_file_system(Path(place)) as directory:
            yield directory


@pytest.fixture
def prompt_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every change take effect at its ctime, so that files of others than root need not age first."""
    monkeypatch.setattr(moment, "SLOW_SECONDS", 0)


@pytest.mark.usefixtures("prompt_changes")
@pytest.mark.parametrize(
    ("content", "block", "proven"),
    [
        (elf(b"/missing/ld-true.so", at=_BLOCK - 11), 1, False),
        (elf(b"/missing/ld-true.so", at=1000, headers_at=_BLOCK), 1, False),
        (wrong_machine(), 0, False),
        (b"text\n".ljust(2 * _BLOCK, b"\n"), 0, False),
        (b"#!/missing/true\n".ljust(2 * _BLOCK, b"\n"), 0, False),
        (b"#!/missing/true\n".ljust(2 * _BLOCK, b"\n"), 1, True),
        (elf(b"/missing/ld-true.so"), 1, True),
    ],
    ids=["name", "headers", "machine", "text", "script", "end of a script", "end of a program"],
)
def test_a_block_that_was_zeroed_after_the_exec_makes_no_cause_certain(
    content: bytes, block: int, proven: bool, ext4: Path, listener: Listener
) -> None:
    path = of_user(ext4 / f"job-{time.monotonic_ns()}", content)

    def in_child() -> Exec:
        become_user()
        time.sleep(SETTLED)
        return Exec(os.fsencode(path))

    with attempted(in_child) as attempt:
        (record,) = listener.records_of(attempt.caller.pid, attempt.before)
        before = path.stat().st_ctime_ns
        zero(path, block)
        assert path.stat().st_ctime_ns == before
        diagnosis = diagnose(record)
    assert path.name in diagnosis.summary
    assert diagnosis.certain is proven, diagnosis


def test_a_name_hidden_with_its_encryption_key_is_not_certainly_missing(
    ext4: Path, listener: Listener
) -> None:
    with encrypted_directory(ext4) as (directory, lock):
        path = directory / "job"
        path.write_bytes(b"#!/missing/true\n")
        path.chmod(0o755)

        def in_child() -> Exec:
            time.sleep(SETTLED)
            return Exec(os.fsencode(path))

        with attempted(in_child) as attempt:
            (record,) = listener.records_of(attempt.caller.pid, attempt.before)
            with_key = diagnose(record)
            lock()
            assert not path.exists()
            without = diagnose(record)
    assert (with_key.code, with_key.certain) == ("missing-interpreter", False), with_key
    assert not without.certain, without
    assert "is encrypted" in " ".join(without.evidence)


@contextmanager
def busy_processors() -> Iterator[None]:
    hogs = [spawned(_spin) for _ in range(_HOGS)]
    try:
        yield
    finally:
        for hog in hogs:
            os.kill(hog, signal.SIGKILL)
            os.waitpid(hog, 0)


def _spin() -> None:
    while True:
        pass


def spawned(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(_PATIENCE)
            work()
        finally:
            os._exit(0)
    return child


def renamed_slowly(directory: Path) -> dict[str, bool]:
    """Execute scripts while they are replaced; return by argv[0] whether each exec met the old one."""
    met: dict[str, bool] = {}
    begin = time.monotonic()
    for number in range(_ROUNDS):
        if time.monotonic() > begin + _ENOUGH:
            break
        path, other = directory / f"job{number}", directory / f"new{number}"
        old = path.stat().st_ino

        def rename(path: Path = path, other: Path = other) -> None:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            other.rename(path)

        renamer = spawned(rename)
        for count in range(_EXECS):
            name = f"{number}.{count}"
            try:
                os.execve(path, [name], {})
            except FileNotFoundError:
                met[name] = path.stat().st_ino == old
            if os.waitpid(renamer, os.WNOHANG)[0]:
                break
            time.sleep(0.005)
        else:
            os.waitpid(renamer, 0)
    return met


def test_a_slow_rename_makes_no_cause_certain(ext4: Path, listener: Listener) -> None:
    directory = ext4 / "slow"
    directory.mkdir()
    descriptor = os.open(directory, os.O_RDONLY)
    flags = bytearray(8)
    fcntl.ioctl(descriptor, _GET_FLAGS, flags)
    (old,) = struct.unpack("<q", flags)
    fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("<q", old | _DIRSYNC))
    os.close(descriptor)
    os.chown(directory, USER, USER)
    for number in range(_ROUNDS):
        of_user(directory / f"job{number}", b"#!/missing/true\n")
        of_user(directory / f"new{number}", b"#!/missing/lie\n")
    time.sleep(SETTLED)
    before = time.time_ns()

    def caller() -> None:
        os.close(ours)
        become_user()
        for name, is_old in renamed_slowly(directory).items():
            os.write(theirs, f"{name} {int(is_old)}\n".encode())

    with busy_processors():
        ours, theirs = os.pipe()
        child = spawned(caller)
        os.close(theirs)
        with os.fdopen(ours) as answers:
            met = dict(line.split() for line in answers)
        os.waitpid(child, 0)
    diagnoses: dict[str, Diagnosis] = {
        str(record.arguments[0]): diagnose(record) for record in listener.records_of(child, before)
    }
    assert met
    assert set(met) <= set(diagnoses)
    for name, is_old in met.items():
        diagnosis = diagnoses[name]
        lies = is_old == "1" and "/missing/lie" in diagnosis.summary
        assert not (lies and diagnosis.certain), diagnosis
