"""The declarations of causes, and that they are true."""

from __future__ import annotations

import ast
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.why import causes, registry
from execwhy.tui.why.causes import diagnose
from execwhy.tui.why.registry import NEVER_SHARED, Reading, cause, declared, finds, whole
from execwhy.tui.why.scene.scene import Scene
from tests.live.why_cases import CAUSES
from tests.unit.tui.why.failing import a_failure
from tests.unit.tui.why.watched import Log, WatchedScene, undeclared, watched

TESTS: Final = Path(__file__).parents[3]


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what a test declares."""
    monkeypatch.setattr(registry, "_declarations", list(registry._declarations))
    monkeypatch.setattr(registry, "_finders", dict(registry._finders))
    yield
    monkeypatch.undo()
    registry.declared.cache_clear()
    registry.readings_of.cache_clear()


def strings(*patterns: str) -> set[str]:
    """Return all string constants of these test modules."""
    return {
        str(node.value)
        for pattern in patterns
        for path in TESTS.glob(pattern)
        if path != Path(__file__)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
    }


def test_every_cause_is_exercised_live() -> None:
    assert set(causes.codes()) - strings("live/*.py") == set()


@pytest.mark.parametrize("case", CAUSES, ids=lambda case: f"{case.error}: {case.name}")
def test_a_cause_that_is_made_live_is_declared_for_its_errno(case: Any) -> None:
    number = getattr(errno, case.error)
    for code in filter(None, (case.code, case.gone)):
        assert any(not one.errnos or number in one.errnos for one in declared()[code])


def test_every_errno_with_causes_has_a_finder() -> None:
    on_the_way = {errno.ENOTDIR, errno.ENAMETOOLONG}
    for number in {number for one in causes.declarations() for number in one.errnos} - on_the_way:
        has_meaning = errno.errorcode[number].lower() in declared()
        assert has_meaning or any(registry.finder_of(stage, number) for stage in registry.Stage), number


def test_a_code_that_no_cause_declares_is_refused() -> None:
    with (
        Scene(a_failure("/nowhere", errno.ENOENT)) as scene,
        pytest.raises(ValueError, match="no-such-cause"),
    ):
        scene.diagnosis("no-such-cause", "", "")


def test_a_code_is_declared_once_for_an_errno(scratch: None) -> None:
    cause("new-cause", errno.EIO, errno.EPERM, manual="New.")
    cause("new-cause", errno.EINVAL, manual="Other.")
    assert [one.manual for one in declared()["new-cause"]] == ["New.", "Other."]
    with pytest.raises(ValueError, match="new-cause"):
        cause("new-cause", errno.EPERM, manual="Again.")


def test_an_errno_has_one_finder_of_each_stage(scratch: None) -> None:
    with pytest.raises(ValueError, match="already"):
        finds(errno.ENOENT)(lambda scene: [])


def test_what_a_cause_reads_is_part_of_the_key_of_its_errno_only(scratch: None) -> None:
    tty = whole("tty")
    cause("new-cause", errno.EXDEV, manual="New.", reads=("tty",))
    assert tty in causes.readings(errno.EXDEV)
    assert tty not in causes.readings(errno.EIO)


def reads(record: ExecFailure, *names: str) -> set[str]:
    """Return what of these fields no cause of the record's errno has declared."""
    log = Log()
    for name in names:
        getattr(watched(record, log), name)
    return undeclared(record, log)


def test_a_field_that_no_cause_declares_is_noticed(scratch: None) -> None:
    assert reads(a_failure("/nowhere", errno.EIO), "path", "tty", "error") == {"tty"}
    cause("new-cause", errno.EIO, manual="New.", reads=("tty",))
    assert reads(a_failure("/nowhere", errno.EIO), "path", "tty") == set()
    cause("new-cause", errno.EXDEV, manual="New.", reads=(NEVER_SHARED,))
    assert reads(a_failure("/nowhere", errno.EXDEV), "environment") == set()


def test_a_field_may_be_read_where_its_value_is_part_of_the_key(scratch: None) -> None:
    of_checks = Reading(lambda record: record.tty if record.check_only else None, "tty")
    cause("new-cause", errno.EIO, manual="New.", reads=(of_checks,))
    assert reads(a_failure("/srv/job", errno.EIO, check_only=True), "tty") == set()
    assert reads(a_failure("/srv/job", errno.EIO, check_only=False), "tty") == {"tty"}


def test_a_part_of_the_truncated_facts_is_noticed_by_its_name() -> None:
    record, log = a_failure("/nowhere", errno.EIO), Log()
    facts = watched(record, log).truncated
    assert (facts.path, facts.argc) == (False, None)
    assert undeclared(record, log) == {"truncated.argc"}


def test_a_diagnosis_that_reads_more_than_is_declared_is_noticed(
    scratch: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = [one for one in registry._declarations if one.code != "missing-file" and not one.reads]
    monkeypatch.setattr(registry, "_declarations", search)
    registry.readings_of.cache_clear()
    diagnose(a_failure("/usr/bin/no-such-program", errno.ENOENT))
    (fault,) = set(WatchedScene.faults)
    assert "search_path" in fault
    WatchedScene.faults.clear()


def test_a_reading_is_the_function_that_it_is_made_of() -> None:
    @Reading
    def first_letter(record: ExecFailure) -> str:
        return (record.path or "?")[0]

    assert first_letter(a_failure("/nowhere", errno.ENOENT)) == "/"
