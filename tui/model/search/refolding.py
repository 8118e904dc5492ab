"""Searches whose tries come out of a file, each with how it ended: folded again as they come."""

from __future__ import annotations

from dataclasses import replace

from execwhy.bpf.events.record import Attempt, ExecFailure, Search
from execwhy.tui.model.search.representative import MOST_ATTEMPTS, supersedes


class _Retold:
    """The tries that have come of one search.

    Attributes:
        told: What each of them says.
        seen: How many have come.
    """

    def __init__(self, told: Search) -> None:
        self.told = told
        self.seen = 0
        self._folded = replace(told, folded=True)
        self._attempts: list[Attempt] = []
        self._standing = 0
        self._value = 0

    def add(self, record: ExecFailure, number: int) -> dict[int, Search]:
        """One more; what it and the one that stands for them are to say now."""
        if record.path is not None and len(self._attempts) < MOST_ATTEMPTS:
            self._attempts.append(Attempt(record.path, record.return_value))
        changed = {number: self._folded}
        if not self.seen or supersedes(record.return_value, self._value):
            if self.seen:
                changed[self._standing] = self._folded
            self._standing, self._value = number, record.return_value
        changed[self._standing] = replace(self.told, attempts=tuple(self._attempts))
        self.seen += 1
        return changed


class Refolding:
    """Finds the tries that belong together by the search's id, until as many have come as it tells.

    A filter may have kept some from the file, so that a search may wait for ever for its last ones:
    beyond the bounds the one that waits longest is taken as complete.

    Args:
        most_open: Searches that wait.
        most_tries: The tries of all of them that have come.
    """

    def __init__(self, most_open: int, most_tries: int) -> None:
        self._most_open = most_open
        self._most_tries = most_tries
        self._waiting: dict[int, _Retold] = {}
        self._held = 0

    def take(self, record: ExecFailure, search: Search, number: int) -> dict[int, Search]:
        """What this record and earlier ones of its search are to say now, by the event's number."""
        told = replace(search, attempts=(), folded=False)
        retold = self._waiting.pop(told.id, None)
        if retold is not None:
            self._held -= retold.seen
        if retold is None or retold.told != told:
            retold = _Retold(told)
        changed = retold.add(record, number)
        if retold.seen < told.tries:
            self._waiting[told.id] = retold
            self._held += retold.seen
            while len(self._waiting) > self._most_open or self._held > self._most_tries:
                self._held -= self._waiting.pop(next(iter(self._waiting))).seen
        return changed
