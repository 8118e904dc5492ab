"""A picture of the screen as text: far smaller than an SVG, with readable diffs."""

from __future__ import annotations

from itertools import groupby
from string import ascii_letters

from rich.cells import cell_len
from rich.style import Style
from textual.screen import Screen
from textual.strip import Strip

from execwhy.tui.textual_private import strips

_NAMES = [*ascii_letters, *(a + b for a in ascii_letters for b in ascii_letters)]
"""Short names of styles, in the order in which they first appear."""


def dump(screen: Screen[object]) -> str:
    """Return three parts: the text, the styles, and for each line which style how many cells have.

    Lines with the same styles in the same places stand together: ``4-7  a1 b79``.
    """
    shown = strips(screen)
    names: dict[str, str] = {}
    styled = [_runs(strip, names) for strip in shown]
    text = [strip.text.rstrip() for strip in shown]
    return "\n".join(
        [
            *text,
            _rule("styles"),
            *(f"{name}  {style}" for style, name in names.items()),
            _rule("cells"),
            *_together(styled),
            "",
        ]
    )


def _rule(title: str) -> str:
    return f"{'═' * 8} {title}"


def _runs(strip: Strip, names: dict[str, str]) -> str:
    cells: list[tuple[str, int]] = []
    for text, style, _ in strip:
        described = _described(style)
        name = names.setdefault(described, _NAMES[len(names)])
        cells.append((name, cell_len(text)))
    return " ".join(
        f"{name}{sum(width for _, width in run)}" for name, run in groupby(cells, key=lambda cell: cell[0])
    )


def _described(style: Style | None) -> str:
    """Return a style's colours and attributes, without the actions of clicks."""
    return str(Style(
        color=style.color, bgcolor=style.bgcolor, bold=style.bold, dim=style.dim, italic=style.italic,
        underline=style.underline, reverse=style.reverse, strike=style.strike,
    )) if style else "none"  # fmt: skip


def _together(lines: list[str]) -> list[str]:
    out, line = [], 1
    for runs, same in groupby(lines):
        count = len(list(same))
        out.append(f"{line if count == 1 else f'{line}-{line + count - 1}'}  {runs}")
        line += count
    return out
