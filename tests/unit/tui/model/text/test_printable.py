"""Every text becomes one that is safe to show, and different texts stay different."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from execwhy.tui.model.text.printable import original, pieces, printable

anything = st.text(st.characters(exclude_categories=[]))
"""Every code point, lone surrogates included."""


def read_back(shown: str) -> str:
    """What a reader who knows the escapes understands."""
    short = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}

    def character(match: re.Match[str]) -> str:
        escape = match[1]
        if escape in short:
            return short[escape]
        code = int(escape[1:], 16)
        return chr(code + 0xDC00 if escape[0] == "x" and code >= 0x80 else code)

    return re.sub(r"\\(x..|u....|U........|.)", character, shown)


@given(anything)
@example("\udc9b\x9b")
@example("\udc41A")
@example("\\x1b\x1b")
def test_the_text_can_be_read_back(text: str) -> None:
    assert read_back(printable(text)) == text


@given(anything)
def test_only_printable_characters_come_out(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    shown.encode("utf-8")


@given(anything)
def test_the_pieces_are_the_text_and_alternate(text: str) -> None:
    parts = pieces(text)
    assert "".join(part for part, _ in parts) == printable(text)
    assert all(part for part, _ in parts)
    assert all(one[1] != next_one[1] for one, next_one in itertools.pairwise(parts))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("/usr/bin/ls --color=auto", "/usr/bin/ls --color=auto"),
        ("größe 漢字 é", "größe 漢字 é"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\tb\nc\rd", r"a\tb\nc\rd"),
        ("a\\nb", r"a\\nb"),
        ("\x00\x7f", r"\x00\x7f"),
        ("\x9b35m", r"\u009b35m"),
        ("caf\udce9", r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("run\u202egpj.sh", r"run\u202egpj.sh"),
        ("\u2066\u200b\ufeff\u2028", r"\u2066\u200b\ufeff\u2028"),
        ("a\u00a0b\u3000c", r"a\u00a0b\u3000c"),
        ("ls\u3164\ufe0f", r"ls\u3164\ufe0f"),
        ("\U000e0041", r"\U000e0041"),
        ("[/] [red]x [@click=app.quit]y[/]", "[/] [red]x [@click=app.quit]y[/]"),
    ],
)
def test_what_cannot_be_seen_is_escaped_and_nothing_else(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_the_pieces_separate_escapes_from_text() -> None:
    assert pieces("/bin/sh\r\n x") == [("/bin/sh", False), (r"\r\n", True), (" x", False)]
    assert pieces("") == []
    assert pieces("plain") == [("plain", False)]


@given(anything)
@example("a\\nb\\\\r\r\x1b\udcff\u202e\U000e0041")
def test_the_original_text_can_be_recovered_from_what_is_shown(text: str) -> None:
    assert original(printable(text)) == text


@pytest.mark.parametrize("text", ["", "plain", r"\x41", r"C:\dir", r"\U00110000", r"\u0041", r"\x1", "end\\"])
def test_text_without_anything_to_escape_is_unchanged(text: str) -> None:
    assert original(text) == text
