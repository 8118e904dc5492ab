"""The JSON values in a file: how they are written, and how hostile ones are checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TypeVar

T = TypeVar("T")
Read = Callable[[str, object], T]
"""Checks the value of a name; raises ``RecordError`` with that name in its sentence."""

_NANOSECONDS: Final = 1_000_000_000
_I64: Final = (1 << 63) - 1
"""The history keeps times in 64 signed bits, which last until the year 2262."""

_RFC3339: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)


class RecordError(ValueError):
    """A JSON object that is not a record; ``str()`` is one sentence without its full stop."""


def rfc3339(timestamp: int) -> str:
    """Format nanoseconds since 1970 UTC as "2026-11-24T21:50:12.000000001Z"."""
    seconds, nanoseconds = divmod(timestamp, _NANOSECONDS)
    return f"{_to_the_second(seconds)}.{nanoseconds:09d}Z"


@lru_cache(16)
def _to_the_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def wrong(name: str, expected: str) -> RecordError:
    """Return the error for a value that is not what was expected."""
    return RecordError(f'"{name}" is not {expected}')


def text(name: str, value: object) -> str:
    """Read a string, in which every character is a Unicode character or stands for a byte."""
    if not isinstance(value, str):
        raise wrong(name, "a string")
    if value.isascii():
        return value
    try:
        # os.fsencode would fail much later on a surrogate that stands for no byte.
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise wrong(name, "a string of Unicode characters and bytes") from None


def boolean(name: str, value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise wrong(name, "true or false")
    return value


def integer(lowest: int, highest: int) -> Read[int]:
    """Return a reader of whole numbers in this range, both ends included."""

    def read(name: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong(name, "a whole number")
        if not lowest <= value <= highest:
            raise wrong(name, f"between {lowest} and {highest}")
        return value

    return read


natural: Final = integer(0, _I64)
"""A reader of numbers of something."""


def timestamp(name: str, value: object) -> int:
    """Read a time (RFC 3339 in UTC, with up to nine decimals) as nanoseconds since 1970."""
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise wrong(name, "a time such as 2026-11-24T21:50:12.000000000Z")
    try:
        moment = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    except ValueError:
        raise wrong(name, "a time that exists") from None
    seconds = int(moment.timestamp())
    return integer(0, _I64)(name, seconds * _NANOSECONDS + int((match[2] or "").ljust(9, "0")))


def optional(read: Read[T]) -> Read[T | None]:
    """Return a reader that also accepts null."""
    return lambda name, value: None if value is None else read(name, value)


def tuple_of(read: Read[T]) -> Read[tuple[T, ...]]:
    """Return a reader of arrays whose elements ``read`` reads."""

    def read_all(name: str, value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise wrong(name, "an array")
        return tuple(read(name, element) for element in value)

    return read_all


def one_of(*words: str) -> Read[str]:
    """Return a reader that accepts only these words."""

    def read(name: str, value: object) -> str:
        if value not in words:
            raise wrong(name, "one of " + ", ".join(words))
        return text(name, value)

    return read
