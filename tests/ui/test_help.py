"""Help shows the keys of the current view, and its example filters can be used."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from execwhy.bpf.events.loss import Loss
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import parse
from execwhy.tui.screen.app import ExecwhyApp
from execwhy.tui.screen.sentences import GREETING, GREETING_BESIDE_DETAIL
from execwhy.tui.textual_private import strips
from execwhy.tui.widgets.detail.loss_facts import equation
from execwhy.tui.widgets.dialogs.help import _KEYS, FILTERS
from tests.ui.screens import opened
from tests.ui.scripted_source import START, ScriptedSource, a_day

TUI = Path(__file__).parents[2] / "tui"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ((), "freeze the view"),
        (("tab",), "from fact to fact"),
        (("t",), "the group's events"),
    ],
)
async def test_help_shows_the_keys_of_the_current_view(keys: tuple[str, ...], expected: str) -> None:
    async with opened(a_day(7)) as screen:
        await screen.press(*keys, "question_mark")
        assert expected in screen.text


@pytest.mark.parametrize("keys", [(), ("t",)])
async def test_help_explains_the_mark_of_an_uncertain_cause(keys: tuple[str, ...]) -> None:
    async with opened(a_day(7)) as screen:
        await screen.press(*keys, "question_mark")
        (line,) = [line for line in screen.lines() if "? under WHY" in line]
        assert "certain" in line


@pytest.mark.parametrize("keys", [(), ("enter",), ("t",)])
async def test_help_is_one_screen_of_a_small_terminal(keys: tuple[str, ...]) -> None:
    async with opened(a_day(7), size=(80, 24)) as screen:
        await screen.press(*keys, "question_mark")
        assert "Esc closes" in screen.text
        assert "redraw, quit" in screen.text and "7 recorded" in screen.text
        assert FILTERS[-1][0] in screen.text


async def test_enter_puts_an_example_into_the_filter_line_for_editing() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("question_mark", "down", "down", "down", "down", "enter")
        assert "/ error in (ENOENT,EACCES)" in screen.filter
        await screen.press("backspace")
        assert "expected" in screen.text
        await screen.press("escape")
        assert "error in" not in screen.filter


async def test_page_keys_scroll_a_long_help_and_its_examples_can_be_chosen() -> None:
    async with opened(a_day(7), size=(80, 14)) as screen:
        await screen.press("question_mark")
        assert "move; ^u ^d" in screen.text and FILTERS[-1][0] not in screen.text
        assert "PgUp PgDn scroll, Esc closes" in screen.text
        await screen.press("pagedown")
        assert "7 recorded" in screen.text and FILTERS[-1][0] in screen.text
        line = next(number for number, text in enumerate(screen.lines()) if FILTERS[-1][0] in text)
        await screen.press("pageup")
        assert "move; ^u ^d" in screen.text
        await screen.press("down")
        assert f"▌{FILTERS[1][0]:>24}" in screen.text, "what is chosen is shown"
        await screen.press("pagedown")
        await screen.pilot.click(offset=(40, line))
        await screen.settle()
        assert FILTERS[-1][0] in screen.filter


@pytest.mark.parametrize("width", [60, 80, 120, 250])
async def test_the_account_at_the_foot_of_the_help_is_complete_at_every_width(width: int) -> None:
    source = ScriptedSource([*a_day(30), Loss(START, 871_171, "ring buffer full")])
    source.suppressed, source.waiting = 1_059_890, 57_025
    async with opened(source=source, size=(width, 40), history=History(max_events=16)) as screen:
        await screen.press("question_mark")
        evicted = screen.app.history.evicted
        counters = source.status().counters
        assert evicted and f"{counters.seen:,}" in screen.text
        shown = [line.strip(" │") for line in screen.lines()]
        account = f"{equation(counters)}; {evicted:,} evicted"
        assert account in " ".join(shown)
        assert "Esc closes" in screen.text


async def test_an_account_that_grows_by_a_line_gets_it_while_help_is_open() -> None:
    source = ScriptedSource(a_day(3))
    async with opened(source=source, size=(80, 40)) as screen:
        await screen.press("question_mark")
        source.suppressed = source.waiting = 999_999_999_999_999
        account = equation(source.status().counters)
        await screen.until(lambda: account in " ".join(line.strip(" │") for line in screen.lines()))
        assert "PgUp PgDn scroll" not in screen.text


async def test_page_keys_choose_the_last_and_first_example_if_all_are_visible() -> None:
    async with opened(a_day(7), size=(80, 26)) as screen:
        await screen.press("question_mark")
        for key, chosen in (("pagedown", -1), ("pageup", 0)):
            await screen.press(key)
            assert f"▌{FILTERS[chosen][0]:>24}" in screen.text


async def test_a_click_takes_an_example_too() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("question_mark")
        line = next(number for number, text in enumerate(screen.lines()) if "uid:1000..1999" in text)
        await screen.pilot.click(offset=(40, line))
        await screen.settle()
        assert "uid:1000..1999 or uid==0" in screen.filter


async def test_esc_closes_help_and_changes_nothing() -> None:
    async with opened(a_day(7), query="EACCES") as screen:
        await screen.press("question_mark", "escape")
        assert "/ EACCES" in screen.filter
        assert "Esc closes" not in screen.text


def test_every_example_is_a_filter() -> None:
    for text, _ in FILTERS:
        assert not parse(text).is_empty


def test_every_letter_that_the_app_binds_is_in_the_help_of_the_table() -> None:
    tree = ast.parse((TUI / "screen/keys.py").read_text())
    bound = {
        str(call.args[0].value)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Binding"
        if isinstance(call.args[0], ast.Constant)
    }
    listed = {word for keys, _ in _KEYS["table"] for word in re.split(r"\s+", keys)}
    assert {key for key in bound if len(key) == 1} <= listed


async def test_a_greeting_shows_the_first_steps_until_a_key_is_pressed() -> None:
    app = ExecwhyApp(ScriptedSource(a_day(7)), history=History(), greets=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        line = "".join(strip.text for strip in strips(app.screen)[-1:])
        assert line.strip() == GREETING
        await pilot.press("up")
        await pilot.pause(0.2)
        line = "".join(strip.text for strip in strips(app.screen)[-1:])
        assert GREETING not in line and "filter" in line


async def test_the_greeting_names_no_key_that_would_close_the_detail() -> None:
    app = ExecwhyApp(ScriptedSource(a_day(7)), history=History(), greets=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        line = "".join(strip.text for strip in strips(app.screen)[-1:])
        assert line.strip() == GREETING_BESIDE_DETAIL


@pytest.mark.parametrize("keys", [(), ("tab",), ("t",)])
async def test_no_word_of_the_help_is_truncated(keys: tuple[str, ...]) -> None:
    async with opened(a_day(7)) as screen:
        await screen.press(*keys, "question_mark")
        place = {(): "table", ("tab",): "detail", ("t",): "groups"}[keys]
        for _, what in (*_KEYS[place], *FILTERS):  # type: ignore[index]
            assert f"   {what} " in screen.text


async def test_counts_are_updated_while_help_is_open() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("question_mark")
        await screen.give(*a_day(2))
        await screen.until(lambda: "9 recorded" in screen.text)


async def test_the_palette_lists_the_programs_own_commands_first_with_their_keys() -> None:
    async with opened(a_day(7), size=(80, 24)) as screen:
        await screen.press("ctrl+p")
        await screen.until(lambda: "Group by" in screen.text)
        assert "/  Filter" in screen.text
        for foreign in ("Maximize", "Screenshot", "Show help for the focused widget"):
            assert foreign not in screen.text
        await screen.type("snapshot")
        await screen.until(lambda: "Group by" not in screen.text and "Write a snapshot" in screen.text)
        await screen.press("enter")
        await screen.until(lambda: "Enter writes" in screen.text)


async def test_the_palette_offers_the_themes() -> None:
    async with opened(a_day(7), size=(80, 24)) as screen:
        await screen.press("ctrl+p")
        await screen.type("theme")
        await screen.until(lambda: "Choose a theme" in screen.text)
