"""The names of the filter language, and where in a record each one looks."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.history.columns import (
    BINARY,
    DIAGNOSIS,
    GROUPS,
    NO_NUMBER,
    NUMBERS,
    SEARCH,
    TRUNCATED,
    Key,
)

Picked = str | int | tuple[str | None, ...] | tuple[int, ...] | None


class Kind(enum.Enum):
    """How a field is compared; the value is what the operator reads in a message."""

    TEXT = "text"
    PATH = "a path"
    NUMBER = "a number"
    OCTAL = "a file mode"
    FLAG = "true or false"
    ERROR = "an errno"
    USER = "a user"
    AGE = "an age"
    TIME = "a time"


TEXT_KINDS: Final = frozenset({Kind.TEXT, Kind.PATH})


@dataclass(frozen=True, slots=True)
class Field:
    """One name of the language.

    Attributes:
        name: The record's name for it, such as "binary.inode_number".
        kind: How it is compared.
        help: What it is, in a few words.
        column: The column of the history that has it.
        pick: The value, from that column's key; unused for a column of numbers.
        many: It has several values; a term holds where it holds for one of them.
        tries: The same fact of each try of a search: a term holds where it holds for one of these, too.
    """

    name: str
    kind: Kind
    help: str
    column: str
    pick: Callable[[Any], Any]
    many: bool = False
    tries: Field | None = None

    def of(self, record: ExecFailure) -> Picked:
        """The value in a record; the timestamp for an age."""
        if self.column in NUMBERS:
            number = NUMBERS[self.column](record)
            return None if number == NO_NUMBER else number
        value: Picked = self.pick(GROUPS[self.column].key(record))
        return value


def _same(key: Key) -> Key:
    return key


def _inside(index: int) -> Callable[[Any], Any]:
    return lambda key: None if key is None else key[index]


def _permissions(key: tuple[Any, ...] | None) -> int | None:
    return None if key is None else int(key[BINARY.index("inode_mode")]) & 0o7777


def _error(key: tuple[Any, ...]) -> int:
    return -int(key[0])


def _why(key: tuple[Any, ...] | None) -> tuple[str, ...] | None:
    return None if key is None else (key[0], key[1], key[5])


def _tried_paths(key: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    return tuple(path for path, _ in key)


_TRIES: Final = {"path": Field("path", Kind.PATH, "", "attempts", _tried_paths, many=True)}
"""What a search's one row tells of its other tries as well."""

_WHOLE: Final = {
    "path": (Kind.PATH, "path as the caller gave it; of a search, any try's"),
    "path_source": (Kind.TEXT, "kernel, unchanged or user"),
    "path_afterwards": (Kind.PATH, "what the caller's memory had in its place afterwards"),
    "interpreter_path": (Kind.PATH, "interpreter of the file"),
    "arguments": (Kind.TEXT, "any argument"),
    "environment": (Kind.TEXT, "any variable, NAME=value"),
    "stdin_type": (Kind.OCTAL, "file type of descriptor 0, as S_IFMT has it"),
    "stdin_path": (Kind.PATH, "path of descriptor 0"),
    "return_value": (Kind.NUMBER, "negative errno"),
    "syscall": (Kind.TEXT, "execve or execveat"),
    "compat": (Kind.FLAG, "32-bit system call"),
    "dirfd": (Kind.NUMBER, "directory descriptor of execveat"),
    "flags": (Kind.NUMBER, "flags of execveat"),
    "check_only": (Kind.FLAG, "only a check: AT_EXECVE_CHECK"),
    "kernel_invoked": (Kind.FLAG, "started by the kernel itself"),
    "killed_by": (Kind.TEXT, "signal, after the point of no return"),
    "arguments_source": (Kind.TEXT, "kernel, user or unreadable"),
    "pid": (Kind.NUMBER, "process"),
    "tid": (Kind.NUMBER, "thread"),
    "ppid": (Kind.NUMBER, "parent process"),
    "uid": (Kind.NUMBER, "real user id"),
    "euid": (Kind.NUMBER, "effective user id"),
    "gid": (Kind.NUMBER, "real group id"),
    "egid": (Kind.NUMBER, "effective group id"),
    "fsuid": (Kind.NUMBER, "user id for file permissions"),
    "fsgid": (Kind.NUMBER, "group id for file permissions"),
    "groups": (Kind.NUMBER, "any supplementary group id"),
    "capabilities": (Kind.NUMBER, "effective capabilities, a bit each"),
    "comm": (Kind.TEXT, "command name of the caller"),
    "parent_comm": (Kind.TEXT, "command name of its parent"),
    "cwd": (Kind.PATH, "working directory"),
    "root": (Kind.PATH, "root directory, where changed"),
    "tty": (Kind.TEXT, "terminal"),
    "cgroup": (Kind.PATH, "cgroup path"),
    "unit": (Kind.TEXT, "systemd unit"),
    "container_id": (Kind.TEXT, "container"),
    "container_runtime": (Kind.TEXT, "docker, containerd, cri-o, podman or lxc"),
    "pod_uid": (Kind.TEXT, "Kubernetes pod"),
    "mount_ns": (Kind.NUMBER, "inode number of the mount namespace"),
    "foreign_mount_ns": (Kind.FLAG, "the mount namespace is of another user namespace"),
    "pid_ns": (Kind.NUMBER, "inode number of the pid namespace"),
    "started": (Kind.NUMBER, "when the process started, ns of the boot clock"),
    "duration_ms": (Kind.NUMBER, "how long the call took, ms, rounded up"),
    "timestamp": (Kind.TIME, "when the exec returned, UTC"),
    "host": (Kind.TEXT, "where, with several files opened"),
}
"""Fields of the record itself."""

