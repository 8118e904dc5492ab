"""The format of records and looks between the monitor and its lookers: frames of JSON on a stream socket.

Neither side unpickles anything: the lookers may read any file, and the monitor reads data of hostile
processes. Lone surrogates (bytes that are not valid UTF-8) survive, since they are sent as ASCII escapes.
"""

from __future__ import annotations

import json
import struct
from dataclasses import MISSING, fields
from operator import attrgetter
from typing import Any, Final

from execwhy.bpf.events.identity import FOUND_LATER
from execwhy.bpf.events.record import Ancestor, Binary, Diagnosis, ExecFailure, Look, Truncated
from execwhy.tui.why.lookers.bounds import check

HEADER: Final = struct.Struct("<IQ")
"""Begins every frame: the number of bytes that follow, and the number of the request, or 0."""

MAX_FRAME: Final = 8 << 20
"""Bytes: enough for a record with 64 KiB each of argv and envp, at six characters a byte, and a margin."""

LEAVING: Final = b""
"""Sent by a looker instead of a look when it ends of its own accord."""

_NOT_SENT: Final = frozenset(FOUND_LATER)
"""Fields of a record that no cause depends on."""

_DEFAULTS: Final = {
    field.name: field.default if field.default_factory is MISSING else field.default_factory()
    for field in fields(ExecFailure)
    if field.name not in _NOT_SENT
}


def _parts(kind: type[Any]) -> attrgetter[Any]:
    return attrgetter(*(field.name for field in fields(kind)))


_BINARY, _TRUNCATED, _DIAGNOSIS = _parts(Binary), _parts(Truncated), _parts(Diagnosis)


class WireError(ValueError):
    """The bytes are not a valid frame; the message says why."""


def record_to_wire(record: ExecFailure) -> bytes:
    """Encode a record; fields that have their default are left out."""
    values: dict[str, Any] = {}
    for name, default in _DEFAULTS.items():
        value = getattr(record, name)
        if value != default or default is MISSING:
            values[name] = value
    if record.binary is not None:
        values["binary"] = _BINARY(record.binary)
    if "truncated" in values:
        values["truncated"] = _TRUNCATED(record.truncated)
    if record.ancestors:
        values["ancestors"] = [(ancestor.pid, ancestor.comm) for ancestor in record.ancestors]
    return json.dumps(values, separators=(",", ":")).encode("ascii")


def record_from_wire(data: bytes) -> ExecFailure:
    """Decode a record.

    Raises:
        WireError: ``data`` is not a record.
    """
    try:
        values = {name: _frozen(value) for name, value in json.loads(data).items()}
        if (binary := values.get("binary")) is not None:
            values["binary"] = Binary(*binary)
        if (truncated := values.get("truncated")) is not None:
            values["truncated"] = Truncated(*truncated)
        if (ancestors := values.get("ancestors")) is not None:
            values["ancestors"] = tuple(Ancestor(*ancestor) for ancestor in ancestors)
        return ExecFailure(**values)
    except (ValueError, TypeError, AttributeError) as error:
        raise WireError(f"a record cannot be decoded ({type(error).__name__})") from error


def look_to_wire(look: Look) -> bytes:
    """Encode a look."""
    binary = None if look.binary is None else _BINARY(look.binary)
    values = _DIAGNOSIS(look.diagnosis), binary, look.interpreter_path, look.cgroup
    return json.dumps(values, separators=(",", ":")).encode("ascii")


def look_from_wire(data: bytes) -> Look:
    """Decode a look.

    Raises:
        WireError: ``data`` is not a look, or exceeds the limits of ``bounds``.
    """
    try:
        diagnosis, binary, interpreter_path, cgroup = _frozen(json.loads(data))
        look = Look(
            Diagnosis(*diagnosis), None if binary is None else Binary(*binary), interpreter_path, cgroup
        )
        check(look)
        return look
    except (ValueError, TypeError) as error:
        raise WireError(f"a look cannot be decoded ({type(error).__name__})") from error


def framed(payload: bytes, number: int = 0) -> bytes:
    """Return a payload as a frame. An answer has the number of its request."""
    return HEADER.pack(len(payload), number) + payload


class Frames:
    """Splits a stream of bytes into numbers and payloads.

    Args:
        longest: Most bytes of a payload.
    """

    def __init__(self, longest: int = MAX_FRAME) -> None:
        self._longest = longest
        self._received = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Add received bytes; return the payloads that are complete, each with its number.

        Raises:
            WireError: A frame claims to be longer than is allowed.
        """
        received = self._received
        received += data
        payloads: list[tuple[int, bytes]] = []
        at = 0
        while len(received) - at >= HEADER.size:
            length, number = HEADER.unpack_from(received, at)
            if length > self._longest:
                raise WireError(f"a frame of {length:,} bytes is longer than any that is sent")
            end = at + HEADER.size + length
            if len(received) < end:
                break
            payloads.append((number, bytes(received[at + HEADER.size : end])))
            at = end
        del received[:at]
        return payloads


def _frozen(value: Any) -> Any:  # noqa: ANN401
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
