"""Going to a match, a mark or a time hides no rows."""

from __future__ import annotations

import pytest

from execwhy.tui.widgets.bars.filter_input import FilterInput
from execwhy.tui.widgets.events.event_table import EventTable
from tests.ui.screens import Opened, opened
from tests.ui.scripted_source import START, a_day, failure


def under_cursor(screen: Opened) -> str:
    table = screen.app.query_one(EventTable)
    assert table.cursor_id is not None
    event = screen.app.history[table.cursor_id]
    return str(getattr(event, "path", "a loss"))


async def test_a_search_moves_to_its_first_match_while_typing_and_hides_nothing() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("home", "s")
        await screen.type("worker")
        assert under_cursor(screen) == "/opt/app/worker"
        assert "s worker: 1 of 1" in screen.filter
        assert "/opt/backup/nightly" in screen.text
        await screen.press("enter")
        assert "search" not in screen.keys


async def test_matches_are_marked_and_n_cycles_through_them() -> None:
    async with opened(a_day(14), size=(120, 50)) as screen:
        await screen.press("r", "home", "s")
        await screen.type("EACCES")
        await screen.press("enter")
        marked = [line for line in screen.lines() if line.startswith(">")]
        assert len(marked) == 2 and all("EACCES" in line for line in marked)
        assert "1 of 2" in screen.filter
        await screen.press("n")
        assert "2 of 2" in screen.filter
        await screen.press("n")
        assert "1 of 2" in screen.filter and "went on from the top" in screen.keys
        await screen.press("N")
        assert "2 of 2" in screen.filter and "went on from the bottom" in screen.keys


async def test_a_search_from_the_newest_row_goes_to_the_match_nearest_above() -> None:
    async with opened(a_day(14)) as screen:
        await screen.press("r", "G", "s")
        await screen.type("nightly")
        await screen.press("enter")
        assert "2 of 2" in screen.filter


async def test_esc_returns_to_the_previous_row_and_to_following() -> None:
    async with opened(a_day(14)) as screen:
        table = screen.app.query_one(EventTable)
        before = table.cursor_id
        await screen.press("s")
        await screen.type("nightly")
        assert table.cursor_id != before
        await screen.press("escape")
        assert table.cursor_id == before and table.following
        assert "nightly:" not in screen.filter


@pytest.mark.parametrize("query", ["uid==34", "uid==34 or comm=("])
async def test_a_search_while_a_filter_is_set_may_contain_a_parenthesis(query: str) -> None:
    async with opened(a_day(14), query=query) as screen:
        await screen.press("s")
        screen.app.query_one("#search FilterInput", FilterInput).value = "comm=("
        await screen.settle()
        await screen.press("enter")
        assert "s comm=(: 0 found" in screen.filter
        assert "of 14 shown" in screen.filter


async def test_esc_in_the_table_ends_the_search() -> None:
    async with opened(a_day(14)) as screen:
        await screen.press("s")
        await screen.type("nightly")
        await screen.press("enter", "escape")
        assert "nightly:" not in screen.filter
        await screen.press("n")
        assert "There is no search yet: s begins one." in screen.keys


async def test_a_wrong_search_is_reported_at_enter_and_not_before() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("s")
        await screen.type("error in (")
        assert "xpected" not in screen.keys
        await screen.press("enter")
        assert "Expected an errno." in screen.keys


@pytest.mark.parametrize("typed", ["s comm:bash foo:bar", "path:/a/long/path/to/some/where foo:bar"])
async def test_a_mistake_before_the_end_of_a_search_is_reported_while_typing(
    typed: str,
) -> None:
    async with opened(a_day(7), size=(80, 24)) as screen:
        await screen.press("s")
        await screen.type(typed)
        for key in ("right", "enter"):
            text, _, said = screen.keys.partition("  No field")
            assert text.rstrip().endswith("foo:bar"), screen.keys
            assert said.startswith(" has the name foo: put it in quotes") and said.endswith("…")
            await screen.press(key)
        assert screen.keys.startswith(" search …") is (len(typed) > 24)
        field = screen.app.query_one("#search FilterInput", FilterInput)
        assert field._problem == (typed.index("foo"), typed.index(":bar"))
        await screen.press("backspace", *["backspace"] * 6)
        assert "nknown" not in screen.keys and field._problem is None


