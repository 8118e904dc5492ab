"""The terminal: only the screen draws on it, and it is restored however the program ends."""

from __future__ import annotations

import asyncio
import codecs
import gc
import os
import select
import signal
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

from textual import events
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from execwhy.bpf.priority import SESSION
from execwhy.tui.faults.contained_app import ContainedApp
from execwhy.tui.model.text.printable import printable
from execwhy.tui.terminal.typed_ahead import escape_is_a_key
from execwhy.tui.textual_private import SizeHook, driver_of, is_ready, report_mouse

_MAX_NOISE: Final = 64 * 1024
"""Bytes of standard error to keep: the last messages of libraries say what went wrong."""

_SWITCH_SECONDS: Final = 0.001
"""A fifth of the default: keys wait this long whenever the reader's thread has the interpreter's lock."""
_GC_THRESHOLDS: Final = (50_000, 20, 50)
"""Rarer collections than by default: the screen stands still during each full one."""

_LARGEST: Final = (1000, 400)
"""Columns and rows to draw at most: 100,000 rows would take 1 GB, and a terminal can claim 65,535."""
_USUAL: Final = (80, 24)
"""The size of a terminal that does not report one."""

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that would end the program without restoring the terminal."""

_UNTIL_MOUNTED: Final = 0.05
"""Seconds between two checks whether the app can be left yet."""

_LAST_RESORT: Final = 5.0
"""Seconds after a signal until the process ends even if the screen cannot be left, as when nobody reads its
output (Ctrl-S, or a lost connection)."""

_UNTIL_ESCAPE: Final = 0.1
"""Seconds between two checks whether an Esc was a key of its own; Textual waits as long."""
_TYPED_BYTES: Final = 4096


def forget_claimed_size() -> None:
    """Remove LINES and COLUMNS from the environment: the terminal itself reports its size."""
    for name in ("LINES", "COLUMNS"):
        os.environ.pop(name, None)


def size() -> tuple[int, int]:
    """Return the columns and rows to draw: the terminal's size, within ``_LARGEST``."""
    for descriptor in (2, 0):
        try:
            columns, rows = os.get_terminal_size(descriptor)
        except OSError:
            continue
        return min(columns or _USUAL[0], _LARGEST[0]), min(rows or _USUAL[1], _LARGEST[1])
    return _USUAL


class _Leaving(threading.Event):
    """An event that a thread can wait for together with input.

    Attributes:
        descriptor: Readable while the event is set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def set(self) -> None:
        super().set()
        os.eventfd_write(self.descriptor, 1)

    def clear(self) -> None:
        super().clear()
        with suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)


class BoundedDriver(SizeHook):
    """Draws no more rows and columns than there is memory for, and can be left at once."""

    def __init__(self, app: App[Any], **options: Any) -> None:  # noqa: ANN401
        super().__init__(app, **options)
        self.exit_event: _Leaving = _Leaving()
        self.input_waits = False
        """Whether something was typed or clicked that the app has not received yet."""

    def terminal_size(self) -> tuple[int, int]:
        """Return the columns and rows to draw."""
        return size()

    def process_message(self, message: Message) -> None:
        """Note at once that something was typed, so that the current step of work ends."""
        if isinstance(message, events.Key | events.Paste | events.MouseDown):
            self.input_waits = True
        super().process_message(message)

    def suspend_application_mode(self) -> None:
        """Restore the terminal and the session's nice value while the program is stopped."""
        super().suspend_application_mode()
        SESSION.pause()

    def resume_application_mode(self) -> None:
        """Take both back."""
        SESSION.resume()
        super().resume_application_mode()

    def run_input_thread(self) -> None:
        """Pass on what is typed. Textual's own thread notices up to 0.2 s late that it should end."""
        parser = self.make_parser()
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        poll = select.poll()
        poll.register(self.fileno, select.POLLIN)
        poll.register(self.exit_event.descriptor, select.POLLIN)
        while not self.exit_event.is_set():
            if any(number == self.fileno for number, _ in poll.poll(_UNTIL_ESCAPE * 1e3)):
                try:
                    typed = os.read(self.fileno, _TYPED_BYTES)
                except OSError:
                    typed = b""
                if not typed:
                    # The terminal is gone. With nohup, the kernel sends no signal.
                    os.kill(os.getpid(), signal.SIGHUP)
                    return
                for event in parser.feed(decode(typed)):
                    self.process_message(event)
            for event in parser.tick():
                self.process_message(event)


