"""The mouse reaches what the keys reach: rows, headings, sparkline, state, keys."""

from __future__ import annotations

import pytest

from execwhy.bpf.events.record import Attempt, Search
from tests.ui.screens import Opened, opened
from tests.ui.scripted_source import START, a_day, failure


async def click(screen: Opened, text: str, *, into: int = 0, line: int | None = None) -> None:
    """Click on the first place where a text stands."""
    lines = screen.lines()
    row = next(number for number, shown in enumerate(lines) if text in shown) if line is None else line
    await screen.pilot.click(offset=(lines[row].index(text) + into, row))
    await screen.settle()


async def test_a_click_on_a_row_moves_the_cursor_there() -> None:
    async with opened(a_day(7)) as screen:
        await click(screen, "nightly")
        assert screen.line_with("backup may not execute it (rw-r--r--)").startswith("▌")


async def test_a_click_on_a_heading_focuses_its_cell() -> None:
    async with opened(a_day(7)) as screen:
        await click(screen, "ERROR", line=2)
        await screen.press("plus")
        assert "error==E2BIG" in screen.filter


async def test_a_click_on_a_bar_leads_to_what_came_then(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [failure(f"/n{second}", timestamp=START + second * 10**9) for second in range(0, 60, 10)]
    async with opened(events) as screen:
        monkeypatch.setattr(screen.parts.control, "moment", lambda: START + 60 * 10**9)
        bars = next(word for word in screen.status.split() if word.startswith("▁"))
        await click(screen, bars, into=len(bars) // 2, line=0)
        table = screen.table
        assert table.cursor_id == 3
        await click(screen, bars, into=0, line=0)
        assert table.cursor_id == 0


async def test_a_click_on_the_state_freezes_and_goes_on() -> None:
    async with opened(a_day(7)) as screen:
        await click(screen, "live", line=0)
        assert "frozen" in screen.status
        await click(screen, "frozen", line=0)
        assert "live" in screen.status


async def test_a_click_on_a_key_does_what_the_key_does() -> None:
    async with opened(a_day(7)) as screen:
        await click(screen, "groups", line=len(screen.lines()) - 1)
        assert "RATE/s" in screen.text


async def test_a_click_on_a_groups_heading_sorts_by_it() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("t")
        await click(screen, "COUNT", line=3)
        assert "▾COUNT" in screen.text
        await click(screen, "RATE/s", line=3)
        assert "▾RATE/s" in screen.text


async def test_a_click_on_what_is_hidden_shows_it() -> None:
    async with opened(a_day(7)) as screen:
        search = Search(1, "ls", 1, "found", "/usr/bin/ls", (Attempt("/opt/ls", -2),))
        await screen.give(failure("/opt/ls", search=search))
        await click(screen, "1 try of found searches hidden", line=0)
        assert "found at /usr/bin/ls after 1 try" in screen.text
