"""The text that ``y`` copies to the clipboard."""

from __future__ import annotations

import json

import pytest

from execwhy.tui.model.history.store import History
from execwhy.tui.screen import clipboard
from execwhy.tui.widgets.dialogs.copy_menu import ChoiceList
from tests.ui.screens import Opened, opened
from tests.ui.scripted_source import a_day, failure


async def copied(screen: Opened, *keys: str) -> str:
    await screen.press(*keys)
    return screen.app.clipboard


async def test_the_menu_offers_what_can_be_copied_and_esc_copies_nothing() -> None:
    async with opened(a_day(4)) as screen:
        await screen.press("y")
        for words in ("the row", "JSON", "a shell command", "a bug report"):
            assert words in screen.text
        await screen.press("escape")
        assert screen.app.clipboard == ""
        assert "a bug report" not in screen.text


async def test_y_twice_copies_the_row() -> None:
    async with opened(a_day(4)) as screen:
        assert (await copied(screen, "y", "y")).endswith("/docker-entrypoint.sh  its #! line ends in CR")
        assert "Copied" in screen.keys


async def test_the_hint_for_tmux_is_shown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    async with opened(a_day(4)) as screen:
        await screen.press("y", "y")
        assert "set-clipboard on" in screen.keys
        await screen.press("y", "y")
        assert "Copied" in screen.keys and "tmux" not in screen.keys


async def test_y_in_the_detail_copies_the_fact() -> None:
    async with opened(a_day(4)) as screen:
        assert (await copied(screen, "tab", "y", "y")).startswith("The script exists")


async def test_json_is_the_line_of_a_recording_and_masks_secrets() -> None:
    async with opened([failure("/opt/x", environment=("DB_PASSWORD=hunter2",))]) as screen:
        copied_json = json.loads(await copied(screen, "y", "j"))
        assert copied_json["path"] == "/opt/x"
        assert "hunter2" not in screen.app.clipboard


async def test_the_arrows_and_enter_choose_too() -> None:
    async with opened([failure("/opt/x")]) as screen:
        assert (await copied(screen, "y", "down", "down", "enter")).startswith("(: 'it failed for uid 33")


async def test_the_mouse_chooses_too() -> None:
    async with opened([failure("/opt/x")]) as screen:
        await screen.press("y")
        line = next(number for number, text in enumerate(screen.lines()) if "JSON" in text)
        await screen.pilot.click(offset=(60, line))
        await screen.pilot.pause()
        assert json.loads(screen.app.clipboard)["path"] == "/opt/x"


async def test_a_bug_report_has_the_cause_its_evidence_and_the_versions() -> None:
    async with opened(a_day(4)) as screen:
        report = await copied(screen, "y", "b")
        assert report.startswith("### ENOENT: /docker-entrypoint.sh: its \\#! line ends in CR\n")
        for words in ("Cause: `carriage-return`", "Kernel: `6.1.0-38-amd64`", "plan tracepoint"):
            assert words in report
        assert "\r" not in report and "\n```sh\n(" in report
        assert "- As: uid 0 (root), euid 0 (root), gid 0 (root)\n" in report


async def test_a_hostile_path_cannot_leave_its_place_in_a_bug_report() -> None:
    async with opened([failure("/a`b``\n# x <img>\x1b[2J")]) as screen:
        report = await copied(screen, "y", "b")
        assert "\x1b" not in report and "<img>" not in report.splitlines()[0].replace("\\<", "")
        assert not any(line.startswith("# x") for line in report.splitlines())


async def test_a_program_that_no_shell_can_name_is_not_copied_as_a_command() -> None:
    async with opened([failure(None)]) as screen:
        assert await copied(screen, "y", "s") == ""
        assert "A shell cannot name what was to be executed: copy it as JSON." in screen.keys


async def test_a_text_that_is_too_long_for_terminals_is_not_sent() -> None:
    async with opened([failure("/opt/x", environment=("A=" + "x" * clipboard.MOST_BYTES,))]) as screen:
        assert await copied(screen, "y", "j") == ""
        assert "write it to a file with w" in screen.keys


async def test_a_group_is_copied_at_once() -> None:
    async with opened(a_day(4)) as screen:
        assert "  /" in await copied(screen, "t", "down", "y")


async def test_an_extra_key_press_does_no_harm() -> None:
    async with opened([failure("/opt/x")]) as screen:
        await screen.press("y")
        for _ in range(3):
            screen.app.screen.query_one(ChoiceList).post_message(ChoiceList.Taken("j"))
        await screen.pilot.pause()
        assert json.loads(screen.app.clipboard)["path"] == "/opt/x"


async def test_an_evicted_row_says_so_in_its_detail_and_when_it_is_copied() -> None:
    async with opened([failure(path=f"/{number}") for number in range(16)], history=History(16)) as screen:
        await screen.press("space", "up")
        await screen.give(*(failure(path=f"/later/{number}") for number in range(100)))
        await screen.press("up")
        assert "evicted from memory, as what comes needs its room" in screen.text
        await screen.press("y")
        assert "It has been evicted from memory: nothing of it is left to copy." in screen.keys
