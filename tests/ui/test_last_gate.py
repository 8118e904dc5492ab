"""Text that another widget would paint unescaped does not reach the terminal either."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color

from execwhy.tui.terminal.control_char_filter import ControlCharFilter
from tests.hostile import texts
from tests.ui.screens import opened
from tests.ui.scripted_source import a_day

BLACK = Color(0, 0, 0)


@given(st.lists(texts, max_size=4))
def test_only_printable_text_passes_and_keeps_its_width(chosen: list[str]) -> None:
    line = [Segment(text) for text in chosen]
    passed = ControlCharFilter().apply(line, BLACK)
    for before, after in zip(line, passed, strict=True):
        assert after.text.isprintable()
        assert cell_len(after.text) == sum(cell_len(character) for character in before.text)


async def test_a_pasted_file_name_is_shown_without_its_escape_sequence() -> None:
    from textual.widgets import Input

    async with opened(a_day(3)) as screen:
        await screen.press("w")
        screen.app.screen.query_one(Input).value = "/tmp/\x1b]0;owned\x07x"
        await screen.settle()
        assert "/tmp/]0;ownedx" in screen.text.replace(" ", "")
        assert "\x1b" not in screen.text
