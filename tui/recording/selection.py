"""Which records a recording writes: a PATH search as a whole, if the filter selects one of its tries."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from execwhy.bpf.events.arrivals import Event, Occurrence
from execwhy.bpf.events.identity_memo import IdentityMemo
from execwhy.bpf.events.record import ExecFailure, Search


class Selection(Protocol):
    """What decides about single records: a ``Query``."""

    @property
    def depends_on_moment(self) -> bool:
        """Whether it can select one of two failures that differ only in time and process."""

    def matches(self, record: ExecFailure, now: int) -> bool:
        """Return whether it selects a record; ``now`` is nanoseconds since 1970 UTC."""


class Selector:
    """Selects the records to write.

    Args:
        selection: Decides about single records.
        tries_of: Returns the tries of a search that are still held back.
    """

    def __init__(self, selection: Selection, tries_of: Callable[[int], Sequence[ExecFailure]]) -> None:
        self._selection = selection
        self._tries_of = tries_of
        self._selects_template = IdentityMemo(lambda record: selection.matches(record, 0))
        self._decided: dict[int, _Decided] = {}

    def select(
        self, events: Sequence[Event | Occurrence], most: float = math.inf
    ) -> list[Event | Occurrence]:
        """Return the records to write, and every loss.

        Args:
            events: The events, of which each search may have more tries that are still held back.
            most: Records to write at most.
        """
        now = time.time_ns()
        room = most
        self._decide_searches(events, now)
        selected: list[Event | Occurrence] = []
        for event in events:
            if (failure := event.failure) is not None:
                search = failure.search
                wanted = self._selects_try(search) if search else self._selects(failure, now)
                if room <= 0 or not wanted:
                    continue
                room -= 1
            selected.append(event)
        return selected

    def _selects_try(self, search: Search) -> bool:
        """Return the decision about a search, which is forgotten with the last of its tries."""
        decided = self._decided[search.id]
        decided.tries -= 1
        if decided.tries <= 0:
            del self._decided[search.id]
        return decided.wanted

    def _selects(self, failure: ExecFailure | Occurrence, now: int) -> bool:
        template = failure.template
        if template is failure or self._selection.depends_on_moment:
            return self._selection.matches(failure.materialize(), now)
        return self._selects_template(template)

    def _decide_searches(self, events: Sequence[Event | Occurrence], now: int) -> None:
        """Decide which searches to write: those of which a try is selected, even if it is still held back."""
        tried = [event.failure.materialize() for event in events if event.failure and event.search]
        fresh = {event.search.id for event in tried if event.search} - self._decided.keys()
        if not fresh:
            return
        held = [event for search_id in fresh for event in self._tries_of(search_id)]
        for event in (*tried, *held):
            if event.search is None or event.search.id not in fresh:
                continue
            decided = self._decided.setdefault(event.search.id, _Decided(event.search.tries))
            decided.wanted = decided.wanted or self._selection.matches(event, now)


@dataclass(slots=True)
class _Decided:
    """Whether a search is written, and how many of its tries are still to come."""

    tries: int
    wanted: bool = False
