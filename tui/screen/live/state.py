"""What the lines of state, filter and keys say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from execwhy.bpf.events.source import Stage
from execwhy.tui.faults.contained import Faults
from execwhy.tui.model.history.store import History
from execwhy.tui.model.text.printable import pieces
from execwhy.tui.model.view.view import View
from execwhy.tui.screen import sentences
from execwhy.tui.screen.kernel_filter import KernelFilter
from execwhy.tui.screen.live.intake import Intake
from execwhy.tui.screen.live.view_control import ViewControl
from execwhy.tui.screen.navigation import Navigation
from execwhy.tui.widgets.bars.filter_bar import FilterBar
from execwhy.tui.widgets.bars.key_bar import KeyBar
from execwhy.tui.widgets.bars.status_bar import State, StatusBar
from execwhy.tui.widgets.body import Body
from execwhy.tui.widgets.groups.group_pane import GroupPane

_SPARKLINES: Final = (30, 20, 12, 6)
"""Bars; each divides the minute."""


class StateLines:
    """Keeps the lines around the rows up to date.

    Args:
        intake: The source's state and rate.
        history: Where the events are.
        view: Which of them are shown.
        control: Whether the view is frozen.
        navigation: The search among the rows.
        kernel_filter: What the kernel applies.
        status: The line of state.
        filter_bar: The line of filter.
        body: Table and detail.
        groups: The groups.
        keys: The line of keys.
        faults: Catches what fails here.
        leave: Leaves the screen.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        history: History,
        view: View,
        control: ViewControl,
        navigation: Navigation,
        kernel_filter: KernelFilter,
        status: StatusBar,
        filter_bar: FilterBar,
        body: Body,
        groups: GroupPane,
        keys: KeyBar,
        faults: Faults,
        leave: Callable[[], None],
    ) -> None:
        self._intake = intake
        self._history = history
        self._view = view
        self._control = control
        self._navigation = navigation
        self._kernel_filter = kernel_filter
        self._status = status
        self._filter = filter_bar
        self._body = body
        self._groups = groups
        self._keys = keys
        self._faults = faults
        self._leave = leave
        self._failure_shown = ""
        self._times_shown = 0

    def show(self) -> None:
        """Bring all lines up to date."""
        self._faults.attempt("state", self._show, None, self._status.fail)

    def count(self) -> None:
        """Count the last second; to be called once a second."""
        self._faults.attempt("rate", self._count, None, self._status.fail)

    def _count(self) -> None:
        self._intake.count()
        if self._body.table.cursor_times != self._times_shown:
            self._times_shown = self._body.table.cursor_times
            self._body.renew()

    def _show(self) -> None:
        status, rate = self._intake.status(), self._intake.rate
        view, history = self._view, self._history
        self._status.show(
            State(
                stage=status.stage,
                host=status.origin.host,
                plan=status.origin.plan,
                counters=status.counters,
                hidden=view.hidden,
                evicted=history.evicted,
                behind=self._intake.behind(status),
                lacks_causes=self._intake.arrivals.lack_causes,
                rate=rate.now,
                sparklines=tuple(map(rate.sparkline, _SPARKLINES)),
                frozen=self._control.came_meanwhile,
            )
        )
        whole, brief = sentences.shown(status, view, history, self._kernel_filter.text)
        found = self._navigation.summary
        self._filter.show_matches(*("   ".join(filter(None, (found, said))) for said in (whole, brief)))
        self._body.table.empty = self._groups.table.empty = sentences.empty(
            status, view, history, editing=self._filter.is_editing
        )
        self._show_keys()
        self._body.table.with_host = self._body.header.with_host = status.is_merged
        if status.stage is Stage.FAILED and not len(history):
            # There is nothing to look at, and nothing will come: the shell says why.
            self._leave()
        failure = status.problem or self._intake.arrivals.problem
        self._show_failure(status.detail if status.stage is Stage.FAILED else failure)

    def _show_keys(self) -> None:
        frozen = self._control.is_frozen
        if self._groups.display and not self._filter.is_editing:
            self._keys.show(sentences.group_keys(frozen))
        else:
            self._keys.show(sentences.keys(self._filter.is_editing, self._body, frozen))

    def _show_failure(self, failure: str) -> None:
        """Say once why nothing more comes, or why no cause is looked for."""
        if failure != self._failure_shown and len(self._view):
            self._failure_shown = failure
            self._keys.say(pieces(sentences.alone(failure) if failure else ""), "danger", stays=True)
