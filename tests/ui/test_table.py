"""The table: the content of a row, and rows that do not jump."""

from __future__ import annotations

from dataclasses import replace

import pytest

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.model.history.store import History
from execwhy.tui.widgets.events.columns import placed_columns, row_text
from tests.ui.screens import opened
from tests.ui.scripted_source import START, a_day, diagnosed, failure


def numbered(count: int, first: int = 0) -> list[ExecFailure]:
    return [failure(f"/bin/n{n:06d}", timestamp=START + n * 1_000_000) for n in range(first, first + count)]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 50), (250, 80), (60, 15)])
async def test_error_path_and_why_are_shown_at_every_width(size: tuple[int, int]) -> None:
    async with opened(a_day(3), size=size) as screen:
        row = next(row for row in screen.rows if "ENOEXEC" in row)
        assert "agent" in row
        assert "built for" in row


async def test_a_row_of_120_columns_has_time_pid_user_comm_error_path_why() -> None:
    record = diagnosed(failure("/opt/app/run.sh", uid=0, euid=0), "x", "it is gone", "It is gone.", None)
    async with opened([record], size=(120, 40)) as screen:
        row = screen.rows[0]
        assert row.split() == [
            "▌21:50:12.031", "27420", "root", "bash", "ENOENT", "/opt/app/run.sh", "it", "is", "gone",
        ]  # fmt: skip


async def test_without_a_diagnosis_why_explains_the_errno() -> None:
    async with opened([failure("/x", 13)]) as screen:
        assert "Permission denied" in screen.rows[0]


async def test_a_cause_that_is_not_certain_is_marked_by_more_than_its_colour() -> None:
    record = diagnosed(failure("/opt/app/run.sh"), "x", "it is gone", "It is gone.", None)
    assert record.diagnosis is not None
    doubtful = replace(record, path="/opt/run.sh", diagnosis=replace(record.diagnosis, certain=False))
    async with opened([record, doubtful], size=(120, 40)) as screen:
        assert [line.partition("run.sh")[2].strip() for line in screen.rows[:2]] == [
            "it is gone",
            "? it is gone",
        ]
    assert row_text(doubtful).endswith("  ? it is gone")


@pytest.mark.parametrize("with_host", [False, True])
@pytest.mark.parametrize("width", range(13))
def test_a_very_narrow_table_still_has_columns(width: int, with_host: bool) -> None:
    titles = [place.column.title for place in placed_columns(width, with_host)]
    assert titles[-2:] == ["PATH", "WHY"]
    assert ("HOST" in titles) == with_host


@pytest.mark.parametrize("width", range(79, 130))
def test_why_gets_its_width_before_the_pid(width: int) -> None:
    widths = {place.column.title: place.width for place in placed_columns(width)}
    assert widths["WHY"] >= 32
    assert ("PID" in widths) == (width >= 98)


@pytest.mark.parametrize("width", range(138, 300))
def test_most_causes_fit_the_why_column_on_a_wide_screen(width: int) -> None:
    widths = {place.column.title: place.width for place in placed_columns(width)}
    assert widths["WHY"] >= 48
    assert widths["PATH"] >= 28


async def test_a_diagnosis_replaces_the_looking_placeholder() -> None:
    def why(record: ExecFailure) -> Diagnosis:
        return Diagnosis("gone", "The file is gone.", brief="it is gone")

    async with opened([failure("/x")], why=why) as screen:
        for _ in range(50):
            if "it is gone" in screen.text:
                break
            await screen.settle()
        assert "it is gone" in screen.rows[0]
        assert "The file is gone." in screen.text
        assert "looking…" not in screen.text


async def test_a_loss_has_its_row_at_its_place_in_time() -> None:
    events: list[Event] = [failure("/first"), Loss(START + 5, 132, "ring buffer full"), failure("/second")]
    async with opened(events) as screen:
        first, loss, second = screen.rows[:3]
        assert "/first" in first
        assert "— 132 events lost here: ring buffer full —" in loss
        assert "/second" in second


@pytest.mark.parametrize("width", [80, 120, 160, 250])
async def test_a_long_path_keeps_its_name(width: int) -> None:
    path = "/usr/share/" + "very-long-directory/" * 12 + "run-the-thing.sh"
    async with opened([failure(path)], size=(width, 24)) as screen:
        row = screen.rows[0]
        assert "run-the-thing.sh" in row
        assert "…/" in row


async def test_the_table_follows_the_newest_event() -> None:
    async with opened(numbered(100), size=(80, 24)) as screen:
        assert "n000099" in screen.rows[-1]
        await screen.give(*numbered(5, 100))
        assert "n000104" in screen.rows[-1]
        assert "following" in screen.keys


async def test_no_row_moves_under_the_cursor_while_events_arrive() -> None:
    async with opened(numbered(100), size=(80, 24)) as screen:
        await screen.press("up", "up", "up")
        before = screen.rows
        await screen.give(*numbered(500, 100))
        assert screen.rows == before
        assert "follow" in screen.keys
        assert "500 below" in screen.keys
        await screen.press("f")
        assert "n000599" in screen.rows[-1]


