"""What is brought up to date in a step: history, view, search, rows, state, groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from execwhy.tui.arrivals import Changed
from execwhy.tui.faults.contained import Faults
from execwhy.tui.model.text.printable import pieces
from execwhy.tui.model.view.view import View
from execwhy.tui.screen.live.intake import Intake
from execwhy.tui.screen.live.state import StateLines
from execwhy.tui.screen.live.ticker import BUDGET
from execwhy.tui.screen.live.view_control import ViewControl
from execwhy.tui.screen.navigation import Navigation
from execwhy.tui.widgets.bars.key_bar import KeyBar
from execwhy.tui.widgets.body import Body
from execwhy.tui.widgets.groups.group_pane import GroupPane

_QUIET: Final = 3
"""Ticks between two looks at the state while nothing comes: an idle screen must cost nothing."""


class Updates:
    """The steps of a tick; a fault in one of them leaves the others as they are.

    Args:
        intake: Takes events in.
        view: Which of them are shown.
        control: Keeps the table in step with the view.
        navigation: Searches among the rows.
        state: The lines of state.
        body: Table and detail.
        groups: The groups.
        keys: Says what has failed.
        faults: Catches what a step raises.
        is_over: Returns whether the screen is being left.
        fail: Ends the screen because of an exception.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        view: View,
        control: ViewControl,
        navigation: Navigation,
        state: StateLines,
        body: Body,
        groups: GroupPane,
        keys: KeyBar,
        faults: Faults,
        is_over: Callable[[], bool],
        fail: Callable[[Exception], None],
    ) -> None:
        self._intake = intake
        self._arrivals = intake.arrivals
        self._view = view
        self._control = control
        self._navigation = navigation
        self._state = state
        self._body = body
        self._table = body.table
        self._groups = groups
        self._keys = keys
        self._faults = faults
        self._is_over = is_over
        self._fail = fail
        self._quiet_ticks = 0
        self._repaints = False
        self._preferred: list[int] = []

    @property
    def waits(self) -> bool:
        """More could be taken in at once."""
        return self._arrivals.wait

    def take_in(self, is_urgent: Callable[[], bool]) -> bool:
        """Process arrivals until something is urgent; return False if the screen is being left."""
        if self._is_over():
            return False
        try:
            came = self._intake.pull(BUDGET, is_urgent)
        except Exception as error:
            # Without its events the program is of no use; those that it has are not lost.
            self._fail(error)
            return False
        self._quiet_ticks = 0 if came else self._quiet_ticks + 1
        return True

    def show(self) -> bool:
        """Show what has changed in the history; True if there is more to do."""
        attempt = self._faults.attempt
        diagnosed = attempt("diagnoses", lambda: self._arrivals.take_diagnoses(BUDGET), Changed(), _nowhere)
        folded = attempt("searches", self._arrivals.take_searches, Changed(), _nowhere)
        if attempt("view", self._control.update, False, self._table.fail):
            self._repaints = True
            self._quiet_ticks = 0
        more = attempt("search", self._search, False, _nowhere)
        attempt("rows", lambda: self._update_rows(diagnosed, folded), None, self._body.detail.fail)
        if self._quiet_ticks % _QUIET == 0:
            self._state.show()
        more |= self._groups.display and attempt(
            "groups", lambda: self._groups.sync(BUDGET), False, self._groups.table.fail
        )
        if self._faults.said:
            attempt("keys", self._show_fault, None, self._keys.fail)
        return more or not (self._table.fault or self._view.complete)

    def repaints(self) -> bool:
        """Return whether what was shown since the last call has to be painted."""
        repaints, self._repaints = self._repaints, False
        return repaints

    def _search(self) -> bool:
        """Go on searching; True if there is more to search."""
        if self._navigation.advance(BUDGET):
            self._table.refresh()
        return self._navigation.goes_on

    def _update_rows(self, diagnosed: Changed, folded: Changed) -> None:
        """Show what is known by now about the events on the screen, and have them diagnosed first."""
        visible = self._table.visible_ids()
        if seen := {event_id for event_id in visible if event_id in diagnosed or event_id in folded}:
            self._table.redraw(seen)
            self._repaints = True
        if (cursor := self._table.cursor_id) in diagnosed or cursor in folded:
            self._body.renew()
        if visible != self._preferred or seen:
            # Some that have a diagnosis by now were dropped from the queue; those on the screen get a look.
            self._preferred = visible
            self._arrivals.prefer(visible)
        self._body.show_event()

    def _show_fault(self) -> None:
        self._keys.say(pieces(self._faults.said), "danger", stays=True)
        self._faults.said = ""


def _nowhere(words: str) -> None:
    """Show a fault in no part of its own: the line of keys says it."""
