"""A fault in one part of the screen costs that part's turn, and not the program.

Three places catch one: a widget's line as it is drawn (``Painted``), a message as it is handled
(``Contained``), and a step of the tick (``Faults.attempt``). What is caught is shown where it happened, and
said again when the program ends. Running out of memory is not caught: it ends the program, with its events
in a file.
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
"""Seconds that a part rests after a fault, so that one that fails each time costs little."""

_MOST: Final = 100
"""Faults within ``_MINUTE`` after which it is no longer one part that fails."""

_MINUTE: Final = 60.0

_KEPT: Final = 8
"""Faults that differ and are reported at the end."""


class Faults:
    """The faults that were caught.

    Attributes:
        reports: Each place with its words for the end of the program, in the order of the first time.
        said: What the line of keys is to say of the last one; "" once that was read.
    """

    def __init__(self) -> None:
        self.reports: dict[str, str] = {}
        self.said = ""
        self._times: deque[float] = deque(maxlen=_MOST)
        self._rests: dict[str, float] = {}

    def caught(self, error: Exception) -> str:
        """Remember a fault; its words.

        Raises:
            Exception: The same again, where there is no memory, or too many have come.
        """
        words, now = self.drawn(error), time.monotonic()
        if len(self._times) == _MOST and now - self._times[0] < _MINUTE:
            raise error
        self._times.append(now)
        return words

    def drawn(self, error: Exception) -> str:
        """Remember a fault of what fails each time that it is drawn; its words.

        Raises:
            MemoryError: The same again.
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
            part: Whose step it is.
            step: What is done.
            otherwise: The result where it fails or rests.
            failed: Called with the fault's words, and with "" once the part works again.
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
        """Let no part rest any longer."""
        self._rests = dict.fromkeys(self._rests, 0.0)
        self.said = ""


@runtime_checkable
class HasFaults(Protocol):
    """An app that catches faults."""

    faults: Faults


class Contained(DispatchHook):
    """What handles messages, and outlives one that it fails to handle."""

    async def dispatch(self, message: Message) -> None:
        """Handle a message; catch what its handlers raise."""
        # Without its first messages a widget is not complete: those faults end the program.
        if isinstance(message, events.Compose | events.Mount | events.Load | events.Unmount):
            await super().dispatch(message)
            return
        try:
            await super().dispatch(message)
        except Exception as error:
            app = self.app
            if not isinstance(app, HasFaults):
                raise
            # A key that comes while the screens are taken down finds none.
            if app.screen_stack and not is_exiting(app):
                app.faults.caught(error)


class Dialog(Contained, ModalScreen[ResultT]):
    """A dialog that is closed once, however often that is asked for.

    Textual takes away whatever is on top: a second click, or what ends later, would close the screen below.
    """

    def dismiss(self, result: ResultT | None = None) -> AwaitComplete:
        """Close it, where it is still open."""
        if self not in self.app.screen_stack:
            return AwaitComplete()
        self.pop_until_active()
        return super().dismiss(result)
