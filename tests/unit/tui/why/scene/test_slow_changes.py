"""A change may take effect later than its ctime, for as long as its maker can prolong it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from execwhy.bpf.events.record import Binary, ExecFailure
from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.scene.moment import CLOCK_STEP, SLOW_SECONDS, Moment
from tests.unit.tui.why.failing import failed_exec

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")

USER = 1000
SECOND = 1_000_000_000


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Yield a directory that all may enter, and only root may write."""
    for directory in (tmp_path.parent.parent, tmp_path.parent, tmp_path):
        directory.chmod(0o755)
    (tmp_path / "place").mkdir()
    yield tmp_path / "place"
    tmp_path.parent.parent.chmod(0o700)


def script(path: Path, mode: int = 0o755) -> Path:
    path.write_text("#!/no/such/interpreter\n")
    path.chmod(mode)
    return path


def later(record: ExecFailure) -> ExecFailure:
    """Return the same exec, so much later that no change can have been prolonged until then."""
    return dataclasses.replace(record, timestamp=record.timestamp + (SLOW_SECONDS + 1) * SECOND)


def missing_name(place: Path) -> ExecFailure:
    os.chown(place, USER, USER)
    return failed_exec(place / "none")


def own_entry(place: Path) -> ExecFailure:
    os.chown(script(place / "job"), USER, USER)
    place.chmod(0o777)
    return failed_exec(place / "job")


def roots_file_in_a_sticky_directory(place: Path) -> ExecFailure:
    """Make a file that may have been moved there from a directory of the user."""
    place.chmod(0o1777)
    return failed_exec(script(place / "job"))


def missing_name_in_a_sticky_directory(place: Path) -> ExecFailure:
    place.chmod(0o1777)
    return failed_exec(place / "job")


def writable_for_a_group(place: Path) -> ExecFailure:
    place.chmod(0o775)
    return failed_exec(place / "none/job")


def own_permissions(place: Path) -> ExecFailure:
    os.chown(script(place / "job", 0o644), USER, USER)
    return failed_exec(place / "job")


def own_directory_that_is_closed(place: Path) -> ExecFailure:
    (place / "closed").mkdir(mode=0o700)
    os.chown(place / "closed", USER, USER)
    return failed_exec(place / "closed/job", user=USER + 1)


def own_directory_that_lets_in(place: Path) -> ExecFailure:
    (place / "open").mkdir()
    script(place / "open/job", 0o644)
    os.chown(place / "open", USER, USER)
    return failed_exec(place / "open/job", user=USER + 1)


Make = Callable[[Path], ExecFailure]
OF_OTHERS = (
    missing_name, own_entry, roots_file_in_a_sticky_directory, missing_name_in_a_sticky_directory,
    writable_for_a_group, own_permissions, own_directory_that_is_closed, own_directory_that_lets_in,
)  # fmt: skip


@pytest.mark.parametrize("make", OF_OTHERS, ids=lambda make: make.__name__)
def test_a_file_that_others_may_change_must_be_unchanged_for_seconds(make: Make, place: Path) -> None:
    record = make(place)
    diagnosis = diagnose(record)
    assert not diagnosis.certain, diagnosis
    assert f"changed less than {SLOW_SECONDS} seconds before the exec" in " ".join(diagnosis.evidence)
    assert diagnose(later(record)).certain


def roots_missing_name(place: Path) -> ExecFailure:
    return failed_exec(place / "none")


def roots_directory_in_a_sticky_one(place: Path) -> ExecFailure:
    place.chmod(0o1777)
    (place / "mine").mkdir()
    return failed_exec(script(place / "mine/job"))


def roots_permissions(place: Path) -> ExecFailure:
    return failed_exec(script(place / "job", 0o644), user=USER)


def own_content(place: Path) -> ExecFailure:
    os.chown(script(place / "job"), USER, USER)
    return failed_exec(place / "job")


@pytest.mark.parametrize(
    "make",
    [roots_missing_name, roots_directory_in_a_sticky_one, roots_permissions, own_content],
    ids=lambda make: make.__name__,
)
def test_a_change_that_only_root_can_prolong_counts_at_once(make: Make, place: Path) -> None:
    diagnosis = diagnose(make(place))
    assert diagnosis.certain, diagnosis


def test_the_file_that_the_kernel_had_open_counts_at_once(place: Path) -> None:
    record = own_entry(place)
    assert record.binary is not None
    opened = dataclasses.replace(record, binary=dataclasses.replace(record.binary, source="kernel"))
    assert diagnose(opened).certain
    # A chmod sets the ctime and then the mode.
    other: Binary = dataclasses.replace(record.binary, source="kernel", inode_mode=0o100700)
    assert not diagnose(dataclasses.replace(record, binary=other)).certain


def test_the_age_of_a_change_is_measured_from_the_beginning_of_the_call() -> None:
    at = Moment(1_000 * SECOND, 2_000)
    offset = at._wall - 1_000 * SECOND
    old = (1_000 - 2 - SLOW_SECONDS) * SECOND + offset - CLOCK_STEP - 1
    assert at.is_long_unchanged(old)
    assert not at.is_long_unchanged(old + 2 * SECOND)
    assert at.is_unchanged(old + 2 * SECOND)
