"""Makes the pictures in this directory: ``make screenshots`` (root, rsvg-convert).

The events are real (``scenario.py``). Only the clock is fixed: each time is moved by the same span, so
that the last event came at 21:50:20 UTC; and the host is called web-1.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from unittest import mock

from textual.pilot import Pilot

from bpf.clock import this_machine
from bpf.record import ExecFailure, Report
from bpf.source import Capture, Counters, Stage, Status
from screenshots import scenario
from tui.app import ExecwhyApp
from tui.model.history import History
from tui.widgets.rate import Rate

HERE: Final = Path(__file__).parent
LAST: Final = 1_795_557_020_114_000_000
"""2026-11-24 21:50:20.114 UTC."""
MOMENT: Final = 0.4


class Recorded:
    """A source that hands over what was recorded before."""

    def __init__(self, reports: Sequence[Report]) -> None:
        self._reports = list(reports)
        self._failures = sum(isinstance(report, ExecFailure) for report in reports)
        self._origin = replace(this_machine("tracepoint"), host="web-1")

    def start(self) -> None:
        """Nothing runs."""

    def drain(self) -> Sequence[Report]:
        """All at once."""
        reports, self._reports = self._reports, []
        return reports

    def status(self) -> Status:
        """Live, and nothing lost."""
        counters = Counters(self._failures, self._failures)
        return Status(Stage.LIVE, "", counters, self._origin)

    def set_capture(self, capture: Capture | None) -> None:
        """Taken as it is."""

    def close(self) -> None:
        """Nothing to free."""


@dataclass(frozen=True)
class Picture:
    """One picture: its name, the window, and the keys to press."""

    name: str
    size: tuple[int, int]
    keys: Sequence[str] = ()
    theme: str = "dark"
    query: str = ""


PICTURES: Final = (
    Picture("main", (120, 36), ("home", *("down",) * 5)),
    Picture("narrow", (80, 24)),
)


def moved(reports: Sequence[Report]) -> list[Report]:
    """The same on the fixed clock."""
    span = LAST - max(report.timestamp for report in reports)
    out: list[Report] = []
    for report in reports:
        if isinstance(report, ExecFailure) and report.binary is not None:
            report = replace(report, binary=replace(report.binary, ctime=report.binary.ctime + span))
        out.append(replace(report, timestamp=report.timestamp + span))
    return out


async def take(picture: Picture, reports: Sequence[Report]) -> str:
    """The picture as SVG."""
    app = ExecwhyApp(Recorded(reports), history=History(), query=picture.query)
    with mock.patch("time.time_ns", lambda: LAST + 400_000_000):
        async with app.run_test(size=picture.size) as pilot:
            app.theme = picture.theme
            fill(app._rate, reports)
            await settle(pilot)
            for key in picture.keys:
                await pilot.press(key)
                await pilot.pause()
            await settle(pilot)
            return app.export_screenshot(title="execwhy")


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
    """Record once, and write each picture as SVG and PNG."""
    scenario.prepare()
    reports = moved(scenario.record())
    wanted = sys.argv[1:]
    for picture in PICTURES:
        if wanted and picture.name not in wanted:
            continue
        svg = HERE / f"{picture.name}.svg"
        svg.write_text(asyncio.run(take(picture, reports)))
        subprocess.run(["rsvg-convert", "--zoom", "1.5", "-o", svg.with_suffix(".png"), svg], check=True)
        print(svg.with_suffix(".png"))


if __name__ == "__main__":
    main()
