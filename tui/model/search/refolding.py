"""Searches whose tries come from a file, each with its outcome: folded again as they come."""

from __future__ import annotations

from dataclasses import replace

from execwhy.bpf.events.record import Attempt, ExecFailure, Search
from execwhy.tui.model.search.representative import MOST_ATTEMPTS, supersedes


class _Refolded:
    """The tries of one search that have come so far.

    Attributes:
        search: The search as each try has it.
        seen: How many tries have come.
    """

    def __init__(self, search: Search) -> None:
        self.search = search
        self.seen = 0
        self._folded = replace(search, folded=True)
        self._attempts: list[Attempt] = []
        self._representative = 0
        self._value = 0

    def add(self, record: ExecFailure, number: int) -> dict[int, Search]:
        """Add a try, and return the new ``search`` of each event that it changes."""
        if record.path is not None and len(self._attempts) < MOST_ATTEMPTS:
            self._attempts.append(Attempt(record.path, record.return_value))
        changed = {number: self._folded}
        if not self.seen or supersedes(record.return_value, self._value):
            if self.seen:
                changed[self._representative] = self._folded
            self._representative, self._value = number, record.return_value
        changed[self._representative] = replace(self.search, attempts=tuple(self._attempts))
        self.seen += 1
        return changed


class Refolding:
    """Joins tries by the id of their search, until all that the search counts have come.

    A filter may have kept some of them out of the file, so a search may never be complete. Beyond the
    bounds, the search that has waited longest is taken as complete.

    Args:
        most_open: The most searches that may wait.
        most_tries: The most tries of theirs that may have come.
    """

    def __init__(self, most_open: int, most_tries: int) -> None:
        self._most_open = most_open
        self._most_tries = most_tries
        self._waiting: dict[int, _Refolded] = {}
        self._held = 0

    def take(self, record: ExecFailure, search: Search, number: int) -> dict[int, Search]:
        """Take in a try, and return the new ``search`` of each event that it changes, by number."""
        whole = replace(search, attempts=(), folded=False)
        refolded = self._waiting.pop(whole.id, None)
        if refolded is not None:
            self._held -= refolded.seen
        if refolded is None or refolded.search != whole:
            refolded = _Refolded(whole)
        changed = refolded.add(record, number)
        if refolded.seen < whole.tries:
            self._waiting[whole.id] = refolded
            self._held += refolded.seen
            while len(self._waiting) > self._most_open or self._held > self._most_tries:
                self._held -= self._waiting.pop(next(iter(self._waiting))).seen
        return changed
