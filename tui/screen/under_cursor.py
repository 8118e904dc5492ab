"""What the cursor is on, as the keys need it: a record, a condition for the filter, a text to copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.kinds import FAILURES, LOSS, by_kind
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import EventSource
from execwhy.tui.model.history.store import History
from execwhy.tui.model.search.tries import tries_of
from execwhy.tui.model.text.printable import printable
from execwhy.tui.model.text.secrets import masked
from execwhy.tui.model.view.view import View
from execwhy.tui.widgets.body import Body
from execwhy.tui.widgets.detail.fact import Fact, Section
from execwhy.tui.widgets.detail.facts import sections
from execwhy.tui.widgets.detail.loss_facts import loss_sections
from execwhy.tui.widgets.events.search_words import with_best_cause

_EVICTED: Final = [
    Section("Gone", (Fact("evicted from memory, as what comes needs its room", role="muted"),)),
]


class UnderCursor:
    """Looks at table and detail; masks what must not be shown."""

    def __init__(
        self, history: History, source: EventSource, view: View, *, show_secrets: bool, are_diagnosed: bool
    ) -> None:
        self._history = history
        self._source = source
        self._view = view
        self._show_secrets = show_secrets
        self._are_diagnosed = are_diagnosed

    def facts(self, event_id: int) -> list[Section]:
        """Return all facts of an event, or that it was evicted."""
        event = self._event(event_id)
        if event is None:
            return _EVICTED
        row = self._view.row_of(event_id)
        is_shown = row < len(self._view) and self._view[row] == event_id
        return _SECTIONS[event.kind](self, event, event_id, row if is_shown else None)

    def _of_failure(self, failure: ExecFailure, event_id: int, row: int | None) -> list[Section]:
        search = failure.search
        if search is not None:
            failure = with_best_cause(failure, lambda: tries_of(self._history, event_id, search.id))
        looking = self._are_diagnosed and failure.diagnosis is None
        repeats = None if row is None else self._view.repeats(row)
        findings = self._findings(event_id, failure)
        return sections(failure, self._shown(failure), looking=looking, repeats=repeats, findings=findings)

    def _of_loss(self, loss: Loss, _event_id: int, row: int | None) -> list[Section]:
        count, last = (loss.count, loss.timestamp) if row is None else self._view.lost(row)
        return loss_sections(replace(loss, count=count), last, self._source.status().counters)

    def condition(self, body: Body) -> tuple[str, object] | None:
        """Return the field and the value of the focused fact or cell; None if it cannot become a filter.

        A masked text cannot: the filter would show it.
        """
        if body.detail.has_focus:
            fact = body.detail.focused_fact
            return None if fact is None or fact.field is None else (fact.field, fact.value)
        place, record = body.table.focused_cell, self._record(body)
        if place is None or record is None or place.column.field is None:
            return None
        value = place.column.value(record)
        if value != place.column.value(self._shown(record)):
            return None
        return place.column.field, value

    def fact(self, body: Body) -> str | None:
        """Return the focused fact, printable; None if the focus is on the table."""
        fact = body.detail.focused_fact if body.detail.has_focus else None
        return None if fact is None else printable(fact.text)

    def record(self, body: Body) -> ExecFailure | None:
        """Return the record as it may be shown; None if there is none, or a loss."""
        record = self._record(body)
        return None if record is None else self._shown(record)

    def is_evicted(self, body: Body) -> bool:
        """Return whether the event under the cursor has been evicted."""
        event_id = body.table.cursor_id
        return event_id is not None and self._event(event_id) is None

    def _findings(self, event_id: int, event: ExecFailure) -> dict[str, str]:
        """Return the cause of each try of a search that has one row, by path."""
        if event.search is None or not event.search.attempts:
            return {}
        return {
            record.path: shown.diagnosis.brief
            for record in tries_of(self._history, event_id, event.search.id)
            if record.path is not None and (shown := self._shown(record)).diagnosis is not None
        }

    def _shown(self, record: ExecFailure) -> ExecFailure:
        return record if self._show_secrets else masked(record)

    def _record(self, body: Body) -> ExecFailure | None:
        event_id = body.table.cursor_id
        event = None if event_id is None else self._event(event_id)
        return None if event is None else event.failure

    def _event(self, event_id: int) -> Event | None:
        try:
            return self._history[event_id]
        except KeyError:
            return None


_SECTIONS: Final[Mapping[str, Callable[[UnderCursor, Any, int, int | None], list[Section]]]] = by_kind(
    dict.fromkeys(FAILURES, UnderCursor._of_failure) | {LOSS: UnderCursor._of_loss}
)
"""The facts of an event, by its kind; those of its row, if it has one."""
