"""The only way from a record's text to a screen or a spreadsheet.

A process can put escape sequences, bidirectional overrides, invisible characters and bytes that are not
valid UTF-8 into its argv, envp and comm. Here each of them becomes a visible escape. Different texts stay
different, because escapes have a fixed length and the backslash is escaped, too.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import Final

_SHORT: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\"}

_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF
"""The lone surrogates that ``surrogateescape`` makes of the bytes 0x80 to 0xFF."""

_INVISIBLE: Final = frozenset(
    chr(code)
    for first, last in (
        (0x034F, 0x034F),  # combining grapheme joiner
        (0x115F, 0x1160),  # Hangul fillers
        (0x17B4, 0x17B5),  # Khmer inherent vowels
        (0x180B, 0x180F),  # Mongolian variation selectors
        (0x2800, 0x2800),  # Braille blank
        (0x3164, 0x3164),  # Hangul filler
        (0xFE00, 0xFE0F),  # variation selectors: terminals disagree about their width
        (0xFFA0, 0xFFA0),  # halfwidth Hangul filler
        (0xE0100, 0xE01EF),  # variation selectors supplement
    )
    for code in range(first, last + 1)
)
"""Invisible characters that ``str.isprintable`` accepts (Unicode's Default_Ignorable)."""


def _escape(character: str) -> str:
    """Return the character itself if it is visible, else its escape."""
    if character.isprintable() and character not in _INVISIBLE and character != "\\":
        return character
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    if _FIRST_BYTE <= code <= _LAST_BYTE:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


class _Table(dict[int, str]):
    """The table for ``str.translate``.

    It keeps entries only for Latin-1, so that a hostile text cannot fill the memory with a million of them.
    """

    def __missing__(self, code: int) -> str:
        return _escape(chr(code))


_TABLE: Final = _Table({code: _escape(chr(code)) for code in range(0x100)})


def printable(text: str) -> str:
    r"""Return a text that is safe on a terminal, in cells without markup and in files.

    Every character that is not printable or not visible, every lone surrogate and the backslash is
    escaped: ``\n``, ``\r``, ``\t``, ``\\``, ``\x1b`` (ASCII, and a byte that was not valid UTF-8: ``\xff``),
    ``\u202e``, ``\U000e0001``.

    Args:
        text: Any string, lone surrogates included.

    Returns:
        A string of printable characters only; different texts have different results.
    """
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return text.translate(_TABLE)


_SHOWN: Final = re.compile(r"\\(?:[nrt\\]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8})")
_MEANT: Final = {shown: character for character, shown in _SHORT.items()}


def original(text: str) -> str:
    r"""Return the text of which this is the printable form, or a part: ``a\r`` is an "a" and a CR.

    What ``printable`` does not write stays as it is, such as ``\x41``.

    Args:
        text: As it is read from the screen.
    """
    return _SHOWN.sub(_character, text) if "\\" in text else text


def _character(escape: re.Match[str]) -> str:
    if escape[0] in _MEANT:
        return _MEANT[escape[0]]
    code = int(escape[0][2:], 16)
    if escape[0][1] == "x" and code >= 0x80:
        code += 0xDC00
    if code > 0x10FFFF or _TABLE[code] != escape[0][:2] + escape[0][2:].lower():
        return escape[0]
    return chr(code)


def pieces(text: str) -> list[tuple[str, bool]]:
    """Split ``printable(text)`` into text and escapes, so that escapes can be dimmed.

    Args:
        text: Any string, lone surrogates included.

    Returns:
        Pairs of a part and whether it consists of escapes. Joined, the parts are ``printable(text)``.
    """
    if text.isascii() and text.isprintable() and "\\" not in text:
        return [(text, False)] if text else []
    escaped = ((_TABLE[ord(character)], character) for character in text)
    marked = ((shown, shown != character) for shown, character in escaped)
    return [
        ("".join(shown for shown, _ in run), is_escape)
        for is_escape, run in groupby(marked, key=lambda pair: pair[1])
    ]
