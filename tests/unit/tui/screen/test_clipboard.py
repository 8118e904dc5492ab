"""Copying the item under the cursor, without an app."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.screen import clipboard, sentences
from execwhy.tui.screen.clipboard import Copier
from execwhy.tui.widgets.dialogs.copy_menu import Choice
from tests.ui.scripted_source import ScriptedSource, failure


class Desk:
    """A ``Copier``, the item under the cursor, and the result."""

    def __init__(self, *, in_tmux: bool = False) -> None:
        self.record: ExecFailure | None = failure("/opt/x")
        self.fact: str | None = None
        self.is_evicted = False
        self.groups = SimpleNamespace(display=False, text="12  0.1/s  /opt/x")
        self.offered: list[Choice] = []
        self.choose: Callable[[str | None], None] = lambda key: None
        self.copied: list[str] = []
        self.said: list[str] = []
        under_cursor = SimpleNamespace(
            record=lambda body: self.record,
            fact=lambda body: self.fact,
            is_evicted=lambda body: self.is_evicted,
        )
        self.copier = Copier(
            under_cursor=cast(Any, under_cursor),
            body=cast(Any, None),
            groups=cast(Any, self.groups),
            source=ScriptedSource(),
            show_secrets=False,
            ask=self._ask,
            put=self.copied.append,
            say=self.said.append,
            in_tmux=in_tmux,
        )

    def _ask(self, choices: Sequence[Choice], chosen: Callable[[str | None], None]) -> None:
        self.offered, self.choose = list(choices), chosen


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_each_form_of_a_record_is_offered_and_the_chosen_one_is_copied(desk: Desk) -> None:
    desk.copier.copy()
    assert [key for key, _, _ in desk.offered] == ["y", "j", "s", "b"]
    assert not desk.copied
    desk.choose("j")
    assert json.loads(desk.copied[0])["path"] == "/opt/x"
    assert desk.said == [sentences.copied(in_tmux=False)]


def test_a_menu_that_is_closed_copies_nothing(desk: Desk) -> None:
    desk.copier.copy()
    desk.choose(None)
    assert not desk.copied and not desk.said


def test_the_focused_fact_comes_first(desk: Desk) -> None:
    desk.fact = "inode 7"
    desk.copier.copy()
    desk.choose("y")
    assert desk.offered[0][1:] == ("this fact", "inode 7")
    assert desk.copied == ["inode 7"]


def test_a_fact_without_a_record_is_copied_without_a_menu(desk: Desk) -> None:
    desk.record, desk.fact = None, "132 events"
    desk.copier.copy()
    assert desk.copied == ["132 events"] and not desk.offered


@pytest.mark.parametrize(
    ("is_evicted", "said"), [(True, sentences.EVICTED), (False, "There is nothing to copy here.")]
)
def test_an_empty_selection_says_that_there_is_nothing_to_copy(
    desk: Desk, is_evicted: bool, said: str
) -> None:
    desk.record, desk.is_evicted = None, is_evicted
    desk.copier.copy()
    assert (desk.copied, desk.said) == ([], [said])


def test_a_group_is_copied_in_its_one_form(desk: Desk) -> None:
    desk.groups.display = True
    desk.copier.copy()
    assert desk.copied == [desk.groups.text]


def test_text_that_is_too_long_for_terminals_is_not_sent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipboard, "MOST_BYTES", 10)
    desk.copier.copy()
    desk.choose("y")
    assert not desk.copied and "terminals take 10: write it to a file with w." in desk.said[0]


def test_a_program_that_no_shell_can_name_is_not_copied_as_a_command(desk: Desk) -> None:
    desk.record = failure(None)
    desk.copier.copy()
    desk.choose("s")
    assert not desk.copied and desk.said == ["A shell cannot name what was to be executed: copy it as JSON."]


def test_the_hint_for_tmux_is_given_once() -> None:
    desk = Desk(in_tmux=True)
    desk.groups.display = True
    desk.copier.copy()
    desk.copier.copy()
    assert ["tmux" in said for said in desk.said] == [True, False]
