"""Makes the pictures and the recording in this directory: ``make screenshots`` (root, rsvg-convert).

The events are real (``scenario.py``). Only the clock is fixed: each time is moved by the same span, so
that the last event came at 21:50:20 UTC; and the host is called web-1.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from unittest import mock

from textual.keys import Keys
from textual.pilot import Pilot

from execwhy.bpf.events.arrivals import Report
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.history.store import History
from execwhy.tui.screen.app import ExecwhyApp
from execwhy.tui.textual_private import key_of
from execwhy.tui.widgets.bars.rate import Rate
from execwhy.tui.widgets.painting.screen_picture import svg_of
from screenshots import cast, scenario
from screenshots.clock import LAST, Recorded, moved

HERE: Final = Path(__file__).parent
MOMENT: Final = 0.4


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        name: Of its file.
        size: Columns and lines of the window.
        keys: What is pressed; a text of several letters that is no key's name is typed.
        theme: The colours.
        in_storm: It shows the crash loops, not the evening.
    """

    name: str
    size: tuple[int, int]
    keys: Sequence[str] = ()
    theme: str = "dark"
    in_storm: bool = False


PICTURES: Final = (
    Picture("main", (120, 36), ("home", *("down",) * 5)),
    Picture("filter-error", (120, 24), ("slash", "path:/opt/** ", "error==EACES")),
    Picture("bad-interpreter", (96, 30), ("home", "enter")),
    Picture("groups", (120, 24), ("t", "down"), in_storm=True),
    Picture("search", (120, 42), ("home", "down", "down")),
    Picture("narrow", (80, 24)),
    Picture("light", (120, 36), ("home", *("down",) * 7), "light"),
)


async def take(picture: Picture, reports: Sequence[Report]) -> str:
    """The picture as SVG."""
    app = ExecwhyApp(Recorded(reports), history=History(), theme=picture.theme)
    with mock.patch("time.time_ns", lambda: LAST + 400_000_000):
        async with app.run_test(size=picture.size) as pilot:
            fill(app.parts.intake.rate, reports)
            with mock.patch.object(Rate, "tick"):
                await settle(pilot)
                for keys in picture.keys:
                    is_name = len(keys) == 1 or keys == "slash" or keys in list(Keys)
                    await pilot.press(*([keys] if is_name else map(key_of, keys)))
                    await pilot.pause()
                await settle(pilot)
                return svg_of(app.screen, "execwhy")


def fill(rate: Rate, reports: Sequence[Report]) -> None:
    """Let the minute before have been: the status line counts by the real clock, which stands still here."""
    for second in range(-60, 1):
        until = LAST + second * 1_000_000_000
        rate.tick(sum(isinstance(report, ExecFailure) and report.timestamp <= until for report in reports))


async def settle(pilot: Pilot[None]) -> None:
    """Wait until what was asked for is on the screen."""
    await pilot.pause(MOMENT)
    await pilot.pause()


def main() -> None:
    """Record once, and write each picture as SVG and PNG, and then the recording of the screen."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    scenario.prepare()
    evening = moved(scenario.record(scenario.ATTEMPTS))
    storm = moved(scenario.record(scenario.STORM))
    wanted = sys.argv[1:]
    for picture in PICTURES:
        if wanted and picture.name not in wanted:
            continue
        svg = HERE / f"{picture.name}.svg"
        svg.write_text(asyncio.run(take(picture, storm if picture.in_storm else evening)))
        subprocess.run(["rsvg-convert", "--zoom", "1.25", "-o", svg.with_suffix(".png"), svg], check=True)
        print(svg.with_suffix(".png"))
    if not wanted or "tour" in wanted:
        print(cast.record(evening, HERE / "tour.cast"))


if __name__ == "__main__":
    main()
