"""Split what the program sent to its terminal into its own sequences and everything else."""

from __future__ import annotations

import base64
import re
from typing import Final

_OWN: Final = re.compile(
    r"\x1b\[[0-9;]*m"  # colours
    r"|\x1b\[[0-9]+;[0-9]+H"  # the place of what follows
    r"|\x1b\[\?(?:7|25|1000|1003|1004|1006|1015|1049|2004|2026|2048)[hl]"  # modes
    r"|\x1b\[\?(?:2026|2048)\$p"  # questions about modes
    r"|\x1b\[>[0-9]+u|\x1b\[<u"  # kitty's keys
    r"|\x1b\]22;[a-z-]*\x07"  # the pointer's shape
    r"|\x1b\]52;c;(?P<clipboard>[A-Za-z0-9+/=]*)\x07"
    r"|\r\n"
)


def foreign(output: bytes) -> list[str]:
    """Return what is neither printable text nor a sequence that the program itself sends.

    Text for the clipboard is checked in the same way: it will be pasted into a shell.
    """
    text = output.decode("utf-8", "surrogateescape")
    clipboards = [match["clipboard"] for match in _OWN.finditer(text) if match["clipboard"] is not None]
    found = _unprintable(_OWN.sub("", text))
    for clipboard in clipboards:
        found += [f"clipboard: {odd}" for odd in _unprintable(base64.b64decode(clipboard).decode())]
    return found


def _unprintable(text: str) -> list[str]:
    """Yield each unprintable character with its surroundings."""
    return [
        ascii(text[max(0, at - 20) : at + 20])
        for at, character in enumerate(text)
        if not (character.isascii() and character.isprintable()) and not _is_harmless(character)
    ]


_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")


def _is_harmless(character: str) -> bool:
    code = ord(character)
    selector = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF
    return character.isprintable() and character not in _INVISIBLE and not selector
