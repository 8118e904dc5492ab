"""How a record is split into columns, and how it is put together again.

Facts that change together share a column: one lookup then encodes eight of them, and a filter looks
at each distinct combination once. The key of a column consists only of atoms and tuples of atoms, which
hash fast and which the garbage collector stops tracking.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from execwhy.bpf.caller.cgroups import where_of
from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.fields import RecordField, Storage, fields_of
from execwhy.bpf.events.record import Attempt, Binary, Diagnosis, ExecFailure, Look, Search, Truncated

Key = Hashable

NO_NUMBER: Final = -(2**63)
"""Stands for None in a column of numbers; no time, no pid and no id is that small."""

_STORED: Final = tuple(
    field
    for field in fields_of(ExecFailure).values()
    if not field.derived and field.fact.storage is not Storage.NONE
)


def _number(name: str, *, optional: bool) -> Callable[[ExecFailure | Occurrence], int]:
    value = attrgetter(name)
    if not optional:
        return value

    def number(record: ExecFailure | Occurrence) -> int:
        held = value(record)
        return NO_NUMBER if held is None else int(held)

    return number


def _search_id(record: ExecFailure | Occurrence) -> int:
    return NO_NUMBER if record.search is None else record.search.id


NUMBERS: Final[Mapping[str, Callable[[ExecFailure | Occurrence], int]]] = {
    field.name: _number(field.name, optional=field.optional)
    for field in _STORED
    if field.fact.storage is Storage.NUMBER
} | {"search_id": _search_id}
"""Nearly unique integers, kept as int64, because a dictionary of them would only be larger."""

BLANK_NUMBERS: Final[Mapping[str, int]] = {
    field.name: NO_NUMBER if field.optional else 0
    for field in _STORED
    if field.fact.storage is Storage.NUMBER
} | {"search_id": NO_NUMBER}
"""Their values where there is no record, such as for a loss."""


@dataclass(frozen=True, slots=True)
class Group:
    """Fields of a record that share one column.

    Attributes:
        fields: Their names, in the order of ``unpack``.
        key: Returns the stored value of a record (in ``OWN_GROUPS`` also of an ``Occurrence``).
        unpack: Returns the values of the fields from a key.
        blank: The key where there is no record, such as for a loss.
    """

    fields: tuple[str, ...]
    key: Callable[[Any], Key]
    unpack: Callable[[Any], tuple[Any, ...]]
    blank: Key


def names_in(part: type[Any], column: str = "") -> tuple[str, ...]:
    """Return the fields of a record's part, in the order of the key of its column.

    Args:
        part: The part's class.
        column: Only those that this column holds.
    """
    return tuple(name for name, field in fields_of(part).items() if field.fact.column == (column or name))


BINARY: Final = names_in(Binary)
TRUNCATED: Final = names_in(Truncated)
DIAGNOSIS: Final = names_in(Diagnosis)
SEARCH: Final = names_in(Search, "search")
"""The fields of a search whose values repeat. Its id and its attempts have columns of their own."""


def _blank(field: RecordField) -> Key:
    """Return the value of a field where there is no record: None, or the smallest that its type allows."""
    if field.optional:
        return None
    if field.many:
        return ()
    if field.part is not None:
        return tuple(map(_blank, fields_of(field.part).values()))
    if field.type is bool:
        # 0 is equal to False, so a record's own False would be stored, and written, as 0.
        return False
    return "" if field.words or field.type is str else 0


def _part(field: RecordField, kind: type[Any]) -> Group:
    """Return the column of a part: its key holds the values of the part's fields."""
    names = names_in(kind)

    def unpack(key: Any) -> tuple[Any, ...]:  # noqa: ANN401
        return (None if key is None else kind(*key),)

    if not field.optional:
        key_of_parts = attrgetter(*(f"{field.name}.{name}" for name in names))
        return Group((field.name,), key_of_parts, unpack, _blank(field))
    whole, key_of = attrgetter(field.name), attrgetter(*names)

    def key(record: ExecFailure) -> Key:
        value = whole(record)
        return None if value is None else key_of(value)

    return Group((field.name,), key, unpack, None)


