"""The screen as an SVG picture. Only printable text reaches the screen, so the SVG is well-formed."""

from __future__ import annotations

import io
import re

from rich.console import Console
from textual.screen import Screen

from execwhy.tui.textual_private import whole_screen


def svg_of(screen: Screen[object], title: str) -> str:
    """Return an SVG of a screen, even if another one covers it."""
    console = Console(
        width=screen.size.width,
        height=screen.size.height,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        record=True,
        legacy_windows=False,
        safe_box=False,
    )
    console.print(whole_screen(screen))
    style, end, picture = console.export_svg(title=title).partition("</style>")
    # A picture must not fetch fonts from the network: any font of fixed width will do.
    return re.sub(r"\s*@font-face \{.*?\}", "", style, flags=re.DOTALL) + end + picture
