"""The screen itself: what the messages of its widgets do."""

from __future__ import annotations

from textual import on
from textual.screen import Screen

from execwhy.tui.faults.contained import Contained
from execwhy.tui.model.view.moment import is_moment
from execwhy.tui.screen.parts import Parts
from execwhy.tui.widgets.bars.filter_bar import FilterBar
from execwhy.tui.widgets.bars.search_bar import SearchBar
from execwhy.tui.widgets.bars.status_bar import StatusBar
from execwhy.tui.widgets.body import Body
from execwhy.tui.widgets.events.event_table import EventTable
from execwhy.tui.widgets.groups.group_pane import GroupPane


class MainScreen(Contained, Screen[None]):
    """The screen below all dialogs; it hands each message to the part that it is for."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(id="_default")
        self.parts = parts

    @on(StatusBar.Pointed)
    def _time_pointed_at(self, message: StatusBar.Pointed) -> None:
        if len(self.parts.view) and not self.parts.groups.display:
            moment = self.parts.control.moment() - int(message.ago * 1e9)
            self.parts.table.move_to(self.parts.view.row_at(moment))

    @on(FilterBar.Changed)
    def _filter_changed(self, message: FilterBar.Changed) -> None:
        self.parts.control.set_query(message.query)
        self.parts.answer()

    @on(FilterBar.Problem)
    def _filter_problem(self, message: FilterBar.Problem) -> None:
        self.parts.body.show_problem(message.problem)

    @on(FilterBar.Closed)
    def _filter_closed(self, message: FilterBar.Closed) -> None:
        if not message.is_left:
            self.parts.focus_rows()
        self.parts.state.show()

    @on(SearchBar.Typed)
    def _searched(self, message: SearchBar.Typed) -> None:
        is_unfinished = is_moment(message.text) and not message.is_final
        problem = "" if is_unfinished else self.parts.navigation.look_for(message.text)
        self.parts.search_bar.say(problem, is_final=message.is_final)
        if message.is_final and not problem:
            self.parts.close_search(focus=True)
        self.parts.answer()

    @on(SearchBar.Reverted)
    def _search_reverted(self) -> None:
        self.parts.navigation.revert()
        self.parts.close_search(focus=True)

    @on(SearchBar.Left)
    def _search_left(self, message: SearchBar.Left) -> None:
        if self.parts.navigation.look_for(message.text):
            self.parts.navigation.revert()
        self.parts.close_search(focus=False)

    @on(Body.Arranged)
    @on(EventTable.FollowingChanged)
    def _state_changed(self) -> None:
        self.parts.state.show()

    @on(GroupPane.Opened)
    def _group_opened(self, message: GroupPane.Opened) -> None:
        self.parts.open_group(message.field, message.value)

    @on(GroupPane.Refused)
    def _group_refused(self, message: GroupPane.Refused) -> None:
        self.parts.say(message.reason)

    @on(GroupPane.Closed)
    def _groups_closed(self) -> None:
        self.parts.show_groups(False)