def _with_parts(plain: Sequence[RecordField], several: RecordField, kind: type[Any]) -> Group:
    """Return the column of a field of several parts, together with the fields that share it."""
    names = (*(field.name for field in plain), several.name)
    values, of_part = attrgetter(*names), attrgetter(*names_in(kind))
    if not plain:
        return Group(
            names, lambda record: tuple(map(of_part, values(record))), lambda key: (_parts(kind, key),), ()
        )

    def key(record: ExecFailure) -> Key:
        *shared, parts = values(record)
        return *shared, tuple(map(of_part, parts))

    return Group(names, key, lambda key: (*key[:-1], _parts(kind, key[-1])), (*map(_blank, plain), ()))


def _parts(kind: type[Any], keys: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    return tuple(kind(*key) for key in keys)


def _together(fields: Sequence[RecordField]) -> Group:
    """Return the column of fields that change together; only the last one may have parts."""
    *plain, last = fields
    if last.part is not None:
        return _with_parts(plain, last, last.part) if last.many else _part(last, last.part)
    names = tuple(field.name for field in fields)
    if not plain:
        return Group(names, attrgetter(*names), lambda key: (key,), _blank(last))
    return Group(names, attrgetter(*names), tuple, tuple(map(_blank, fields)))


_attempt: Final = attrgetter(*names_in(Attempt))
_of_search: Final = attrgetter(*SEARCH)


def _search_key(search: Search | None) -> Key:
    return None if search is None else _of_search(search)


def _attempts_key(search: Search | None) -> Key:
    return () if search is None else tuple(map(_attempt, search.attempts))


def _search(search_id: int, key: tuple[Any, ...], attempts: tuple[tuple[Any, ...], ...]) -> Search:
    return Search(id=search_id, attempts=_parts(Attempt, attempts), **dict(zip(SEARCH, key, strict=True)))


def _groups() -> Iterator[tuple[str, Group]]:
    sharing_one: defaultdict[str, list[RecordField]] = defaultdict(list)
    for field in _STORED:
        if field.fact.storage is not Storage.NUMBER and field.part is not Search:
            sharing_one[field.fact.column].append(field)
    for column, sharing in sharing_one.items():
        yield column, _together(sharing)
    yield "search", Group(("search",), lambda record: _search_key(record.search), lambda key: (key,), None)
    yield (
        "attempts",
        Group(("attempts",), lambda record: _attempts_key(record.search), lambda key: (key,), ()),
    )


GROUPS: Final[Mapping[str, Group]] = dict(_groups())

COLUMN_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    name: ("search",) if name == "attempts" else group.fields for name, group in GROUPS.items()
}
"""The fields of a record that each column holds."""

OWN_GROUPS: Final = frozenset(
    name for name, group in GROUPS.items() if set(group.fields) <= set(Occurrence._fields)
)
"""Columns of facts that an ``Occurrence`` has itself, besides the numbers."""

TEXTS: Final = frozenset(field.fact.column for field in _STORED if field.fact.storage is Storage.TEXTS)
"""Columns whose keys are tuples of many strings: they are kept as bytes, even short ones."""

_diagnosis_key: Final = attrgetter(*DIAGNOSIS)
_binary_key: Final = attrgetter(*BINARY)


def look_keys(look: Look) -> Mapping[str, Key]:
    """Return the keys of what a look found, by column, without its cgroup."""
    keys: dict[str, Key] = {"diagnosis": _diagnosis_key(look.diagnosis)}
    if look.binary is not None:
        keys["binary"] = _binary_key(look.binary)
    if look.interpreter_path is not None:
        keys["interpreter_path"] = look.interpreter_path
    return keys


def place_in_cgroup(key: Key, cgroup: str) -> Key:
    """Return the key of the column "place" with another cgroup, its unit and its container."""
    assert isinstance(key, tuple)
    facts = dict(zip(GROUPS["place"].fields, key, strict=True))
    facts |= {"cgroup": cgroup, **where_of(cgroup)._asdict()}
    return tuple(facts.values())


def search_keys(search: Search) -> Mapping[str, Key]:
    """Return the keys of a search in the columns of its parts, without its id."""
    return {"search": _search_key(search), "attempts": _attempts_key(search)}


def record_of(numbers: Mapping[str, int], keys: Mapping[str, Key]) -> ExecFailure:
    """Return the record whose columns hold these numbers and keys."""
    facts: dict[str, Any] = {name: None if value == NO_NUMBER else value for name, value in numbers.items()}
    for name, group in GROUPS.items():
        facts.update(zip(group.fields, group.unpack(keys[name]), strict=True))
    search_id, attempts = facts.pop("search_id"), facts.pop("attempts")
    if facts["search"] is not None:
        facts["search"] = _search(search_id, facts["search"], attempts)
    return ExecFailure(**facts)
