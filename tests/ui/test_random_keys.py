"""Random keys, clicks and sizes during storms of many kinds do not end the program.

EXECWHY_SOAK_SECONDS makes it longer, with the machine kept busy (``make soak``: ten minutes); EXECWHY_SEED
repeats what has failed, as far as time allows.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from textual import events
from textual.geometry import Size

from execwhy.tui.model.history.store import History
from execwhy.tui.model.view.view import View
from execwhy.tui.screen.app import ExecwhyApp
from execwhy.tui.screen.themes import THEMES
from execwhy.tui.textual_private import driver_of, key_of
from execwhy.tui.widgets.dialogs.save_dialog import SaveDialog
from tests.looks import InlineLookers
from tests.ui.storms import Storms, StormySource, late_diagnoses

SECONDS = float(os.environ.get("EXECWHY_SOAK_SECONDS", "15"))
SEED = int(os.environ.get("EXECWHY_SEED", "0")) or time.time_ns() % 10**9
IS_SOAK = "EXECWHY_SOAK_SECONDS" in os.environ

KEYS = (
    *"cftpfprhmMnNKyjkgGt", "enter", "enter", "slash", "space", "plus", "minus", "s", "w", "at",
    "question_mark", "f1", "f2", "ctrl+l",
    "tab", "shift+tab", "escape", "escape", "escape", "up", "down", "left", "right",
    "pageup", "pagedown", "home", "end", "ctrl+u", "ctrl+d", "ctrl+p", "backspace", "delete", "ctrl+left",
    "ctrl+right", "ctrl+w", "ctrl+k", "alt+b", *"12345678", "less_than_sign", "greater_than_sign", "S", "q",
)  # fmt: skip
TEXTS = (
    "why:cause", "not why==cause-1", "uid==1000", "path:/many/**", "comm:c", "age<5s",
    "age>1s or error=ENOENT", "(", '"', "path~[", "\x1b[31m", "12:00", "+5m", "-10s",
    "/x/", "error in (ENOENT, EACCES)",
    "x" * 300, "[/]", "search.outcome==found", "theme", "user", "\u4e2d\u6587",
)  # fmt: skip


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Within, so many processes take all the time that they get."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


class Fingers:
    """Presses keys, clicks, scrolls and resizes at random.

    Attributes:
        done: The last actions.
    """

    def __init__(self, app: ExecwhyApp, random: Random) -> None:
        self._app = app
        self._random = random
        self.done: deque[str] = deque(maxlen=60)

    def act(self) -> None:
        """Do one thing."""
        random = self._random
        kind = random.random()
        if kind < 0.7:
            self._press(random.choice(KEYS))
        elif kind < 0.76:
            self._type(random.choice(TEXTS))
        elif kind < 0.78:
            self._paste(random.choice(TEXTS))
        elif kind < 0.93:
            self._mouse()
        elif kind < 0.96:
            self._resize()
        elif kind < 0.97:
            self.done.append("theme")
            self._app.theme = random.choice([*THEMES])
        else:
            self.done.append("tick")
            self._app.parts.ticker.tick()

    def _send(self, event: events.Event) -> None:
        driver = driver_of(self._app)
        if driver is not None:
            driver.process_message(event)

    def _press(self, key: str) -> None:
        if key == "q" and self._random.random() < 0.9:
            return
        self.done.append(key)
        self._send(events.Key(key, key if len(key) == 1 else None))

    def _type(self, text: str) -> None:
        if isinstance(self._app.screen, SaveDialog):
            text = text.replace("/", "_")
        self.done.append(repr(text))
        for character in text:
            name = character if character.isalnum() else key_of(character)
            self._send(events.Key(name, character))
        if self._random.random() < 0.7:
            self._press(self._random.choice(("enter", "escape", "up", "tab")))

    def _paste(self, text: str) -> None:
        if not isinstance(self._app.screen, SaveDialog):
            self.done.append(f"paste {text!r}")
            self._send(events.Paste(text))

    def _mouse(self) -> None:
        width, height = self._app.size
        x, y = self._random.randrange(max(1, width)), self._random.randrange(max(1, height))
        if self._random.random() < 0.3:
            y = self._random.choice((0, 1, 2, height - 1))
        kinds: tuple[type[events.MouseEvent], ...] = self._random.choice(
            (
                (events.MouseMove,),
                (events.MouseDown, events.MouseUp),
                (events.MouseDown, events.MouseUp, events.MouseDown, events.MouseUp),
                (events.MouseDown, events.MouseMove),
                (events.MouseScrollUp,) * 3,
                (events.MouseScrollDown,) * 3,
            )
        )
        self.done.append(f"{'+'.join(kind.__name__ for kind in kinds)} at {x},{y}")
        for kind in kinds:
            self._send(kind(None, x, y, 0, 0, self._random.choice((1, 1, 3)), False, False, False, x, y))

    def _resize(self) -> None:
        size = Size(self._random.randrange(1, 200), self._random.randrange(1, 70))
        self.done.append(f"size {size.width}x{size.height}")
        driver_of(self._app)._size = (size.width, size.height)  # type: ignore[union-attr]
        self._send(events.Resize(size, size))


async def _one_session(random: Random, until: float, done: deque[str]) -> None:
    """Run an app from its start until a key or the deadline ends it."""
    source = StormySource()
    history = History(
        random.choice((200, 3000, 30_000, 10**6)), random.choice((1 << 20, 8 << 20, 64 << 20, 384 << 20))
    )
    app = ExecwhyApp(source, history=history, lookers=InlineLookers(late_diagnoses(random.getrandbits(30))))
    storms = Storms(source, random)
    ends = time.monotonic() + random.uniform(10, 90)
    async with app.run_test(size=(120, 40)):
        fingers = Fingers(app, random)
        fingers.done = done
        while app.is_running and not source.is_closed and time.monotonic() < min(until, ends):
            if random.random() < 0.5:
                storms.step()
            if random.random() < 0.7:
                fingers.act()
            await asyncio.sleep(random.choice((0, 0, 0, 0.001, 0.01, 0.05)))
        if app.is_running:
            _check(app)
    assert not app.faults.reports, "\n".join(app.faults.reports.values())


def _check(app: ExecwhyApp) -> None:
    """Assert that the rows are those of a new view."""
    view = app.view
    clock = view._scan._clock
    moment = clock()
    view._scan._clock = lambda: moment
    view.refresh()
    while not view.complete:
        view.advance(1)
    fresh = View(app.history, view.query, lambda: moment, fold_repeats=view.fold_repeats)
    fresh.show_found = view.show_found
    while not fresh.complete:
        fresh.advance(1)
    assert (view.failures, view.counted, view.losses) == (fresh.failures, fresh.counted, fresh.losses)
    if not view.query.ages:
        assert list(view) == list(fresh)
    view._scan._clock = clock


async def test_random_keys_during_storms_do_not_end_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    faults: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda fault: faults.append(repr(fault.exc_value)))
    random, done = Random(SEED), deque[str](maxlen=60)
    until = time.monotonic() + SECONDS
    sessions = 0
    try:
        with busy(2 if IS_SOAK else 0):
            while time.monotonic() < until:
                await _one_session(random, until, done)
                sessions += 1
                assert not faults
    except BaseException:
        with capsys.disabled():
            print(f"\nEXECWHY_SEED={SEED}, session {sessions + 1}; last: {' '.join(done)}")
        raise