async def test_no_row_moves_under_the_cursor_while_old_ones_are_evicted() -> None:
    async with opened(numbered(1000), size=(80, 24), history=History(max_events=1000)) as screen:
        await screen.press("up", "up", "up")
        before = screen.rows
        for batch in range(5):
            await screen.give(*numbered(100, 1000 + batch * 100))
        assert screen.app.history.evicted > 0
        assert screen.rows == before
        assert f"{screen.app.history.evicted:,} evicted" in screen.status


async def test_the_cursor_stays_on_its_event_when_a_filter_comes_and_goes() -> None:
    async with opened(numbered(300), size=(80, 24)) as screen:
        await screen.press("home", "down", "down")
        event = screen.table.cursor_id
        await screen.press("slash")
        await screen.type("n00000")
        await screen.press("enter")
        assert screen.table.cursor_id == event
        await screen.press("c")
        assert screen.table.cursor_id == event


async def test_keys_move_the_cursor() -> None:
    async with opened(numbered(100), size=(80, 24)) as screen:
        seen = []
        for key in (
            "home",
            "j",
            "down",
            "k",
            "pagedown",
            "G",
            "up",
            "g",
            "end",
            "ctrl+u",
            "ctrl+d",
            "pageup",
        ):
            await screen.press(key)
            seen.append(screen.table.cursor_id)
        assert seen == [0, 1, 2, 1, 20, 99, 98, 0, 99, 89, 99, 80]


async def test_scrolling_with_the_wheel_stops_following() -> None:
    async with opened(numbered(100), size=(80, 24)) as screen:
        table = screen.table
        table.scroll_to(y=10, animate=False)
        await screen.settle()
        await screen.give(*numbered(5, 100))
        assert not table.following
        assert "n000010" in screen.rows[0]


async def test_a_click_puts_the_cursor_on_the_cell() -> None:
    async with opened(numbered(10), size=(80, 24)) as screen:
        await screen.pilot.click("#table", offset=(12, 4))
        await screen.settle()
        assert screen.table.cursor_id == 4
        place = screen.table.focused_cell
        assert place is not None
        assert place.column.title == "USER"


async def test_plus_and_minus_add_the_focused_cell_to_the_filter() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("left", "left", "left", "plus")
        assert screen.filter.startswith(" / error==E2BIG")
        await screen.press("minus")
        assert screen.filter.startswith(" / error!=E2BIG ")
        assert "6 of 7 shown" in screen.filter


async def test_a_time_cannot_be_filtered_for_and_the_screen_says_so() -> None:
    async with opened(a_day(3)) as screen:
        await screen.press("right", "plus")
        assert "Nothing to filter for: focus another cell" in screen.keys
        assert "==" not in screen.filter


async def test_a_frozen_view_does_not_change_and_counts_new_events() -> None:
    async with opened(numbered(50), size=(80, 24)) as screen:
        await screen.press("space")
        before = screen.rows
        await screen.give(*numbered(132, 50))
        assert "frozen" in screen.status
        assert "132 came meanwhile" in screen.status
        assert screen.rows == before
        await screen.press("p")
        assert "live" in screen.status
        assert "n000181" in screen.rows[-1]


async def test_a_frozen_view_outlives_the_events_that_it_shows() -> None:
    async with opened(numbered(100), size=(80, 24), history=History(max_events=1000)) as screen:
        await screen.press("space")
        await screen.give(*numbered(5000, first=100))
        assert 0 not in screen.app.history
        assert "n000099" in screen.text, "what has been painted stays"
        await screen.press("t", "escape", "at")
        await screen.type("21:50:12")
        await screen.press("enter", "r", "s")
        await screen.type("n0000")
        await screen.press("enter", "w", "escape", "y", "escape", "m", "M", "plus", "space")
        assert screen.app.is_running
        assert "live" in screen.status and "/bin/n00" in screen.text


async def test_resizing_keeps_the_cursor_on_its_event() -> None:
    async with opened(numbered(100), size=(80, 24)) as screen:
        await screen.press("home", "down")
        for size in ((250, 80), (120, 40), (60, 12), (80, 24)):
            await screen.pilot.resize_terminal(*size)
            await screen.settle()
            assert "n000001" in screen.line_with("▌")


async def test_the_last_row_of_a_frozen_view_stays_on_a_screen_that_grows_and_shrinks() -> None:
    async with opened(numbered(70), size=(120, 40)) as screen:
        await screen.press("end", "space")
        for size in ((80, 24), (250, 80), (80, 24), (250, 80), (120, 40)):
            await screen.pilot.resize_terminal(*size)
            await screen.settle()
            assert "n000069" in screen.line_with("▌")


async def test_consecutive_losses_are_one_row_with_their_sum_and_last_time() -> None:
    losses = [Loss(START + n * 100_000_000, 1_000 + n, "ring buffer full") for n in range(12)]
    async with opened([failure(timestamp=START), *losses], size=(80, 24)) as screen:
        line = screen.line_with("events lost here")
        assert "12,066 events lost here until 21:50:13.131: ring buffer full" in line
        await screen.press("enter")
        assert "12,066" in screen.line_with("events, before those below")
        assert "21:50:13.131" in screen.line_with("until")
        await screen.press("escape", "r")
        assert screen.text.count("events lost here: ring buffer full") == 12
