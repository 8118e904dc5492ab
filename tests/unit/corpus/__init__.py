"""Shapes of secrets, and of text that only resembles one, to measure the masking."""

from __future__ import annotations

import random
import re
import shlex
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEX, _BASE64 = "0123456789abcdef", string.ascii_letters + string.digits
_ALPHABETS: Final = {
    "a": _BASE64,
    "h": _HEX,
    "b": _BASE64 + "-_",
    "B": _BASE64 + "+/",
    "U": string.ascii_uppercase + string.digits,
    "d": string.digits,
}
_MADE_UP: Final = re.compile(r"\{([ahbBUd])(\d+)\}")
_MARKED: Final = re.compile("⟦(.*?)⟧", re.DOTALL)


@dataclass(frozen=True)
class Shape:
    """One line of a corpus.

    Attributes:
        line: The line in the file.
        kind: "A" an argv, "E" a variable, "T" one string.
        words: The strings of the process: the elements, the variable or the string.
        secrets: The parts that must not be shown.
    """

    line: str
    kind: str
    words: tuple[str, ...]
    secrets: tuple[str, ...]


def shapes(name: str) -> Iterator[Shape]:
    """Return the shapes of a file, with the same made-up values every time."""
    for line in (Path(__file__).parent / f"{name}.txt").read_text("utf-8").splitlines():
        if not line.startswith(("A ", "E ", "T ")):
            continue
        text = _made_up(line[2:]).replace("\\n", "\n")
        elements = shlex.split(text) if line[0] == "A" else [text]
        words = tuple(_MARKED.sub(r"\1", element) for element in elements)
        yield Shape(line, line[0], words, tuple(_MARKED.findall(text)))


def _made_up(text: str) -> str:
    chance = random.Random(text)

    def value(match: re.Match[str]) -> str:
        return "".join(chance.choices(_ALPHABETS[match[1]], k=int(match[2])))

    return _MADE_UP.sub(value, text)
