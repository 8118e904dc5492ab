"""The names of the filter language, and the field of a record that each stands for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from execwhy.bpf.events.fields import Kind, RecordField, Secret, Storage, fields_of
from execwhy.bpf.events.record import Ancestor, Attempt, Binary, Diagnosis, ExecFailure, Search
from execwhy.tui.model.history.columns import GROUPS, NO_NUMBER, NUMBERS, Key, names_in

__all__ = ["FIELDS", "FOLDED", "TEXT_KINDS", "Field", "Kind", "nearest"]

Picked = str | int | tuple[str | None, ...] | tuple[int, ...] | None


TEXT_KINDS: Final = frozenset({Kind.TEXT, Kind.PATH})


@dataclass(frozen=True, slots=True)
class Field:
    """One name of the language.

    Attributes:
        name: The record's name for it, such as "binary.inode_number".
        kind: How it is compared.
        help: What it is, in a few words.
        column: The column of the history that holds it.
        pick: Returns the value from that column's key; unused for a column of numbers.
        many: Whether it has several values; a condition holds if it holds for one of them.
        secret: Whether it may hold a secret.
        tries: The same field of each try of a search: a condition also holds if it holds for one of these.
    """

    name: str
    kind: Kind
    help: str
    column: str
    pick: Callable[[Any], Any]
    many: bool = False
    secret: Secret = Secret.NEVER
    tries: Field | None = None

    def of(self, record: ExecFailure) -> Picked:
        """Return the value in a record; the timestamp for an age."""
        if self.column in NUMBERS:
            number = NUMBERS[self.column](record)
            return None if number == NO_NUMBER else number
        value: Picked = self.pick(GROUPS[self.column].key(record))
        return value


def _same(key: Key) -> Key:
    return key


def _from(column: str, name: str) -> Callable[[Any], Any]:
    """Return a function that picks a field of the record from the key of a shared column."""
    return itemgetter(GROUPS[column].fields.index(name))


def _inside(part: type[Any], column: str, name: str) -> Callable[[Any], Any]:
    """Return a function that picks a part's field from its column's key; it returns None for no part."""
    index = names_in(part, column).index(name)
    return lambda key: None if key is None else key[index]


_mode: Final = _inside(Binary, "", "inode_mode")
_return_value: Final = _from("call", "return_value")
_ancestors: Final = _from("family", "ancestors")
_of_cause: Final = itemgetter(*map(names_in(Diagnosis).index, ("code", "summary", "brief")))
_comm: Final = itemgetter(names_in(Ancestor).index("comm"))
_tried: Final = itemgetter(names_in(Attempt).index("path"))


def _permissions(key: tuple[Any, ...] | None) -> int | None:
    return None if key is None else int(_mode(key)) & 0o7777


def _error(key: tuple[Any, ...]) -> int:
    return -int(_return_value(key))


def _why(key: tuple[Any, ...] | None) -> tuple[str, ...] | None:
    return None if key is None else _of_cause(key)


def _comms(key: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(map(_comm, _ancestors(key)))


def _tried_paths(key: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    return tuple(map(_tried, key))


_TRIES: Final = {"path": Field("path", Kind.PATH, "", "attempts", _tried_paths, many=True)}
"""Fields for which the one row of a search also stands for its other tries."""

_DERIVED: Final = (
    Field("error", Kind.ERROR, "The errno: its name or number.", "call", _error),
    Field("user", Kind.USER, "The real user: a name or a uid.", "identity", _from("identity", "uid")),
    Field("why", Kind.TEXT, "The cause: its code or its words.", "diagnosis", _why, many=True),
    Field("age", Kind.AGE, "How long ago: 30s, 5m, 2h, 1d.", "timestamp", _same),
    Field("mode", Kind.OCTAL, "Permissions of the file.", "binary", _permissions),
    Field("ancestors", Kind.TEXT, "Command name of any process above.", "family", _comms, many=True),
)
"""Names for values that a filter sees in another form than the record has."""

_MORE_NAMES: Final = {"errno": "error"}


def _whole(field: RecordField) -> Field | None:
    """Return the name of a field of the record itself; None if filters cannot use it."""
    known = field.fact
    pick: Callable[[Any], Any]
    if known.kind is None:
        return None
    if known.storage is Storage.NUMBER:
        column, pick = field.name, _same
    else:
        column = known.column
        pick = _from(column, field.name) if len(GROUPS[column].fields) > 1 else _same
    tries = _TRIES.get(field.name)
    return Field(field.name, known.kind, known.help, column, pick, field.many, known.secret, tries)


def _part(whole: str, part: type[Any], field: RecordField) -> Field | None:
    """Return the name of a field of a record's part; None if filters cannot use it."""
    known = field.fact
    pick: Callable[[Any], Any]
    if known.kind is None:
        return None
    if known.storage is Storage.NUMBER:
        column, pick = known.column, _same
    else:
        column, pick = whole, _inside(part, known.column if part is Search else "", field.name)
    return Field(f"{whole}.{field.name}", known.kind, known.help, column, pick, field.many, known.secret)


def _named() -> dict[str, Field]:
    found: dict[str, Field] = {}
    short: dict[str, Field] = {}
    for field in fields_of(ExecFailure).values():
        declared = [(field, _whole(field))]
        if field.part is not None and not field.many:
            declared += [
                (inner, _part(field.name, field.part, inner)) for inner in fields_of(field.part).values()
            ]
        for of_table, name in declared:
            if name is not None:
                found[name.name] = name
                short |= dict.fromkeys(of_table.fact.short, name)
    found |= {field.name: field for field in _DERIVED}
    return found | short | {other: found[name] for other, name in _MORE_NAMES.items()}


FOLDED: Final = Field("search.folded", Kind.FLAG, "", "search", _inside(Search, "search", "folded"))
"""Whether another row stands for this one. Not a name of the language: folded events are never shown."""

FIELDS: Final[Mapping[str, Field]] = _named()
"""All names of the language, including short ones."""


def nearest(name: str, names: Mapping[str, object]) -> str | None:
    """Return the name that was probably meant; None if none is similar."""
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return found[0] if found else None
