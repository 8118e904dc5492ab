"""A record as a JSON object, and back.

The names are those of the fields of ``bpf.events.record``. What comes back may be hostile: every value's
type and range is checked, so that nothing later needs to.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, Final, TypeVar

from execwhy.bpf.events.record import Ancestor, Binary, Diagnosis, ExecFailure, Search, Truncated
from execwhy.tui.model.text.secrets import masked

T = TypeVar("T")
Read = Callable[[str, object], T]
"""Checks a value that has come under a name; raises RecordError with the name in its sentence."""

_NANOSECONDS: Final = 1_000_000_000
_U16, _U32, _U64 = (1 << 16) - 1, (1 << 32) - 1, (1 << 64) - 1
_I64: Final = (1 << 63) - 1
"""The history keeps times in 64 bits, signed; they reach to the year 2262."""

_MAX_ERRNO: Final = 4095
"""MAX_ERRNO of the kernel's include/linux/err.h."""

_MOST_ESCAPED: Final = 3
"""Characters that a JSON string may take for a byte: text in any script takes no more, and a byte that is no
UTF-8, or a control character, takes six."""

_BASE64: Final = "base64"
"""The one member of an object that stands for an element of argv or envp."""

_STRINGS: Final = frozenset(("arguments", "environment"))
"""The fields whose elements may be such objects."""

_RFC3339: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)


class RecordError(ValueError):
    """A JSON object that is no record; ``str()`` is one sentence without its full stop."""


def rfc3339(timestamp: int) -> str:
    """Nanoseconds since 1970 UTC as "2026-11-24T21:50:12.000000001Z"."""
    seconds, nanoseconds = divmod(timestamp, _NANOSECONDS)
    return f"{_to_the_second(seconds)}.{nanoseconds:09d}Z"


@lru_cache(16)
def _to_the_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def record_to_json(record: ExecFailure, *, show_secrets: bool) -> dict[str, object]:
    """The record's fields by their names, ready for ``json.dumps(..., ensure_ascii=True)``.

    Args:
        record: The record.
        show_secrets: Secret-looking values are written as they are, not masked.

    Returns:
        The object; a lone surrogate in it stands for a byte that was not valid UTF-8. An element of argv or
        envp that is mostly such bytes is an object with its bytes in base64.
    """
    shown = record if show_secrets else masked(record)
    result: dict[str, object] = {}
    for name in _RECORD:
        value = getattr(shown, name)
        if name == "host" and value is None:
            continue  # the header tells it
        result[name] = _elements(value) if name in _STRINGS else _plain(value)
        if name == "return_value":
            result["error"] = record.error
    result["timestamp"] = rfc3339(record.timestamp)
    return result


def _elements(value: Sequence[str | None]) -> list[object]:
    """Argv or envp; nearly always there is nothing in it that would have to be escaped."""
    if "".join(filter(None, value)).isprintable():
        return list(value)
    return [_element(element) for element in value]


def _element(value: str | None) -> object:
    """An element of argv or envp: a string, or its bytes in base64 where a string is three times as long.

    Else who fails execs with random bytes in their arguments fills a disk at six times the rate.
    """
    if value is None or value.isprintable():
        return value
    data = value.encode("utf-8", "surrogateescape")
    escaped = len(encode_basestring_ascii(value))
    if escaped <= _MOST_ESCAPED * len(data):
        return value
    encoded = {_BASE64: base64.b64encode(data).decode("ascii")}
    return encoded if len(encoded[_BASE64]) + len('{"base64":""}') < escaped else value


def _plain(value: object) -> object:
    """A field's value in what JSON has."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, tuple):
        return [_plain(element) for element in value]
    if isinstance(value, Search):
        return {name: getattr(value, name) for name in _SEARCH}
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def record_from_json(obj: object) -> ExecFailure:
    """The record that ``record_to_json`` made an object of; unknown names are ignored.

    Args:
        obj: What ``json.loads`` gave.

    Raises:
        RecordError: A value has a wrong type or is out of range, or one without a default is missing.
    """
    return _read_record("record", obj)


def _wrong(name: str, expected: str) -> RecordError:
    return RecordError(f'"{name}" is not {expected}')


def text(name: str, value: object) -> str:
    """A string whose every character is a Unicode character or stands for a byte."""
    if not isinstance(value, str):
        raise _wrong(name, "a string")
    if value.isascii():
        return value
    try:
        # A surrogate that stands for no byte would make os.fsencode fail much later.
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise _wrong(name, "a string of Unicode characters and bytes") from None


def _string(name: str, value: object) -> str | None:
    """An element of argv or envp: null, a string, or an object that has its bytes in base64."""
    if value is None or isinstance(value, str):
        return optional(text)(name, value)
    encoded = value.get(_BASE64) if isinstance(value, dict) else None
    if not isinstance(encoded, str):
        raise _wrong(name, 'a string, null or {"base64": "..."}')
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        raise _wrong(name, "in base64 where it says so") from None


def boolean(name: str, value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise _wrong(name, "true or false")
    return value


def integer(lowest: int, highest: int) -> Read[int]:
    """A whole number between the two, both included."""

    def read(name: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong(name, "a whole number")
        if not lowest <= value <= highest:
            raise _wrong(name, f"between {lowest} and {highest}")
        return value

    return read


def timestamp(name: str, value: object) -> int:
    """RFC 3339 in UTC with up to nine decimals; nanoseconds since 1970."""
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _wrong(name, "a time such as 2026-11-24T21:50:12.000000000Z")
    try:
        moment = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    except ValueError:
        raise _wrong(name, "a time that exists") from None
    seconds = int(moment.timestamp())
    return integer(0, _I64)(name, seconds * _NANOSECONDS + int((match[2] or "").ljust(9, "0")))


def optional(read: Read[T]) -> Read[T | None]:
    """Null, or what ``read`` reads."""
    return lambda name, value: None if value is None else read(name, value)


def _tuple_of(read: Read[T]) -> Read[tuple[T, ...]]:
    def read_all(name: str, value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise _wrong(name, "an array")
        return tuple(read(name, element) for element in value)

    return read_all


def _one_of(*words: str) -> Read[str]:
    def read(name: str, value: object) -> str:
        if value not in words:
            raise _wrong(name, "one of " + ", ".join(words))
        return text(name, value)

    return read


def _object(kind: type[T], fields: Mapping[str, Read[Any]]) -> Read[T]:
    """An object with these names; one that is missing takes the class's default, where it has one."""
    required = inspect.signature(kind).parameters.values()
    needed = tuple(field.name for field in required if field.default is field.empty)

    def read(name: str, value: object) -> T:
        if not isinstance(value, dict):
            raise _wrong(name, "an object")
        for field in needed:
            if field not in value:
                raise RecordError(f'"{field}" is missing')
        return kind(
            **{field: check(field, value[field]) for field, check in fields.items() if field in value}
        )

    return read


