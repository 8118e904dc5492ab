"""When a recording ends, what became of it, and the lines about it for standard error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from execwhy.bpf.events.source import Counters, Origin
from execwhy.tui.model.text.printable import printable


@dataclass(frozen=True, slots=True)
class Limits:
    """When a recording ends without a signal.

    Attributes:
        duration: Seconds after the hooks are attached; None for no limit.
        count: Records written; None for no limit.
    """

    duration: float | None = None
    count: int | None = None


UNLIMITED: Final = Limits()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a recording.

    Attributes:
        began: Whether the hooks were attached and a header was written.
        written: Records written.
        counters: The counters at the end.
        problem: One sentence if the recording did not end as requested, else "".
        left_out: Records that should have been written but were not, by reason.
        files: Files written.
        kept: Files that have not been removed for newer ones.
        name: The name of the last file.
        fate: What others did to the last file: "removed", "truncated", "renamed or replaced", or "".
        fault: The exception that ended the recording, if it is a fault of this program.
    """

    began: bool
    written: int
    counters: Counters
    problem: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)
    files: int = 1
    kept: int = 1
    name: str = ""
    fate: str = ""
    fault: Exception | None = None


def beginning(origin: Origin, path: str, *, at_terminal: bool) -> str:
    """Return the line that announces that recording has begun."""
    plan = f" ({printable(origin.plan)} plan)" if origin.plan else ""
    ends = "; Ctrl-C ends it" if at_terminal else ""
    return f"execwhy: recording into {printable(path)}{plan}{ends}."


def summary(result: Result, path: str) -> str:
    """Return the line with the counters and what was written."""
    counters = result.counters
    causes = ", ".join(f"{printable(name)}: {number:,}" for name, number in counters.losses.items() if number)
    lost = f"{counters.lost:,} lost" + (f" ({causes})" if causes else "")
    target = "standard output" if path == "-" else printable(result.name or path)
    if result.files > 1:
        kept = f", of which the newest {result.kept:,} are kept" if result.kept < result.files else ""
        target = f"{result.files:,} files{kept}, the last {printable(result.name)}"
    if result.fate:
        target += f", which was {result.fate} meanwhile"
    if result.left_out:
        reasons = ", ".join(f"{name}: {number:,}" for name, number in result.left_out.items())
        target += f", {sum(result.left_out.values()):,} left out ({reasons})"
    return (
        f"execwhy: {counters.seen:,} seen = {counters.recorded:,} recorded + "
        f"{counters.suppressed:,} suppressed + {lost}; {result.written:,} written to {target}."
    )
