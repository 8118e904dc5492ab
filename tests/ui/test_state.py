"""The states of the program and their messages."""

from __future__ import annotations

import pytest

from execwhy.bpf.events.arrivals import SearchEnd
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.bpf.events.source import Stage
from execwhy.tui.model.files.json_lines import UNREADABLE
from execwhy.tui.model.history.store import History
from execwhy.tui.why.causes import unseen
from tests.looks import InlineLookers
from tests.ui.screens import LOOKS, opened
from tests.ui.scripted_source import START, ScriptedSource, a_day, failure


@pytest.mark.parametrize(
    ("stage", "word", "sentence"),
    [
        (Stage.STARTING, "starting", "Starting…"),
        (Stage.COMPILING, "compiling", "Compiling the BPF program…"),
        (Stage.ATTACHING, "attaching", "Attaching to the kernel…"),
        (Stage.LIVE, "live", "No exec has failed yet: try /no/such/program in another shell"),
        (Stage.ENDED, "ended", "There is no failed exec in it"),
    ],
)
async def test_an_empty_table_says_what_is_going_on(stage: Stage, word: str, sentence: str) -> None:
    async with opened(source=ScriptedSource(stage=stage), size=(80, 24)) as screen:
        assert word in screen.status
        assert sentence in screen.text


async def test_a_failure_with_nothing_to_see_ends_the_screen_with_its_sentence_and_status() -> None:
    source = ScriptedSource(stage=Stage.FAILED, detail="Run it as root: BPF needs that.")
    async with opened(source=source, size=(80, 24)) as screen:
        pass
    assert (screen.app.return_code, screen.app.failure) == (1, "Run it as root: BPF needs that.")
    assert source.is_closed


async def test_a_later_failure_is_shown_below_the_rows_and_again_at_the_end() -> None:
    async with opened(a_day(3)) as screen:
        screen.source.stage = Stage.FAILED
        screen.source.detail = "The reader stopped."
        await screen.settle(looks=2 * LOOKS)
        assert "The reader stopped." in screen.keys
        await screen.press("q")
    assert (screen.app.return_code, screen.app.failure) == (1, "The reader stopped.")


async def test_a_failure_of_the_source_is_shown_until_the_next_key() -> None:
    async with opened(a_day(3)) as screen:
        screen.source.stage, screen.source.detail = Stage.FAILED, "The reader stopped."
        await screen.until(lambda: "The reader stopped." in screen.keys)
        await screen.press("up")
        assert "The reader stopped." not in screen.keys and "filter" in screen.keys


async def test_a_growing_file_is_not_called_live_and_has_no_rate() -> None:
    async with opened(source=ScriptedSource([failure()], stage=Stage.WAITING)) as screen:
        assert "○ waiting…" in screen.status and "/s" not in screen.status
        assert "last event 2026-11-24 " in screen.text


async def test_the_speed_of_reading_a_file_is_not_shown_as_a_rate() -> None:
    async with opened(source=ScriptedSource([failure()], stage=Stage.READING)) as screen:
        screen.source.waiting = 50_000
        screen.parts.state.count()
        screen.source.waiting, screen.source.stage = 90_000, Stage.LIVE
        screen.parts.state.count()
        assert screen.parts.intake.rate.now == 0
        screen.source.waiting += 3
        screen.parts.state.count()
        assert screen.parts.intake.rate.now == 1


async def test_the_part_of_a_large_file_that_is_in_memory_is_counted() -> None:
    source = ScriptedSource(a_day(40), stage=Stage.ENDED)
    async with opened(source=source, history=History(max_events=16)) as screen:
        history = screen.app.history
        assert history.evicted
        assert f"{history.failures} of this file in memory" in screen.text


async def test_lines_that_could_not_be_read_have_a_row_and_a_count() -> None:
    source = ScriptedSource([failure(), Loss(START, 3, UNREADABLE)])
    async with opened(source=source) as screen:
        assert "— 3 unreadable lines left out here —" in screen.text
        await screen.press("end")
        assert "lines of the file could not be read, and are left out" in screen.text
        await screen.press("question_mark")
        assert "+ 0 lost; 3 unreadable lines" in screen.text


async def test_the_host_of_a_hostile_file_is_escaped() -> None:
    source = ScriptedSource([failure()])
    source.host = "\x1b]0;x\x07"
    async with opened(source=source) as screen:
        assert "\\x1b]0;x\\x07" in screen.status