_u16, _u32, _u64 = integer(0, _U16), integer(0, _U32), integer(0, _U64)
_i32: Final = integer(-(1 << 31), (1 << 31) - 1)
_time: Final = integer(0, _I64)
_strings: Final = _tuple_of(_string)

_BINARY: Final[Mapping[str, Read[Any]]] = {
    "path": optional(text),
    "device_id": _u32,
    "device": text,
    "inode_number": _u64,
    "ctime": _u64,
    "inode_mode": _u16,
    "source": _one_of("kernel", "resolved"),
    "uid": optional(_u32),
    "gid": optional(_u32),
    "size": optional(_time),
}

_TRUNCATED: Final[Mapping[str, Read[Any]]] = {
    "arguments": boolean,
    "environment": boolean,
    "path": boolean,
    "argc": optional(_u32),
    "envc": optional(_u32),
    "argument_indexes": _tuple_of(_u32),
    "environment_indexes": _tuple_of(_u32),
    "long_argument": optional(_u32),
    "long_variable": optional(_u32),
}

_DIAGNOSIS: Final[Mapping[str, Read[Any]]] = {
    "code": text,
    "summary": text,
    "evidence": _tuple_of(text),
    "advice": optional(text),
    "certain": boolean,
    "brief": text,
}

_SEARCH: Final[Mapping[str, Read[Any]]] = {
    "id": integer(0, 2**63 - 1),  # the history holds 64 bits with a sign
    "name": text,
    "tries": _u32,
    "outcome": _one_of("found", "not-found", "open"),
    "found_path": optional(text),
}

_RECORD: Final[Mapping[str, Read[Any]]] = {
    "timestamp": timestamp,
    "path": optional(text),
    "path_source": _one_of("kernel", "unchanged", "user"),
    "path_afterwards": optional(text),
    "binary": optional(_object(Binary, _BINARY)),
    "interpreter_path": optional(text),
    "stdin_type": _u16,
    "stdin_path": optional(text),
    "kernel_invoked": boolean,
    "arguments": _strings,
    "environment": _strings,
    "truncated": _object(Truncated, _TRUNCATED),
    "arguments_source": _one_of("kernel", "user", "unreadable"),
    "return_value": integer(-_MAX_ERRNO, -1),
    "syscall": optional(text),
    "compat": boolean,
    "dirfd": optional(_i32),
    "flags": optional(_u32),
    "check_only": boolean,
    "pid": _u32,
    "tid": _u32,
    "ppid": _u32,
    "uid": _u32,
    "euid": _u32,
    "gid": _u32,
    "egid": _u32,
    "fsuid": _u32,
    "fsgid": _u32,
    "groups": optional(_tuple_of(_u32)),
    "capabilities": _u64,
    "comm": text,
    "parent_comm": text,
    "ancestors": _tuple_of(_object(Ancestor, {"pid": _u32, "comm": text})),
    "cwd": optional(text),
    "root": optional(text),
    "tty": optional(text),
    "cgroup": optional(text),
    "unit": optional(text),
    "container_id": optional(text),
    "container_runtime": optional(text),
    "pod_uid": optional(text),
    "mount_ns": optional(_u64),
    "foreign_mount_ns": boolean,
    "pid_ns": optional(_u64),
    "started": optional(_time),
    "duration_ms": optional(_u32),
    "killed_by": optional(text),
    "diagnosis": optional(_object(Diagnosis, _DIAGNOSIS)),
    "search": optional(_object(Search, _SEARCH)),
    "host": optional(text),
}
"""The record's fields in the order in which they are written."""

_read_record: Final = _object(ExecFailure, _RECORD)
