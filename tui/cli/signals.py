"""Signals that end the program."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator


def exit_on_signals() -> None:
    """Let SIGTERM and SIGHUP raise SystemExit, until the screen or the recording handles them.

    Without this the session would keep its raised priority.
    """

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


@contextlib.contextmanager
def ending_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` on the first SIGINT, SIGTERM or SIGHUP inside the context; a second one ends the program.

    If SIGHUP is ignored, as under nohup, it stays ignored: the recording then survives its terminal.
    """

    def first(number: int, _frame: object) -> None:
        stop()
        signal.signal(number, signal.SIG_DFL)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = [signal.signal(number, first) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
