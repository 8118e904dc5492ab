"""Fits hostile text into a number of terminal cells, at places where nothing is misread.

An escape is never cut in two, a wide character neither, and a path keeps its last component.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from rich.cells import cell_len

from execwhy.tui.model.text.printable import pieces

ELLIPSIS: Final = "…"

Run = tuple[str, bool]
"""Text that is safe to show, and whether it stands for something that is not (an escape)."""

_ESCAPES: Final = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)")


def cells(text: str) -> int:
    """Return the terminal cells of a printable text."""
    return len(text) if text.isascii() else cell_len(text)


def width_of(runs: Iterable[Run]) -> int:
    """Return the terminal cells of all runs."""
    return sum(cells(text) for text, _ in runs)


def _units(text: str) -> list[Run]:
    """Return the smallest parts that may stand alone: characters, and whole escapes."""
    units: list[Run] = []
    for piece, is_escape in pieces(text):
        units += [(unit, is_escape) for unit in (_ESCAPES.findall(piece) if is_escape else piece)]
    return units


def _joined(units: Iterable[Run]) -> list[Run]:
    """Join neighbours of one kind into runs."""
    runs: list[Run] = []
    for text, is_escape in units:
        if runs and runs[-1][1] == is_escape:
            runs[-1] = (runs[-1][0] + text, is_escape)
        else:
            runs.append((text, is_escape))
    return runs


def _beginning(units: list[Run], width: int) -> list[Run]:
    """Return as many units from the start as fit."""
    taken = used = 0
    for text, _ in units:
        used += cells(text)
        if used > width:
            break
        taken += 1
    return units[:taken]


def keep_beginning(text: str, width: int) -> list[Run]:
    """Return the text, or its beginning and an ellipsis, in at most ``width`` cells."""
    # A unit takes no cell where it combines with the one before; four a cell is more than any script.
    runs = pieces(text[: 4 * width + 4])
    if len(text) <= 4 * width + 4 and width_of(runs) <= width:
        return runs
    if width < 1:
        return []
    return _joined([*_beginning(_units(text[: 4 * width + 4]), width - 1), (ELLIPSIS, False)])


def keep_end(text: str, width: int) -> list[Run]:
    """Return the text, or an ellipsis and its end, in at most ``width`` cells."""
    runs = pieces(text[-4 * width - 4 :])
    if len(text) <= 4 * width + 4 and width_of(runs) <= width:
        return runs
    if width < 1:
        return []
    kept = _beginning(_units(text[-4 * width - 4 :])[::-1], width - 1)
    return _joined([(ELLIPSIS, False), *kept[::-1]])


def keep_name(path: str, width: int) -> tuple[list[Run], list[Run]]:
    """Shorten a path to at most ``width`` cells: it loses its middle, then its head, never its name.

    Returns:
        The directories, shortened, and the last component.
    """
    at = path.rstrip("/").rfind("/") + 1
    directory, name = path[:at], path[at:]
    head, tail = pieces(directory), pieces(name)
    name_cells = width_of(tail)
    if width_of(head) + name_cells <= width:
        return head, tail
    room = width - name_cells - 2
    if room < 0:
        return [], keep_end(name, width)
    # What is left is filled with the first component and as many of the nearest ones as fit.
    components = directory.strip("/").split("/")
    first = ("/" if path.startswith("/") else "") + components[0] + "/"
    first_cells = width_of(pieces(first))
    start = first if first_cells <= room and len(components) > 1 else ""
    room -= first_cells if start else 0
    near = ""
    for component in reversed(components[1:] if start else components):
        longer = f"{component}/{near}"
        if width_of(pieces(longer)) > room:
            break
        near = longer
    return [*pieces(start), (ELLIPSIS + "/", False), *pieces(near)], tail


def wrapped(runs: Iterable[Run], width: int, first: int | None = None) -> list[list[Run]]:
    """Break runs into lines of at most ``width`` cells, at spaces if there are any.

    Args:
        runs: What to break; already safe to show.
        width: Cells of a line; at least 1 is assumed.
        first: Cells left in the first line, if it is shorter.
    """
    width = max(1, width)
    room = width if first is None else first
    lines: list[list[Run]] = [[]]
    used = 0
    for word in _words(runs):
        size = width_of(word)
        if used and used + size > room:
            if word == [(" ", False)]:
                continue
            lines.append([])
            room, used = width, 0
        if size > room - used:
            for unit in word:
                if used + cells(unit[0]) > room and (used or room < width):
                    lines.append([])
                    room, used = width, 0
                lines[-1].append(unit)
                used += cells(unit[0])
            continue
        lines[-1] += word
        used += size
    return [_joined(line) for line in lines]


def _words(runs: Iterable[Run]) -> Iterable[list[Run]]:
    """Yield words as lists of units; each space is a word of its own."""
    word: list[Run] = []
    for text, is_escape in runs:
        for unit in _ESCAPES.findall(text) if is_escape else text:
            if unit == " ":
                if word:
                    yield word
                yield [(" ", False)]
                word = []
            else:
                word.append((unit, is_escape))
    if word:
        yield word
