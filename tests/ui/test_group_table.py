"""The groups on the screen: their rows, their stable order, and their keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from textual.app import App, ComposeResult
from textual.message import Message
from textual.pilot import Pilot

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.record import Diagnosis, ExecFailure, Search
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import add_term, parse
from execwhy.tui.model.view.view import View
from execwhy.tui.screen import themes
from execwhy.tui.textual_private import strips
from execwhy.tui.widgets.groups import group_table
from execwhy.tui.widgets.groups.group_pane import GroupPane
from tests.ui.scripted_source import START

SECOND = 10**9
MISSING = Diagnosis("missing-file", "The file is missing.", brief="it is missing")
PLAIN = ExecFailure(timestamp=START, path="/bin/x", return_value=-2, diagnosis=MISSING)


class GroupApp(App[None]):
    """An app with only the groups of a view."""

    CSS_PATH = "../../tui/screen/theme.tcss"

    def __init__(self, history: History, *, show_secrets: bool) -> None:
        super().__init__()
        self.register_theme(themes.DARK)
        self.theme = themes.DARK.name
        self.now = START
        self.history = history
        self.view = View(history, parse(""))
        self.pane = GroupPane(history, self.view, lambda: self.now, show_secrets=show_secrets)
        self.posted: list[Message] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return dict(themes.VARIABLES)

    def compose(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        self.pane.table.focus()

    def on_group_pane_opened(self, message: GroupPane.Opened) -> None:
        self.posted.append(message)

    def on_group_pane_refused(self, message: GroupPane.Refused) -> None:
        self.posted.append(message)

    def on_group_pane_closed(self, message: GroupPane.Closed) -> None:
        self.posted.append(message)


class Opened:
    def __init__(self, app: GroupApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    async def look(self) -> None:
        """Let the app update the view until there is nothing more to count."""
        self.app.view.refresh()
        while not self.app.view.complete:
            self.app.view.advance(1)
        while self.app.pane.sync(1):
            pass
        await self.pilot.pause()

    async def give(self, *events: Event) -> None:
        self.app.history.append(events)
        await self.look()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.look()

    def lines(self) -> list[str]:
        shown = strips(self.app.screen)
        assert all(strip.cell_length == self.app.size.width for strip in shown), "a line has the wrong width"
        return [strip.text.rstrip(" ▁▂▃▄▅▆▇█") for strip in shown]

    @property
    def choices(self) -> str:
        return self.lines()[0]

    @property
    def titles(self) -> str:
        return self.lines()[1]

    @property
    def rows(self) -> list[str]:
        return [line for line in self.lines()[2:] if line]

    def order(self, *names: str) -> list[str]:
        """Return the order of these groups."""
        return [name for row in self.rows for name in names if name in row]

    @property
    def cursor(self) -> tuple[int, str]:
        """Return the line of the cursor and its text."""
        ((line, row),) = [(line, row) for line, row in enumerate(self.rows) if row.startswith("▌")]
        return line, row


@pytest.fixture(autouse=True)
def _as_often_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every look count, and keep the order for as long as a test runs."""
    monkeypatch.setattr(group_table, "_EVERY", 0.0)
    monkeypatch.setattr(group_table, "_HOLD", 3600.0)


