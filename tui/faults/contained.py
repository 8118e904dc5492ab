"""Containment of faults: a fault in one part of the screen does not end the program.

Exceptions are caught in three places: where a widget draws a line (``Painted``), where a message is handled
(``Contained``), and in the steps of the tick (``Faults.attempt``). They are shown where they happened, and
reported again when the program ends. MemoryError is not caught: it ends the program, and the events are
written to a file.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, TypeVar, runtime_checkable

from textual import events
from textual.await_complete import AwaitComplete
from textual.message import Message
from textual.screen import ModalScreen

from execwhy.tui.model.text.fault import crash_report, fault
from execwhy.tui.textual_private import DispatchHook, is_exiting

T = TypeVar("T")
ResultT = TypeVar("ResultT")

TRY_AGAIN: Final = "Ctrl-L tries again"

_REST: Final = 2.0
"""Seconds for which a part rests after a fault, so that one that always fails takes little time."""

_MOST: Final = 100
"""Faults within ``_MINUTE`` after which the program ends: more than one part must be failing."""

_MINUTE: Final = 60.0

_KEPT: Final = 8
"""Distinct faults to report at the end."""


class Faults:
    """The faults that were caught.

    Attributes:
        reports: The report of each distinct fault, in the order of their first occurrence.
        said: The message for the line of keys about the last fault; "" when it has been read.
    """

    def __init__(self) -> None:
        self.reports: dict[str, str] = {}
        self.said = ""
        self._times: deque[float] = deque(maxlen=_MOST)
        self._rests: dict[str, float] = {}

    def caught(self, error: Exception) -> str:
        """Record a fault and return its short description.

        Raises:
            Exception: The same exception again, if memory ran out or there were too many faults.
        """
        words, now = self.drawn(error), time.monotonic()
        if len(self._times) == _MOST and now - self._times[0] < _MINUTE:
            raise error
        self._times.append(now)
        return words

    def drawn(self, error: Exception) -> str:
        """Record a fault that may recur each time something is drawn, and return its short description.

        Raises:
            MemoryError: The same exception again.
        """
        if isinstance(error, MemoryError):
            raise error
        words = fault(error)
        if words not in self.reports and len(self.reports) < _KEPT:
            self.reports[words] = crash_report(error, "A part of the screen failed")
        self.said = f"A part of the screen failed ({words}): {TRY_AGAIN}."
        return words

    def attempt(self, part: str, step: Callable[[], T], otherwise: T, failed: Callable[[str], None]) -> T:
        """Take a step, unless its part has just failed.

        Args:
            part: The part that the step belongs to.
            step: The step.
            otherwise: The result if the step fails or its part rests.
            failed: Called with the description of a fault, and with "" when the part works again.
        """
        rests_until = self._rests.get(part)
        if rests_until is not None and time.monotonic() < rests_until:
            return otherwise
        try:
            result = step()
            if self._rests.pop(part, None) is not None:
                failed("")
        except Exception as error:
            words = self.caught(error)
            self._rests[part] = time.monotonic() + _REST
            failed(words)
            return otherwise
        return result

    def try_again(self) -> None:
        """Let all parts work again at once."""
        self._rests = dict.fromkeys(self._rests, 0.0)
        self.said = ""


@runtime_checkable
class HasFaults(Protocol):
    """An app that catches faults."""

    faults: Faults


class Contained(DispatchHook):
    """A handler of messages that survives one that it fails to handle."""

    async def dispatch(self, message: Message) -> None:
        """Handle a message, and catch exceptions of its handlers."""
        # A widget is incomplete without its first messages, so a fault in these ends the program.
        if isinstance(message, events.Compose | events.Mount | events.Load | events.Unmount):
            await super().dispatch(message)
            return
        try:
            await super().dispatch(message)
        except Exception as error:
            app = self.app
            if not isinstance(app, HasFaults):
                raise
            # A key that arrives while the screens are removed finds none.
            if app.screen_stack and not is_exiting(app):
                app.faults.caught(error)


class Dialog(Contained, ModalScreen[ResultT]):
    """A dialog that is closed only once.

    Textual removes whatever screen is on top, so a second click would also close the screen below.
    """

    def dismiss(self, result: ResultT | None = None) -> AwaitComplete:
        """Close the dialog if it is still open."""
        if self not in self.app.screen_stack:
            return AwaitComplete()
        self.pop_until_active()
        return super().dismiss(result)
