"""Records that note which of their fields a diagnosis reads, to compare with what the causes declare."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

import pytest

from execwhy.bpf.caller import caller_root
from execwhy.bpf.events.record import ExecFailure, Truncated
from execwhy.tui.why import causes
from execwhy.tui.why.registry import Reading, Sharing, declared
from execwhy.tui.why.scene.readings import OF_THE_CALLER
from execwhy.tui.why.scene.scene import Scene

_FIELDS: Final = frozenset(field.name for field in dataclasses.fields(ExecFailure))
_replace: Final = dataclasses.replace
_call: Final = Reading.__call__


class Log:
    """The log of one record: the fields read, as "truncated.path", and the readings used."""

    def __init__(self) -> None:
        self.fields: set[str] = set()
        self.readings: set[Reading[Any]] = set()


class WatchedTruncated(Truncated):
    """The truncated facts of a record, with the log of that record."""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_"):
            object.__getattribute__(self, "_log").fields.add(f"truncated.{name}")
        return super().__getattribute__(name)


class WatchedRecord(ExecFailure):
    """A record that logs each field that is read."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name == "truncated":
            return _watched(WatchedTruncated, value, object.__getattribute__(self, "_log"))
        if name in _FIELDS:
            object.__getattribute__(self, "_log").fields.add(name)
        return value


def _watched(kind: type[Any], original: Any, log: Log) -> Any:
    values = {field.name: getattr(original, field.name) for field in dataclasses.fields(original)}
    watched = kind(**values)
    object.__setattr__(watched, "_log", log)
    return watched


def _plain(record: ExecFailure) -> ExecFailure:
    values = {name: object.__getattribute__(record, name) for name in _FIELDS}
    return ExecFailure(**values)


def watched(record: ExecFailure, log: Log) -> ExecFailure:
    """Return the record, with what is read of it in the log."""
    return _watched(WatchedRecord, record, log)  # type: ignore[no-any-return]


def undeclared(record: ExecFailure, log: Log) -> set[str]:
    """Return what the log has that the causes of the record's errno do not declare."""
    readings = causes.readings(-record.return_value)
    allowed = set(OF_THE_CALLER)
    for reading in readings:
        needed = Log()
        if reading.of(watched(record, needed)) is Sharing.NEVER:
            return set()
        # A field may be read if its value is part of the key of this record.
        allowed |= reading.fields & needed.fields
    unknown = {getattr(one.of, "__name__", "?") for one in log.readings - set(readings)}
    return (log.fields - allowed) | unknown


class WatchedScene(Scene):
    """A scene that adds what its causes read without having declared it to ``faults``."""

    faults: Final[list[str]] = []

    def __init__(self, record: ExecFailure, *arguments: Any) -> None:
        self._original, self._log = record, Log()
        super().__init__(watched(record, self._log), *arguments)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        found = undeclared(self._original, self._log)
        if found:
            self.faults.append(f"{self._original.error} reads {sorted(found)}, which no cause declares")

    def diagnosis(self, code: str, *arguments: Any, **more: Any) -> Any:
        errno = -self._original.return_value
        if not any(not one.errnos or errno in one.errnos for one in declared()[code]):
            self.faults.append(f"{code} is not declared for {self._original.error}")
        return super().diagnosis(code, *arguments, **more)


def _replaced(original: Any, **changes: Any) -> Any:
    if not isinstance(original, WatchedRecord):
        return _replace(original, **changes)
    return watched(_replace(_plain(original), **changes), object.__getattribute__(original, "_log"))


def _read(self: Reading[Any], record: ExecFailure) -> Any:
    if not isinstance(record, WatchedRecord):
        return _call(self, record)
    object.__getattribute__(record, "_log").readings.add(self)
    return _call(self, _plain(record))


@contextmanager
def watching(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail if a diagnosis reads of its record what its causes have not declared."""
    monkeypatch.setattr(causes, "Scene", WatchedScene)
    monkeypatch.setattr(Reading, "__call__", _read)
    monkeypatch.setattr(dataclasses, "replace", _replaced)
    monkeypatch.setattr(caller_root, "replace", _replaced)
    WatchedScene.faults.clear()
    yield
    assert WatchedScene.faults == []