def never_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behave as if the last key had been pressed long ago."""
    monkeypatch.setattr(group_table, "_HOLD", 0.0)


@asynccontextmanager
async def opened(
    events: Sequence[Event],
    *,
    size: tuple[int, int] = (120, 30),
    history: History | None = None,
    show_secrets: bool = False,
) -> AsyncIterator[Opened]:
    history = History() if history is None else history
    history.append(events)
    app = GroupApp(history, show_secrets=show_secrets)
    async with app.run_test(size=size) as pilot:
        screen = Opened(app, pilot)
        await screen.look()
        yield screen


def failing(path: str, times: int, seconds_ago: float = 0.5, **facts: object) -> list[Event]:
    record = replace(PLAIN, path=path, timestamp=START - int(seconds_ago * SECOND))
    return [replace(record, **facts)] * times  # type: ignore[arg-type]


async def test_the_group_with_most_failures_is_first_with_count_rate_and_cause() -> None:
    events = failing("/opt/app/run.sh", 1204, 190, uid=0)
    storm = [
        replace(PLAIN, path="/usr/bin/agent", uid=uid, timestamp=START - n * SECOND // 10)
        for n, uid in enumerate([1, 2, 3] * 200)
    ]
    async with opened([*events, *storm[::-1]], size=(180, 30)) as screen:
        assert screen.titles.split() == [
            "COUNT",
            "▾RATE/s",
            "LAST",
            "MINUTE",
            "FIRST",
            "LAST",
            "USERS",
            "PATH",
            "WHY",
        ]
        worst, other = screen.rows
        assert worst.split("  ")[0].strip() == ""
        for text in (
            "600",
            " 10 ",
            "████████████",
            "21:49:12",
            "now",
            "3 users",
            "/usr/bin/agent",
            "it is missing",
        ):
            assert text in worst
        for text in ("1,204", " 0 ", "21:47:02", "3 minutes ago", "root", "/opt/app/run.sh", "it is missing"):
            assert text in other
        assert "2 groups of 1,804 failures" in screen.choices


async def test_s_switches_between_sorting_by_count_and_by_rate() -> None:
    async with opened([*failing("/often", 9, 300), *failing("/now", 2)]) as screen:
        assert screen.order("/often", "/now") == ["/now", "/often"]
        await screen.press("s")
        assert screen.order("/often", "/now") == ["/often", "/now"]
        assert "▾COUNT" in screen.titles
        await screen.press("s")
        assert screen.order("/often", "/now") == ["/now", "/often"]


async def test_one_key_chooses_what_to_group_by() -> None:
    record = replace(
        PLAIN,
        return_value=-13,
        uid=54321,
        comm="cron",
        unit="a.service",
        container_id="4f9c2a1be07d",
        parent_comm="init",
    )
    values = ["/bin/x", "EACCES", "missing-file", "54321", "cron", "a.service", "4f9c2a1be07d", "init"]
    titles = ["PATH", "ERROR", "CAUSE", "USER", "COMM", "UNIT", "CONTAINER", "PARENT"]
    async with opened([record]) as screen:
        for key, value, title in zip("12345678", values, titles, strict=True):
            await screen.press(key)
            (row,) = screen.rows
            assert f" {value} " in row
            assert f" {title} " in screen.titles
        await screen.press("right")
        assert " PATH " in screen.titles
        await screen.press("left")
        assert " PARENT " in screen.titles
        await screen.pilot.click("GroupHeader", offset=(screen.choices.index("unit"), 0))
        await screen.look()
        assert " UNIT " in screen.titles


async def test_an_unknown_value_is_shown_in_words() -> None:
    async with opened([replace(PLAIN, path=None, diagnosis=None)]) as screen:
        for key, words in (
            ("1", "unreadable path"),
            ("3", "not diagnosed"),
            ("6", "no unit"),
            ("7", "no container"),
        ):
            await screen.press(key)
            assert words in screen.rows[0]


async def test_groups_are_sorted_live_until_the_cursor_moves() -> None:
    async with opened([*failing("/a", 5), *failing("/b", 3)]) as screen:
        await screen.give(*failing("/b", 9))
        assert screen.order("/a", "/b") == ["/b", "/a"]
        await screen.press("down")
        assert screen.cursor[0] == 0
        await screen.give(*failing("/a", 20), *failing("/c", 90))
        assert screen.order("/a", "/b", "/c") == ["/b", "/a", "/c"], "nothing moves, a new group comes last"
        assert " 25 " in screen.rows[1], "but numbers are those of now"


async def test_the_group_under_the_cursor_keeps_its_line_while_others_are_sorted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    never_hold(monkeypatch)
    async with opened([*failing("/a", 5), *failing("/b", 4), *failing("/c", 3)]) as screen:
        await screen.press("down", "down")
        assert screen.cursor[0] == 1
        await screen.give(*failing("/b", 90), *failing("/c", 50), *failing("/d", 70))
        assert screen.order("/a", "/b", "/c", "/d") == ["/d", "/b", "/c", "/a"]
        line, row = screen.cursor
        assert line == 1
        assert "/b" in row
        assert " 94 " in row


async def test_the_cursor_keeps_its_line_if_the_rows_do_not_fit_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    never_hold(monkeypatch)
    events = [event for number in range(50) for event in failing(f"/bin/{number:02}", 60 - number)]
    async with opened(events, size=(100, 12)) as screen:
        await screen.press(*["down"] * 25)
        line, row = screen.cursor
        assert "/bin/24" in row
        await screen.give(*failing("/new", 99), *failing("/bin/24", 500))
        assert screen.cursor[0] == line
        assert "/bin/24" in screen.cursor[1]
        await screen.press("end")
        assert "/bin/49" in screen.cursor[1]
        await screen.press("home")
        assert screen.cursor[0] == 0


async def test_a_group_that_is_evicted_under_the_cursor_says_so_on_its_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    never_hold(monkeypatch)
    async with opened(failing("/old", 9), history=History(max_events=64)) as screen:
        await screen.press("down")
        await screen.give(*(event for number in range(84) for event in failing(f"/{number}", 1)))
        line, row = screen.cursor
        assert line == 0
        assert "gone" in row
        assert "/old" in row
        await screen.press("down")
        await screen.look()
        assert not any("/old" in row for row in screen.rows)


@pytest.mark.parametrize("key", list("12345678"))
async def test_enter_asks_for_the_events_of_the_group_and_esc_goes_back(key: str) -> None:
    wanted = replace(
        PLAIN, path="/a b", comm="c d", unit="e.service", container_id="f", parent_comm="g", uid=7
    )
    other = replace(PLAIN, path="/z", return_value=-13, diagnosis=None)
    async with opened([wanted, other, wanted]) as screen:
        await screen.press(key, "enter", "escape")
        asked, closed = screen.app.posted
        assert isinstance(asked, GroupPane.Opened)
        assert isinstance(closed, GroupPane.Closed)
        assert screen.app.pane.condition == (asked.field, asked.value)
        query = parse(add_term("", asked.field, asked.value, exclude=False))
        assert list(View(screen.app.history, query)) == [0, 2]


async def test_enter_opens_the_group_under_the_cursor_and_so_does_a_second_click() -> None:
    async with opened([*failing("/a", 5), *failing("/b", 4), *failing("/c", 3)]) as screen:
        await screen.press("down", "down", "enter")
        await screen.pilot.click("GroupTable", offset=(30, 2), times=2)
        await screen.pilot.pause()
        assert [message.value for message in screen.app.posted if isinstance(message, GroupPane.Opened)] == [
            "/b",
            "/c",
        ]
        assert screen.app.pane.text == "3  0.3/s  /c  it is missing  root"


async def test_a_secret_is_masked_and_cannot_be_opened() -> None:
    events = failing(
        "/x?token=hunter2hunter2", 2, diagnosis=replace(MISSING, brief="no token=hunter2hunter2")
    )
    async with opened(events) as screen:
        assert "hunter2" not in "".join(screen.lines())
        await screen.press("enter")
        (refused,) = screen.app.posted
        assert isinstance(refused, GroupPane.Refused)
        assert screen.app.pane.condition is None
        assert "hunter2" not in str(screen.app.pane.text)
    async with opened(events, show_secrets=True) as screen:
        assert "token=hunter2hunter2" in screen.rows[0]
        await screen.press("enter")
        assert isinstance(screen.app.posted[0], GroupPane.Opened)


@pytest.mark.parametrize("width", [40, 64, 80, 120, 150, 250])
async def test_hostile_names_are_escaped_and_keep_their_last_component(width: int) -> None:
    events = [
        *failing("/opt/" + "very/long/" * 40 + "run\x1b]0;x.sh", 2),
        *failing(
            "/[/red][@click=app.quit]x\u202e", 1, unit="[/]" + "x" * 300 + ".service", comm="\x1b[2J\udcff"
        ),
    ]
    async with opened(events, size=(width, 10)) as screen:
        text = "\n".join(screen.lines())
        assert r"0;x.sh" in text
        assert text.replace("\n", "").isprintable()
        await screen.press("6")
        assert ".service" in "\n".join(screen.lines())
        await screen.press("5")
        assert r"\x1b[2J" in "\n".join(screen.lines())


async def test_another_filter_starts_with_new_groups() -> None:
    async with opened([*failing("/a", 5, uid=1), *failing("/b", 3, uid=2)]) as screen:
        await screen.press("down", "down")
        screen.app.view.query = parse("uid==2")
        await screen.look()
        (row,) = screen.rows
        assert "/b" in row
        assert not row.startswith("▌")
        assert "1 group of 3 failures" in screen.choices


async def test_a_single_failure_is_counted_in_the_singular() -> None:
    async with opened(failing("/a", 1)) as screen:
        assert "1 group of 1 failure" in screen.choices and "failures" not in screen.choices


async def test_rates_and_ages_change_as_time_passes_without_new_events() -> None:
    async with opened(failing("/a", 20)) as screen:
        assert " 2.0 " in screen.rows[0]
        screen.app.now += 60 * SECOND
        await screen.look()
        assert " 2.0 " not in screen.rows[0]
        assert "a minute" in screen.rows[0]


async def test_an_empty_table_says_why_there_is_no_group() -> None:
    async with opened([]) as screen:
        screen.app.pane.table.empty = "no exec has failed yet"
        await screen.look()
        assert "no exec has failed yet" in "".join(screen.rows)
        assert screen.app.pane.condition is None
        assert screen.app.pane.text is None
        await screen.press("enter", "down", "up", "pagedown", "home", "end")
        assert screen.app.posted == []
        await screen.give(*failing("/a", 1))
        assert "no exec has failed yet" not in "".join(screen.rows)


async def test_a_long_count_shows_its_progress() -> None:
    async with opened([], history=History(max_events=3200)) as screen:
        screen.app.history.append([event for n in range(30) for event in failing(f"/{n}", 100)])
        screen.app.view.refresh()
        assert screen.app.pane.sync(0), "there is more to count"
        await screen.pilot.pause()
        assert "counting 3%" in screen.choices
        await screen.look()
        assert "30 groups of 3,000 failures" in screen.choices


async def test_a_group_of_searches_has_the_name_that_was_searched_for() -> None:
    search = Search(1, "ls", 3, "not-found", None)
    event = replace(PLAIN, path="/usr/games/ls", search=search)
    async with opened([event, replace(PLAIN, path="/usr/games/cat")]) as screen:
        (row,) = [row for row in screen.rows if "(PATH" in row]
        assert "ls (PATH, last /usr/games)" in row
        assert any("/usr/games/cat" in row for row in screen.rows)
        await screen.press("2")
        assert not any("PATH" in row for row in screen.rows)


@pytest.mark.parametrize("width", [80, 120, 250])
async def test_searches_of_different_names_look_different_and_why_has_room(width: int) -> None:
    names = ("python3.11-config", "python3.12-config")
    why = replace(MISSING, brief="not found in 8 directories")
    events = [
        replace(
            PLAIN,
            path=f"/usr/local/games/{name}",
            search=Search(1, name, 8, "not-found", None),
            diagnosis=why,
        )
        for name in names
    ]
    async with opened(events, size=(width, 24)) as screen:
        for name in names:
            (row,) = [row for row in screen.rows if name in row]
            assert "not found in 8 directories" in row
            assert "(PATH" in row


async def test_a_group_whose_members_failed_of_different_causes_says_how_many() -> None:
    causes = [MISSING, MISSING, replace(MISSING, brief="its #! line ends in CR"), None]
    events = [replace(PLAIN, diagnosis=cause, pid=number) for number, cause in enumerate(causes)]
    async with opened(events, size=(160, 30)) as screen:
        assert "2 causes: it is missing, …" in screen.rows[0]
        await screen.press("3")
        assert "  it is missing" in screen.rows[0] and "such as" not in screen.rows[0]


async def test_a_group_whose_members_all_failed_of_one_cause_says_that_one_alone() -> None:
    async with opened([PLAIN, replace(PLAIN, diagnosis=None)]) as screen:
        assert "it is missing" in screen.rows[0] and "causes" not in screen.rows[0]


async def test_a_group_without_a_certain_cause_has_the_mark_of_such_a_row() -> None:
    doubtful = replace(MISSING, certain=False)
    another = replace(doubtful, code="another", brief="it is another")
    async with opened([replace(PLAIN, diagnosis=doubtful)]) as screen:
        await screen.look()
        assert screen.rows[0].endswith("? it is missing")
        await screen.give(replace(PLAIN, diagnosis=another), replace(PLAIN, diagnosis=doubtful))
        assert screen.rows[0].endswith("? 2 causes: it is missing, …")
        await screen.give(PLAIN)
        assert screen.rows[0].endswith("  2 causes: it is missing, …")
