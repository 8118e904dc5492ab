"""The keys of the screen: what each does, by the name of its action in execwhy.tui.screen.app."""

from __future__ import annotations

from typing import Final

from textual.binding import Binding, BindingType

BINDINGS: Final[list[BindingType]] = [
    # In the order of the palette: what one needs first comes first.
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
