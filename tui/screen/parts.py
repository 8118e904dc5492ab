"""The parts of the screen, put together, and what keys ask of several of them."""

from __future__ import annotations

import os
from collections.abc import Callable

from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.arrivals import Arrivals, Looking
from execwhy.tui.faults.contained_app import ContainedApp
from execwhy.tui.model.query import Query, QueryError, add_term
from execwhy.tui.model.text.printable import pieces
from execwhy.tui.model.view.view import View
from execwhy.tui.screen import sentences
from execwhy.tui.screen.clipboard import Copier
from execwhy.tui.screen.kernel_filter import KernelFilter
from execwhy.tui.screen.live.intake import Intake
from execwhy.tui.screen.live.state import StateLines
from execwhy.tui.screen.live.ticker import Ticker
from execwhy.tui.screen.live.updates import Updates
from execwhy.tui.screen.live.view_control import ViewControl
from execwhy.tui.screen.navigation import Navigation
from execwhy.tui.screen.under_cursor import UnderCursor
from execwhy.tui.screen.writing import Shown, Writing
from execwhy.tui.terminal.terminal import input_waits
from execwhy.tui.terminal.typed_ahead import TypedAhead
from execwhy.tui.textual_private import fail, is_exiting
from execwhy.tui.widgets.bars.filter_bar import FilterBar
from execwhy.tui.widgets.bars.key_bar import KeyBar
from execwhy.tui.widgets.bars.search_bar import SearchBar
from execwhy.tui.widgets.bars.status_bar import StatusBar
from execwhy.tui.widgets.body import Body
from execwhy.tui.widgets.dialogs.copy_menu import CopyMenu
from execwhy.tui.widgets.events.event_table import EventTable
from execwhy.tui.widgets.groups.group_pane import GroupPane
from execwhy.tui.widgets.painting.screen_picture import svg_of


