"""The values of the filter language: numbers, ranges, errnos, users and ages."""

from __future__ import annotations

import datetime
import errno
import functools
import pwd
import re
from collections.abc import Callable
from typing import Final

from execwhy.bpf.events.record import KERNEL_ONLY_ERRORS
from execwhy.tui.model.query.fields import Kind, nearest

Bound = tuple[int | None, int | None]
"""A range of numbers, both ends included; None for an open end."""

ERRORS: Final[dict[str, int]] = {
    **{name: getattr(errno, name) for name in dir(errno) if name.startswith("E")},
    **{name: value for value, name in KERNEL_ONLY_ERRORS.items()},
}
"""The number of every errno by its name, including aliases."""

_SECOND: Final = 10**9
_UNITS_NS: Final = {
    "ns": 1, "us": 10**3, "ms": 10**6, "s": _SECOND,
    "m": 60 * _SECOND, "h": 3600 * _SECOND, "d": 86400 * _SECOND, "w": 7 * 86400 * _SECOND,
}  # fmt: skip
_DURATION: Final = re.compile(r"(?:\d{1,12}(?:\.\d{1,9})?(?:ns|us|ms|[smhdw]))+")
_PART: Final = re.compile(r"(\d+)(?:\.(\d+))?([a-z]+)")
_LONGEST_NUMBER: Final = 40
"""Characters of a number: only a 64-bit number in binary would be longer, which nobody types."""

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class ValueProblem(ValueError):
    """A value that a field cannot have; ``str()`` completes "expected ..."."""


def number(text: str, kind: Kind) -> int:
    """Return the number that a value stands for in a field of this kind.

    Raises:
        ValueProblem: The value is invalid.
    """
    return _READERS[kind](text)


def bound(text: str, kind: Kind) -> Bound:
    """Return the range that a value stands for: ``5`` is 5..5, ``1000..`` has no end.

    Raises:
        ValueProblem: The value is neither a number nor a range.
    """
    low, dots, high = text.partition("..")
    if not dots:
        only = number(text, kind)
        return only, only
    if not low and not high:
        raise ValueProblem("a range such as 1000..1999")
    bounds = number(low, kind) if low else None, number(high, kind) if high else None
    if bounds[0] is not None and bounds[1] is not None and bounds[0] > bounds[1]:
        raise ValueProblem("a range whose first number is the smaller one")
    return bounds


def error_numbers(holds: Callable[[str], bool]) -> list[int]:
    """Return the numbers of all errnos whose name passes."""
    return sorted({value for name, value in ERRORS.items() if holds(name)})


def uids(holds: Callable[[str], bool]) -> list[int]:
    """Return the ids of all users whose name passes."""
    return sorted({uid for name, uid in _users().items() if holds(name)})


@functools.lru_cache(maxsize=1)
def _users() -> dict[str, int]:
    """Return the uid of every user by name; read once, because a directory service may be slow."""
    return {user.pw_name: user.pw_uid for user in pwd.getpwall()}


def _integer(text: str) -> int:
    if len(text) <= _LONGEST_NUMBER and re.fullmatch(
        r"[+-]?(\d+|0[xX][0-9a-fA-F]+|0[oO][0-7]+)", text, re.ASCII
    ):
        return int(text, 0) if re.search("[xXoO]", text) else int(text)
    raise ValueProblem("a number, such as 42, 0x2a or 10..20")


def _octal(text: str) -> int:
    if len(text) <= _LONGEST_NUMBER and re.fullmatch(r"0[0-7]+", text, re.ASCII):
        return int(text, 8)
    try:
        return _integer(text)
    except ValueProblem:
        raise ValueProblem("a mode, such as 0755 or 0o755") from None


def _flag(text: str) -> int:
    flags = {"true": 1, "yes": 1, "1": 1, "false": 0, "no": 0, "0": 0}
    if text.lower() not in flags:
        raise ValueProblem("true or false")
    return flags[text.lower()]


def _error(text: str) -> int:
    name = text.upper()
    if name in ERRORS:
        return ERRORS[name]
    try:
        return abs(_integer(name.removeprefix("E")))
    except ValueProblem:
        meant = nearest(name, ERRORS)
        hint = f"; did you mean {meant}?" if meant else ""
        raise ValueProblem(f"an errno, such as ENOENT or 2{hint}") from None


def _user(text: str) -> int:
    try:
        return _integer(text)
    except ValueProblem:
        pass
    try:
        return _uid_of(text)
    except (KeyError, ValueError):
        raise ValueProblem("a uid, or the name of a user of this host") from None


@functools.lru_cache(maxsize=256)
def _uid_of(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def _age(text: str) -> int:
    if re.fullmatch(r"\d{1,12}", text, re.ASCII):
        return int(text) * _UNITS_NS["s"]
    if not _DURATION.fullmatch(text):
        raise ValueProblem("an age, such as 30s, 5m, 2h or 1d")
    return sum(
        int(whole + fraction.ljust(9, "0")) * _UNITS_NS[unit] // 10**9
        for whole, fraction, unit in _PART.findall(text)
    )


def _time(text: str) -> int:
    try:
        return _integer(text)
    except ValueProblem:
        pass
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return (moment - _EPOCH) // datetime.timedelta(microseconds=1) * 1000
    except (ValueError, OverflowError):
        raise ValueProblem("a time in UTC, such as 2026-11-24T21:50:12") from None


_READERS: Final[dict[Kind, Callable[[str], int]]] = {
    Kind.NUMBER: _integer,
    Kind.OCTAL: _octal,
    Kind.FLAG: _flag,
    Kind.ERROR: _error,
    Kind.USER: _user,
    Kind.AGE: _age,
    Kind.TIME: _time,
}
