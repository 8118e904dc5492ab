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

from bpf.record import Ancestor, Binary, Diagnosis, ExecFailure, Search, Truncated

Key = Hashable

NUMBERS: Final = ("timestamp", "pid", "tid", "started")
"""Near-unique integers: kept as they are (int64), since a dictionary of them would only be larger."""

NO_NUMBER: Final = -(2**63)
"""Stands for None in a column of numbers; no time and no pid is that small."""


@dataclass(frozen=True, slots=True)
class Group:
    """Fields of a record that share one column.

    Attributes:
        fields: Their names, in the order of ``unpack``.
        key: What is stored of a record.
        unpack: The fields' values, from a key.
    """

    fields: tuple[str, ...]
    key: Callable[[ExecFailure], Key]
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


def _family_key(record: ExecFailure) -> Key:
    return record.ppid, record.comm, record.parent_comm, tuple(map(_ancestor, record.ancestors))


def _family(key: tuple[int, str, str, tuple[tuple[int, str], ...]]) -> tuple[Any, ...]:
    return *key[:3], tuple(Ancestor(*ancestor) for ancestor in key[3])


BINARY: Final = (
    "path", "device_id", "device", "inode_number", "ctime", "inode_mode", "source", "uid", "gid", "size",
)  # fmt: skip
TRUNCATED: Final = (
    "arguments", "environment", "path", "argc", "envc", "argument_indexes", "environment_indexes",
)  # fmt: skip
DIAGNOSIS: Final = ("code", "summary", "evidence", "advice", "certain", "brief")
SEARCH: Final = ("id", "name", "tries", "outcome", "found_path")

GROUPS: Final[Mapping[str, Group]] = {
    "path": _alone("path"),
    "binary": _optional("binary", Binary, *BINARY),
    "interpreter_path": _alone("interpreter_path"),
    "stdin": _together("stdin_type", "stdin_path"),
    "call": _together(
        "return_value", "syscall", "compat", "dirfd", "flags", "check_only",
        "kernel_invoked", "killed_by", "arguments_source",
    ),
    "identity": _together("uid", "euid", "gid", "egid", "fsuid", "fsgid", "groups", "capabilities"),
    "family": Group(("ppid", "comm", "parent_comm", "ancestors"), _family_key, _family),
    "place": _together(
        "cwd", "root", "tty", "cgroup", "unit", "container_id", "mount_ns", "pid_ns",
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
    "search": _optional("search", Search, *SEARCH),
}  # fmt: skip

TEXTS: Final = frozenset({"arguments", "environment"})
"""Columns whose keys are tuples of many strings, of which single ones repeat as well."""

_diagnosis_key: Final = attrgetter(*DIAGNOSIS)


def diagnosis_key(diagnosis: Diagnosis) -> Key:
    """The key of the column "diagnosis" for this diagnosis."""
    key: Key = _diagnosis_key(diagnosis)
    return key


def record_of(numbers: Mapping[str, int], keys: Mapping[str, Key]) -> ExecFailure:
    """The record whose columns hold these numbers and keys."""
    facts: dict[str, Any] = {name: None if value == NO_NUMBER else value for name, value in numbers.items()}
    for name, group in GROUPS.items():
        facts.update(zip(group.fields, group.unpack(keys[name]), strict=True))
    return ExecFailure(**facts)
