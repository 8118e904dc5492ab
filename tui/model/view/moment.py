"""A time of day as one types it, and the row that it stands for."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Final

_SYNTAX: Final = re.compile(r"@\s*(?:(\d{4}-\d\d-\d\d)[T ])?\s*(\d{1,2}):(\d\d)(?::(\d\d))?", re.ASCII)

HINT: Final = "a time such as @21:50, @21:50:14 or @2026-11-24 21:50"


class MomentError(ValueError):
    """What was typed is no time; ``str()`` is one sentence that says what to type."""


def is_moment(text: str) -> bool:
    """Whether this is meant as a time."""
    return text.lstrip().startswith("@")


def moment(text: str, oldest: int, newest: int) -> int:
    """The time that ``@21:50`` means: the last one of that clock time from the oldest event to the newest.

    Where no event is so near, it is that clock time on the newest event's day.

    Args:
        text: As it was typed, in local time.
        oldest: Timestamp of the oldest event, nanoseconds since 1970 UTC.
        newest: The same of the newest.

    Raises:
        MomentError: It is no time.
    """
    match = _SYNTAX.fullmatch(text.strip())
    if match is None:
        raise MomentError(f"Type {HINT}.")
    day, hour, minute, second = match[1], int(match[2]), int(match[3]), int(match[4] or 0)
    try:
        if day is not None:
            return _at(date.fromisoformat(day), hour, minute, second)
        last = _day(newest)
        days = min((last - _day(oldest)).days, 366)
        for back in range(days + 1):
            found = _at(last - timedelta(days=back), hour, minute, second)
            # A minute is meant as a whole where no second was given.
            length = 1 if match[4] else 60
            if found <= newest and found + length * 1_000_000_000 > oldest:
                return found
        return _at(last, hour, minute, second)
    except (ValueError, OverflowError):
        raise MomentError(f"There is no such time: type {HINT}.") from None


def _day(timestamp: int) -> date:
    return datetime.fromtimestamp(timestamp // 1_000_000_000).date()


def _at(day: date, hour: int, minute: int, second: int) -> int:
    return int(datetime(day.year, day.month, day.day, hour, minute, second).timestamp()) * 1_000_000_000