class Parts:
    """Each part with what it needs of the others; none of them knows the app.

    Args:
        app: What calls back, shows dialogs and has the history.
        leave: Leaves the screen.
        query: The filter to begin with.
        lookers: Look at each failure; None if nothing is to be diagnosed.
        capture: The filter that the kernel applies already.
        on_cause: Called with each cause that was found, and the number of its events.
    """

    def __init__(
        self,
        app: ContainedApp,
        leave: Callable[[], None],
        *,
        query: Query,
        lookers: Looking | None,
        capture: str,
        on_cause: Callable[[Diagnosis, int], None] | None,
    ) -> None:
        source, history, show_secrets = app.source, app.history, app.show_secrets
        self._history = history
        self.view = View(history, query, fold_repeats=True)
        self.intake = Intake(source, Arrivals(source, history, lookers, on_cause))
        are_diagnosed = self.intake.arrivals.are_diagnosed
        self.kernel_filter = KernelFilter(source, capture)

        self.status_bar = StatusBar(id="status")
        self.filter_bar = FilterBar(query, id="filter")
        self.table = EventTable(history, self.view, show_secrets=show_secrets, id="table")
        self.table.is_diagnosed = are_diagnosed
        self.control = ViewControl(source, history, self.view, self.table)
        self.under_cursor = UnderCursor(
            history, source, self.view, show_secrets=show_secrets, are_diagnosed=are_diagnosed
        )
        self.body = Body(self.table, self.under_cursor.facts, id="body")
        self.groups = GroupPane(
            history, self.view, self.control.moment, show_secrets=show_secrets, id="groups"
        )
        self.navigation = Navigation(history, self.view, self.table)
        self.table.sign = self.navigation.sign
        self.search_bar = SearchBar(id="search")
        self.key_bar = KeyBar(id="keys")

        self.state = StateLines(
            intake=self.intake,
            history=history,
            view=self.view,
            control=self.control,
            navigation=self.navigation,
            kernel_filter=self.kernel_filter,
            status=self.status_bar,
            filter_bar=self.filter_bar,
            body=self.body,
            groups=self.groups,
            keys=self.key_bar,
            faults=app.faults,
            leave=leave,
        )
        self.updates = Updates(
            intake=self.intake,
            view=self.view,
            control=self.control,
            navigation=self.navigation,
            state=self.state,
            body=self.body,
            groups=self.groups,
            keys=self.key_bar,
            faults=app.faults,
            is_over=lambda: is_exiting(app),
            fail=lambda error: fail(app, error),
        )
        self.ticker = Ticker(self.updates, app, lambda: self.typed.is_answering or input_waits(app))
        self.copier = Copier(
            under_cursor=self.under_cursor,
            body=self.body,
            groups=self.groups,
            source=source,
            show_secrets=show_secrets,
            ask=lambda choices, chosen: app.push_screen(CopyMenu(choices), chosen),
            put=app.copy_to_clipboard,
            say=self.say,
            in_tmux="TMUX" in os.environ,
        )
        self.shown = Shown(
            intake=self.intake,
            history=history,
            view=self.view,
            control=self.control,
            show_secrets=show_secrets,
            picture=lambda: svg_of(app.screen_stack[0], "execwhy"),
        )
        self.writing = Writing(app, self.shown.selection, self.say, leave)
        self.typed = TypedAhead(app, self.writing.is_under_way, self.ticker.on_time)

    def say(self, text: str) -> None:
        """Say something in place of the keys."""
        self.key_bar.say(pieces(text))

    def answer(self) -> None:
        """Show at once what a key has changed."""
        self.ticker.answer()
        self.state.show()

    def show_groups(self, shown: bool) -> None:
        """Show the groups, or the events."""
        self.groups.display, self.body.display = shown, not shown
        (self.groups.table if shown else self.table).focus()
        if not shown:
            self.table.sync()
        self.answer()

    def focus_rows(self) -> None:
        """Focus what is read: the groups, the table, or the detail in its place."""
        if self.groups.display:
            self.groups.table.focus()
        else:
            self.body.focus_pane()

    def close_layer(self) -> None:
        """Close the top layer: the detail, a group's events, or a search."""
        before_group = self.control.filter_before_group
        if self.body.detail_is_all:
            self.body.open_detail(False)
        elif self.body.detail.has_focus:
            self.table.focus()
        elif before_group is not None:
            self.filter_bar.set_text(before_group)
            self.control.leave_group()
            self.show_groups(True)
        elif self.navigation.end_search():
            self.state.show()

    # Filter

    def edit_filter(self, text: str | None = None) -> None:
        """Begin to type a filter, in place of the active one if a text is given."""
        self.filter_bar.edit(text)
        self.state.show()

    def filter_for(self, field: str, value: object, *, exclude: bool) -> bool:
        """Add a condition to the filter; False if none can be made, which is said."""
        try:
            self.filter_bar.set_text(add_term(self.filter_bar.active.text, field, value, exclude=exclude))
        except QueryError as error:
            self.say(sentences.alone(error.message))
            return False
        return True

    def filter_for_cell(self, *, exclude: bool) -> None:
        """Filter for what the focused cell, fact or group says, or exclude it."""
        in_groups = self.groups.display
        condition = self.groups.condition if in_groups else self.under_cursor.condition(self.body)
        if condition is not None:
            self.filter_for(*condition, exclude=exclude)
        elif len(self.view):
            self.say("Nothing to filter for: focus another cell with ← and →, no time and no masked text.")
        else:
            self.say(sentences.nothing_shown(self.view, self._history))

    def open_group(self, field: str, value: object) -> None:
        """Show the events of a group."""
        before = self.filter_bar.active.text
        if self.filter_for(field, value, exclude=False):
            self.control.enter_group(before, add_term("", field, value, exclude=False))
            self.show_groups(False)

    # Search

    def begin_search(self, text: str) -> None:
        """Begin to type a search in place of the keys, after this text."""
        self.navigation.begin()
        self.key_bar.display = False
        self.search_bar.edit(text)

    def close_search(self, *, focus: bool) -> None:
        """Show the keys again."""
        self.search_bar.close()
        self.key_bar.display = True
        if focus:
            self.body.focus_pane()
        self.state.show()

    def navigate(self, move: Callable[[], str]) -> None:
        """Move the cursor among the events, and say what is to be said of that."""
        if self.groups.display:
            self.say("That is for the table of events: t goes back to it.")
        elif said := move():
            self.say(said)
        self.state.show()
