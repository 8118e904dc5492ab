"""Which rows the view control shows, without a screen."""

from __future__ import annotations

import pytest

from execwhy.bpf.events.source import Stage
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import parse
from execwhy.tui.model.view.view import View
from execwhy.tui.screen.live.view_control import ViewControl
from tests.ui.scripted_source import START, ScriptedSource, failure


class Table:
    """Counts how often it was updated from the view."""

    def __init__(self) -> None:
        self.fault = ""
        self.synced = 0

    def sync(self) -> None:
        self.synced += 1


class Set:
    """A view control and the parts that it controls."""

    def __init__(self, *paths: str) -> None:
        self.source = ScriptedSource()
        self.history = History()
        self.view = View(self.history, parse(""), fold_repeats=True)
        self.table = Table()
        self.control = ViewControl(self.source, self.history, self.view, self.table)
        self.come(*paths)

    def come(self, *paths: str) -> None:
        self.history.append([failure(path, timestamp=START) for path in paths])
        self.control.update()


def test_new_events_are_shown_and_the_table_is_updated() -> None:
    screen = Set("/a", "/b")
    assert screen.view.shown == 2 and screen.table.synced == 1
    assert not screen.control.update()
    assert screen.table.synced == 1


def test_a_frozen_view_is_unchanged_and_counts_new_events() -> None:
    screen = Set("/a")
    assert not screen.control.is_frozen
    screen.control.freeze()
    screen.come("/b", "/c")
    assert (screen.view.shown, screen.control.came_meanwhile) == (1, 2)
    screen.control.freeze()
    screen.control.update()
    assert (screen.view.shown, screen.control.is_frozen) == (3, False)


def test_changing_the_filter_of_a_frozen_view_includes_newer_events() -> None:
    screen = Set("/a")
    screen.control.freeze()
    screen.come("/b")
    screen.control.set_query(parse("path:/b"))
    assert screen.control.came_meanwhile == 0


def test_writing_includes_the_newest_events_unless_the_view_is_frozen() -> None:
    screen = Set("/a")
    screen.history.append([failure("/b")])
    screen.control.catch_up()
    assert screen.view.shown == 2
    screen.control.freeze()
    screen.history.append([failure("/c")])
    screen.control.catch_up()
    assert screen.view.shown == 2


def test_an_opened_group_shows_each_event_until_the_filter_changes() -> None:
    screen = Set("/a", "/a", "/a")
    assert screen.view.shown == 1
    screen.control.enter_group("ENOENT", "path==/a")
    screen.control.set_query(parse("ENOENT path==/a"))
    assert (screen.view.shown, screen.control.filter_before_group) == (3, "ENOENT")
    screen.control.set_query(parse("ENOENT"))
    assert (screen.view.shown, screen.control.filter_before_group) == (1, None)


def test_leaving_nested_groups_restores_folded_repeats() -> None:
    screen = Set("/a", "/a")
    screen.control.enter_group("", "path==/a")
    screen.control.enter_group("path==/a", "error==ENOENT")
    screen.control.leave_group()
    assert screen.view.fold_repeats


@pytest.mark.parametrize("freezes", [False, True])
def test_ages_are_relative_to_now_only_for_live_events(freezes: bool) -> None:
    screen = Set("/a")
    if freezes:
        screen.control.freeze()
    else:
        screen.source.stage = Stage.ENDED
    assert screen.control.moment() == START
