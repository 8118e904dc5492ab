"""All facts of a loss, and the equation of the counters."""

from __future__ import annotations

from dataclasses import replace

from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.source import Counters
from execwhy.tui.model.files.json_lines import UNREADABLE
from execwhy.tui.widgets.detail.fact import Fact, Section, at_time


def loss_sections(loss: Loss, last: int, counters: Counters) -> list[Section]:
    """Return the facts of events that were lost.

    Args:
        loss: The first loss; its count is that of all.
        last: When the last one was noticed: nanoseconds since 1970 UTC.
        counters: The counters now.
    """
    causes = tuple(
        Fact(f"{count:,}", label=cause, starts_line=True) for cause, count in counters.losses.items()
    )
    found = [
        Section(
            "Lost",
            (
                *_lost(loss),
                at_time(loss.timestamp),
                *((replace(at_time(last), label="until"),) if last != loss.timestamp else ()),
            ),
        ),
        Section("Counted", (Fact(equation(counters)),)),
    ]
    return [*found, Section("Causes", causes)] if causes else found


def _lost(loss: Loss) -> tuple[Fact, ...]:
    if loss.reason == UNREADABLE:
        note = "lines of the file could not be read, and are left out"
        return (Fact(f"{loss.count:,}", note=note, role="danger"),)
    return (
        Fact(f"{loss.count:,}", note="events, before those below", role="danger"),
        Fact(loss.reason, label="because", starts_line=True),
    )


def equation(counters: Counters) -> str:
    """Return what became of all that were seen, and how many lines of a file are not in these numbers."""
    unreadable = (
        f"; {counters.unreadable:,} unreadable line{'s' * (counters.unreadable > 1)}"
        if counters.unreadable
        else ""
    )
    return (
        f"{counters.seen:,} seen = {counters.recorded:,} recorded"
        f" + {counters.suppressed:,} suppressed + {counters.lost:,} lost{unreadable}"
    )
