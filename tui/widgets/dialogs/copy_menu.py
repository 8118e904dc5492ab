"""The menu of what can be copied of the event under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from execwhy.tui.faults.contained import Dialog
from execwhy.tui.widgets.painting.painted import Painted, Piece

Choice = tuple[str, str, str]
"""Its key, its name, and an explanation."""

_WIDTH: Final = 15
"""Cells of the names: "a shell command" is the longest."""


class ChoiceList(Painted, can_focus=True):
    """Choices, one a line; keys, arrows and clicks take one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("enter", "take", "Take", show=False),
    ]

    class Taken(Message):
        """One was chosen."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, choices: Sequence[Choice]) -> None:
        super().__init__()
        self._choices = choices
        self._at = 0

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return a line for each choice."""
        return len(self._choices)

    def action_move(self, step: int) -> None:
        """Move the cursor up or down."""
        self._at = min(max(0, self._at + step), len(self._choices) - 1)
        self.refresh()

    def action_take(self) -> None:
        """Take the choice under the cursor."""
        self.post_message(self.Taken(self._choices[self._at][0]))

    def on_key(self, event: events.Key) -> None:
        """Take the choice with this key."""
        if any(event.character == key for key, _, _ in self._choices):
            event.stop()
            self.post_message(self.Taken(str(event.character)))

    def on_click(self, event: events.Click) -> None:
        """Take the choice that was clicked."""
        event.stop()
        place = event.get_content_offset(self)
        if place is not None and place.y < len(self._choices):
            self.post_message(self.Taken(self._choices[place.y][0]))

    def render_line(self, y: int) -> Strip:
        """Paint one choice."""
        key, what, beside = self._choices[y]
        over = self.role("cursor") if y == self._at else None
        pieces: list[Piece] = [
            ("▌" if over else " ", "mark"),
            (f"{key}  ", "key"),
            (f"{what:<{_WIDTH}}  ", "name"),
            (beside, "muted"),
        ]
        return self.line(pieces, self.size.width, over)


class CopyMenu(Dialog[str | None]):
    """Dismissed with the key of the choice, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Close", show=False),
    ]

    def __init__(self, choices: Sequence[Choice]) -> None:
        super().__init__()
        self._list = ChoiceList(choices)
        self._list.id = "copy-pane"

    def compose(self) -> ComposeResult:
        """Yield the choices."""
        self._list.border_title = "copy"
        self._list.border_subtitle = "Esc closes"
        yield self._list

    def on_mount(self) -> None:
        """Give the keys to the choices."""
        self._list.focus()

    def on_choice_list_taken(self, message: ChoiceList.Taken) -> None:
        """Close with the choice."""
        self._leave(message.key)

    def on_click(self) -> None:
        """Close after a click beside the menu."""
        self._leave(None)

    def action_close(self) -> None:
        """Close without a choice."""
        self._leave(None)

    def _leave(self, key: str | None) -> None:
        # A fast typist may have pressed one more key before the first one was handled.
        if self.is_current:
            self.dismiss(key)
