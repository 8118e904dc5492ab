"""The columns of the group table: which of them a width has room for, and what stands in a cell.

Numbers are right-aligned. GROUP and WHY share what the others leave, as PATH and WHY do in the table
of events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final

import humanize

from execwhy.bpf.events.record import error_name
from execwhy.tui.model.history.columns import Key
from execwhy.tui.model.text.printable import printable
from execwhy.tui.model.view.group_by import By
from execwhy.tui.model.view.groups import Group
from execwhy.tui.widgets.events.columns import GUTTER, clock
from execwhy.tui.widgets.painting.accounts import user_name
from execwhy.tui.widgets.painting.error_class import error_class
from execwhy.tui.widgets.painting.painted import Piece, in_role
from execwhy.tui.widgets.painting.shorten import cells, keep_beginning, keep_end, keep_name, width_of
from execwhy.tui.widgets.painting.sparkline import sparkline

SECOND: Final = 1_000_000_000


class GroupColumn(StrEnum):
    """The columns, by their headings."""

    COUNT = "COUNT"
    RATE = "RATE/s"
    MINUTE = "LAST MINUTE"
    FIRST = "FIRST"
    LAST = "LAST"
    USERS = "USERS"
    GROUP = "GROUP"
    WHY = "WHY"


_RIGHT: Final = frozenset({GroupColumn.COUNT, GroupColumn.RATE})


@dataclass(frozen=True, slots=True)
class GroupPlace:
    """A column at its place: the cell it begins in and how many it has."""

    column: GroupColumn
    x: int
    width: int

    @property
    def is_right(self) -> bool:
        """Right-aligned."""
        return self.column in _RIGHT


_C: Final = GroupColumn

_TIERS: Final[tuple[tuple[int, tuple[tuple[GroupColumn, int], ...]], ...]] = (
    (220, ((_C.COUNT, 10), (_C.RATE, 8), (_C.MINUTE, 30), (_C.FIRST, 14), (_C.LAST, 24), (_C.USERS, 16))),
    (170, ((_C.COUNT, 9), (_C.RATE, 7), (_C.MINUTE, 20), (_C.FIRST, 8), (_C.LAST, 14), (_C.USERS, 12))),
    (140, ((_C.COUNT, 9), (_C.RATE, 7), (_C.MINUTE, 12), (_C.LAST, 14), (_C.USERS, 10))),
    (100, ((_C.COUNT, 9), (_C.RATE, 7), (_C.MINUTE, 6), (_C.LAST, 10), (_C.USERS, 8))),
    (64, ((_C.COUNT, 7), (_C.RATE, 7), (_C.LAST, 8))),
    (44, ((_C.COUNT, 9), (_C.RATE, 7))),
    (0, ((_C.COUNT, 9),)),
)
"""From which width on which columns stand left of GROUP and WHY, which matter most: both have 26 cells in
80, and 32 in 120. "59 minutes ago" has 14 characters, a count of a million 7, or 9 with its commas; the bars
of the sparkline divide the minute."""

_WIDEST: Final = {"error": 15, "why": 28, "user": 20, "comm": 15, "unit": 44, "container": 20, "parent": 15}
"""Cells that a value needs at most; WHY gets the rest. A comm has at most 15 bytes, and of a container's
id the first 12 characters are what other tools show."""

_WIDEST_PATH: Final = 64
"""As in the table of events."""

_SEARCHED: Final = " (PATH search)"
"""Follows a name that has no directory."""

_SEARCHED_BRIEFLY: Final = " (PATH)"

_WITH_CLOCK: Final = 24
"""Cells of LAST from which on it shows the clock time beside the age."""


@lru_cache(maxsize=64)
def group_places(width: int, by_name: str) -> tuple[GroupPlace, ...]:
    """Return the columns of a table of ``width`` cells, from the left, grouped by this name of ``BY``."""
    fixed = next(columns for smallest, columns in _TIERS if width >= smallest)
    gap = 1 if width < 112 else 2
    x = GUTTER
    places: list[GroupPlace] = []
    for column, taken in fixed:
        places.append(GroupPlace(column, x, taken))
        x += taken + gap
    rest = max(2, width - x - gap)
    group = max(1, min(_WIDEST.get(by_name, _WIDEST_PATH), rest // 2))
    places.append(GroupPlace(_C.GROUP, x, group))
    places.append(GroupPlace(_C.WHY, x + group + gap, rest - group))
    return tuple(places)


def group_cell(group: Group, by: By, place: GroupPlace, now: int, mask: Callable[[str], str]) -> list[Piece]:
    """Return one cell, exactly ``place.width`` cells wide.

    Args:
        group: The group.
        by: What the failures are grouped by.
        place: The column.
        now: The time that ages refer to, nanoseconds since 1970 UTC.
        mask: Masks the secrets of its texts.
    """
    pieces = _pieces(group, by, place, now, mask)
    padding = " " * (place.width - width_of((text, False) for text, _ in pieces))
    return [(padding, "plain"), *pieces] if place.is_right else [*pieces, (padding, "plain")]


def _pieces(group: Group, by: By, place: GroupPlace, now: int, mask: Callable[[str], str]) -> list[Piece]:
    column, width = place.column, place.width
    if column is _C.GROUP:
        if group.search is None:
            return _value(group.value, by, width, mask)
        last = str(group.value).rpartition("/")[0]
        return _search(mask(group.search), mask(last), width)
    if not group.count:
        return [("gone"[:width], "muted")] if column is _C.COUNT else []
    if column is _C.COUNT:
        return [(_fitting(f"{group.count:,}", width), "strong")]
    if column is _C.RATE:
        return [(_fitting(rate_text(group.rate), width), "plain" if group.rate else "muted")]
    if column is _C.MINUTE:
        return [(sparkline(group.minute, width), "live" if any(group.minute) else "muted")]
    if column is _C.WHY:
        return in_role(keep_beginning(mask(why_text(group, by)), width), "why")
    if column is _C.USERS:
        return in_role(keep_beginning(_users(group), width), "plain")
    time = group.first if column is _C.FIRST else group.last
    return in_role(keep_beginning(_when(time, now, width), width), "muted")


def rate_text(rate: float) -> str:
    """Return failures a second, in as many digits as are of use."""
    return f"{rate:,.0f}" if rate >= 10 or not rate else f"{rate:.1f}"


def why_text(group: Group, by: By) -> str:
    """Return the most frequent cause, and how many causes there are; raw text.

    As in a row, a question mark precedes a cause that is not certain.
    """
    if group.why is None:
        return ""
    mark = "? " if group.is_uncertain else ""
    if group.whys < 2 or by.field == "why":
        return f"{mark}{group.why}"
    return f"{mark}{group.whys:,} causes: {group.why}, …"


def group_text(group: Group, by: By) -> str:
    """Return what the failures of a group have in common; raw text."""
    return f"{group.search}{_SEARCHED}" if group.search else _value_text(group.value, by)


def _value_text(value: Key, by: By) -> str:
    if value is None:
        return by.unknown
    if by.field == "error" and isinstance(value, int):
        return error_name(-value)
    if by.field == "uid" and isinstance(value, int):
        name = user_name(value)
        return str(value) if name is None else f"{name} ({value})"
    return str(value) or '""'


def _search(name: str, last: str, width: int) -> list[Piece]:
    """Return a name, and how it was searched for as far as that fits.

    The last directory distinguishes two groups of one name.
    """
    shown = in_role(keep_beginning(name, width), "name")
    left = width - width_of((text, False) for text, _ in shown)
    for behind in (f" (PATH, last {printable(last)})", _SEARCHED, _SEARCHED_BRIEFLY):
        if cells(behind) <= left:
            return [*shown, (behind, "muted")]
    return shown


def _value(value: Key, by: By, width: int, mask: Callable[[str], str]) -> list[Piece]:
    text = _value_text(value, by)
    if value is None:
        return in_role(keep_beginning(text, width), "muted")
    if by.field == "error" and isinstance(value, int):
        return in_role(keep_beginning(text, width), error_class(-value))
    if by.field == "path":
        directory, name = keep_name(mask(text), width)
        return [*in_role(directory, "muted"), *in_role(name, "name")]
    # A unit's own name is at its end; a container is known by its first digits.
    keep = keep_end if by.field == "unit" else keep_beginning
    return in_role(keep(mask(text), width), "name")


def _users(group: Group) -> str:
    if group.users > 1:
        return f"{group.users:,} users"
    name = user_name(group.uids[0])
    return str(group.uids[0]) if name is None else name


def _when(time: int, now: int, width: int) -> str:
    """Return an age in words if that fits, with "ago" and the clock time if these do; else the clock time."""
    age = max(0, now - time)
    moment = datetime.fromtimestamp(time // SECOND)
    is_today = moment.date() == datetime.fromtimestamp(now // SECOND).date()
    shown = clock(time) if is_today else f"{moment:%d %b}"
    if width < 10:
        return shown
    words = humanize.naturaldelta(timedelta(seconds=age // SECOND)) if age >= SECOND else "now"
    if width < 14 or words == "now":
        return words
    return f"{words} ago" if width < _WITH_CLOCK else f"{words} ago".ljust(width - 9) + f" {shown}"


def _fitting(number: str, width: int) -> str:
    return number if len(number) <= width else number.replace(",", "")
