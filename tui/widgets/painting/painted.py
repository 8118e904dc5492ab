"""How every widget draws: lines of (text, role) pairs; theme.tcss has the roles' colours.

Text reaches a line only after ``tui.model.text.printable`` has seen it, and never as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from execwhy.tui.faults.contained import TRY_AGAIN, Contained, HasFaults
from execwhy.tui.widgets.painting.shorten import Run, cells

Piece = tuple[str, str]
"""Printable text and its role."""

ROLES: Final = (
    "plain",
    "muted",
    "faint",
    "strong",
    "why",
    "name",
    "escape",
    "label",
    "missing",
    "forbidden",
    "malformed",
    "limits",
    "other",
    "danger",
    "live",
    "notice",
    "advice",
    "key",
    "cursor",
    "cursor-blurred",
    "cell",
    "mark",
    "sign",
)


Render = Callable[[Any, int], Strip]


class Painted(Contained, Widget):
    """A widget that draws strips of roles.

    A line that cannot be drawn says why, and leaves the others as they are.

    Attributes:
        fault: Why it could not be brought up to date, in a few words; its first line says so.
    """

    fault = ""

    def __init_subclass__(cls, **arguments: Any) -> None:  # noqa: ANN401
        """Guard the lines of a subclass."""
        super().__init_subclass__(**arguments)
        if "render_line" in vars(cls):
            setattr(cls, "render_line", _guarded(cls.render_line))  # noqa: B010

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"role--{role}" for role in ROLES}

    _base: Style | None = None

    @property
    def base(self) -> Style:
        """The widget's own colours; Textual computes them anew each time, through every parent."""
        if self._base is None:
            self._base = self.rich_style
        return self._base

    def notify_style_update(self) -> None:
        """Forget the colours: the theme or the state has changed."""
        super().notify_style_update()
        self._base = None

    def role(self, name: str) -> Style:
        """Return a role's style of theme.tcss, without a background unless it sets one."""
        return self.get_component_rich_style(f"role--{name}", partial=True)

    def line(self, pieces: Iterable[Piece], width: int, over: Style | None = None) -> Strip:
        """Return a strip of exactly ``width`` cells; longer text is cropped.

        Args:
            pieces: Text and roles, from the left.
            width: Cells.
            over: A style laid over the whole line, such as the cursor's.
        """
        base = self.base if over is None else self.base + over
        segments: list[Segment] = []
        used = 0
        for text, role in pieces:
            style = base + self._laid_over(role, over)
            # Renderers of SVG drop spaces at the beginning of a text, but keep those that stand alone.
            bare = text.lstrip(" ")
            if len(bare) < len(text):
                _add_blanks(segments, len(text) - len(bare), style)
            if bare:
                segments.append(Segment(bare, style))
            used += cells(text)
        if used < width:
            _add_blanks(segments, width - used, base)
            used = width
        strip = Strip(segments, used)
        return strip if used == width else strip.adjust_cell_length(width, base)

    def fail(self, words: str) -> None:
        """Show in the first line what has failed; "" ends that."""
        if words != self.fault:
            self.fault = words
            self.refresh()

    def line_of_fault(self, words: str) -> Strip:
        """Return a line about a fault; it uses nothing that may have failed."""
        width = max(1, self.size.width)
        said = f"this part of the screen failed ({words}): {TRY_AGAIN}"
        return Strip([Segment(said[:width].ljust(width), Style(reverse=True))], width)

    def _laid_over(self, role: str, over: Style | None) -> Style:
        """Return a role under a style; one that reverses drops hues, which would become backgrounds."""
        if over is None:
            return self.role(role)
        if over.reverse:
            return over + self.role(role) if role == "cell" else over
        return self.role(role) + over + self.role("cell") if role == "cell" else self.role(role) + over


def _add_blanks(segments: list[Segment], count: int, style: Style) -> None:
    """Append blanks, to the segment before if they look the same: that halves the segments of a row."""
    blanks = " " * count
    if segments:
        text, before, _ = segments[-1]
        if before is not None and before.bgcolor == style.bgcolor and not (_shows(before) or _shows(style)):
            segments[-1] = Segment(text + blanks, before)
            return
    segments.append(Segment(blanks, style))


def _shows(style: Style) -> bool:
    """Return whether a blank in this style shows more than its background."""
    return bool(style.reverse or style.underline or style.strike or style.overline or style.underline2)


def _guarded(render_line: Render) -> Render:
    @wraps(render_line)
    def guarded(self: Painted, y: int) -> Strip:
        if self.fault and not y:
            return self.line_of_fault(self.fault)
        try:
            return render_line(self, y)
        except Exception as error:
            app = self.app
            return self.line_of_fault(app.faults.drawn(error) if isinstance(app, HasFaults) else "")

    return guarded


def in_role(runs: Iterable[Run], role: str) -> list[Piece]:
    """Return runs in one role, their escapes in the role of escapes."""
    return [(text, "escape" if is_escape else role) for text, is_escape in runs]
