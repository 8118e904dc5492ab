"""A change right after a failed exec leads to an honest answer, not to a wrong one."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why.causes import diagnose
from tests.live.circumstances import GROUP, USER, become_user
from tests.live.exec_child import Exec, attempted
from tests.live.listener import Listener
from tests.live.zoo import Zoo
from tests.settled import SETTLED


@dataclass(frozen=True)
class Change:
    """A failing exec and the change right after it.

    Attributes:
        error: Name of its errno.
        make: Makes the files in a directory, and returns the path to execute.
        then: What changes, given the directory and that path.
        code: The diagnosis's code.
        says: Text that its summary or evidence must contain; one of several.
        as_user: The caller is not root.
    """

    error: str
    make: Callable[[Path], Path]
    then: Callable[[Path, Path], object]
    code: str
    says: str
    as_user: bool = False


def _file(name: str, content: str = "text\n", mode: int = 0o755) -> Callable[[Path], Path]:
    def make(directory: Path) -> Path:
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        path.chmod(mode)
        return path

    return make


def _nothing(name: str) -> Callable[[Path], Path]:
    return lambda directory: directory / name


def _linked(directory: Path) -> Path:
    (directory / "one").symlink_to("two")
    (directory / "two").symlink_to("one")
    return directory / "one"


def _in_private(directory: Path) -> Path:
    path = _file("private/program")(directory)
    path.parent.chmod(0o700)
    return path


def _behind_a_link(directory: Path) -> Path:
    _file("A/program", "#!/no/such/interpreter\n")(directory)
    (directory / "B").mkdir()
    (directory / "current").symlink_to("A")
    (directory / "next").symlink_to("B")
    return directory / "current/program"


def _replace(directory: Path, path: Path) -> None:
    _file("new")(directory).rename(path)


def _make_a_file_of(directory: Path, path: Path) -> None:
    shutil.rmtree(path)
    _file(path.name, "#!/bin/sh\n")(directory)


CHANGES = {
    "removed": Change(
        "EACCES", _file("x", mode=0o644), lambda _, x: x.unlink(), "vanished-since", "was gone when looked at"
    ),
    "its directory renamed": Change(
        "EACCES",
        _file("sub/x", mode=0o644),
        lambda _, x: x.parent.rename(f"{x.parent}.old"),
        "vanished-since",
        "was gone when looked at",
    ),
    "replaced": Change("ENOEXEC", _file("x"), _replace, "replaced-since", "was replaced by another file"),
    "made executable": Change(
        "EACCES",
        _file("x", "#!/bin/sh\n", 0o644),
        lambda _, x: x.chmod(0o755),
        "changed-since",
        "Its mode was -rw-r--r-- and is -rwxr-xr-x now.",
    ),
    "given to its caller": Change(
        "EACCES",
        _file("x", "#!/bin/sh\n", 0o700),
        lambda _, x: os.chown(x, USER, GROUP),
        "changed-since",
        "has changed since",
        as_user=True,
    ),
    "its directory opened": Change(
        "EACCES",
        _in_private,
        lambda _, x: x.parent.chmod(0o755),
        "changed-since",
        "something on the way to it has changed",
        as_user=True,
    ),
    "written again": Change(
        "ENOEXEC", _file("x"), lambda _, x: x.write_text("#!/bin/sh\n"), "changed-since", "has changed since"
    ),
    "touched, and still wrong": Change(
        "ENOEXEC", _file("x"), lambda _, x: x.chmod(0o755), "no-shebang", "has changed since"
    ),
    "its first line mended": Change(
        "ENOENT",
        _file("x", "#!/bin/sh\r\n"),
        lambda _, x: x.write_text("#!/bin/sh\n"),
        "appeared-since",
        'Its interpreter was "/bin/sh\r" and is "/bin/sh" now.',
    ),
    "made": Change(
        "ENOENT", _nothing("x"), lambda d, _: _file("x")(d), "appeared-since", "has appeared since"
    ),
    "its directory made": Change(
        "ENOENT", _nothing("none/x"), lambda d, _: _file("none/x")(d), "appeared-since", "has appeared since"
    ),
    "another name removed beside it": Change(
        "ENOENT",
        lambda d: _file("y")(d).with_name("x"),
        lambda _, x: x.with_name("y").unlink(),
        "missing-file",
        "changed",
    ),
    "a file for a directory removed": Change(
        "ENOTDIR",
        lambda d: _file("x")(d) / "program",
        lambda _, path: path.parent.unlink(),
        "vanished-since",
        "something has been removed since",
    ),
    "a link on the way replaced": Change(
        "ENOENT",
        _behind_a_link,
        lambda d, _: (d / "next").rename(d / "current"),
        "missing-file|vanished-since",
        "since the exec|was gone when looked at",
    ),
    "a loop broken": Change(
        "ELOOP",
        _linked,
        lambda d, _: (d / "two").unlink(),
        "vanished-since",
        "something has been removed since",
    ),
    "a directory made a file": Change(
        "EACCES",
        lambda d: _file("x/keep")(d).parent,
        _make_a_file_of,
        "changed-since|replaced-since",
        "was",
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_right_after_the_exec_is_reported_as_such(
    change: Change, zoo: Zoo, listener: Listener
) -> None:
    directory = Path(zoo / f"changed-{time.monotonic_ns()}")
    directory.mkdir()
    path = change.make(directory)

    def in_child() -> Exec:
        if change.as_user:
            become_user()
        time.sleep(SETTLED)
        return Exec(os.fsencode(path))

    with attempted(in_child) as attempt:
        assert attempt.error == change.error
        records: list[ExecFailure] = listener.records_of(attempt.caller.pid, attempt.before)
        change.then(directory, path)
        diagnosis = diagnose(records[0])
    assert not diagnosis.certain, diagnosis
    assert diagnosis.code in change.code.split("|"), diagnosis
    said = " ".join((diagnosis.summary, *diagnosis.evidence))
    assert any(words in said for words in change.says.split("|")), diagnosis
