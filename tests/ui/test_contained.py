"""A part that fails shows a message in its place, and the rest keeps working."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest
from rich.style import Style
from textual import events
from textual._compositor import Compositor
from textual.command import CommandList, CommandPalette

from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.arrivals import Arrivals
from execwhy.tui.faults import contained, crash_file
from execwhy.tui.faults.contained import Faults
from execwhy.tui.model.history.store import History
from execwhy.tui.model.view.finding import Finding
from execwhy.tui.model.view.groups import Groups
from execwhy.tui.model.view.view import View
from execwhy.tui.widgets.bars.filter_bar import Line
from execwhy.tui.widgets.bars.key_bar import KeyBar
from execwhy.tui.widgets.bars.rate import Rate
from execwhy.tui.widgets.bars.status_bar import StatusBar
from execwhy.tui.widgets.body import Body
from execwhy.tui.widgets.detail.detail_pane import DetailPane
from execwhy.tui.widgets.dialogs.copy_menu import ChoiceList
from execwhy.tui.widgets.dialogs.help import HelpText
from execwhy.tui.widgets.events.event_table import EventTable
from execwhy.tui.widgets.events.table_header import TableHeader
from execwhy.tui.widgets.groups.group_header import GroupHeader
from execwhy.tui.widgets.groups.group_table import GroupTable
from execwhy.tui.widgets.painting.painted import Painted
from tests.ui.screens import PATIENCE, Opened, opened
from tests.ui.scripted_source import ScriptedSource, a_day, failure

SECRET = "hunter2"
FAULT = re.compile(r"\(RuntimeError in test_contained\.py, line \d+\)")


def broken(*arguments: object, **named: object) -> None:
    """Fail, with a secret in the words and in a local variable."""
    secret = SECRET
    raise RuntimeError(secret)


async def goes_on(screen: Opened) -> None:
    """Assert that events still arrive, and keys are still answered."""
    before = len(screen.app.history)
    await screen.give(failure("/come/later"))
    await screen.until(lambda: len(screen.app.history) == before + 1)
    assert screen.app.is_running and SECRET not in screen.text


@pytest.mark.parametrize(
    ("widget", "keys"),
    [
        (EventTable, ()),
        (TableHeader, ()),
        (StatusBar, ()),
        (KeyBar, ()),
        (Line, ()),
        (DetailPane, ()),
        (GroupTable, ("t",)),
        (GroupHeader, ("t",)),
        (HelpText, ("question_mark",)),
        (ChoiceList, ("y",)),
    ],
)
async def test_a_widget_that_cannot_be_drawn_shows_a_message_in_its_place(
    widget: type[Painted], keys: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(a_day(7), may_fail=True) as screen:
        with monkeypatch.context() as patched:
            patched.setattr(widget, "_event_line" if widget is EventTable else "line", broken)
            screen.table.redraw()
            await screen.press(*keys, "ctrl+l")
            # A narrow widget has no room for the whole message.
            await screen.until(lambda: "this part" in screen.text or "A part of" in screen.keys)
            assert widget in (Line, HelpText, ChoiceList) or FAULT.search(screen.text)
            await goes_on(screen)
        await screen.press("escape", "ctrl+l")
        screen.table.redraw()
        await screen.until(lambda: "this part" not in screen.text)
    (report,) = screen.app.faults.reports.values()
    assert SECRET not in report and "painted.py" in report


async def test_a_row_that_cannot_be_drawn_does_not_affect_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    get = History.__getitem__
    monkeypatch.setattr(
        History, "__getitem__", lambda self, event_id: broken() if event_id == 2 else get(self, event_id)
    )
    async with opened(a_day(7), may_fail=True) as screen:
        assert screen.text.count("this part of the screen failed (") == 1
        assert "nightly" in screen.text
        await goes_on(screen)


@pytest.mark.parametrize(
    ("owner", "name", "keys"),
    [
        (Arrivals, "take_diagnoses", ()),
        (Arrivals, "take_searches", ()),
        (Arrivals, "prefer", ()),
        (View, "refresh", ()),
        (View, "timestamp", ("at", "1", "2", "colon", "0", "0", "enter")),
        (EventTable, "sync", ()),
        (EventTable, "visible_ids", ()),
        (Body, "show_event", ()),
        (Finding, "advance", ("s", "x", "enter")),
        (Groups, "advance", ("t",)),
        (Groups, "look", ("t",)),
        (Groups, "describe", ("t",)),
        (Rate, "tick", ()),
        (StatusBar, "show", ()),
    ],
)
async def test_a_step_that_fails_is_skipped(
    owner: type, name: str, keys: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contained, "_REST", 0.1)
    async with opened(a_day(7), why=lambda record: Diagnosis("x", "Said."), may_fail=True) as screen:
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, broken)
            await screen.press(*keys)
            await screen.give(failure("/come"))
            await screen.until(lambda: bool(screen.app.faults.reports))
            await goes_on(screen)
            # While a search is typed, its line replaces the fault message.
            await screen.until(lambda: keys[-1:] == ("enter",) or bool(FAULT.search(screen.text)))
        await screen.press("escape", "ctrl+l")
        await screen.give(failure("/come/back"))
        await screen.until(lambda: "this part" not in screen.text)


@pytest.mark.parametrize("name", ["reflow", "render_update"])
async def test_a_frame_that_cannot_be_drawn_is_skipped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(a_day(7), may_fail=True) as screen:
        with monkeypatch.context() as patched:
            patched.setattr(Compositor, name, broken)
            screen.app.screen.refresh(layout=True)
            deadline = time.monotonic() + PATIENCE
            # The pilot would also draw, and raise the fault in the test.
            while not screen.app.faults.reports:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
        await goes_on(screen)


async def test_a_key_handler_that_fails_shows_a_message_and_the_screen_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with opened(a_day(7), may_fail=True) as screen:
        monkeypatch.setattr(screen.app, "action_mark", broken)
        await screen.press("m")
        await screen.until(lambda: "A part of the screen failed" in screen.keys)
        await screen.press("up")
        assert "A part of the screen failed" not in screen.keys
        await goes_on(screen)


async def test_a_worker_that_fails_shows_a_message_and_the_screen_goes_on() -> None:
    async with opened(a_day(7), may_fail=True) as screen:

        async def work() -> None:
            broken()

        screen.app.run_worker(work())
        await screen.until(lambda: "A part of the screen failed" in screen.keys)
        await goes_on(screen)


async def test_groups_are_counted_again_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contained, "_REST", 0.1)
    async with opened([failure("/a"), failure("/a"), failure("/b")], may_fail=True) as screen:
        with monkeypatch.context() as patched:
            patched.setattr(Groups, "_add", broken)
            await screen.press("t")
            await screen.until(lambda: bool(FAULT.search(screen.text)))
        await screen.until(lambda: screen.parts.groups.table.groups.failures == 3)
        await screen.until(lambda: not screen.parts.groups.table.fault)
        assert screen.parts.groups.table.row_count == 2


def test_running_out_of_memory_and_constant_faults_end_the_program() -> None:
    faults = Faults()
    with pytest.raises(MemoryError):
        faults.caught(MemoryError())
    with pytest.raises(MemoryError):
        faults.attempt("x", _no_memory, None, lambda words: None)
    for _ in range(contained._MOST):
        faults.caught(ValueError())
    with pytest.raises(ValueError):
        faults.caught(ValueError())


def _no_memory() -> None:
    raise MemoryError


async def test_if_the_history_fails_its_events_and_the_waiting_ones_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crash_file, "_own_directories", lambda: [])
    monkeypatch.setattr(crash_file, "_LAST_RESORT", str(tmp_path))
    source = ScriptedSource()
    with pytest.raises(RuntimeError):
        async with opened(a_day(7), source=source, may_fail=True) as screen:
            monkeypatch.setattr(History, "append", broken)
            source.give(failure("/in/the/step"))
            await screen.pilot.pause(0.5)
            await screen.until(lambda: not screen.app.is_running)
    said = screen.app.rescue()
    (file,) = tmp_path.iterdir()
    assert str(file) in said and "The 9 events" in said
    lines = file.read_text().splitlines()
    assert len(lines) == 10 and '"/in/the/step"' in lines[-1] and SECRET not in file.read_text()


@pytest.mark.parametrize("columns", [1, 2, 4, 6, 10])
async def test_the_palette_opens_in_a_window_of_a_few_columns(columns: int) -> None:
    async with opened(a_day(7), size=(columns, 39)) as screen:
        await screen.press("ctrl+p")
        await screen.until(lambda: isinstance(screen.app.screen, CommandPalette))
        await screen.press("down", "e", "down")
        assert isinstance(screen.app.screen, CommandPalette)
        assert not screen.app.faults.reports


async def test_a_click_on_a_command_that_is_gone_does_nothing() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("ctrl+p")
        await screen.until(lambda: isinstance(screen.app.screen, CommandPalette))
        commands = screen.app.screen.query_one(CommandList)
        await screen.until(lambda: commands.option_count > 0)
        style = Style(meta={"option": commands.option_count})
        x, y = commands.region.offset
        commands.post_message(
            events.Click(commands, 1, 1, 0, 0, 1, False, False, False, x + 1, y + 1, style=style)
        )
        await screen.press("down")
        assert isinstance(screen.app.screen, CommandPalette)
        assert not screen.app.faults.reports
