"""Events on their way to a file: a try of a search is written once it is known how the search ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bpf.record import Again, Event, Loss, Report, singly, whole
from tui.model.searches import Searches

MOST_HELD: Final = 65_536
"""Events: 2 s of a storm may bring more than memory should hold; the oldest searches are then given up."""


class HeldBack:
    """Gives events back in the order in which they came, each one once nothing more can change it.

    An event waits for those before it, so all of them may wait 2 s for the last try of a search whose
    task lives on.
    """

    def __init__(self) -> None:
        self._searches = Searches()
        self._held: list[Event | Again] = []
        self._first = 0

    @property
    def held(self) -> Sequence[Event | Again]:
        """What has come and was not given back yet."""
        return self._held

    def take(self, reports: Sequence[Report], now: int, untold: int = 0) -> list[Event | Again]:
        """Take in what has come; what is final now. See ``Searches.take``; call it every second at least."""
        self._held += singly(self._searches.take(reports, now, untold))
        excess = len(self._held) - MOST_HELD
        if excess > 0:
            self._searches.give_up(self._first + excess)
        return self._release()

    def rest(self) -> list[Event | Again]:
        """All that is still held: nothing will come any more. A search that goes on is told as open."""
        self._searches.give_up()
        return self._release()

    def _release(self) -> list[Event | Again]:
        for number, search in self._searches.ended():
            # A file's search may be told anew after its first tries were given back.
            if number >= self._first:
                event = whole(self._held[number - self._first])
                assert not isinstance(event, Loss)
                self._held[number - self._first] = replace(event, search=search)
        final = self._searches.first_open - self._first
        released, self._held = self._held[:final], self._held[final:]
        self._first += final
        return released
