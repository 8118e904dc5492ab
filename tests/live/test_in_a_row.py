"""Several execs of one task in a row: the later record shows what changed since the one before.

The kernel program reuses what it read of the same caller a moment ago.
"""

from __future__ import annotations

import ctypes
import os
import uuid
from collections.abc import Callable
from pathlib import Path

from execwhy.bpf.events.record import ExecFailure
from tests.live.exec_child import libc
from tests.live.listener import Listener

_CLONE_NEWNS = 0x20000
_PR_SET_NAME = 15


def put_in_place_of_stdin(path: str) -> None:
    file = os.open(path, os.O_RDONLY)
    os.dup2(file, 0)
    os.close(file)


def open_stdin(path: str) -> None:
    """Open a file as stdin; the kernel may reuse the address of the closed file."""
    for _ in range(20):
        if is_open(0):
            os.close(0)
        assert os.open(path, os.O_RDONLY) == 0


def rename_below(directory: Path) -> None:
    """Rename the directory that one is in."""
    os.chdir(directory / "below")
    os.rename(directory / "below", directory / "moved")


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def name_oneself() -> None:
    libc.prctl(_PR_SET_NAME, ctypes.c_char_p(b"renamed"))


def fail_in_a_row(marker: str, changes: list[Callable[[], object]]) -> int:
    """Exec what is missing, in a child: before any change, and after each; the child's pid."""
    child = os.fork()
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        return child
    try:
        for number in range(len(changes) + 1):
            if number:
                changes[number - 1]()
            for _ in range(3):
                try:
                    os.execve(f"/{marker}/{number}", ["x"], {})
                except OSError:
                    continue
        os._exit(0)
    finally:
        os._exit(1)


def test_changes_between_two_execs_of_a_task_are_recorded(listener: Listener, tmp_path: Path) -> None:
    marker = str(uuid.uuid4())
    (tmp_path / "below").mkdir()
    (tmp_path / "gone").mkdir()
    steps: list[tuple[Callable[[], object], Callable[[ExecFailure], bool]]] = [
        (lambda: os.chdir(tmp_path), lambda record: record.cwd == str(tmp_path)),
        (lambda: os.chdir("below"), lambda record: record.cwd == str(tmp_path / "below")),
        (lambda: put_in_place_of_stdin("/dev/zero"), lambda record: record.stdin_path == "/dev/zero"),
        (lambda: os.close(0), lambda record: (record.stdin_path, record.stdin_type) == (None, 0)),
        (lambda: open_stdin("/dev/zero"), lambda record: record.stdin_path == "/dev/zero"),
        (lambda: open_stdin("/dev/full"), lambda record: record.stdin_path == "/dev/full"),
        (lambda: os.chdir(tmp_path / "gone"), lambda record: record.cwd == str(tmp_path / "gone")),
        (lambda: os.rmdir(tmp_path / "gone"), lambda record: record.cwd == f"{tmp_path}/gone (deleted)"),
        (
            lambda: rename_below(tmp_path),
            lambda record: record.cwd == str(tmp_path / "moved"),
        ),
        (name_oneself, lambda record: record.comm == "renamed"),
        (lambda: libc.unshare(_CLONE_NEWNS), lambda record: record.mount_ns != own_mount_ns()),
        (lambda: os.chroot(tmp_path), lambda record: (record.root, record.cwd) == (str(tmp_path), "/moved")),
        (lambda: os.setgroups([7, 8]), lambda record: record.groups == (7, 8)),
        (lambda: os.setresgid(9, 10, 11), lambda record: (record.gid, record.egid) == (9, 10)),
        (lambda: os.setresuid(12, 13, 14), lambda record: (record.uid, record.euid) == (12, 13)),
        (lambda: None, lambda record: record.capabilities == 0),
    ]
    child = fail_in_a_row(marker, [change for change, _ in steps])
    listener.catch_up()
    records = [record for record in listener.failures if (record.path or "").startswith(f"/{marker}/")]
    assert [record.path for record in records] == [
        f"/{marker}/{number}" for number in range(len(steps) + 1) for _ in range(3)
    ]
    assert {(record.pid, record.tid, record.ppid) for record in records} == {(child, child, os.getpid())}
    first, later = records[:3], records[3:]
    for number, (_, shows) in enumerate(steps):
        assert not any(map(shows, first)), f"change {number} would change nothing"
        assert all(map(shows, later[3 * number : 3 * number + 3])), f"change {number} is not in the record"


def own_mount_ns() -> int:
    return os.stat("/proc/self/ns/mnt").st_ino
