"""The mouse reaches what the keys reach: rows, headings, sparkline, state, keys."""

from __future__ import annotations

import pytest
from textual.widget import Widget

from execwhy.bpf.events.record import Attempt, Search
from tests.ui.screens import Opened, opened
from tests.ui.scripted_source import START, a_day, failure


async def click(screen: Opened, text: str, *, into: int = 0, on: Widget | None = None) -> None:
    """Click on the first place where a text stands, anywhere or on a widget."""
    lines = screen.lines()
    first, last = (0, len(lines)) if on is None else (on.region.y, on.region.bottom)
    line = next(number for number in range(first, last) if text in lines[number])
    await screen.pilot.click(offset=(lines[line].index(text) + into, line))
    await screen.settle()


async def test_a_click_on_a_row_moves_the_cursor_there() -> None:
    async with opened(a_day(7)) as screen:
        await click(screen, "nightly")
        assert screen.line_with("backup may not execute it (rw-r--r--)").startswith("▌")


async def test_a_click_on_a_heading_focuses_its_cell() -> None:
    async with opened(a_day(7)) as screen:
        await click(screen, "ERROR", on=screen.parts.body.header)
        await screen.press("plus")
        assert "error==E2BIG" in screen.filter


async def test_a_click_on_a_bar_goes_to_the_events_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [failure(f"/n{second}", timestamp=START + second * 10**9) for second in range(0, 60, 10)]
    async with opened(events) as screen:
        monkeypatch.setattr(screen.parts.control, "moment", lambda: START + 60 * 10**9)
        bars = next(word for word in screen.status.split() if word.startswith("▁"))
        await click(screen, bars, into=len(bars) // 2, on=screen.parts.status_bar)
        table = screen.table
        assert table.cursor_id == 3
        await click(screen, bars, into=0, on=screen.parts.status_bar)
        assert table.cursor_id == 0


async def test_a_click_on_the_status_freezes_and_resumes() -> None:
    async with opened(a_day(7)) as screen:
        await click(screen, "live", on=screen.parts.status_bar)
        assert "frozen" in screen.status
        await click(screen, "frozen", on=screen.parts.status_bar)
        assert "live" in screen.status


async def test_a_click_on_a_key_does_what_the_key_does() -> None:
    async with opened(a_day(7)) as screen:
        await click(screen, "groups", on=screen.parts.key_bar)
        assert "RATE/s" in screen.text


async def test_a_click_on_a_groups_heading_sorts_by_it() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("t")
        await click(screen, "COUNT", on=screen.parts.groups.header)
        assert "▾COUNT" in screen.text
        await click(screen, "RATE/s", on=screen.parts.groups.header)
        assert "▾RATE/s" in screen.text


async def test_a_click_on_the_hidden_count_shows_the_hidden_rows() -> None:
    async with opened(a_day(7)) as screen:
        search = Search(1, "ls", 1, "found", "/usr/bin/ls", (Attempt("/opt/ls", -2),))
        await screen.give(failure("/opt/ls", search=search))
        await click(screen, "1 try of found searches hidden", on=screen.parts.status_bar)
        assert "found at /usr/bin/ls after 1 try" in screen.text
