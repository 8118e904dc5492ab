"""Keys that arrive faster than they are handled: typed while the screen is busy, pasted, or sent by a script.

Textual passes a key from widget to widget, and its effect, such as another focus or a dialog, takes further
steps. If the next key does not wait for all of them, it goes to the previous focus.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Final

from textual import events
from textual.app import App
from textual.message_pump import MessagePump
from textual.widgets import Input

from execwhy.tui.textual_private import KeyParser, fail, is_idle, key_of, use_parser

Typed = events.Key | events.Paste

_PATIENCE: Final = 10.0
"""Seconds for which a key waits at most for the effects of earlier keys.

It must not wait for ever. But on an overloaded machine they take seconds, and a key that is handled too early
goes to the wrong place.
"""

_PAINTING: Final = 1 / 60
"""Seconds between two repaints of Textual at least."""

_BUSY_PAUSE: Final = 0.01
"""Seconds between two checks of a dialog that is writing."""

_ALT: Final = "alt+"
_SEQUENCES: Final = "[O"
"""Characters that begin the terminal's own sequences after ESC."""

_WORD_BY_WORD: Final = {"b": "ctrl+left", "f": "ctrl+right"}
"""What Alt and a letter do in an input line, as in a shell."""


class TypedAhead:
    """Passes keys to an app one by one, each after all effects of the previous one.

    Args:
        app: The app; its ``on_event`` calls ``holds``.
        is_kept_for_later: Returns whether the next key must wait for what is on the screen to end.
        then: Called in the app's loop when all keys have been handled.
    """

    def __init__(
        self, app: App[Any], is_kept_for_later: Callable[[], bool], then: Callable[[], None]
    ) -> None:
        self._app = app
        self._is_kept_for_later = is_kept_for_later
        self._then = then
        self._waiting: deque[Typed] = deque()
        self._turn: Typed | None = None
        self._task: asyncio.Task[None] | None = None
        self._painted_at = 0.0

    @property
    def is_answering(self) -> bool:
        """Whether a key waits, or its effect is not painted yet: other work should then be postponed."""
        is_done = self._task is None or self._task.done()
        return not is_done or time.monotonic() < self._painted_at

    def holds(self, event: Typed) -> bool:
        """Return whether a key is not to be handled yet; it is posted again in its turn."""
        if event is self._turn:
            self._turn = None
            return False
        self._waiting.append(event)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._hand_over())
        return True

    async def _hand_over(self) -> None:
        try:
            while self._waiting:
                await self._settled()
                if not self._app.screen_stack:
                    # The app is being left: drop what was typed after that.
                    self._waiting.clear()
                    return
                self._turn = self._next()
                self._app.post_message(self._turn)
                if not self._waiting:
                    await self._settled()
                    self._painted_at = time.monotonic() + _PAINTING
        except Exception as error:
            # Otherwise nobody would see the error, and no more keys would arrive.
            fail(self._app, error)
        self._app.call_later(self._then)

    def _next(self) -> Typed:
        event = self._waiting.popleft()
        if not isinstance(event, events.Key) or not event.key.startswith(_ALT) or event.character is None:
            return event
        # Esc followed by a key and Alt with that key are the same bytes.
        if event.character in _WORD_BY_WORD and isinstance(self._app.focused, Input):
            return events.Key(_WORD_BY_WORD[event.character], None)
        self._waiting.appendleft(events.Key(event.key.removeprefix(_ALT), event.character))
        return events.Key("escape", "\x1b")

    async def _settled(self) -> None:
        """Wait until all effects of the earlier keys are complete."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            if self._is_kept_for_later() and not any(map(_is_escape, self._waiting)):
                await asyncio.sleep(_BUSY_PAUSE)
                deadline = time.monotonic() + _PATIENCE
            elif all(map(is_idle, self._pumps())) or time.monotonic() >= deadline:
                return
            else:
                await asyncio.sleep(0)

    def _pumps(self) -> Iterable[MessagePump]:
        yield self._app
        if self._app.screen_stack:
            yield from self._app.screen.walk_children(with_self=True)


def _is_escape(event: Typed) -> bool:
    return isinstance(event, events.Key) and event.key == "escape"


class _Parser(KeyParser):
    """Reads Esc and a key that are sent together as soon as both have arrived, with the key's text.

    Textual's parser waits for more of a sequence, and then drops the Esc before a key whose name is a word.
    """

    def keys_of(self, sequence: str, alt: bool) -> Iterable[events.Key]:
        """Return Alt and the key, or what Textual's parser returns."""
        behind = sequence[1:]
        if sequence[:1] == "\x1b" and len(behind) == 1 and behind not in _SEQUENCES:
            if behind == "\r":
                return [events.Key(f"{_ALT}enter", "\r")]
            if behind.isprintable():
                name = behind if behind.isalnum() else key_of(behind)
                return [events.Key(_ALT + name, behind)]
        return super().keys_of(sequence, alt)


def escape_is_a_key() -> AbstractContextManager[None]:
    """Inside the context, make new drivers read Esc and a key that are sent together as two keys."""
    return use_parser(_Parser)
