"""How a record is cut into columns, and how it is put together again.

Facts that change together share a column: one lookup then encodes eight of them, and a filter looks
at each distinct combination once. A column's key is made of atoms and tuples of atoms only, which
hash fast and which the garbage collector stops tracking.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from execwhy.bpf.caller.cgroups import where_of
from execwhy.bpf.events.record import (
    Ancestor,
    Attempt,
    Binary,
    Diagnosis,
    ExecFailure,
    Look,
    Occurrence,
    Outcome,
    Search,
    Truncated,
)

Key = Hashable

NO_NUMBER: Final = -(2**63)
"""Stands for None in a column of numbers; no time, no pid and no id is that small."""


def _started(record: ExecFailure | Occurrence) -> int:
    return NO_NUMBER if record.started is None else record.started


def _search_id(record: ExecFailure | Occurrence) -> int:
    return NO_NUMBER if isinstance(record, Occurrence) or record.search is None else record.search.id


NUMBERS: Final[Mapping[str, Callable[[ExecFailure | Occurrence], int]]] = {
    "timestamp": attrgetter("timestamp"),
    "pid": attrgetter("pid"),
    "tid": attrgetter("tid"),
    "started": _started,
    "search_id": _search_id,
}
"""Near-unique integers: kept as they are (int64), since a dictionary of them would only be larger."""


@dataclass(frozen=True, slots=True)
class Group:
    """Fields of a record that share one column.

    Attributes:
        fields: Their names, in the order of ``unpack``.
        key: What is stored of a record (of an ``Occurrence`` too, in ``OWN_GROUPS``).
        unpack: The fields' values, from a key.
    """

    fields: tuple[str, ...]
    key: Callable[[Any], Key]
    unpack: Callable[[Any], tuple[Any, ...]]


def _alone(field: str) -> Group:
    return Group((field,), attrgetter(field), lambda key: (key,))


def _together(*fields: str) -> Group:
    return Group(fields, attrgetter(*fields), tuple)


def _optional(field: str, kind: Callable[..., Any], *parts: str) -> Group:
    whole, key_of = attrgetter(field), attrgetter(*parts)

    def key(record: ExecFailure) -> Key:
        value = whole(record)
        return None if value is None else key_of(value)

    return Group((field,), key, lambda key: (None if key is None else kind(*key),))


_ancestor: Final = attrgetter("pid", "comm")
_attempt: Final = attrgetter("path", "return_value")


def _search_key(search: Search | None) -> Key:
    return None if search is None else _told(search)


def _attempts_key(search: Search | None) -> Key:
    return () if search is None else tuple(map(_attempt, search.attempts))


def _search(
    search_id: int,
    told: tuple[str, int, Outcome, str | None, bool],
    attempts: tuple[tuple[str, int], ...],
) -> Search:
    name, tries, outcome, found_path, folded = told
    paths = tuple(Attempt(path, return_value) for path, return_value in attempts)
    return Search(search_id, name, tries, outcome, found_path, paths, folded)


def _family_key(record: ExecFailure) -> Key:
    return record.ppid, record.comm, record.parent_comm, tuple(map(_ancestor, record.ancestors))


def _family(key: tuple[int, str, str, tuple[tuple[int, str], ...]]) -> tuple[Any, ...]:
    return *key[:3], tuple(Ancestor(*ancestor) for ancestor in key[3])


BINARY: Final = (
    "path", "device_id", "device", "inode_number", "ctime", "inode_mode", "source", "uid", "gid", "size",
)  # fmt: skip
TRUNCATED: Final = (
    "arguments", "environment", "path", "argc", "envc", "argument_indexes", "environment_indexes",
    "long_argument", "long_variable",
)  # fmt: skip
DIAGNOSIS: Final = ("code", "summary", "evidence", "advice", "certain", "brief")
SEARCH: Final = ("name", "tries", "outcome", "found_path", "folded")
"""What repeats of a search, in the order of its column's key. Its id and its attempts are kept apart:
the id is near-unique, and one list of attempts is told by many searches."""

_told: Final = attrgetter(*SEARCH)

GROUPS: Final[Mapping[str, Group]] = {
    "path": _alone("path"),
    "binary": _optional("binary", Binary, *BINARY),
    "interpreter_path": _alone("interpreter_path"),
    "stdin": _together("stdin_type", "stdin_path"),
    "call": _together(
        "return_value", "syscall", "compat", "dirfd", "flags", "check_only",
        "kernel_invoked", "killed_by", "path_source", "arguments_source",
    ),
    "path_afterwards": _alone("path_afterwards"),
    "duration_ms": _alone("duration_ms"),
    "identity": _together(
        "uid", "euid", "gid", "egid", "fsuid", "fsgid", "groups", "capabilities",
        "foreign_user_ns",
    ),
    "family": Group(("ppid", "comm", "parent_comm", "ancestors"), _family_key, _family),
    "place": _together(
        "cwd", "root", "tty", "cgroup", "unit", "container_id", "container_runtime", "pod_uid",
        "mount_ns", "foreign_mount_ns", "pid_ns", "host",
    ),
    "task": _alone("task"),
    "arguments": _alone("arguments"),
    "environment": _alone("environment"),
    "truncated": Group(
        ("truncated",),
        attrgetter(*(f"truncated.{part}" for part in TRUNCATED)),
        lambda key: (Truncated(*key),),
    ),
    "diagnosis": _optional("diagnosis", Diagnosis, *DIAGNOSIS),
    "search": Group(("search",), lambda record: _search_key(record.search), lambda key: (key,)),
    "attempts": Group(("attempts",), lambda record: _attempts_key(record.search), lambda key: (key,)),
}  # fmt: skip

OWN_GROUPS: Final = frozenset({"task"})
"""Columns of facts that ``Occurrence`` has itself, beside the numbers."""

TEXTS: Final = frozenset({"arguments", "environment"})
"""Columns whose keys are tuples of many strings: they are kept as bytes, however short."""

_diagnosis_key: Final = attrgetter(*DIAGNOSIS)
_binary_key: Final = attrgetter(*BINARY)


def look_keys(look: Look) -> Mapping[str, Key]:
    """Return the keys of what a look found, by column; its cgroup is not among them."""
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
    """The keys of this search in the columns that have its parts, but for its id."""
    return {"search": _search_key(search), "attempts": _attempts_key(search)}


def record_of(numbers: Mapping[str, int], keys: Mapping[str, Key]) -> ExecFailure:
    """The record whose columns hold these numbers and keys."""
    facts: dict[str, Any] = {name: None if value == NO_NUMBER else value for name, value in numbers.items()}
    for name, group in GROUPS.items():
        facts.update(zip(group.fields, group.unpack(keys[name]), strict=True))
    search_id, attempts = facts.pop("search_id"), facts.pop("attempts")
    if facts["search"] is not None:
        facts["search"] = _search(search_id, facts["search"], attempts)
    return ExecFailure(**facts)
