"""The filter bar checks a filter while it is typed, and always keeps one that works."""

from __future__ import annotations

from functools import partial

import pytest

from execwhy.bpf.events.source import Capture
from execwhy.tui.widgets.bars.filter_bar import FilterBar
from execwhy.tui.widgets.bars.filter_input import FilterInput
from tests.ui.screens import Opened, opened
from tests.ui.scripted_source import START, ScriptedSource, a_day, binary, failure


async def test_a_filter_applies_while_it_is_typed() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("slash")
        await screen.type("EACCES")
        assert "1 of 7 shown" in screen.filter
        assert "nightly" in screen.text
        assert "run.sh" not in screen.text


async def test_an_invalid_filter_keeps_the_last_valid_one_and_shows_what_was_expected() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("slash")
        await screen.type("uid:34")
        await screen.press("space", "left_parenthesis")
        assert "1 of 7 shown" in screen.filter
        message = screen.headings
        assert "expected" in message
        assert screen.filter.index("(") <= message.index("^") <= screen.filter.index("(") + 1
        await screen.press("enter")
        assert "expected" in screen.headings, "Enter must not throw the mistake away"
        await screen.press("backspace")
        assert "TIME" in screen.headings


async def test_escape_restores_the_previous_filter() -> None:
    async with opened(a_day(7), query="ENOENT") as screen:
        assert "3 of 7 shown" in screen.filter
        await screen.press("slash")
        await screen.type(" make")
        assert "1 of 7 shown" in screen.filter
        await screen.press("escape")
        assert screen.filter.startswith(" / ENOENT ")
        assert "make" not in screen.filter
        assert "3 of 7 shown" in screen.filter
        assert screen.app.is_running


async def test_a_click_elsewhere_keeps_the_filter_and_the_slash_works_again() -> None:
    async with opened(a_day(14)) as screen:
        await screen.press("slash")
        await screen.type("ENOEXEC")
        await screen.pilot.click(offset=(20, 4))
        await screen.settle()
        assert screen.table.has_focus
        assert not screen.parts.filter_bar.is_editing and screen.app.view.query.text == "ENOEXEC"
        await screen.press("slash")
        assert screen.parts.filter_bar.is_editing


async def test_a_click_elsewhere_drops_an_invalid_filter_and_up_brings_it_back() -> None:
    async with opened(a_day(14)) as screen:
        await screen.press("slash")
        await screen.type("ENOEXEC")
        await screen.until(lambda: screen.app.view.query.text == "ENOEXEC")
        await screen.type(" error in (")
        await screen.pilot.click(offset=(20, 4))
        await screen.settle()
        assert screen.filter.startswith(" / ENOEXEC ") and "in (" not in screen.filter
        assert "xpected" not in screen.text
        await screen.press("slash", "up")
        assert "ENOEXEC error in (" in screen.filter


async def test_c_clears_the_filter_and_brings_it_back() -> None:
    async with opened(a_day(7), query="ENOENT") as screen:
        await screen.press("c")
        assert "shown" not in screen.filter
        await screen.press("c")
        assert "3 of 7 shown" in screen.filter


async def test_up_brings_earlier_filters_back() -> None:
    async with opened(a_day(7)) as screen:
        for text in ("EACCES", "make"):
            await screen.press("slash", "ctrl+u")
            await screen.type(text)
            await screen.press("enter")
        await screen.press("slash", "ctrl+u", "up")
        assert screen.filter.startswith(" / make ")
        await screen.press("up")
        assert screen.filter.startswith(" / EACCES ")
        await screen.press("down")
        assert screen.filter.startswith(" / make ")


async def test_letters_typed_in_the_filter_trigger_no_key_binding() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("slash")
        await screen.type("qwfc")
        assert screen.app.is_running
        assert screen.filter.startswith(" / qwfc")


async def test_a_filter_without_matches_says_what_to_do_next() -> None:
    async with opened([failure("/x")], query="uid:1000") as screen:
        assert "Nothing matches uid:1000; 1 hidden, c clears" in screen.text
        await screen.press("slash")
        assert "Nothing matches uid:1000; 1 hidden, Esc reverts" in screen.text


async def test_capital_k_applies_the_filter_in_the_kernel_and_removes_it() -> None:
    async with opened(a_day(7), query="uid:1000..1999 path:/opt/**") as screen:
        await screen.press("K")
        assert screen.source.captures == [Capture(uid_ranges=((1000, 1999),), path_prefixes=("/opt/",))]
        assert "in the kernel" in screen.filter
        assert "counted as suppressed" in screen.keys
        screen.source.suppressed = 5
        await screen.press("K")
        assert screen.source.captures[-1] is None
        assert "in the kernel" not in screen.filter


async def test_capital_k_applies_what_the_kernel_supports_and_names_the_rest() -> None:
    async with opened(a_day(7), query="comm:cron uid:0", size=(160, 40)) as screen:
        await screen.press("K")
        assert screen.source.captures == [Capture(uid_ranges=((0, 0),))]
        assert "The kernel cannot apply comm:cron, so it records all of uid:0;" in screen.keys
        assert "in the kernel: uid:0" in screen.filter
        await screen.press("K")
        assert screen.source.captures[-1] is None
        assert "in the kernel" not in screen.filter


async def test_capital_k_says_that_the_kernel_can_apply_nothing() -> None:
    async with opened(a_day(7), query="comm:cron or uid:0") as screen:
        await screen.press("K")
        assert screen.source.captures == []
        assert "comm" in screen.keys
        assert "in the kernel" not in screen.filter


