"""All that reaches into Textual: names that begin with an underscore, which any release may change.

Each entry names the version it was written for and the public way that is missing there. A test holds that
nothing else uses such a name.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text
from textual import events
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.command import CommandList, CommandPalette
from textual.driver import Driver
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.filter import LineFilter
from textual.keys import _character_to_key
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.strip import Strip
from textual.widgets import Input

# Messages and faults


class DispatchHook(MessagePump):
    """Lets a subclass wrap the handling of a message.

    8.2.8: only ``on_event`` of events is public; nothing sees the exception of a message's handler.
    """

    async def _dispatch_message(self, message: Message) -> None:
        await self.dispatch(message)

    async def dispatch(self, message: Message) -> None:
        """Handle a message."""
        await super()._dispatch_message(message)


class FaultHooks(App[None]):
    """Lets a subclass decide what an exception does to the app.

    8.2.8: every exception ends the app, which prints the local variables of each frame; neither can be turned
    off.
    """

    def _handle_exception(self, error: Exception) -> None:
        self.handle_fault(error)

    def handle_fault(self, error: Exception) -> None:
        """End the app because of an exception that nothing has caught."""
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        self.report_crash()

    def report_crash(self) -> None:
        """Print the exception that is being handled, and end the app."""
        super()._fatal_error()

    def set_exit_status(self, status: int) -> None:
        """Set the exit status. 8.2.8: ``exit`` sets it only while the app runs."""
        self._return_code = status

    def print_at_exit(self, texts: Iterable[str]) -> None:
        """Print texts once the terminal is restored. 8.2.8: ``exit`` takes one message, and ends the app."""
        self._exit_renderables += map(Text, texts)

    def close_now(self) -> None:
        """End the app without waiting for its messages. 8.2.8: ``exit`` posts one more."""
        self._close_messages_no_wait()


def is_exiting(app: App[Any]) -> bool:
    """Return whether ``exit`` was called. 8.2.8: ``is_running`` stays true until all is closed."""
    return app._exit


def fail(app: App[Any], error: Exception) -> None:
    """Treat an exception as one of the app's own. 8.2.8: only what runs in a worker or a handler is."""
    app._handle_exception(error)


_FRAME_METHODS: Final = frozenset({"_refresh_layout", "_compositor_refresh"})
"""Methods of ``Screen`` that only lay out and paint."""


def is_of_frame(error: BaseException) -> bool:
    """Return whether an exception came up while a screen was laid out or painted. 8.2.8: no hook is there."""
    return any(frame.name in _FRAME_METHODS for frame in traceback.extract_tb(error.__traceback__))


def skip_frame(screen: Screen[Any]) -> None:
    """Forget what was to be laid out and painted. 8.2.8: it would be tried again at once, and for ever."""
    screen._layout_required = screen._scroll_required = screen._repaint_required = False
    screen._dirty_widgets.clear()


def is_idle(pump: MessagePump) -> bool:
    """Return whether a widget or an app has handled all its messages.

    8.2.8: ``message_queue_size`` does not count the message that is being handled.
    """
    if pump._closing or pump._closed:
        return True
    # Who waits for a message has handled all those before.
    comes: asyncio.Event = pump._message_queue.ready_event
    return pump._is_mounted and not comes.is_set() and bool(getattr(comes, "_waiters", True))


# The palette


class SafeCommandList(CommandList):
    """Ignores a click on an option that was replaced meanwhile. 8.2.8: it raises IndexError."""

    async def _on_click(self, event: events.Click) -> None:
        option = event.style.meta.get("option")
        if option is not None and option >= self.option_count:
            event.prevent_default()


class SafePalette(CommandPalette):
    """Answers keys before its list is laid out, or where it has no room. 8.2.8: it raises KeyError."""

    def _action_command_list(self, action: str) -> None:
        with suppress(KeyError):
            super()._action_command_list(action)


# What is painted


def add_line_filter(app: App[Any], line_filter: LineFilter) -> None:
    """Pass every line that is painted through a filter. 8.2.8: an app chooses its filters by itself."""
    app._filters.append(line_filter)


def strips(screen: Screen[Any]) -> list[Strip]:
    """Return what a screen shows, line by line. 8.2.8: only whole exports (SVG) are public."""
    return screen._compositor.render_strips()


def whole_screen(screen: Screen[Any]) -> RenderableType:
    """Return a screen to print on another console, even if another screen covers it.

    8.2.8: ``export_screenshot`` draws the topmost one.
    """
    update = screen._compositor.render_update(full=True)
    assert update is not None
    return update


class PaintedInput(Input):
    """An input whose subclass decides how its value is painted.

    8.2.8: ``highlighter`` changes styles, but not characters; the cursor's cell is not public.
    """

    @property
    def _value(self) -> Text:
        return self.painted_value

    @property
    def painted_value(self) -> Text:
        """The text to paint, with as many characters as ``value``."""
        return super()._value

    @property
    def cursor_cell(self) -> int:
        """The cell of the cursor in the text."""
        return self._cursor_offset


# The terminal


class SizeHook(LinuxDriver):
    """Lets a subclass decide about the size. 8.2.8: LINES and COLUMNS decide, within no bounds."""

    def _get_terminal_size(self) -> tuple[int, int]:
        return self.terminal_size()

    def terminal_size(self) -> tuple[int, int]:
        """Return columns and lines."""
        return super()._get_terminal_size()

    def make_parser(self) -> XTermParser:
        """Return a parser of what the terminal sends, of the class that ``use_parser`` has set."""
        parser: XTermParser = vars(linux_driver)["XTermParser"](self._debug)
        return parser


def driver_of(app: App[Any]) -> Driver | None:
    """Return the driver of an app; None before it runs. 8.2.8: only its class is public."""
    return app._driver


def is_ready(app: App[Any]) -> bool:
    """Return whether an app can be left. 8.2.8: one that is still being mounted waits for itself for ever."""
    return app._dom_ready


def report_mouse(driver: LinuxDriver, on: bool) -> None:
    """Have the terminal report the mouse, or not. 8.2.8: only ``run(mouse=...)`` decides, once."""
    if on:
        driver._mouse = True
        driver._enable_mouse_support()
    else:
        driver._disable_mouse_support()
        driver._mouse = False


class KeyParser(XTermParser):
    """Lets a subclass decide which keys a sequence stands for. 8.2.8: no parser can be given to a driver."""

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        return self.keys_of(sequence, alt)

    def keys_of(self, sequence: str, alt: bool) -> Iterable[events.Key]:
        """Return the keys that a sequence of characters stands for."""
        return super()._sequence_to_key_events(sequence, alt)


def key_of(character: str) -> str:
    """Return the name of a character's key, "slash" for "/". 8.2.8: only bindings are named publicly."""
    return _character_to_key(character)


@contextmanager
def use_parser(parser: type[XTermParser]) -> Iterator[None]:
    """Within, drivers that begin to read use this parser. 8.2.8: see ``KeyParser``."""
    before = vars(linux_driver)["XTermParser"]
    vars(linux_driver)["XTermParser"] = parser
    try:
        yield
    finally:
        vars(linux_driver)["XTermParser"] = before
