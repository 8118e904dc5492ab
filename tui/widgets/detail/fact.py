"""One fact of an event, and the facts that belong together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact.

    Attributes:
        text: The fact; raw text of a record.
        label: Words before it.
        note: Words after it.
        role: How ``text`` is painted.
        field: Its name in the filter language, if it can become a filter.
        value: What ``field`` is compared with.
        starts_line: It stands at the beginning of a line.
    """

    text: str
    label: str = ""
    note: str = ""
    role: str = "plain"
    field: str | None = None
    value: object = None
    starts_line: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Facts that belong together.

    Attributes:
        title: Stands left of them.
        facts: The facts.
        is_list: Each fact gets a line of its own if there is room.
    """

    title: str
    facts: tuple[Fact, ...]
    is_list: bool = False


def maybe(label: str, text: str | None, field: str | None, *, starts_line: bool = False) -> Fact:
    """Return a fact, or that it is not known."""
    if text is None:
        return Fact("—", label, role="muted", starts_line=starts_line)
    return Fact(text, label, field=field, value=text, starts_line=starts_line)


def at_time(timestamp: int) -> Fact:
    """Return a time in nanoseconds since 1970 UTC as a fact, in local time with its offset."""
    second, rest = divmod(timestamp, 1_000_000_000)
    moment = datetime.fromtimestamp(second).astimezone()
    return Fact(f"{moment:%Y-%m-%d %H:%M:%S}.{rest:09d} {moment:%z}", "at")
