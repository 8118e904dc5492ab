"""Asking where to write, without an app."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from textual.screen import Screen

from execwhy.tui.screen.writing import Writing
from execwhy.tui.widgets.dialogs.save_dialog import SaveDialog
from execwhy.tui.widgets.dialogs.snapshot_writer import Selection
from tests.ui.scripted_source import START


class Stack:
    """A stack of screens."""

    def __init__(self) -> None:
        self.screen_stack: list[Screen[object]] = []
        self.closed: Callable[[str | None], None] | None = None

    def push_screen(self, screen: SaveDialog, callback: Callable[[str | None], None]) -> None:
        self.screen_stack.append(cast(Screen[object], screen))
        self.closed = callback


class Desk:
    """A ``Writing`` and its effects."""

    def __init__(self) -> None:
        self.stack = Stack()
        self.said: list[str] = []
        self.left = 0
        self.writing = Writing(self.stack, self._selection, self.said.append, self._leave)

    def _leave(self) -> None:
        self.left += 1

    def _selection(self) -> Selection:
        return cast(Selection, type("Offer", (), {"default_name": f"execwhy-{START}.jsonl"})())

    def dialog(self) -> SaveDialog:
        self.writing.ask()
        top = self.stack.screen_stack[-1]
        assert isinstance(top, SaveDialog)
        return top

    def close(self, said: str | None) -> None:
        assert self.stack.closed is not None
        self.stack.closed(said)


def test_the_result_of_writing_is_reported() -> None:
    desk = Desk()
    desk.dialog()
    desk.close("7 failed execs are in x.jsonl.")
    assert (desk.said, desk.left) == (["7 failed execs are in x.jsonl."], 0)


def test_a_closed_dialog_reports_nothing() -> None:
    desk = Desk()
    desk.dialog()
    desk.close(None)
    assert (desk.said, desk.left) == ([], 0)


def test_quitting_from_the_dialog_leaves_the_screen_once_it_has_closed() -> None:
    desk = Desk()
    desk.dialog().quits = True
    desk.close(None)
    assert desk.left == 1


def test_a_dialog_that_is_not_writing_does_not_take_the_quit_key() -> None:
    desk = Desk()
    assert not desk.writing.quit_after()
    dialog = desk.dialog()
    assert not desk.writing.is_under_way() and not desk.writing.quit_after()
    assert not dialog.quits
