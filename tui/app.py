"""The screen: joins an event source, the history and the widgets."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.text import Text
from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.driver import Driver

from bpf.record import Diagnosis, ExecFailure
from bpf.source import EventSource, Stage, Status
from tui import clipboard, sentences, themes
from tui.arrivals import Arrivals
from tui.commands import Commands
from tui.crash import crash_report
from tui.kernel_filter import KernelFilter
from tui.last_gate import LastGate
from tui.model.history import History
from tui.model.moment import is_moment
from tui.model.printable import pieces
from tui.model.query import QueryError, add_term, parse
from tui.model.snapshot import Header, default_name
from tui.model.view import View
from tui.navigation import Navigation
from tui.screen_picture import svg_of
from tui.terminal import set_mouse
from tui.typed_ahead import TypedAhead
from tui.under_cursor import UnderCursor
from tui.widgets.body import Body
from tui.widgets.columns import row_text
from tui.widgets.copy_menu import CopyMenu
from tui.widgets.event_table import EventTable
from tui.widgets.filter_bar import FilterBar
from tui.widgets.group_pane import GroupPane
from tui.widgets.help import Help, Place
from tui.widgets.key_bar import KeyBar
from tui.widgets.rate import Rate
from tui.widgets.save_dialog import SaveDialog, Selection
from tui.widgets.search_bar import SearchBar
from tui.widgets.status_bar import State, StatusBar
from tui.widgets.table_header import TableHeader

_TICK: Final = 1 / 10
"""Seconds between two looks at the source: an eye sees it as at once, and nothing to do costs little."""

_FEW: Final = 100
"""Failures that the screen may be behind without saying so."""
_BUDGET: Final = 0.008
"""Seconds of work at a time, so that a key is answered within a frame or two."""

_QUIET: Final = 3
"""Ticks between two looks at the state while nothing comes: an idle screen must cost nothing."""

_SPARKLINES: Final = (30, 20, 12, 6)
"""Bars; each divides the minute."""


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


class ExecwhyApp(App[None]):
    """Shows the failed execs of a source, live."""

    TITLE = "execwhy"
    CSS_PATH = "theme.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Commands}

    BINDINGS: ClassVar[list[BindingType]] = [
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
        Binding("f2", "mouse", "Mouse on or off", id="mouse"),
        Binding("ctrl+l", "redraw", "Redraw the screen", id="redraw"),
        Binding("ctrl+z", "suspend_process", "Suspend, back to the shell", id="suspend"),
        Binding("q", "quit", "Quit", id="quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
        Binding("tab", "other_pane(1)", "Other pane", show=False, id="other-pane"),
        Binding("shift+tab", "other_pane(-1)", "Other pane", show=False, id="other-pane-back"),
        Binding("escape", "close_layer", "Back", show=False, id="back"),
    ]

    def __init__(
        self,
        source: EventSource,
        *,
        history: History,
        query: str = "",
        show_secrets: bool = False,
        why: Callable[[ExecFailure], Diagnosis] | None = None,
        capture: str = "",
        theme: str | None = None,
        on_cause: Callable[[str, int], None] | None = None,
        greets: bool = False,
    ) -> None:
        """Make the screen; nothing starts before ``run``.

        Args:
            source: Where events come from.
            history: Where they are kept.
            query: The filter to begin with.
            show_secrets: Nothing is masked.
            why: Diagnoses a record; None where nothing is to be diagnosed.
            capture: The filter that the kernel applies already.
            on_cause: Told each cause that was found, and of how many events.
            theme: The name of the theme to begin with; None goes by the environment.
            greets: The line of keys says, until the first key, what one does first.

        Raises:
            QueryError: ``query`` is no filter.
        """
        first = themes.first_theme(os.environ, theme)
        # Textual would make greys of the colours, where the theme has none and where others are asked for.
        os.environ.pop("NO_COLOR", None)
        super().__init__()
        # Textual's own would leave hues without the meaning that they have here.
        for name in self.available_themes:
            self.unregister_theme(name)
        for own in themes.THEMES.values():
            self.register_theme(own)
        self.theme = first
        self._filters.append(LastGate())
        self.source = source
        self.history = history
        self.show_secrets = show_secrets
        self.view = View(history, parse(query), fold_repeats=True)
        self._kernel_filter = KernelFilter(source, capture)
        self._arrivals = Arrivals(source, history, why, on_cause)
        self._rate = Rate()
        self._frozen_at: int | None = None
        self.failure = ""
        """Why its source had failed when it was left, in one sentence; "" where it had not."""
        self._failure_told = ""
        self._preferred: list[int] = []
        self._told_times = 0
        self._goes_on = False
        self._quiet_ticks = 0
        self._has_mouse = True
        self._warns_of_tmux = "TMUX" in os.environ
        self._greets = greets
        self._status = StatusBar(id="status")
        self._filter = FilterBar(self.view.query, id="filter")
        self._table = EventTable(history, self.view, show_secrets=show_secrets, id="table")
        self._under_cursor = UnderCursor(
            history, source, self.view, show_secrets=show_secrets, are_diagnosed=self._arrivals.are_diagnosed
        )
        self._body = Body(self._table, self._under_cursor.facts, id="body")
        self._groups = GroupPane(history, self.view, self._moment, show_secrets=show_secrets, id="groups")
        self._visit: _Visit | None = None
        self._navigation = Navigation(history, self.view, self._table)
        self._table.sign = self._navigation.sign
        self._search = SearchBar(id="search")
        self._keys = KeyBar(id="keys")
        self._typed = TypedAhead(self, self._is_writing, self._tick)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """What theme.tcss asks for, while Textual has a theme of its own: before ours are there."""
        return dict(themes.VARIABLES)

    def compose(self) -> ComposeResult:
        """State, filter, table and detail, keys."""
        yield self._status
        yield self._filter
        yield self._body
        yield self._groups
        yield self._search
        yield self._keys

    def on_mount(self) -> None:
        """Start the source once there is a screen to show it on."""
        self._table.is_diagnosed = self._arrivals.are_diagnosed
        self._groups.display = False
        self._table.focus()
        self.source.start()
        self._count()
        self.set_interval(_TICK, self._tick)
        self.set_interval(1.0, self._count)

        if self._greets:
            self.call_after_refresh(self._greet)

    def _greet(self) -> None:
        is_open = self._body.detail_is_open
        greeting = sentences.GREETING_BESIDE_DETAIL if is_open else sentences.GREETING
        self._keys.say(pieces(greeting), "plain", stays=True)

    async def on_event(self, event: events.Event) -> None:
        """Keys wait for each other; a key or a click shows that what was said has been read."""
        if isinstance(event, events.Key | events.Paste | events.MouseDown) and not event.is_forwarded:
            if not isinstance(event, events.MouseDown) and self._typed.holds(event):
                return
            self._keys.say([])
        await super().on_event(event)

    def on_unmount(self) -> None:
        """Stop what runs beside the screen."""
        self._arrivals.close()
        self.source.close()

    def _fatal_error(self) -> None:
        """Textual would print the locals of every frame: the arguments of other people's processes."""
        self._exit_renderables.append(Text(crash_report(sys.exc_info()[1])))
        self._close_messages_no_wait()

    # What comes in

    def _count(self) -> None:
        status = self.source.status()
        self._rate.tick(status.counters.seen, reads=status.stage in (Stage.READING, Stage.WAITING))
        if self._table.cursor_times != self._told_times:
            self._told_times = self._table.cursor_times
            self._body.renew()

    def _tick(self) -> None:
        """Take in what has come, a few milliseconds at a time, and show what changed."""
        came = self._arrivals.pull(_BUDGET)
        diagnosed = self._arrivals.take_diagnoses()
        folded = self._arrivals.take_searches()
        changed = self._frozen_at is None and self.view.refresh()
        if not self.view.complete:
            changed |= self.view.advance(_BUDGET)
        if changed:
            self._table.sync()
        if self._navigation.advance(_BUDGET):
            self._table.refresh()
        visible = self._table.visible_ids()
        if seen := {event_id for event_id in visible if event_id in diagnosed or event_id in folded}:
            self._table.redraw(seen)
        if (cursor := self._table.cursor_id) in diagnosed or cursor in folded:
            self._body.renew()
        if visible != self._preferred:
            self._preferred = visible
            self._arrivals.prefer(visible)
        self._body.show_event()
        self._quiet_ticks = 0 if came or changed else self._quiet_ticks + 1
        if self._quiet_ticks % _QUIET == 0:
            self._tell_state()
        more = self._groups.display and self._groups.sync(_BUDGET)
        more |= self._navigation.goes_on
        more |= self._arrivals.wait or not self.view.complete
        if more and not self._goes_on and not self._typed.waits:
            self._goes_on = True
            self.call_later(self._go_on)

    async def _go_on(self) -> None:
        """More is to be done than one step; keys come in between."""
        # What this app's own queue holds is worked off without a look at anyone else's.
        await asyncio.sleep(0)
        self._goes_on = False
        self._tick()

    def _tell_state(self) -> None:
        status = self.source.status()
        self._status.show(
            State(
                stage=status.stage,
                host=status.origin.host,
                plan=status.origin.plan,
                counters=status.counters,
                hidden_found=self.view.hidden_found,
                evicted=self.history.evicted,
                behind=self._behind(status),
                rate=self._rate.now,
                sparklines=tuple(map(self._rate.sparkline, _SPARKLINES)),
                frozen=None if self._frozen_at is None else self.history.end_id - self._frozen_at,
            )
        )
        whole, brief = sentences.shown(status, self.view, self.history, self._kernel_filter.text)
        found = self._navigation.told
        self._filter.tell(*("   ".join(filter(None, (found, told))) for told in (whole, brief)))
        self._table.empty = self._groups.table.empty = sentences.empty(
            status, self.view, self.history, editing=self._filter.is_editing
        )
        frozen = self._frozen_at is not None
        if self._groups.display and not self._filter.is_editing:
            self._keys.show(sentences.group_keys(frozen))
        else:
            self._keys.show(sentences.keys(self._filter.is_editing, self._body, frozen))
        self._table.with_host = self._body.header.with_host = status.is_merged
        if status.stage is Stage.FAILED and not len(self.history):
            # There is nothing to look at, and nothing will come: what is left to say is said in the shell.
            self._leave()
        failure = status.detail if status.stage is Stage.FAILED else status.problem
        if failure != self._failure_told and len(self.view):
            self._failure_told = failure
            self._keys.say(pieces(failure), "danger", stays=True)

    def _behind(self, status: Status) -> int:
        """How many failures wait for the screen, if that is more than a second brings."""
        behind = status.counters.recorded - self._arrivals.taken
        return behind if status.stage is Stage.LIVE and behind > max(_FEW, self._rate.now) else 0

    def _is_writing(self) -> bool:
        return isinstance(self.screen, SaveDialog) and self.screen.is_writing

    def _moment(self) -> int:
        """The time that rates and ages are told for: of a frozen view or a file, its end."""
        if self._frozen_at is None and self.source.status().stage is Stage.LIVE:
            return time.time_ns()
        return self.view.timestamp(len(self.view) - 1) if len(self.view) else time.time_ns()

    def _show_groups(self, shown: bool) -> None:
        self._groups.display, self._body.display = shown, not shown
        (self._groups.table if shown else self._table).focus()
        if not shown:
            self._table.sync()
        self._tick()
        self._tell_state()

    def _say(self, text: str) -> None:
        self._keys.say(pieces(text))

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
        self.view.advance(_BUDGET)
        self._table.sync()
        self._tick()
        self._tell_state()

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
        self._search.say(problem if message.is_final or not problem else "…")
        if message.is_final and not problem:
            self._close_search()
        self._tick()
        self._tell_state()

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

    def _leave(self) -> None:
        status = self.source.status()
        if status.stage is Stage.FAILED:
            self.failure = status.detail
            self.exit(return_code=1)
        else:
            self.exit()

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
        self._tick()
        self._tell_state()

    def action_groups(self) -> None:
        """Show the groups, or the events again."""
        self._show_groups(not self._groups.display)

    def action_searches(self) -> None:
        """Show the PATH searches that have found their program, or hide them."""
        self.view.show_found = not self.view.show_found
        self.view.advance(_BUDGET)
        self._table.sync()
        self._say(sentences.searches(self.view.show_found))
        self._tell_state()

    def action_repeats(self) -> None:
        """Give each of the failures that are alike a row of its own, or fold them."""
        self.view.fold_repeats = not self.view.fold_repeats
        self.view.advance(_BUDGET)
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

    def action_copy(self) -> None:
        """Ask as what, and put it into the terminal's clipboard."""
        if self._groups.display:
            self._copy(self._groups.text)
            return
        record, fact = self._under_cursor.record(self._body), self._under_cursor.fact(self._body)
        if record is None:
            self._copy(fact)
            return
        first = ("y", "the row" if fact is None else "this fact", row_text(record) if fact is None else fact)

        def copy(key: str | None) -> None:
            try:
                if key == "y":
                    self._copy(first[2])
                elif key is not None:
                    origin = self.source.status().origin
                    self._copy(clipboard.copy_of(key, record, origin, show_secrets=self.show_secrets))
            except clipboard.NothingToCopy as problem:
                self._say(str(problem))

        self.push_screen(CopyMenu([first, *clipboard.CHOICES]), copy)

    def _copy(self, text: str | None) -> None:
        if text is None:
            self._say("There is nothing to copy here.")
            return
        try:
            clipboard.check_size(text)
        except clipboard.NothingToCopy as problem:
            self._say(str(problem))
            return
        self.copy_to_clipboard(text)
        self._say(sentences.copied(in_tmux=self._warns_of_tmux))
        self._warns_of_tmux = False

    def action_capture(self) -> None:
        """Have the kernel apply the filter, or record everything again."""
        self._say(self._kernel_filter.toggle(self._filter.active))
        self._tell_state()

    def action_write(self) -> None:
        """Ask where to write what the filter shows."""
        status, now = self.source.status(), time.time_ns()
        header = Header(
            origin=status.origin,
            query=self.view.query.text,
            counters=status.counters,
            written=now,
            evicted=self.history.evicted,
        )
        screen, event_ids = self.screen, self.view.with_tries()
        self.push_screen(
            SaveDialog(
                Selection(
                    history=self.history,
                    event_ids=event_ids,
                    failures=len(event_ids) - self.view.losses,
                    rows=self.view.shown,
                    repeats=self.view.counted - self.view.shown,
                    missing=sentences.missing(status, self.view, self.history, self._behind(status)),
                    header=header,
                    show_secrets=self.show_secrets,
                    default_name=default_name(status.origin.host, now),
                    svg=lambda: svg_of(screen, "execwhy"),
                )
            ),
            self._written,
        )

    def _written(self, said: str | None) -> None:
        if said is not None:
            self._say(said)

    def action_mouse(self) -> None:
        """Give the mouse to the terminal, for selecting text, or take it back."""
        if set_mouse(self, not self._has_mouse):
            self._has_mouse = not self._has_mouse
            self._say(
                "The mouse is back." if self._has_mouse else "The mouse is the terminal's; F2 takes it back."
            )

    def action_redraw(self) -> None:
        """Paint everything anew, where something else wrote on the terminal."""
        self.screen.refresh(layout=True)
