"""Text and colours of the screen are unchanged, in every theme and at three sizes.

After a deliberate change run this module with ``EXECWHY_PIN=1`` and read the difference.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import time
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final

import pytest
from textual.events import Paste
from textual.widgets import Input

from execwhy.tui.screen import app
from execwhy.tui.screen.live import ticker
from execwhy.tui.screen.themes import THEMES
from execwhy.tui.widgets.bars.rate import Rate
from execwhy.tui.widgets.painting import accounts
from execwhy.tui.widgets.painting.screen_picture import svg_of
from tests.ui.pictures.dump import dump
from tests.ui.pictures.evening import NOW, PER_SECOND, USERS, evening
from tests.ui.screens import PATIENCE, Opened, opened
from tests.ui.scripted_source import ScriptedSource

PINNED: Final = Path(__file__).parent / "pinned"

TICK: Final = 0.03
LOOKS_AT_REST: Final = 6
"""Seconds of a tick, shortened to save time, and ticks without a change after which the screen is at rest.
Together they last longer than the quiet time after typing, and than an idle screen's pause."""

SIZES: Final = ((80, 24), (120, 40), (200, 60))


@dataclass(frozen=True)
class View:
    """A part of the screen and how to reach it from the table.

    Attributes:
        name: Part of the file's name.
        keys: Pressed in the table.
        typed: Entered after that.
        then: Pressed once all of that is on the screen.
        keys_beside: Pressed instead of ``keys`` if the detail is already beside or below the table.
        back: Pressed to return to the table.
    """

    name: str
    keys: tuple[str, ...] = ()
    typed: str = ""
    then: tuple[str, ...] = ()
    keys_beside: tuple[str, ...] = ()
    back: tuple[str, ...] = ("escape",)


TABLE: Final = View("table", back=())
DETAIL: Final = View("detail", ("enter", "right", "right"), keys_beside=("tab", "right", "right"))
GROUPS: Final = View("groups", ("t",), then=("down",))
FILTER_ERROR: Final = View("filter-error", ("slash",), "uid:0 error:")
HELP: Final = View("help", ("question_mark", "down"))
COPY: Final = View("copy", ("y", "down"))
SAVE: Final = View("save", ("w",))
SEARCH: Final = View("search", ("s",), "agent")

ALL: Final = (TABLE, DETAIL, GROUPS, FILTER_ERROR, HELP, COPY, SAVE, SEARCH)
SOME: Final = {
    (80, 24): (TABLE, HELP, SAVE),
    (120, 40): (TABLE, DETAIL, FILTER_ERROR),
    (200, 60): (TABLE, GROUPS),
}
"""Parts stored for the other themes, which share the layout of the dark one."""


@pytest.fixture(autouse=True)
def _a_fixed_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock, the counting of seconds and the blinking of cursors; name the users."""
    monkeypatch.setattr(app, "TICK", TICK)
    monkeypatch.setattr(ticker, "TICK", TICK)
    monkeypatch.setattr(time, "time_ns", lambda: NOW)
    monkeypatch.setattr(accounts, "_names", lambda file: USERS)
    monkeypatch.setattr(Input, "cursor_blink", False)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize("theme", THEMES)
async def test_the_screen_looks_as_it_did(
    theme: str, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    differences: list[str] = []
    async with opened(source=ScriptedSource(evening()), size=size, theme=theme) as screen:
        for total in accumulate(PER_SECOND, initial=0):
            screen.parts.intake.rate.tick(total)
        monkeypatch.setattr(Rate, "tick", lambda *_, **__: None)
        _press(screen, "home", *["down"] * 3)
        for view in ALL if theme == "dark" else SOME[size]:
            _press(screen, *(view.keys_beside if size > (80, 24) and view.keys_beside else view.keys))
            if view.typed:
                screen.app.post_message(Paste(view.typed))
            if view.then:
                await _at_rest(screen)
                _press(screen, *view.then)
            picture = await _at_rest(screen)
            differences += _compare(f"{view.name}-{theme}-{size[0]}x{size[1]}", picture, screen, tmp_path)
            _press(screen, *view.back)
    assert not differences, "\n".join(
        [*differences, f"What it looks like now: {tmp_path}/*.svg. If that is meant: EXECWHY_PIN=1"]
    )


def _press(screen: Opened, *keys: str) -> None:
    """Press keys. The pilot would wait half a second for each; the app handles them in order by itself."""
    for key in keys:
        screen.app.simulate_key(key)


async def _at_rest(screen: Opened) -> str:
    """Return the picture once it stays as it is while the app looks at its source several times."""
    deadline = time.monotonic() + PATIENCE
    picture = ""
    while (now := dump(screen.app.screen)) != picture:
        picture, until = now, screen.source.looks + LOOKS_AT_REST
        while screen.source.looks < until:
            await asyncio.sleep(TICK / 4)
        assert time.monotonic() < deadline, f"it never comes to rest:\n{picture}"
    return picture


def _compare(name: str, picture: str, screen: Opened, folder: Path) -> list[str]:
    """Return the lines in which a picture differs from the pinned one, or pin it."""
    file = PINNED / f"{name}.txt"
    pinned = file.read_text(encoding="utf-8") if file.exists() else ""
    if picture == pinned:
        return []
    (folder / f"{name}.svg").write_text(svg_of(screen.app.screen, name), encoding="utf-8")
    if os.environ.get("EXECWHY_PIN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(picture, encoding="utf-8")
        return []
    lines = difflib.unified_diff(pinned.splitlines(), picture.splitlines(), name, "now", lineterm="", n=0)
    return list(lines)


def test_every_stored_picture_belongs_to_a_test() -> None:
    taken = {
        f"{view.name}-{theme}-{width}x{height}.txt"
        for theme in THEMES
        for width, height in SIZES
        for view in (ALL if theme == "dark" else SOME[width, height])
    }
    assert {file.name for file in PINNED.iterdir()} == taken
