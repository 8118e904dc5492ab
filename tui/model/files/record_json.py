"""Records as JSON objects and back, as the table of fields declares (``bpf.events.fields``).

Objects that are read may be hostile: the type and the range of every value are checked here, so that nothing
afterwards needs to check them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any, Final, TypeVar

from execwhy.bpf.events.fields import RecordField, Storage, fields_of
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.files.json_values import (
    Read,
    RecordError,
    boolean,
    integer,
    one_of,
    optional,
    rfc3339,
    text,
    timestamp,
    tuple_of,
    wrong,
)
from execwhy.tui.model.text.secrets import masked

T = TypeVar("T")
Write = Callable[[Any], object]
"""Converts a value that is not None to one for ``json.dumps``."""

_MOST_ESCAPED: Final = 3
"""Characters that a JSON string may take for each byte: text in any script takes no more, but a byte that is
not UTF-8 and a control character take six."""

_BASE64: Final = "base64"
"""The only member of an object that stands for an element of argv or envp."""


def record_to_json(record: ExecFailure, *, show_secrets: bool) -> dict[str, object]:
    """Return a record's fields by name, for ``json.dumps(..., ensure_ascii=True)``.

    Args:
        record: The record.
        show_secrets: Whether to write values that look like secrets unmasked.

    Returns:
        The object; a lone surrogate in it stands for a byte that was not valid UTF-8. An element of argv or
        envp that is mostly such bytes is an object with its bytes in base64.
    """
    shown = record if show_secrets else masked(record)
    return _write_record(shown)


def _elements(value: Sequence[str | None]) -> list[object]:
    """Convert argv or envp, in which hardly ever anything needs to be escaped."""
    if "".join(filter(None, value)).isprintable():
        return list(value)
    return [_element(element) for element in value]


def _element(value: str | None) -> object:
    """Return an element of argv or envp as a string, or as base64 if a string took three times as much.

    Otherwise random bytes in arguments would fill a disk at six times the rate.
    """
    if value is None or value.isprintable():
        return value
    data = value.encode("utf-8", "surrogateescape")
    escaped = len(encode_basestring_ascii(value))
    if escaped <= _MOST_ESCAPED * len(data):
        return value
    encoded = {_BASE64: base64.b64encode(data).decode("ascii")}
    return encoded if len(encoded[_BASE64]) + len('{"base64":""}') < escaped else value


def _writer(field: RecordField) -> Write | None:
    """Return the function that converts a field's values; None if JSON has such values."""
    if field.fact.storage is Storage.TEXTS:
        return _elements
    if field.moment:
        return rfc3339
    if field.part is None:
        return list if field.many else None
    write = _object_writer(field.part)
    return (lambda parts: [write(part) for part in parts]) if field.many else write


def _object_writer(kind: type[Any]) -> Callable[[Any], dict[str, object]]:
    """Return the function that converts a dataclass to an object with the fields of files."""
    writers = tuple(
        (field.name, _writer(field), field.fact.only_if_known) for field in _of_files(kind).values()
    )

    def write_object(part: object) -> dict[str, object]:
        result: dict[str, object] = {}
        for name, write, only_if_known in writers:
            value = getattr(part, name)
            if value is not None or not only_if_known:
                result[name] = value if write is None or value is None else write(value)
        return result

    return write_object


def _of_files(kind: type[Any]) -> Mapping[str, RecordField]:
    return {name: field for name, field in fields_of(kind).items() if field.fact.in_file}


def record_from_json(obj: object) -> ExecFailure:
    """Return the record of an object that ``record_to_json`` made; unknown names are ignored.

    Args:
        obj: The result of ``json.loads``.

    Raises:
        RecordError: A value has the wrong type or is out of range, or one without a default is missing.
    """
    return _read_record("record", obj)


def _string(name: str, value: object) -> str | None:
    """Read an element of argv or envp: null, a string, or an object with its bytes in base64."""
    if value is None or isinstance(value, str):
        return optional(text)(name, value)
    encoded = value.get(_BASE64) if isinstance(value, dict) else None
    if not isinstance(encoded, str):
        raise wrong(name, 'a string, null or {"base64": "..."}')
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        raise wrong(name, "in base64 where it says so") from None


def _reader(field: RecordField) -> Read[Any]:
    """Return the function that checks a field's JSON value and converts it."""
    read: Read[Any]
    if field.fact.storage is Storage.TEXTS:
        read = _string
    elif field.part is not None:
        read = _object_reader(field.part)
    elif field.words:
        read = one_of(*field.words)
    elif field.moment:
        read = timestamp
    elif field.limits is not None:
        read = integer(field.limits.lowest, field.limits.highest)
    else:
        read = boolean if field.type is bool else text
    if field.many:
        read = tuple_of(read)
    return optional(read) if field.optional else read


def _object_reader(kind: type[T]) -> Read[T]:
    """Return the function that reads an object as a dataclass; missing names take their defaults."""
    fields = [field for field in _of_files(kind).values() if not field.derived]
    needed = tuple(field.name for field in fields if field.required)
    readers = {field.name: _reader(field) for field in fields}

    def read(name: str, value: object) -> T:
        if not isinstance(value, dict):
            raise wrong(name, "an object")
        for field in needed:
            if field not in value:
                raise RecordError(f'"{field}" is missing')
        return kind(
            **{field: check(field, value[field]) for field, check in readers.items() if field in value}
        )

    return read


_write_record: Final = _object_writer(ExecFailure)
_read_record: Final = _object_reader(ExecFailure)
