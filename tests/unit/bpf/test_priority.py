from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from execwhy.bpf.priority import Session


class Autogroup:
    """A file that is read and written like the kernel's: each write is the whole value."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        path.write_text(text)
        self.written: list[int] = []
        self.refuses: list[int] = []
        """Errors of the next writes."""

    def write(self, descriptor: int, data: bytes) -> int:
        assert os.readlink(f"/proc/self/fd/{descriptor}") == str(self.path)
        if self.refuses:
            number = self.refuses.pop(0)
            raise OSError(number, os.strerror(number))
        self.written.append(int(data))
        return len(data)


@pytest.fixture(autouse=True)
def same_limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NICE)
    yield
    resource.setrlimit(resource.RLIMIT_NICE, before)


@pytest.fixture
def autogroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Autogroup:
    autogroup = Autogroup(tmp_path / "autogroup", "/autogroup-12 nice 2\n")
    monkeypatch.setattr("execwhy.bpf.priority.os.write", autogroup.write)
    return autogroup


def open_files(path: Path) -> int:
    return sum(
        os.path.realpath(f"/proc/self/fd/{number}") == str(path) for number in os.listdir("/proc/self/fd")
    )


def test_a_session_gets_its_previous_value_back(autogroup: Autogroup) -> None:
    session = Session(str(autogroup.path))
    session.step_back()
    assert autogroup.written == [], "nothing was changed yet"
    session.go_first()
    session.step_back()
    session.step_back()
    assert autogroup.written == [-5, 2, 2]


@pytest.mark.parametrize(("limit", "written"), [(25, [-5, 2, -5, 2]), (24, [-5, 2])])
def test_a_stopped_program_steps_back_if_it_may_come_again(
    autogroup: Autogroup, monkeypatch: pytest.MonkeyPatch, limit: int, written: list[int]
) -> None:
    monkeypatch.setattr("execwhy.bpf.priority.resource.getrlimit", lambda _: (limit, limit))
    monkeypatch.setattr("execwhy.bpf.priority.resource.setrlimit", lambda *_: None)
    session = Session(str(autogroup.path))
    session.go_first()
    session.pause()
    session.resume()
    session.step_back()
    assert autogroup.written == written


def test_a_value_that_is_low_enough_is_not_changed(autogroup: Autogroup) -> None:
    autogroup.path.write_text("/autogroup-12 nice -5\n")
    session = Session(str(autogroup.path))
    session.go_first()
    session.resume()
    session.step_back()
    assert autogroup.written == []


def test_a_session_that_ends_with_the_process_stays_raised(autogroup: Autogroup) -> None:
    session = Session(str(autogroup.path))
    session.stay_first()
    session.step_back()
    assert (autogroup.written, open_files(autogroup.path)) == ([-5], 0)


def test_a_write_that_comes_too_soon_is_tried_again(autogroup: Autogroup) -> None:
    session = Session(str(autogroup.path))
    autogroup.refuses = [errno.EAGAIN]
    session.go_first()
    autogroup.refuses = [errno.EAGAIN, errno.EAGAIN]
    session.step_back()
    assert autogroup.written == [-5, 2]


@pytest.mark.parametrize("refused", [errno.EPERM, errno.EINVAL, errno.EIO])
def test_a_change_that_the_kernel_refused_is_not_reverted(autogroup: Autogroup, refused: int) -> None:
    session = Session(str(autogroup.path))
    autogroup.refuses = [refused]
    session.go_first()
    session.step_back()
    assert (autogroup.written, open_files(autogroup.path)) == ([], 0)


@pytest.mark.parametrize("text", ["", "nothing of the kind\n"])
def test_without_a_group_of_its_own_nothing_is_written(autogroup: Autogroup, text: str) -> None:
    autogroup.path.write_text(text)
    session = Session(str(autogroup.path))
    session.go_first()
    session.step_back()
    assert (autogroup.written, open_files(autogroup.path)) == ([], 0)


def test_a_kernel_without_the_file_is_supported(tmp_path: Path) -> None:
    session = Session(str(tmp_path / "none"))
    session.go_first()
    session.resume()
    session.step_back()
