"""The line of state: is it live, is something failing now, is anything missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from execwhy.bpf.events.source import Counters, Stage
from execwhy.tui.model.text.counted import counted
from execwhy.tui.widgets.bars.rate import SECONDS
from execwhy.tui.widgets.detail.loss_facts import equation
from execwhy.tui.widgets.painting.painted import Painted, Piece
from execwhy.tui.widgets.painting.shorten import cells, keep_beginning

_SIGNS: Final = {
    Stage.STARTING: ("○", "notice"),
    Stage.COMPILING: ("○", "notice"),
    Stage.ATTACHING: ("○", "notice"),
    Stage.LIVE: ("●", "live"),
    Stage.READING: ("○", "notice"),
    Stage.WAITING: ("○", "notice"),
    Stage.ENDED: ("■", "muted"),
    Stage.FAILED: ("✗", "danger"),
}


@dataclass(frozen=True, slots=True)
class State:
    """What the line shows.

    Attributes:
        stage: What the source is doing.
        host: Where the events come from; raw text.
        plan: The hook plan, if there is one.
        counters: What became of all events.
        hidden: Tries of PATH searches that found their program; they are not shown.
        evicted: Events dropped from memory.
        behind: How many recorded ones the screen has not taken in yet, if it cannot keep up.
        lacks_causes: No causes are looked for, though they should be.
        rate: Failed execs a second.
        sparklines: The last minute, by how many bars it has; the longest that fits is shown.
        frozen: How many events came since the view was frozen; None if it is not.
    """

    stage: Stage = Stage.STARTING
    host: str = ""
    plan: str | None = None
    counters: Counters = field(default_factory=Counters)
    hidden: int = 0
    evicted: int = 0
    behind: int = 0
    lacks_causes: bool = False
    rate: float = 0.0
    sparklines: tuple[str, ...] = ()
    frozen: int | None = None


class StatusBar(Painted):
    """Shows a ``State``; paints only when it changes."""

    class Pointed(Message):
        """A bar of the sparkline was clicked: go to what came ``ago`` seconds ago."""

        def __init__(self, ago: float) -> None:
            super().__init__()
            self.ago = ago

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._state = State()
        self._painted: list[Piece] = []

    def show(self, state: State) -> None:
        """Show another state."""
        if state != self._state:
            self._state = state
            self.tooltip = None if self.app.is_headless else equation(state.counters)
            self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return one line."""
        return 1

    def render_line(self, y: int) -> Strip:
        """Paint the state on the left and numbers on the right, as many as fit."""
        width = self.size.width
        left, right = self._sides(width)
        gap = width - _width(left) - _width(right) - 1
        self._painted = [*left, (" " * max(0, gap), "plain"), *right, (" ", "plain")]
        return self.line(self._painted, width)

    async def on_click(self, event: events.Click) -> None:
        """Go to a bar's time, freeze the view by its state, or show what is hidden."""
        x = event.x
        for text, _ in self._painted:
            if x < cells(text):
                break
            x -= cells(text)
        else:
            return
        if text in self._state.sparklines:
            self.post_message(self.Pointed(SECONDS * (len(text) - x) / len(text)))
        elif text.endswith(" hidden"):
            await self.run_action("app.searches")
        elif text.strip() in (self._state.stage.value, "‖ frozen"):
            await self.run_action("app.freeze")

    def _sides(self, width: int) -> tuple[list[Piece], list[Piece]]:
        """Return what fits: the numbers matter more than the plan and the host."""
        whole, least = self._rights()
        lefts = [self._left(width, more) for more in (2, 1, 0)]
        sides = [(left, right) for left in lefts for right in whole]
        sides += [(left, right) for right in least for left in lefts]
        fitting = (both for both in sides if sum(map(_width, both)) + 2 <= width)
        return next(fitting, (lefts[-1], []))

    def _left(self, width: int, more: int) -> list[Piece]:
        """Return the state, and ``more``: 1 adds the host, 2 the plan as well."""
        state = self._state
        name: list[Piece] = [(" execwhy ", "strong"), (" " if width >= 100 else "", "plain")]
        if state.frozen is not None:
            came = f"{state.frozen:,} came meanwhile" if state.frozen else "nothing came meanwhile"
            return [*name, ("‖ frozen", "notice"), *self._lacking(), (f"  {came}", "plain")]
        sign, role = _SIGNS[state.stage]
        word = state.stage.value + ("…" if role == "notice" else "")
        pieces: list[Piece] = [
            *name,
            (f"{sign} ", role),
            (word, role if role == "danger" else "plain"),
            *self._lacking(),
        ]
        if state.behind:
            return [*pieces, (f"  {state.behind:,} behind", "notice")]
        if state.plan is not None and width >= 80 and more > 1:
            pieces.append((f"  {state.plan}", "muted"))
        host = "".join(text for text, _ in keep_beginning(state.host, 12 if width < 100 else 32))
        return [*pieces, (f"  {host}" if host and more else "", "muted")]

    def _lacking(self) -> list[Piece]:
        return [("  no causes", "danger")] if self._state.lacks_causes else []

    def _rights(self) -> tuple[list[list[Piece]], list[list[Piece]]]:
        """Return the right side in ever shorter forms: those with all that matters, then others."""
        state = self._state
        counters = state.counters
        whole = counters.suppressed or counters.lost
        failed: list[Piece] = [(f"{counters.seen:,}", "strong"), (" failed", "plain")]
        if whole:
            parts = f" = {counters.recorded:,} recorded + {counters.suppressed:,} suppressed +"
            equal: list[Piece] = [*failed, (parts, "muted"), *_lost(counters, " ")]
            brief: list[Piece] = [*failed]
            if counters.suppressed:
                brief.append((f"  {counters.suppressed:,} suppressed", "muted"))
            brief += _lost(counters, "  ")
        else:
            equal = brief = [*failed, ("  lost 0", "muted")]
        if state.evicted:
            evicted: Piece = (f"  {state.evicted:,} evicted", "notice")
            equal, brief = [*equal, evicted], [*brief, evicted]
        rates: list[list[Piece]] = []
        if state.stage is Stage.LIVE:
            rates = [_rate(state.rate, sparkline) for sparkline in state.sparklines]
        forms = [equal, brief]
        if state.hidden:
            tries = counted(state.hidden, "try", "tries")
            hidden: Piece = (f"  {tries} of found searches hidden", "muted")
            short: Piece = (f"  {tries} hidden", "muted")
            forms = [[*equal, hidden], [*brief, hidden], [*brief, short], brief]
        essential = [*failed, *_lost(counters, "  ")] if counters.lost else failed
        least = [brief, essential]
        if rates:
            least = [[(f"{_number(state.rate)}/s  ", "plain"), *essential], essential]
        if counters.lost:
            least.append(_lost(counters, ""))
        if not rates:
            return forms, least
        return [rate + form for form in forms for rate in rates], least


def _lost(counters: Counters, before: str) -> list[Piece]:
    if not counters.lost:
        return [(f"{before}0 lost", "muted")]
    return [(before, "plain"), (f"{counters.lost:,} lost", "danger")]


def _number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 or not rate else f"{rate:.1f}"


def _rate(rate: float, sparkline: str) -> list[Piece]:
    return [
        (f"{_number(rate):>6}/s ", "plain"),
        (sparkline, "live" if sparkline.strip("▁") else "muted"),
        ("  ", "plain"),
    ]


def _width(pieces: list[Piece]) -> int:
    return sum(cells(text) for text, _ in pieces)
