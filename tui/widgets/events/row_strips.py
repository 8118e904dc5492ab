"""Painted rows, kept until what they show changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from textual.strip import Strip

_MOST: Final = 500
"""Rows that are kept: several screens, each row with 2.5 KB of Textual's own caches."""

_PROVISIONAL: Final = 1.0
"""Seconds after which a search without a cause is painted anew, with what its tries came to meanwhile."""

Key = tuple[int, int, str, str, str]
"""An event, and all else that its row looks different by."""


class RowStrips:
    """A cache of painted rows."""

    def __init__(self) -> None:
        self._strips: dict[Key, Strip] = {}
        self._provisional: set[int] = set()
        self._provisional_until = 0.0

    def get(self, key: Key, paint: Callable[[], Strip]) -> Strip:
        """Return a row as it was painted, or paint it."""
        strip = self._strips.get(key)
        if strip is None:
            if len(self._strips) >= _MOST:
                self._strips.clear()
            strip = self._strips[key] = paint()
        return strip

    def mark_provisional(self, event_id: int) -> None:
        """Paint the event's row anew after a while: its cause may come with another try of its search."""
        self._provisional.add(event_id)

    def forget(self, event_ids: set[int]) -> None:
        """Forget the rows of some events, and now and then those that are provisional."""
        event_ids = event_ids | self._take_provisional()
        for key in [key for key in self._strips if key[0] in event_ids]:
            del self._strips[key]

    def clear(self) -> None:
        """Forget all rows."""
        self._strips.clear()

    def _take_provisional(self) -> set[int]:
        now = time.monotonic()
        if now < self._provisional_until:
            return set()
        self._provisional_until = now + _PROVISIONAL
        taken, self._provisional = self._provisional, set()
        return taken