@pytest.mark.parametrize("width", [80, 120, 250])
async def test_lost_and_suppressed_are_on_the_status_line(width: int) -> None:
    source = ScriptedSource([failure(), Loss(START, 4, "ring buffer full")])
    source.suppressed = 7
    async with opened(source=source, size=(width, 24)) as screen:
        assert "12 failed" in screen.status
        assert "7 suppressed" in screen.status
        assert "4 lost" in screen.status
        if width >= 120:
            assert "12 failed = 1 recorded + 7 suppressed + 4 lost" in screen.status
        await screen.press("question_mark")
        assert "12 seen = 1 recorded + 7 suppressed + 4 lost" in screen.text


async def test_a_screen_that_cannot_keep_up_says_how_far_behind_it_is() -> None:
    source = ScriptedSource([failure()])
    source.waiting = 108_000
    async with opened(source=source, size=(80, 24)) as screen:
        await screen.until(lambda: "live  108,000 behind" in screen.status)
        source.waiting = 0
        await screen.until(lambda: "behind" not in screen.status)


@pytest.mark.parametrize("width", [40, 80, 120])
async def test_the_status_says_while_no_cause_is_looked_for(width: int) -> None:
    async with opened([failure()], size=(width, 24), why=lambda _: Diagnosis("code", "So.")) as screen:
        assert "no causes" not in screen.status
        lookers = screen.parts.intake.arrivals._lookers
        assert isinstance(lookers, InlineLookers)
        lookers.problem = "the processes are gone: start execwhy again."
        await screen.until(lambda: "no causes" in screen.status)
        assert "The processes are gone" in screen.text
        await screen.press("j", "space")
        assert "The processes are gone" not in screen.text
        assert "no causes" in screen.status
        lookers.problem = ""
        await screen.until(lambda: "no causes" not in screen.status)


async def test_help_is_one_screen_of_80x24_and_any_of_its_keys_closes_it() -> None:
    async with opened(a_day(3), size=(80, 24)) as screen:
        await screen.press("question_mark")
        for what in ("into it and back", "freeze the view", "quit", "nginx EACCES", "!comm:cron", "seen ="):
            assert what in screen.text
        await screen.press("escape")
        assert "nginx EACCES" not in screen.text
        await screen.press("f1", "q")
        assert "nginx EACCES" not in screen.text
        assert screen.app.is_running


async def test_q_quits_with_status_0_and_closes_the_source() -> None:
    async with opened(a_day(3)) as screen:
        await screen.press("q")
    assert (screen.app.return_code or 0) == 0
    assert screen.source.is_closed


async def test_y_copies_the_row_escaped() -> None:
    async with opened([failure("/tmp/\x1b[31m")]) as screen:
        await screen.press("y", "y")
        assert screen.app.clipboard.startswith("21:50:12.031  27420  www-data  bash  ENOENT  /tmp/\\x1b[31m")


@pytest.mark.parametrize(
    "text",
    ["[/]", "[@click=app.quit]x[/]", "[red]", "[link=http://x]", "a[0", "\x1b]0;x\x07", "\x9b31m",
     "\u202eabc", "\udcff", "\x00\x7f", "日本語" * 40, "e\u0301" * 300, "x" * 4095, "\n\r\t", "\\", ""],
)  # fmt: skip
@pytest.mark.parametrize("size", [(80, 24), (250, 80)])
async def test_hostile_text_is_escaped_everywhere(text: str, size: tuple[int, int]) -> None:
    record = failure(
        f"/tmp/{text}", comm=text, parent_comm=text, arguments=(text, f"[{text}"), environment=(f"A={text}",),
        cwd=text, unit=text, cgroup=text, stdin_path=text, interpreter_path=text,
    )  # fmt: skip
    async with opened([record], size=size) as screen:
        await screen.press("enter" if size[0] < 100 else "tab")
        await screen.press("end", "home", "plus", "slash", "escape", "w")
        assert all(line.isprintable() for line in screen.lines()), screen.text
        await screen.press("escape")
        assert screen.app.is_running


async def test_a_crash_loop_is_one_row_that_counts_and_r_unfolds_it() -> None:
    loop = [failure("/opt/agent", pid=100 + n, timestamp=START + n * 100_000_000) for n in range(30)]
    async with opened([*loop[:20], failure("/opt/other")]) as screen:
        assert "/opt/agent" in screen.line_with("20× ")
        assert "2 of 21 shown, 19 repeats folded" in screen.filter
        await screen.press("home")
        assert "20 times" in screen.line_with("the same within a second")
        await screen.give(*loop[20:])
        assert "/opt/agent" in screen.line_with("30× ")
        await screen.press("r")
        assert "folded" not in screen.filter
        assert screen.text.count(" /opt/agent ") >= 20
        await screen.press("r")
        assert "/opt/agent" in screen.line_with("30× ")


