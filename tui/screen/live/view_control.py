"""Which rows are shown: the filter, folding, a group's events; and whether they hold still."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from execwhy.bpf.events.source import EventSource, Stage
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import Query
from execwhy.tui.model.view.view import View
from execwhy.tui.screen.live.ticker import BUDGET


class Rows(Protocol):
    """A table of the rows.

    Attributes:
        fault: Why it could not be brought up to date; "" if it could.
    """

    fault: str

    def sync(self) -> None:
        """Show the view as it is now."""


@dataclass(frozen=True, slots=True)
class _Visit:
    """A group whose events are shown, until the filter no longer asks for them.

    Attributes:
        before: The filter before.
        condition: What the group added to it.
        folded: Whether repeats were folded before.
    """

    before: str
    condition: str
    folded: bool


class ViewControl:
    """Changes a view, and keeps the table in step with it.

    Args:
        source: Where the events come from.
        history: Where they are kept.
        view: Which of them are shown.
        table: Shows them.
    """

    def __init__(self, source: EventSource, history: History, view: View, table: Rows) -> None:
        self._source = source
        self._history = history
        self._view = view
        self._table = table
        self._frozen_at: int | None = None
        self._visit: _Visit | None = None

    # Time

    @property
    def is_frozen(self) -> bool:
        """The rows hold still, whatever comes."""
        return self._frozen_at is not None

    @property
    def came_meanwhile(self) -> int | None:
        """How many events came since the view was frozen; None if it is not."""
        return None if self._frozen_at is None else self._history.end_id - self._frozen_at

    def freeze(self) -> None:
        """Freeze the view, or let it go on."""
        self._frozen_at = self._history.end_id if self._frozen_at is None else None

    def moment(self) -> int:
        """Return the time that rates and ages refer to: now, or the end of a frozen view or a file.

        Nanoseconds since 1970 UTC.
        """
        if self._frozen_at is None and self._source.status().stage is Stage.LIVE:
            return time.time_ns()
        return self._view.timestamp(len(self._view) - 1) if len(self._view) else time.time_ns()

    def update(self) -> bool:
        """Process changes of the history for a few milliseconds; return whether rows changed."""
        if self._table.fault:
            # What has failed may have left the view half changed.
            self._view.query = self._view.query
        changed = self._frozen_at is None and self._view.refresh()
        if not self._view.complete:
            changed |= self._view.advance(BUDGET)
        if changed:
            self._table.sync()
        return changed

    def catch_up(self) -> None:
        """Process all events that have arrived, unless the view is frozen."""
        if self._frozen_at is None:
            self._view.refresh()
            self._table.sync()

    # Filter

    def set_query(self, query: Query) -> None:
        """Show what another filter selects; a frozen view then also holds what came meanwhile."""
        if self._visit is not None and self._visit.condition not in query.asked:
            self.leave_group()
        self._view.query = query
        if self._frozen_at is not None:
            self._frozen_at = self._history.end_id
        self._restart()

    def toggle_found(self) -> bool:
        """Show the PATH searches that found their program, or hide them; True if they are shown now."""
        self._view.show_found = not self._view.show_found
        self._restart()
        return self._view.show_found

    def toggle_repeats(self) -> bool:
        """Fold repeats, or give each failure its own row; True if they are folded now."""
        self._view.fold_repeats = not self._view.fold_repeats
        self._restart()
        return self._view.fold_repeats

    def _restart(self) -> None:
        self._view.advance(BUDGET)
        self._table.sync()

    # A group's events

    def enter_group(self, before: str, condition: str) -> None:
        """Show each event of a group as a row, for as long as the filter has this condition.

        Args:
            before: The filter before the condition was added.
            condition: What selects the group.
        """
        folded = self._view.fold_repeats if self._visit is None else self._visit.folded
        self._visit = _Visit(before, condition, folded)
        self._view.fold_repeats = False

    @property
    def filter_before_group(self) -> str | None:
        """The filter from before a group was entered; None if none was."""
        return None if self._visit is None else self._visit.before

    def leave_group(self) -> None:
        """Fold repeats as before the group was entered, if one was."""
        if self._visit is not None:
            self._view.fold_repeats = self._visit.folded
            self._visit = None