_MANY: Final = frozenset({"arguments", "environment", "groups"})

_INSIDE: Final = {
    "binary.path": (Kind.PATH, "the file, every link followed"),
    "binary.device_id": (Kind.NUMBER, "its device, as the kernel's s_dev"),
    "binary.device": (Kind.TEXT, "its device, major:minor"),
    "binary.inode_number": (Kind.NUMBER, "its inode number"),
    "binary.ctime": (Kind.TIME, "last change of its inode, UTC"),
    "binary.inode_mode": (Kind.OCTAL, "its type and permissions"),
    "binary.source": (Kind.TEXT, "kernel or resolved"),
    "binary.uid": (Kind.NUMBER, "its owner"),
    "binary.gid": (Kind.NUMBER, "its group"),
    "binary.size": (Kind.NUMBER, "its size in bytes"),
    "truncated.arguments": (Kind.FLAG, "some of the arguments is missing"),
    "truncated.environment": (Kind.FLAG, "some of the environment is missing"),
    "truncated.path": (Kind.FLAG, "the path's end is missing"),
    "truncated.argc": (Kind.NUMBER, "how many arguments there were"),
    "truncated.envc": (Kind.NUMBER, "how many variables there were"),
    "diagnosis.code": (Kind.TEXT, "the cause's name"),
    "diagnosis.summary": (Kind.TEXT, "the cause in a sentence"),
    "diagnosis.evidence": (Kind.TEXT, "any fact that was looked at"),
    "diagnosis.advice": (Kind.TEXT, "what to do"),
    "diagnosis.certain": (Kind.FLAG, "the evidence is complete"),
    "diagnosis.brief": (Kind.TEXT, "the cause in few words"),
    "search.name": (Kind.TEXT, "the name searched for"),
    "search.tries": (Kind.NUMBER, "how many execs of it failed"),
    "search.outcome": (Kind.TEXT, "found, not-found or open"),
    "search.found_path": (Kind.PATH, "where it was found"),
}
"""Fields of the record's parts."""

_PARTS: Final = {"binary": BINARY, "truncated": TRUNCATED, "diagnosis": DIAGNOSIS, "search": SEARCH}

_DERIVED: Final = (
    Field("error", Kind.ERROR, "errno: name or number", "call", _error),
    Field("search.id", Kind.NUMBER, "the PATH search", "search_id", _same),
    Field("user", Kind.USER, "real user: name or uid", "identity", itemgetter(0)),
    Field("why", Kind.TEXT, "the cause: its name or its words", "diagnosis", _why, many=True),
    Field("age", Kind.AGE, "how long ago: 30s, 5m, 2h, 1d", "timestamp", _same),
    Field("mode", Kind.OCTAL, "permissions of the file", "binary", _permissions),
    Field(
        "ancestors",
        Kind.TEXT,
        "command name of any process above",
        "family",
        lambda key: tuple(comm for _, comm in key[3]),
        many=True,
    ),
)

_SHORT: Final = {
    "errno": "error",
    "container": "container_id",
    "runtime": "container_runtime",
    "pod": "pod_uid",
    "interp": "interpreter_path",
    "arg": "arguments",
    "env": "environment",
    "inode": "binary.inode_number",
    "device": "binary.device",
    "stdin": "stdin_path",
}


def _columns() -> Iterator[tuple[str, str, Callable[[Any], Any]]]:
    """The column of each field of the record, and how its key has it."""
    for number in NUMBERS:
        yield number, number, _same
    for name, group in GROUPS.items():
        for index, field in enumerate(group.fields):
            yield field, name, _same if len(group.fields) == 1 else itemgetter(index)


def _fields() -> Iterator[Field]:
    columns = {name: (column, pick) for name, column, pick in _columns()}
    for name, (kind, text) in _WHOLE.items():
        column, pick = columns[name]
        yield Field(name, kind, text, column, pick, many=name in _MANY, tries=_TRIES.get(name))
    for name, (kind, text) in _INSIDE.items():
        whole, _, part = name.partition(".")
        many = name == "diagnosis.evidence"
        yield Field(name, kind, text, whole, _inside(_PARTS[whole].index(part)), many=many)
    yield from _DERIVED


def _named() -> dict[str, Field]:
    fields = {field.name: field for field in _fields()}
    return fields | {short: fields[name] for short, name in _SHORT.items()}


FOLDED: Final = Field("search.folded", Kind.FLAG, "", "search", _inside(SEARCH.index("folded")))
"""Told by another row. No name of the language, since what is folded is never shown."""

FIELDS: Final[Mapping[str, Field]] = _named()
"""Every name of the language, short ones included."""


def nearest(name: str, names: Mapping[str, object]) -> str | None:
    """The name that was probably meant."""
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return found[0] if found else None
