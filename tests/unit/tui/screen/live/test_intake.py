"""The intake's report on a source, without a screen."""

from __future__ import annotations

import pytest

from execwhy.bpf.events.source import Stage
from execwhy.tui.arrivals import Arrivals
from execwhy.tui.model.history.store import History
from execwhy.tui.screen.live.intake import Intake
from tests.ui.scripted_source import ScriptedSource, failure


def intake_of(source: ScriptedSource) -> Intake:
    return Intake(source, Arrivals(source, History(), None, None))


def test_a_file_is_being_read_until_a_step_finds_nothing_more() -> None:
    source = ScriptedSource([failure()], stage=Stage.ENDED)
    intake = intake_of(source)
    assert intake.status().stage is Stage.READING
    assert intake.pull(1.0, lambda: False)
    assert intake.status().stage is Stage.ENDED


def test_a_step_in_which_nothing_comes_is_quiet() -> None:
    intake = intake_of(ScriptedSource())
    assert not intake.pull(1.0, lambda: False)
    assert intake.status().stage is Stage.LIVE


@pytest.mark.parametrize(("waiting", "behind"), [(100, 0), (101, 101)])
def test_being_a_few_failures_behind_is_not_reported(waiting: int, behind: int) -> None:
    source = ScriptedSource()
    source.waiting = waiting
    intake = intake_of(source)
    assert intake.behind(intake.status()) == behind


def test_only_live_events_have_a_rate() -> None:
    source = ScriptedSource(stage=Stage.READING)
    intake = intake_of(source)
    intake.count()
    source.waiting = 90_000
    intake.count()
    assert intake.rate.now == 0
    source.stage = Stage.LIVE
    intake.count()
    source.waiting += 6
    intake.count()
    assert intake.rate.now == 2