async def test_the_answer_to_a_time_leaves_room_to_type_and_ends_in_an_ellipsis() -> None:
    async with opened(a_day(7), size=(80, 24)) as screen:
        await screen.press("s")
        await screen.type("@25:99")
        await screen.press("enter")
        assert screen.keys.startswith(" search @25:99   ")
        assert "There is no such time: type a time such as" in screen.keys and screen.keys.endswith("…")
        await screen.pilot.resize_terminal(120, 24)
        await screen.settle()
        assert screen.keys.endswith("or @2026-11-24 21:50.")


async def test_switching_to_something_else_ends_a_search() -> None:
    async with opened(a_day(14)) as screen:
        for leave in ("filter", "row", "help"):
            await screen.press("s")
            await screen.type("nightly")
            if leave == "filter":
                await screen.pilot.click(offset=(10, 1))
            elif leave == "row":
                await screen.pilot.click(offset=(10, 5))
            else:
                await screen.press("f1", "enter")
            await screen.settle()
            assert not screen.keys.startswith(" search "), leave
            await screen.press("escape", "escape", "s")
            assert screen.keys.startswith(" search "), "s begins another one"
            await screen.press("escape", "slash")
            assert screen.parts.filter_bar.is_editing
            await screen.press("escape")


async def test_an_unfinished_search_is_discarded_when_it_loses_focus() -> None:
    async with opened(a_day(14)) as screen:
        before = screen.table.cursor_id
        await screen.press("s")
        await screen.type("error in (")
        await screen.pilot.click(offset=(10, 1))
        await screen.settle()
        assert screen.parts.filter_bar.is_editing
        assert screen.table.cursor_id == before
        assert "xpected" not in screen.text


async def test_a_search_without_a_match_says_so() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("s")
        await screen.type("zzz")
        await screen.press("enter")
        assert "s zzz: 0 found" in screen.filter
        await screen.press("n")
        assert "Nothing that is shown matches zzz." in screen.keys


async def test_events_that_arrive_later_match_too() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("s")
        await screen.type("worker")
        await screen.press("enter")
        await screen.give(failure("/opt/app/worker2", timestamp=START + 9_000_000_000))
        assert "of 2" in screen.filter


async def test_letters_typed_in_a_search_trigger_no_key_binding() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("s")
        await screen.type("s/q@n")
        assert screen.keys.startswith(" search s/q@n")


async def test_marks_can_be_set_removed_and_visited() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("home", "down", "m", "down", "down", "m")
        assert sum(line.startswith("*") for line in screen.lines()) == 2
        await screen.press("M")
        assert under_cursor(screen) == "/opt/backup/nightly"
        await screen.press("M")
        assert under_cursor(screen) == "/docker-entrypoint.sh"
        await screen.press("m")
        assert sum(line.startswith("*") for line in screen.lines()) == 1


async def test_marks_hidden_by_the_filter_are_mentioned() -> None:
    async with opened(a_day(7), query="") as screen:
        await screen.press("M")
        assert "There is no mark yet: m sets one." in screen.keys
        await screen.press("home", "m", "slash")
        await screen.type("worker")
        await screen.press("enter", "M")
        assert "hidden by the filter" in screen.keys


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("@21:50:13", "/usr/local/bin/agent"),
        ("@21:50", "/opt/app/run.sh"),
        ("@23:59", "/usr/bin/find"),
        ("@2026-11-24 21:50:12", "/opt/app/run.sh"),
    ],
)
async def test_a_time_goes_to_the_first_row_at_or_after_it(typed: str, path: str) -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("at")
        await screen.type(typed[1:].replace("-", "-"))
        await screen.press("enter")
        assert under_cursor(screen) == path


async def test_a_time_can_be_typed_into_a_search_and_a_wrong_one_is_answered() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("s")
        await screen.type("@21")
        await screen.press("enter")
        assert "Type a time such as @21:50" in screen.keys
        await screen.type(":50")
        await screen.press("enter")
        assert under_cursor(screen) == "/opt/app/run.sh"


async def test_s_sorts_groups_and_a_table_key_says_that_it_belongs_to_the_table() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("t", "s")
        assert not screen.keys.startswith(" search")
        await screen.press("m")
        assert "t goes back to it" in screen.keys


@pytest.mark.parametrize("keys", [("m",), ("plus",), ("at",)])
async def test_a_key_that_needs_a_row_says_so_if_the_filter_hides_all(keys: tuple[str, ...]) -> None:
    async with opened([failure("/x")]) as screen:
        await screen.press("slash")
        await screen.type("nosuchthing")
        await screen.press("enter", *keys)
        if keys == ("at",):
            await screen.type("21:50")
            await screen.press("enter")
        assert "Nothing is shown: c clears the filter." in screen.text
