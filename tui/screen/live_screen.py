"""The screen as it is kept up to date: what it consists of, and the tick that takes events in."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from textual import events
from textual.app import ComposeResult

from execwhy.bpf.events.arrivals import Report
from execwhy.bpf.events.record import Diagnosis
from execwhy.bpf.events.source import EventSource, Stage, Status
from execwhy.tui.arrivals import Arrivals, Changed, Looking
from execwhy.tui.faults.contained_app import ContainedApp
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import parse
from execwhy.tui.model.text.printable import pieces
from execwhy.tui.model.view.view import View
from execwhy.tui.screen import sentences, themes
from execwhy.tui.screen.kernel_filter import KernelFilter
from execwhy.tui.screen.navigation import Navigation
from execwhy.tui.screen.under_cursor import UnderCursor
from execwhy.tui.terminal.control_char_filter import ControlCharFilter
from execwhy.tui.terminal.terminal import input_is_known, input_waits
from execwhy.tui.terminal.typed_ahead import TypedAhead
from execwhy.tui.textual_private import add_line_filter, fail, is_exiting
from execwhy.tui.widgets.bars.filter_bar import FilterBar
from execwhy.tui.widgets.bars.key_bar import KeyBar
from execwhy.tui.widgets.bars.rate import Rate
from execwhy.tui.widgets.bars.search_bar import SearchBar
from execwhy.tui.widgets.bars.status_bar import State, StatusBar
from execwhy.tui.widgets.body import Body
from execwhy.tui.widgets.dialogs.save_dialog import SaveDialog
from execwhy.tui.widgets.events.event_table import EventTable
from execwhy.tui.widgets.groups.group_pane import GroupPane

_TICK: Final = 1 / 10
"""Seconds between two looks at the source: an eye sees it as at once, and nothing to do costs little."""

_LONGEST_TYPING: Final = 0.5
"""Seconds that keys can put a tick off: what comes meanwhile waits in the source, which has room for it."""

_FEW: Final = 100
"""Failures that the screen may be behind without saying so."""
BUDGET: Final = 0.008
"""Seconds of work at a time, so that a key is answered within a frame or two."""

_QUIET: Final = 3
"""Ticks between two looks at the state while nothing comes: an idle screen must cost nothing."""

_QUIT_KEYS: Final = ("q", "ctrl+c")

_SPARKLINES: Final = (30, 20, 12, 6)
"""Bars; each divides the minute."""


class LiveScreen(ContainedApp):
    """Shows the failed execs of a source, live."""

    TITLE = "execwhy"
    CSS_PATH = "theme.tcss"
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        source: EventSource,
        *,
        history: History,
        query: str = "",
        show_secrets: bool = False,
        lookers: Looking | None = None,
        capture: str = "",
        theme: str | None = None,
        on_cause: Callable[[Diagnosis, int], None] | None = None,
        greets: bool = False,
    ) -> None:
        """Make the screen; nothing starts before ``run``.

        Args:
            source: Where events come from.
            history: Where they are kept.
            query: The filter to begin with.
            show_secrets: Nothing is masked.
            lookers: Look at each failure; None where nothing is to be diagnosed.
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
        super().__init__(source, history, show_secrets=show_secrets)
        # Textual's own would leave hues without the meaning that they have here.
        for name in self.available_themes:
            self.unregister_theme(name)
        for own in themes.THEMES.values():
            self.register_theme(own)
        self.theme = first
        add_line_filter(self, ControlCharFilter())
        self.view = View(history, parse(query), fold_repeats=True)
        self._kernel_filter = KernelFilter(source, capture)
        self._arrivals = Arrivals(source, history, lookers, on_cause)
        self._rate = Rate()
        self._frozen_at: int | None = None
        self.failure = ""
        """Why its source had failed when it was left, in one sentence; "" where it had not."""
        self._failure_told = ""
        self._preferred: list[int] = []
        self._told_times = 0
        self._goes_on = False
        self._repaints = False
        self._ticked = self._shown = 0.0
        self._quiet_ticks = 0
        self._has_ended = self._has_all = False
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
        self._navigation = Navigation(history, self.view, self._table)
        self._table.sign = self._navigation.sign
        self._search = SearchBar(id="search")
        self._keys = KeyBar(id="keys")
        self._typed = TypedAhead(self, self._is_writing, self._on_time)

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
        self.set_interval(_TICK, self._on_time)
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
            input_is_known(self)
            if isinstance(event, events.Key) and event.key in _QUIT_KEYS and self._quits_writing():
                return
            if not isinstance(event, events.MouseDown) and self._typed.holds(event):
                return
            self._keys.say([])
        await super().on_event(event)

    def on_unmount(self) -> None:
        """Stop what runs beside the screen."""
        self.report_faults()
        self._arrivals.close()
        self.source.close()

    def untaken(self) -> list[Report]:
        """What has come and is not in the history yet."""
        return self._arrivals.untaken()

    # What comes in

    def _count(self) -> None:
        self.faults.attempt("rate", self._measure, None, self._status.fail)

    def _measure(self) -> None:
        status = self.source.status()
        self._rate.tick(status.counters.seen, reads=status.stage in (Stage.READING, Stage.WAITING))
        if self._table.cursor_times != self._told_times:
            self._told_times = self._table.cursor_times
            self._body.renew()

    def _on_time(self) -> None:
        """Look for what has come, unless a key is being answered: that goes first."""
        if not self._is_typing() or time.monotonic() - self._ticked > _LONGEST_TYPING:
            self._tick()

    def _is_typing(self) -> bool:
        return self._typed.is_answering or input_waits(self)

    def _tick(self) -> None:
        """Take in what has come, a few milliseconds at a time, and show what changed."""
        if is_exiting(self):
            return
        self._ticked = time.monotonic()
        try:
            came = self._arrivals.pull(BUDGET, self._is_typing)
        except Exception as error:
            # Without its events the program is of no use; those that it has are not lost.
            fail(self, error)
            return
        self._quiet_ticks = 0 if came else self._quiet_ticks + 1
        if self._has_ended and not self._has_all and not self._arrivals.wait:
            # It had ended before this step, which found nothing behind what it took in.
            self._has_all, self._quiet_ticks = True, 0
        more = False
        # While one step follows the other, an eye sees no more than it does of the ticks.
        if self._ticked - self._shown >= _TICK / 2:
            more = self._show_changes()
        self._continue(more or self._arrivals.wait)

    def _continue(self, more: bool) -> None:
        if more and not self._goes_on and not self._is_typing():
            self._goes_on = True
            # Painting takes several turns of the event loop, which steps in between would each delay.
            (self.call_after_refresh if self._repaints else self.call_later)(self._go_on)
            self._repaints = False

    def _show_changes(self) -> bool:
        """Show what has changed in the history, a few milliseconds at a time; True if there is more to do."""
        self._shown = time.monotonic()
        attempt = self.faults.attempt
        diagnosed = attempt("diagnoses", lambda: self._arrivals.take_diagnoses(BUDGET), Changed(), _nobody)
        folded = attempt("searches", self._arrivals.take_searches, Changed(), _nobody)
        if attempt("view", self._update_view, False, self._table.fail):
            self._quiet_ticks = 0
        more = attempt("search", self._search_on, False, _nobody)
        attempt("rows", lambda: self._update_rows(diagnosed, folded), None, self._body.detail.fail)
        if self._quiet_ticks % _QUIET == 0:
            self._tell_state()
        more |= self._groups.display and attempt(
            "groups", lambda: self._groups.sync(BUDGET), False, self._groups.table.fail
        )
        if self.faults.said:
            attempt("keys", self._show_fault, None, self._keys.fail)
        return more or not (self._table.fault or self.view.complete)

    def _show_fault(self) -> None:
        self._keys.say(pieces(self.faults.said), "danger", stays=True)
        self.faults.said = ""

    def _update_view(self) -> bool:
        if self._table.fault:
            # What has failed may have left it half changed.
            self.view.query = self.view.query
        changed = self._frozen_at is None and self.view.refresh()
        if not self.view.complete:
            changed |= self.view.advance(BUDGET)
        if changed:
            self._table.sync()
            self._repaints = True
        return changed

    def _search_on(self) -> bool:
        if self._navigation.advance(BUDGET):
            self._table.refresh()
        return self._navigation.goes_on

    def _update_rows(self, diagnosed: Changed, folded: Changed) -> None:
        """Show what is known by now of the events on the screen, and have these diagnosed first."""
        visible = self._table.visible_ids()
        if seen := {event_id for event_id in visible if event_id in diagnosed or event_id in folded}:
            self._table.redraw(seen)
            self._repaints = True
        if (cursor := self._table.cursor_id) in diagnosed or cursor in folded:
            self._body.renew()
        if visible != self._preferred or seen:
            # Of those that have a diagnosis by now, some were dropped, and get a look all the same.
            self._preferred = visible
            self._arrivals.prefer(visible)
        self._body.show_event()

    async def _go_on(self) -> None:
        """More is to be done than one step; keys come in between."""
        # What this app's own queue holds is worked off without a look at anyone else's.
        await asyncio.sleep(0)
        self._goes_on = False
        self._on_time()

    def _answer(self) -> None:
        """Show at once what a key has changed; what has come meanwhile can wait."""
        self._continue(self._show_changes())
        self._tell_state()

    def _tell_state(self) -> None:
        self.faults.attempt("state", self._tell_all_state, None, self._status.fail)

    def _source_status(self) -> Status:
        """The source's state, but that it reads until all that it has read is in the history."""
        status = self.source.status()
        self._has_ended = status.stage is Stage.ENDED
        if self._has_ended and not self._has_all:
            return replace(status, stage=Stage.READING)
        return status

    def _tell_all_state(self) -> None:
        status = self._source_status()
        self._status.show(
            State(
                stage=status.stage,
                host=status.origin.host,
                plan=status.origin.plan,
                counters=status.counters,
                hidden=self.view.hidden,
                evicted=self.history.evicted,
                behind=self._behind(status),
                lacks_causes=self._arrivals.lack_causes,
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
        failure = status.detail if status.stage is Stage.FAILED else status.problem or self._arrivals.problem
        if failure != self._failure_told and len(self.view):
            self._failure_told = failure
            self._keys.say(pieces(sentences.alone(failure) if failure else ""), "danger", stays=True)

    def _behind(self, status: Status) -> int:
        """How many failures wait for the screen, if that is more than a second brings."""
        behind = status.counters.recorded - self._arrivals.taken
        return behind if status.stage is Stage.LIVE and behind > max(_FEW, self._rate.now) else 0

    def _is_writing(self) -> bool:
        return self._writing_dialog() is not None

    def _writing_dialog(self) -> SaveDialog | None:
        top = self.screen_stack[-1] if self.screen_stack else None
        return top if isinstance(top, SaveDialog) and top.is_writing else None

    def _quits_writing(self) -> bool:
        """Leave a key that quits to the dialog that writes, which answers at once; False where none does."""
        dialog = self._writing_dialog()
        if dialog is not None:
            dialog.quit_after()
        return dialog is not None

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
        self._answer()

    def _say(self, text: str) -> None:
        self._keys.say(pieces(text))

    def _leave(self) -> None:
        status = self.source.status()
        if status.stage is Stage.FAILED:
            self.failure = status.detail
            self.exit(return_code=1)
        else:
            self.exit()


def _nobody(words: str) -> None:
    """The line of keys says it."""
