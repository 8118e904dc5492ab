"""The row of events that were lost."""

from __future__ import annotations

from typing import Final

from execwhy.bpf.events.loss import Loss
from execwhy.tui.model.files.json_lines import UNREADABLE
from execwhy.tui.model.text.counted import counted
from execwhy.tui.model.text.printable import printable
from execwhy.tui.widgets.events.columns import clock
from execwhy.tui.widgets.painting.painted import Piece, in_role
from execwhy.tui.widgets.painting.shorten import cells, keep_beginning

_SAME_TIME: Final = 1_000_000
"""Nanoseconds between losses that are shown as one moment: no time on the screen is finer."""


def loss_row(loss: Loss, count: int, last: int, width: int, time_width: int) -> list[Piece]:
    """Return what stands in the row of a loss.

    Args:
        loss: The first loss that the row shows.
        count: How many events were lost in all that it shows.
        last: When the last of these losses was noticed.
        width: Cells of the row.
        time_width: Cells of its first column; with fewer than 8 it shows no time.
    """
    time = clock(loss.timestamp, time_width) if time_width >= 8 else ""
    where = "here" if loss.host is None else f"on {printable(loss.host[:64])}"
    until = f" until {clock(last, 12)}" if last - loss.timestamp >= _SAME_TIME else ""
    if loss.reason == UNREADABLE:
        said, reason = f"— {counted(count, 'unreadable line')} left out {where}{until}", []
    else:
        said = f"— {counted(count, 'event')} lost {where}{until}: "
        room = max(1, width - len(time) - len(said) - 4)
        reason = in_role(keep_beginning(loss.reason, room), "danger")
    length = cells(said) + sum(cells(text) for text, _ in reason) + 2
    left = max(2, (width - length) // 2 - len(time))
    return [(time, "muted"), (" " * left, "plain"), (said, "danger"), *reason, (" —", "danger")]