async def test_groups_open_their_events_as_a_filter_and_escape_goes_back() -> None:
    events = [failure("/opt/a"), failure("/opt/a"), failure("/opt/b", 13)]
    async with opened(events) as screen:
        await screen.press("t")
        assert "2 groups of 3 failures" in screen.text
        await screen.press("2")
        assert screen.line_with("EACCES").split()[0] == "1"
        await screen.press("home", "enter")
        assert screen.filter.startswith(" / error==ENOENT")
        assert "2 of 3 shown" in screen.filter
        await screen.press("escape")
        assert "error==" not in screen.filter
        assert "2 groups of 3 failures" in screen.text
        await screen.press("escape")
        assert "TIME" in screen.headings


async def test_a_search_whose_last_try_was_not_diagnosed_shows_the_cause_of_another_try() -> None:
    def why(record: ExecFailure) -> Diagnosis:
        if record.path == "/c/sh -e":
            return unseen.dropped(record).diagnosis
        blank, brief = "blank-in-env-argument", 'env looks for "sh -e" as one name'
        return Diagnosis(blank, f'"{record.path}" does not exist.', (), None, False, brief)

    async with opened(why=why) as screen:
        path = ("PATH=/a:/b:/c",)
        tries = [
            failure(f"/{directory}/sh -e", task=1, tid=1, environment=path, diagnosis=None)
            for directory in "abc"
        ]
        await screen.give(*tries, SearchEnd(START + 1, 1, None, 1))
        await screen.until(lambda: "? env looks for" in screen.text)
        assert '"/a/sh -e" does not exist. "sh -e" was not found in 3 directories.' in " ".join(
            screen.text.split()
        )


async def test_a_search_is_one_row_and_h_shows_successful_searches() -> None:
    def search(directories: list[str], name: str, task: int) -> list[ExecFailure]:
        path = ("PATH=/a:/b:/c:/usr/bin",)
        paths = [f"/{directory}/{name}" for directory in directories]
        return [failure(tried, task=task, tid=task, environment=path) for tried in paths]

    async with opened() as screen:
        await screen.give(
            *search(["a", "b", "c"], "cmake", 1),
            SearchEnd(START + 1, 1, None, 1),
            *search(["a", "b"], "ls", 2),
            SearchEnd(START + 2, 2, "/usr/bin/ls", 2),
        )
        assert "not found in 3 directories" in screen.line_with("not found in 3")
        assert "found at /usr/bin/ls" not in screen.text
        assert "2 tries of found searches hidden" in screen.status
        assert "1 of 5 shown, 2 tries folded, 2 tries of found searches hidden" in screen.filter
        await screen.press("h")
        assert "ls" in screen.line_with("  found at /usr/bin/ls after 2 tries")


@pytest.mark.parametrize("width", [60, 80, 100])
async def test_plan_and_host_make_room_for_losses(width: int) -> None:
    source = ScriptedSource([failure(), Loss(START, 1_234_567, "ring buffer full")])
    source.suppressed = 87_654_321
    source.host = "a-host-with-a-long-name"
    async with opened(source=source, size=(width, 24)) as screen:
        assert "live" in screen.status
        assert "88,888,889 failed" in screen.status
        assert "/s" in screen.status
        assert "1,234,567 lost" in screen.status


async def test_plan_and_host_are_shown_if_they_fit() -> None:
    async with opened(a_day(3), size=(80, 24)) as screen:
        assert "tracepoint  web-1" in screen.status and "lost 0" in screen.status


@pytest.mark.parametrize(
    "leave", [("c",), ("slash", "ctrl+u", "m", "a", "k", "e", "enter"), ("escape", "escape")]
)
async def test_leaving_a_group_folds_repeats_again(leave: tuple[str, ...]) -> None:
    loop = [failure("/opt/agent", pid=n, timestamp=START + n * 1_000_000, comm="make") for n in range(20)]
    async with opened([*loop, failure("/opt/other")]) as screen:
        await screen.press("t", "home", "enter")
        assert "20 of 21 shown" in screen.filter and "folded" not in screen.filter
        await screen.press(*leave)
        await screen.until(lambda: "19 repeats folded" in screen.filter)


async def test_a_message_disappears_with_the_next_key() -> None:
    async with opened(a_day(3)) as screen:
        await screen.press("m")
        assert "Marked" in screen.keys
        await screen.press("up")
        assert "Marked" not in screen.keys and "filter" in screen.keys
