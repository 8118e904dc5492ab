"""The keys of the screen, and the palette, which offers them by name.

Each key names an action of ``execwhy.tui.screen.app``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from textual.binding import Binding, BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from execwhy.tui.widgets.groups.group_pane import GroupPane

BINDINGS: Final[list[BindingType]] = [
    # In the order of the palette: what is needed first comes first.
    Binding("enter", "detail", "Open or close the detail", id="detail", key_display="Enter"),
    Binding("slash", "filter", "Filter", id="filter"),
    Binding("c", "toggle_filter", "Clear the filter, or bring it back", id="clear-filter"),
    Binding("t", "groups", "Group by path, error, cause, user, ...", id="groups"),
    Binding("f", "follow", "Follow the newest, or stay", id="follow"),
    Binding("space,p", "freeze", "Freeze the view, or go on", id="freeze", key_display="Space"),
    Binding("plus", "add_cell(False)", "Filter for the focused cell", id="include"),
    Binding("minus", "add_cell(True)", "Exclude the focused cell", id="exclude"),
    Binding("w", "write", "Write a snapshot to a file", id="write"),
    Binding("y", "copy", "Copy the row, JSON, a command or a report", id="copy"),
    Binding("s", "search('')", "Search among the rows", id="search"),
    Binding("n", "match(1)", "Go to the next match", id="next-match"),
    Binding("N", "match(-1)", "Go to the match before", id="previous-match"),
    Binding("at", "search('@')", "Go to a time", id="go-to-time"),
    Binding("m", "mark", "Mark the row, or take its mark away", id="mark"),
    Binding("M", "next_mark", "Go to the next mark", id="next-mark"),
    Binding("h", "searches", "Show or hide PATH searches that ended well", id="found-searches"),
    Binding("r", "repeats", "Unfold or fold repeats", id="repeats"),
    Binding("K", "capture", "Apply the filter in the kernel, or end that", id="capture"),
    Binding("question_mark,f1", "help", "Help: all keys, examples of filters", id="help"),
    Binding("f2", "mouse", "Mouse on or off", id="mouse", key_display="F2"),
    Binding("ctrl+l", "redraw", "Redraw the screen", id="redraw"),
    Binding("ctrl+z", "suspend_process", "Suspend, back to the shell", id="suspend"),
    Binding("q", "quit", "Quit", id="quit"),
    Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    Binding("tab", "other_pane(1)", "Other pane", show=False, id="other-pane"),
    Binding("shift+tab", "other_pane(-1)", "Other pane", show=False, id="other-pane-back"),
    Binding("escape", "close_layer", "Back", show=False, id="back"),
]

_OF_EVENTS: Final = frozenset(
    {
        "detail", "follow", "search", "go-to-time", "next-match", "previous-match", "mark", "next-mark",
        "found-searches", "repeats",
    }
)  # fmt: skip
"""Ids of bindings that do something in the table of events only."""

_KEY: Final = 6
"""Cells of a key's name."""

THEME: Final = "Choose a theme: dark, light, contrast, terminal, mono"


class Commands(Provider):
    """Offers each binding of the app that is shown, and the themes."""

    async def discover(self) -> Hits:
        """Yield all commands, in the order of ``BINDINGS``."""
        for name, key, action in self._commands():
            shown = Content.assemble((f"{key:>{_KEY}}  ", "bold"), name)
            yield DiscoveryHit(shown, partial(self.app.run_action, action), text=name)

    async def search(self, query: str) -> Hits:
        """Yield the commands that match what was typed."""
        matcher = self.matcher(query)
        for name, key, action in self._commands():
            if (score := matcher.match(name)) > 0:
                shown = Content.assemble((f"{key:>{_KEY}}  ", "bold"), matcher.highlight(name))
                yield Hit(score, shown, partial(self.app.run_action, action), text=name)

    def _commands(self) -> Iterator[tuple[str, str, str]]:
        """Yield what each command does, its key and its action."""
        in_groups = any(pane.display for pane in self.app.query(GroupPane))
        seen: set[str | None] = set()
        for binding in Binding.make_bindings(self.app.BINDINGS):
            if binding.show and binding.id not in seen and not (in_groups and binding.id in _OF_EVENTS):
                # A command with several keys is listed with the first.
                seen.add(binding.id)
                yield binding.description, self.app.get_key_display(binding), f"app.{binding.action}"
        yield THEME, "", "app.change_theme"