def input_waits(app: App[Any]) -> bool:
    """Return whether something was typed or clicked that the app has not received yet."""
    driver = driver_of(app)
    return isinstance(driver, BoundedDriver) and driver.input_waits


def input_is_known(app: App[Any]) -> None:
    """Note that the app has received what was typed."""
    driver = driver_of(app)
    if isinstance(driver, BoundedDriver):
        driver.input_waits = False


def run(app: App[Any], *, mouse: bool) -> int:
    """Run the app until it ends.

    Returns:
        The exit status: 0, 1 after a failure, 128 and the signal's number after one of ``_ENDING``.
    """
    if app.driver_class is LinuxDriver:
        app.driver_class = BoundedDriver
    previous = {number: signal.getsignal(number) for number in _ENDING}

    def end(number: int, frame: FrameType | None) -> None:
        _end_at_last(app, number)
        _end(app, number)

    # Under nohup SIGHUP is ignored, and an app whose terminal is gone would spin for ever.
    for number in previous:
        signal.signal(number, end)
    try:
        with _quiet_standard_error() as noise, responsive(), escape_is_a_key():
            app.run(mouse=mouse)
        status = app.return_code or 0
        if status == 1 and noise:
            # Messages of libraries may quote strings of processes.
            for line in bytes(noise).decode("utf-8", "surrogateescape").splitlines():
                print(printable(line), file=sys.stderr)
        return status
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def responsive() -> Iterator[None]:
    """Keep keys responsive inside the context: rare garbage collections, fast switches of threads."""
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _end(app: App[Any], number: int) -> None:
    """Leave because of a signal. An app that is still being mounted would wait for itself for ever."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise SystemExit(128 + number) from None
    if is_ready(app):
        # Wakes up a loop that waits for the next tick.
        loop.call_soon_threadsafe(lambda: app.exit(return_code=128 + number))
    else:
        loop.call_later(_UNTIL_MOUNTED, _end, app, number)


def _end_at_last(app: App[Any], number: int) -> None:
    """End the process after some seconds, whatever the screen is still waiting for."""

    def end() -> None:
        if isinstance(app, ContainedApp) and app.is_rescuing:
            # The rescue has a time limit of its own.
            return
        driver = driver_of(app)
        if isinstance(driver, LinuxDriver) and driver.attrs_before is not None:
            with suppress(termios.error):
                termios.tcsetattr(driver.fileno, termios.TCSANOW, driver.attrs_before)
        SESSION.step_back()
        os._exit(128 + number)

    timer = threading.Timer(_LAST_RESORT, end)
    timer.daemon = True
    timer.start()


@contextmanager
def _quiet_standard_error() -> Iterator[bytearray]:
    """Keep what C libraries write to descriptor 2 off the screen, which Textual draws on the same descriptor.

    Yields:
        The last bytes that were written there; complete when the context has ended.
    """
    noise = bytearray()
    screen = os.dup(2)
    reading, writing = os.pipe2(os.O_CLOEXEC)

    def collect() -> None:
        while chunk := os.read(reading, 4096):
            noise.extend(chunk)
            del noise[:-_MAX_NOISE]

    collector = threading.Thread(target=collect, name="standard-error", daemon=True)
    previous = sys.__stderr__
    with open(screen, "w", encoding="utf-8", errors="backslashreplace", closefd=False) as drawn:
        sys.__stderr__ = drawn  # type: ignore[misc]
        os.dup2(writing, 2)
        os.close(writing)
        collector.start()
        try:
            yield noise
        finally:
            sys.__stderr__ = previous  # type: ignore[misc]
            os.dup2(screen, 2)
            collector.join(timeout=1.0)
    os.close(screen)
    if not collector.is_alive():
        os.close(reading)


def set_mouse(app: App[Any], on: bool) -> bool:
    """Switch between mouse reports to the app and the terminal's own selection of text.

    Returns:
        Whether the terminal can switch.
    """
    driver = driver_of(app)
    if not isinstance(driver, LinuxDriver):
        return False
    report_mouse(driver, on)
    return True
