"""Files are written whole or not at all, and never where an attacker points."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from execwhy.tui.model.files import safe_file
from execwhy.tui.model.files.live_file import LiveFile
from execwhy.tui.model.files.safe_file import Existing, SnapshotError, owner_behind_sudo, replacing

NOBODY = 65534
PROJECT = Path(__file__).parents[5]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away and mount")


@pytest.fixture(autouse=True)
def no_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.delenv("SUDO_GID", raising=False)


def write_replacing(path: Path | str, data: bytes = b"new", overwrite: bool = False) -> None:
    with replacing(str(path), overwrite=overwrite) as file:
        file.write(data)


def write_live(path: Path | str, data: bytes = b"new") -> None:
    file = LiveFile(str(path))
    try:
        file.write(data)
    finally:
        file.close()


both = pytest.mark.parametrize("write", [write_replacing, write_live])
Write = Callable[..., None]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@both
def test_the_file_has_what_was_written_and_only_its_owner_can_read_it(write: Write, tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        write(tmp_path / "file")
    finally:
        os.umask(before)
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


@both
def test_a_relative_name_is_written_in_the_working_directory(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write("file")
    assert names(tmp_path) == ["file"]


@both
def test_an_existing_file_is_never_replaced_without_asking(write: Write, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(Existing, match=r"file exists: choose another name"):
        write(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_an_existing_file_is_replaced_when_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o666)
    write_replacing(tmp_path / "file", overwrite=True)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_file_that_appears_while_writing_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(Existing), replacing(str(tmp_path / "file")) as file:
        file.write(b"new")
        (tmp_path / "file").write_text("someone else's")
    assert (tmp_path / "file").read_text() == "someone else's"
    assert names(tmp_path) == ["file"]


def test_a_file_that_appears_at_the_last_moment_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_file, "check_target", lambda *_, **__: None)
    (tmp_path / "file").write_text("someone else's")
    with pytest.raises(Existing):
        write_replacing(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "someone else's"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links_is_enough(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", no_links)
    write_replacing(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert names(tmp_path) == ["file"]
    monkeypatch.setattr(safe_file, "check_target", lambda *_, **__: None)
    with pytest.raises(Existing):
        write_replacing(tmp_path / "file", b"newer")
    assert (tmp_path / "file").read_bytes() == b"new"


@both
@pytest.mark.parametrize("target", ["victim", "missing"])
def test_a_symbolic_link_is_never_followed(write: Write, target: str, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("old")
    (tmp_path / "file").symlink_to(tmp_path / target)
    with pytest.raises(SnapshotError, match="symbolic link"):
        write(tmp_path / "file")
    assert (tmp_path / "victim").read_text() == "old"
    assert names(tmp_path) == ["file", "victim"]
    assert (tmp_path / "file").is_symlink()


def test_a_symbolic_link_is_not_followed_or_replaced_even_when_overwriting(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("old")
    (tmp_path / "file").symlink_to(tmp_path / "victim")
    with pytest.raises(SnapshotError, match="symbolic link"):
        write_replacing(tmp_path / "file", overwrite=True)
    assert (tmp_path / "victim").read_text() == "old"
    assert (tmp_path / "file").is_symlink()


@pytest.mark.parametrize("overwrite", [False, True])
def test_only_regular_files_are_replaced(overwrite: bool, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SnapshotError, match="is a directory"):
        write_replacing(tmp_path / "directory", overwrite=overwrite)
    for special in (tmp_path / "fifo", Path("/dev/null")):
        with pytest.raises(SnapshotError, match="not a regular file"):
            write_replacing(special, overwrite=overwrite)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert names(tmp_path) == ["directory", "fifo"]


@both
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "is not the name of a file"),
        ("sub/", "is not the name of a file"),
        ("..", "is not the name of a file"),
        ("a\0b", "is not the name of a file"),
        ("missing/file", "directory does not exist"),
        ("plain/file", "is not a directory"),
        ("x" * 300, "too long"),
    ],
)
def test_a_file_that_cannot_be_written_gives_a_sentence(
    write: Write, name: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").touch()
    with pytest.raises(SnapshotError, match=sentence) as caught:
        write(name)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    assert names(tmp_path) == ["plain"]


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    write_replacing(tmp_path / ("x" * 255))
    assert names(tmp_path) == ["x" * 255]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
def test_an_interrupted_write_leaves_nothing_behind(error: type[BaseException], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(error), replacing(str(tmp_path / "file"), overwrite=True) as file:
        file.write(b"half")
        raise error
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


@both
def test_a_file_size_limit_leaves_no_half_file(write: Write, tmp_path: Path) -> None:
    script = (
        "import sys, resource; sys.path.insert(0, '.')\n"
        f"from tests.unit.tui.model.files.test_safe_file import {write.__name__} as write\n"
        "from execwhy.tui.model.files.safe_file import SnapshotError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write(sys.argv[1], b'x' * 1_000_000)\n"
        "except SnapshotError as error: print(error)\n"
    )
    run = subprocess.run(
        # -B: a module that is imported under the limit would be left in half, too.
        [sys.executable, "-B", "-c", script, str(tmp_path / "file")],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
    )
    assert "there is no room for it" in run.stdout
    left = [] if write is write_replacing else ["file"]
    assert names(tmp_path) == left
    assert all((tmp_path / name).read_bytes() == b"" for name in left)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(disk), b"tmpfs", 0, b"size=256k,mode=700") != 0:
        raise OSError(ctypes.get_errno(), "mount")
    try:
        yield disk
    finally:
        libc.umount2(os.fsencode(disk), 2)


@needs_root
def test_a_full_disk_leaves_no_half_file_and_keeps_the_old_one(tiny_disk: Path) -> None:
    (tiny_disk / "old").write_text("old")
    for name, overwrite in (("new", False), ("old", True)):
        with pytest.raises(SnapshotError, match="there is no room for it"):
            write_replacing(tiny_disk / name, b"x" * 1_000_000, overwrite)
    assert names(tiny_disk) == ["old"]
    assert (tiny_disk / "old").read_text() == "old"
    write_replacing(tiny_disk / "new", b"x" * 100_000)
    assert (tiny_disk / "new").stat().st_size == 100_000


@needs_root
def test_a_recording_on_a_full_disk_keeps_every_complete_write(tiny_disk: Path) -> None:
    file = LiveFile(str(tiny_disk / "recording"))
    written = 0
    with pytest.raises(SnapshotError, match="there is no room for it"):
        while True:
            file.write(b"x" * 9_999 + b"\n")
            written += 1
    file.close()
    assert written > 10
    assert (tiny_disk / "recording").read_bytes() == (b"x" * 9_999 + b"\n") * written


@both
@needs_root
def test_the_file_belongs_to_the_user_behind_sudo(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "2345")
    write(tmp_path / "file")
    found = (tmp_path / "file").stat()
    assert (found.st_uid, found.st_gid) == (1234, 2345)


@needs_root
@pytest.mark.parametrize(
    ("uid", "gid"),
    [
        ("", "0"),
        ("x", "1"),
        ("-1", "1"),
        ("1", "-1"),
        ("4294967295", "1"),
        ("1", "4294967295"),
        ("1e3", "1"),
        ("9" * 30, "1"),
        ("١", "1"),
        (" 1", "1"),
    ],
)
def test_an_invalid_id_from_the_environment_is_not_used(
    uid: str, gid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", uid)
    monkeypatch.setenv("SUDO_GID", gid)
    assert owner_behind_sudo() is None


def test_without_root_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "1234")
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    assert owner_behind_sudo() is None


def test_a_recording_that_never_began_is_removed_again(tmp_path: Path) -> None:
    LiveFile(str(tmp_path / "file")).discard()
    assert names(tmp_path) == []


def test_discarding_does_not_remove_another_file_with_the_name(tmp_path: Path) -> None:
    file = LiveFile(str(tmp_path / "file"))
    (tmp_path / "file").unlink()
    (tmp_path / "file").write_text("someone else's")
    file.discard()
    assert (tmp_path / "file").read_text() == "someone else's"


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    write_replacing(tmp_path / "a")
    write_live(tmp_path / "b")
    LiveFile(str(tmp_path / "c")).discard()
    with pytest.raises(Existing):
        write_replacing(tmp_path / "a")
    with pytest.raises(SnapshotError):
        write_live(tmp_path / "missing" / "a")
    assert len(os.listdir("/proc/self/fd")) == len(before)
