"""What a filter selects of each block, kept up to date while the history changes."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from itertools import accumulate
from typing import Final

from execwhy.tui.model.history.block import Block
from execwhy.tui.model.history.store import History
from execwhy.tui.model.view.part import Part
from execwhy.tui.model.view.selection import Selection

_AGE_STEP: Final = 250_000_000
"""Nanoseconds between two checks for events that have grown too old for the filter: an eye sees no delay."""


class Scan:
    """Looks at the blocks of a history, the newest first.

    Args:
        history: The events.
        selection: Which of them are wanted.
        clock: Returns nanoseconds since 1970 UTC.

    Attributes:
        selection: Which events are wanted. Call ``begin`` after it has changed.
        parts: What is selected of each block looked at, oldest first.
    """

    def __init__(self, history: History, selection: Selection, clock: Callable[[], int]) -> None:
        self.selection = selection
        self.parts: deque[Part] = deque()
        self._history = history
        self._clock = clock
        self._starts: list[int] | None = None
        self._arrangement = history.arrangement
        self.begin(selection)

    def begin(self, selection: Selection) -> None:
        """Start over, with the newest block."""
        self.selection = selection
        self.parts.clear()
        self._starts = None
        self._aged = self._clock()
        if self._history.blocks:
            self.parts.append(part := Part(self._history.blocks[-1]))
            part.extend(selection, self._aged)

    @property
    def complete(self) -> bool:
        """Whether every event held has been looked at, except those that came since ``refresh``."""
        blocks = self._history.blocks
        if not blocks:
            return True
        return bool(self.parts) and self.parts[0].block.first_id <= blocks[0].first_id

    @property
    def progress(self) -> float:
        """The part of the history that was looked at, from 0 to 1, by ids, so evicted events count too."""
        if self.complete:
            return 1.0
        end = self._history.end_id
        looked_at = end - self.parts[0].block.first_id if self.parts else 0
        return looked_at / (end - self._history.first_id)

    def row_starts(self) -> list[int]:
        """Return the first row of each part, and behind them the number of all rows."""
        if self._starts is None:
            self._starts = list(accumulate((len(part.rows) for part in self.parts), initial=0))
        return self._starts

    def refresh(self) -> bool:
        """Take in what was appended, changed, evicted or has grown too old; return whether rows changed."""
        now = self._clock()
        changed = self._follow(now)
        changed |= self._renew_stale(now)
        if self.parts and self.parts[-1].extend(self.selection, now):
            changed = True
        last = self.parts[-1].block.first_id if self.parts else -1
        fresh: list[Block] = []
        for block in reversed(self._history.blocks):
            if block.first_id <= last:
                break
            fresh.append(block)
        for block in reversed(fresh):
            self.parts.append(part := Part(block))
            changed |= part.extend(self.selection, now)
        changed |= self._link()
        if changed or fresh:
            self._starts = None
        return changed

    def advance(self, seconds: float) -> bool:
        """Scan towards older events for about this long; return whether rows were found."""
        deadline = time.monotonic() + seconds
        now = self._clock()
        changed = self._follow(now)
        while not self.complete:
            part = Part(self._next_block())
            changed |= part.extend(self.selection, now)
            self.parts.appendleft(part)
            self._starts = None
            if time.monotonic() >= deadline:
                break
        if self._link():
            changed, self._starts = True, None
        return changed

    def _link(self) -> bool:
        """Give a run that continues in the next block only one row; return whether rows changed."""
        changed, before = False, None
        for part in self.parts:
            is_next = before is not None and before.block.end_id == part.block.first_id
            changed |= part.link(before if is_next and self.selection.fold_repeats else None)
            before = part
        return changed

    def _next_block(self) -> Block:
        """Return the newest block that has not been looked at yet."""
        blocks = self._history.blocks
        if not self.parts:
            return blocks[-1]
        return blocks[bisect_left(blocks, self.parts[0].block.first_id, key=_first_id) - 1]

    def _follow(self, now: int) -> bool:
        """Drop evicted blocks, look at blocks that replace others; return whether rows changed."""
        changed = False
        while self.parts and self.parts[0].block.first_id < self._history.first_id:
            changed |= len(self.parts.popleft().rows) > 0
            self._starts = None
        if self._arrangement != self._history.arrangement and self.parts:
            start = self.parts[0].block.first_id
            held = {id(part.block): part for part in self.parts}
            blocks = [block for block in self._history.blocks if block.end_id > start]
            self.parts = deque(held.get(id(block)) or Part(block) for block in blocks)
            for part in self.parts:
                part.extend(self.selection, now)
            self._starts, changed = None, True
        self._arrangement = self._history.arrangement
        return changed

    def _renew_stale(self, now: int) -> bool:
        """Look again at blocks whose rows a search, a diagnosis or the time may have changed."""
        ages = self.selection.query.ages if not 0 <= now - self._aged < _AGE_STEP else ()
        if ages:
            self._aged = now
        changed = False
        for part in self.parts:
            if part.is_stale(self.selection.query) or part.has_crossed(ages, now):
                changed |= part.renew(self.selection, now)
            else:
                changed |= part.recount()
        return changed


def _first_id(block: Block) -> int:
    return block.first_id
