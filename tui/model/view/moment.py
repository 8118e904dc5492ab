"""A time of day as a user types it, and the moment that it means."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Final

_SYNTAX: Final = re.compile(r"@\s*(?:(\d{4}-\d\d-\d\d)[T ])?\s*(\d{1,2}):(\d\d)(?::(\d\d))?", re.ASCII)

HINT: Final = "a time such as @21:50, @21:50:14 or @2026-11-24 21:50"


class MomentError(ValueError):
    """The text is no time; ``str()`` is one sentence that says what to type."""


def is_moment(text: str) -> bool:
    """Return whether a text is meant as a time."""
    return text.lstrip().startswith("@")


def moment(text: str, oldest: int, newest: int) -> int:
    """Return the time that ``@21:50`` means: its last occurrence between the oldest event and the newest.

    If there is none, it is that clock time on the day of the newest event.

    Args:
        text: As it was typed, in local time.
        oldest: Timestamp of the oldest event, nanoseconds since 1970 UTC.
        newest: Timestamp of the newest event.

    Raises:
        MomentError: The text is no time.
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
            # Without seconds, the whole minute is meant.
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