async def test_capital_k_removes_the_kernel_filter_even_if_the_filter_has_changed() -> None:
    async with opened(a_day(7), query="uid:0", size=(160, 40)) as screen:
        await screen.press("K")
        assert "in the kernel" in screen.filter
        screen.app.query_one(FilterBar).set_text("nginx")
        await screen.press("K")
        assert screen.source.captures[-1] is None
        assert "The kernel records everything again." in screen.keys
        assert "in the kernel" not in screen.filter


async def test_a_source_that_cannot_capture_says_so() -> None:
    source = ScriptedSource()
    source.refuses_capture = "A file cannot be filtered in the kernel."
    async with opened(a_day(7), source=source, query="uid:0") as screen:
        await screen.press("K")
        assert "A file cannot be filtered in the kernel." in screen.keys


async def test_a_word_that_begins_like_a_field_is_a_word_until_an_operator_follows() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("slash")
        for typed, shown in (
            ("container", 1),
            ("container:", 7),
            ("EACCES comm", 0),
            ("EACCES comm ", 0),
            ("EACCES comm !:", 1),
            ("EACCES comm !:b", 1),
        ):
            screen.app.query_one(FilterInput).value = typed
            await screen.until(partial(screen.shows, shown))


async def test_a_field_name_alone_is_a_search_word_after_enter() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("slash")
        await screen.type("error")
        await screen.press("enter")
        assert "Nothing matches error" in screen.text


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("ENOEN", "ENOEN is not the name of an error: did you mean ENOENT?"),
        ("eacces", "eacces is not the name of an error: did you mean EACCES?"),
        ("root", "root is a user: did you mean user:root?"),
        ("comm", "comm is a field: did you mean comm:…?"),
        ("why=nonsense", "No cause here is nonsense; there is missing-interpreter,"),
        ("comm==crond uid:34", "No comm here is crond: did you mean cron?"),
        ("age=5", "age=5 is in seconds: write 5m for minutes, 5h for hours."),
        ("error:ENOENTT", "expected an errno, such as ENOENT or 2; did you mean ENOENT?"),
        (
            "user:wwdata",
            "user:wwdata selects nothing; expected a uid, or the name of a user of this host.",
        ),
        ("why:mising_file", "No cause here is mising_file: did you mean missing-file?"),
        ("comm:contaner", "No comm here is contaner: did you mean containerd-shim?"),
        ("uid=-1", "uid is never negative; where it is unknown, uid=null selects it."),
        ("arguments==--confi", ""),
    ],
)
async def test_a_filter_without_matches_suggests_a_correction(query: str, sentence: str) -> None:
    async with opened(a_day(8), query=query) as screen:
        shown = " ".join(screen.text.split())
        assert f"Nothing matches {query}; 8 hidden, c clears" in shown
        assert sentence in shown
        assert "hunter2" not in shown and "did you mean --config" not in shown


async def test_a_path_that_no_caller_wrote_suggests_filtering_by_the_file() -> None:
    events = [failure("./run.sh", binary=binary("/opt/app/run.sh"))]
    async with opened(events, query="path:/opt/**") as screen:
        shown = " ".join(screen.text.split())
        assert (
            "Files there were called by other paths: binary.path:/opt/** looks at the file itself." in shown
        )
        screen.app.query_one(FilterBar).set_text("binary.path:/opt/**")
        await screen.until(lambda: screen.shows(1))


def _says(screen: Opened, words: str) -> bool:
    return words in " ".join(screen.text.split())


async def test_a_mistyped_value_suggests_a_correction_while_typing() -> None:
    async with opened(a_day(7), size=(80, 24)) as screen:
        await screen.press("slash")
        for typed, meant in (
            ("error:ENOENTT", "did you mean ENOENT?"),
            ("error=ENOEN", "did you mean ENOENT?"),
        ):
            await screen.press("ctrl+u")
            await screen.type(typed)
            await screen.until(partial(_says, screen, meant))
        await screen.press("ctrl+u")
        await screen.type("age<5")
        await screen.until(partial(_says, screen, "write 5m for minutes"))


async def test_a_word_that_begins_like_a_field_applies_while_typing() -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("slash")
        await screen.type("cont")
        await screen.until(lambda: screen.shows(1))


async def test_the_match_count_leaves_room_for_the_filter_in_a_narrow_window() -> None:
    loop = [failure("/opt/agent", pid=n, timestamp=START + n * 1_000_000, comm="agent") for n in range(20)]
    async with opened(loop, size=(80, 24)) as screen:
        assert "1 of 20 shown, 19 repeats folded" in screen.filter
        await screen.press("slash")
        typed = "comm:agent uid:0..65535 path:/opt/** errno==ENOENT"
        screen.app.query_one(FilterInput).value = typed
        await screen.until(lambda: f"/ {typed} " in screen.filter)
        assert "1 of 20 shown" in screen.filter and "folded" not in screen.filter


async def test_a_noisy_path_is_excluded_by_its_cell_and_then_in_the_kernel() -> None:
    async with opened([failure("/opt/noisy"), failure("/opt/other")], size=(160, 40)) as screen:
        await screen.press("home")
        screen.table.focus_cell("PATH")
        await screen.press("minus", "K")
        assert screen.filter.startswith(" / path!=/opt/noisy ")
        assert screen.source.captures == [Capture(excluded_paths=("/opt/noisy",))]
        assert "The kernel records only path!=/opt/noisy; all else" in screen.keys
