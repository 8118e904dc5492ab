"""When the screen is brought up to date: ten times a second, unless a key goes first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

TICK: Final = 1 / 10
"""Seconds between two looks at the source: to an eye that is at once, and an idle screen costs little."""

BUDGET: Final = 0.008
"""Seconds of work at a time, so that a key is answered within a frame or two."""

_LONGEST_TYPING: Final = 0.5
"""Seconds that keys can delay a tick: what comes meanwhile waits in the source, which has room for it."""


class Steps(Protocol):
    """The work of a tick, in steps of about ``BUDGET`` seconds."""

    @property
    def waits(self) -> bool:
        """Return whether more could be taken in at once."""

    def take_in(self, is_urgent: Callable[[], bool]) -> bool:
        """Process arrivals until something is urgent; return False if the screen is being left."""

    def show(self) -> bool:
        """Show what has changed; True if there is more to do."""

    def repaints(self) -> bool:
        """Return whether what was shown since the last call has to be painted."""


class Schedule(Protocol):
    """What calls back: an app."""

    def call_later(self, callback: Callable[[], Awaitable[None]]) -> Any:  # noqa: ANN401
        """Call in the next turn of the event loop."""

    def call_after_refresh(self, callback: Callable[[], Awaitable[None]]) -> Any:  # noqa: ANN401
        """Call once what has changed is painted."""


class Ticker:
    """Decides when the next step is taken.

    Args:
        steps: What a step does.
        schedule: Calls back.
        is_typing: Returns whether a key waits to be answered.
    """

    def __init__(self, steps: Steps, schedule: Schedule, is_typing: Callable[[], bool]) -> None:
        self._steps = steps
        self._schedule = schedule
        self._is_typing = is_typing
        self._goes_on = False
        self._ticked = self._shown = 0.0

    def on_time(self) -> None:
        """Take the next step, unless a key is being answered: that goes first."""
        if not self._is_typing() or time.monotonic() - self._ticked > _LONGEST_TYPING:
            self.tick()

    def tick(self) -> None:
        """Process arrivals for a few milliseconds at a time, and show what has changed."""
        self._ticked = time.monotonic()
        if not self._steps.take_in(self._is_typing):
            return
        more = False
        # While one step follows another, an eye sees no more than it does of the ticks.
        if self._ticked - self._shown >= TICK / 2:
            more = self._show()
        self._continue(more or self._steps.waits)

    def answer(self) -> None:
        """Show at once what a key has changed; arrivals can wait."""
        self._continue(self._show())

    def _show(self) -> bool:
        self._shown = time.monotonic()
        return self._steps.show()

    def _continue(self, more: bool) -> None:
        if more and not self._goes_on and not self._is_typing():
            self._goes_on = True
            # Painting takes several turns of the event loop, which steps in between would each delay.
            repaints = self._steps.repaints()
            (self._schedule.call_after_refresh if repaints else self._schedule.call_later)(self._go_on)

    async def _go_on(self) -> None:
        """Take another step; keys come in between."""
        # An app works off its own queue without looking at anyone else's.
        await asyncio.sleep(0)
        self._goes_on = False
        self.on_time()
