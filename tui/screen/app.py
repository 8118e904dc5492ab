"""What keys and widgets ask of the screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.command import Provider
from textual.driver import Driver

from execwhy.tui.model.query import QueryError, add_term
from execwhy.tui.model.view.moment import is_moment
from execwhy.tui.screen import sentences
from execwhy.tui.screen.commands import Commands
from execwhy.tui.screen.copy_and_write import CopyAndWrite
from execwhy.tui.screen.keys import BINDINGS
from execwhy.tui.screen.live_screen import BUDGET
from execwhy.tui.terminal.terminal import set_mouse
from execwhy.tui.widgets.bars.filter_bar import FilterBar
from execwhy.tui.widgets.bars.search_bar import SearchBar
from execwhy.tui.widgets.bars.status_bar import StatusBar
from execwhy.tui.widgets.body import Body
from execwhy.tui.widgets.dialogs.help import Help, Place
from execwhy.tui.widgets.events.event_table import EventTable
from execwhy.tui.widgets.events.table_header import TableHeader
from execwhy.tui.widgets.groups.group_pane import GroupPane
from execwhy.tui.widgets.painting.painted import Painted


@dataclass(frozen=True, slots=True)
class _Visit:
    """A group whose events are shown, until the filter asks for them no more.

    Attributes:
        before: The filter before.
        condition: What the group added to it.
        folded: Whether repeats were folded before.
    """

    before: str
    condition: str
    folded: bool


class ExecwhyApp(CopyAndWrite):
    """Shows the failed execs of a source, live, and does what is typed."""

    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Commands}
    BINDINGS: ClassVar[list[BindingType]] = BINDINGS

    _visit: _Visit | None = None

    # What the widgets tell

    @on(EventTable.CursorMoved)
    def _cursor_moved(self) -> None:
        self._body.show_event(at_once=not self._table.following)

    @on(EventTable.CellFocused)
    def _cell_focused(self) -> None:
        place = self._table.focused_cell
        self._body.header.focused_column = "" if place is None else place.column.title

    @on(TableHeader.Chosen)
    def _heading_chosen(self, message: TableHeader.Chosen) -> None:
        self._table.focus()
        self._table.focus_cell(message.title)

    @on(StatusBar.Pointed)
    def _time_pointed_at(self, message: StatusBar.Pointed) -> None:
        if len(self.view) and not self._groups.display:
            self._table.move_to(self.view.row_at(self._moment() - int(message.ago * 1e9)))

    @on(FilterBar.Changed)
    def _filter_changed(self, message: FilterBar.Changed) -> None:
        if self._visit is not None and self._visit.condition not in message.query.asked:
            self._end_visit()
        self.view.query = message.query
        if self._frozen_at is not None:
            self._frozen_at = self.history.end_id
        self.view.advance(BUDGET)
        self._table.sync()
        self._answer()

    @on(FilterBar.Problem)
    def _filter_problem(self, message: FilterBar.Problem) -> None:
        self._body.problem.show(message.problem)
        self._body.header.display = message.problem is None

    @on(FilterBar.Closed)
    def _filter_closed(self, message: FilterBar.Closed) -> None:
        if not message.is_left and self._groups.display:
            self._groups.table.focus()
        elif not message.is_left:
            self._body.focus_pane()
        self._tell_state()

    @on(SearchBar.Typed)
    def _searched(self, message: SearchBar.Typed) -> None:
        is_time = is_moment(message.text)
        problem = "" if is_time and not message.is_final else self._navigation.look_for(message.text)
        self._search.say(problem, is_final=message.is_final)
        if message.is_final and not problem:
            self._close_search()
        self._answer()

    @on(SearchBar.Reverted)
    def _search_reverted(self) -> None:
        self._navigation.revert()
        self._close_search()

    @on(SearchBar.Left)
    def _search_left(self, message: SearchBar.Left) -> None:
        if self._navigation.look_for(message.text):
            self._navigation.revert()
        self._close_search(focus=False)

    def _close_search(self, *, focus: bool = True) -> None:
        self._search.close()
        self._keys.display = True
        if focus:
            self._body.focus_pane()
        self._tell_state()

    @on(Body.Arranged)
    @on(EventTable.FollowingChanged)
    def _state_changed(self) -> None:
        self._tell_state()

    @on(GroupPane.Opened)
    def _group_opened(self, message: GroupPane.Opened) -> None:
        before = self._filter.active.text
        if self._filter_for(message.field, message.value, exclude=False):
            folded = self.view.fold_repeats if self._visit is None else self._visit.folded
            condition = add_term("", message.field, message.value, exclude=False)
            self._visit = _Visit(before, condition, folded)
            self.view.fold_repeats = False
            self._show_groups(False)

    def _end_visit(self) -> None:
        """The rows are folded again as they were before the group was opened."""
        if self._visit is not None:
            self.view.fold_repeats = self._visit.folded
            self._visit = None

    @on(GroupPane.Refused)
    def _group_refused(self, message: GroupPane.Refused) -> None:
        self._say(message.reason)

    @on(GroupPane.Closed)
    def _groups_closed(self) -> None:
        self._show_groups(False)

    @on(Driver.SignalResume)
    def _resumed(self) -> None:
        """The terminal's other screen is empty after a stop."""
        self.action_redraw()

    # Keys

    async def action_quit(self) -> None:
        """Leave; after a failure with exit status 1."""
        self._leave()

    def action_help(self) -> None:
        """Show the keys."""
        place: Place = "table"
        if self._groups.display:
            place = "groups"
        elif self._body.detail.has_focus:
            place = "detail"

        def take(text: str | None) -> None:
            if text is not None:
                self._filter.edit(text)
                self._tell_state()

        self.push_screen(Help(place, lambda: (self.source.status().counters, self.history.evicted)), take)

    def action_filter(self) -> None:
        """Type a filter."""
        self._filter.edit()
        self._tell_state()

    def action_toggle_filter(self) -> None:
        """Clear the filter, or bring it back."""
        self._filter.toggle()

    def action_follow(self) -> None:
        """Follow the newest event, or stay."""
        self._table.follow(not self._table.following)

    def action_freeze(self) -> None:
        """Stop taking in what comes, or go on."""
        self._frozen_at = self.history.end_id if self._frozen_at is None else None
        self._answer()

    def action_groups(self) -> None:
        """Show the groups, or the events again."""
        self._show_groups(not self._groups.display)

    def action_searches(self) -> None:
        """Show the PATH searches that have found their program, or hide them."""
        self.view.show_found = not self.view.show_found
        self.view.advance(BUDGET)
        self._table.sync()
        self._say(sentences.searches(self.view.show_found))
        self._tell_state()

    def action_repeats(self) -> None:
        """Give each of the failures that are alike a row of its own, or fold them."""
        self.view.fold_repeats = not self.view.fold_repeats
        self.view.advance(BUDGET)
        self._table.sync()
        self._say(sentences.repeats(self.view.fold_repeats))
        self._tell_state()

    def action_detail(self) -> None:
        """Open or close the detail."""
        self._body.open_detail(not self._body.detail_is_open)

    def action_close_layer(self) -> None:
        """Close the top layer; the table is never closed."""
        if self._body.detail_is_all:
            self._body.open_detail(False)
        elif self._body.detail.has_focus:
            self._table.focus()
        elif self._visit is not None:
            self._filter.set_text(self._visit.before)
            self._end_visit()
            self._show_groups(True)
        elif self._navigation.end_search():
            self._tell_state()

    def action_search(self, text: str) -> None:
        """Type what to look for among the rows, or which time to go to."""
        self._navigation.begin()
        self._keys.display = False
        self._search.edit(text)

    def action_match(self, step: int) -> None:
        """Go to the next match, or the one before."""
        self._go(lambda: self._navigation.step(step))

    def action_mark(self) -> None:
        """Mark the row, or take its mark away."""
        self._go(self._navigation.mark)

    def action_next_mark(self) -> None:
        """Go to the next mark."""
        self._go(self._navigation.next_mark)

    def _go(self, how: Callable[[], str]) -> None:
        if self._groups.display:
            self._say("That is for the table of events: t goes back to it.")
        elif said := how():
            self._say(said)
        self._tell_state()

    def action_other_pane(self, step: int) -> None:
        """Move the focus to the other pane, or to the next cell where there is none."""
        if not self._body.other_pane():
            self._table.action_cell(step)

    def action_add_cell(self, exclude: bool) -> None:
        """Filter for what the focused cell or fact says, or exclude it."""
        in_groups = self._groups.display
        condition = self._groups.condition if in_groups else self._under_cursor.condition(self._body)
        if condition is None and not len(self.view):
            self._say(sentences.nothing_shown(self.view, self.history))
            return
        if condition is None:
            self._say("Nothing to filter for: focus another cell with ← and →, no time and no masked text.")
            return
        self._filter_for(*condition, exclude=exclude)

    def _filter_for(self, field: str, value: object, *, exclude: bool) -> bool:
        try:
            self._filter.set_text(add_term(self._filter.active.text, field, value, exclude=exclude))
        except QueryError as error:
            self._say(sentences.alone(error.message))
            return False
        return True

    def action_capture(self) -> None:
        """Have the kernel apply the filter, or record everything again."""
        self._say(self._kernel_filter.toggle(self._filter.active))
        self._tell_state()

    def action_mouse(self) -> None:
        """Give the mouse to the terminal, for selecting text, or take it back."""
        if set_mouse(self, not self._has_mouse):
            self._has_mouse = not self._has_mouse
            self._say(
                "The mouse is back." if self._has_mouse else "The mouse is the terminal's; F2 takes it back."
            )

    def action_redraw(self) -> None:
        """Paint everything anew, where something else wrote on the terminal."""
        self.faults.try_again()
        for widget in self.screen.query(Painted):
            widget.refresh()
        self.screen.refresh(layout=True)
