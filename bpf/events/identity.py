"""What makes two failed starts the same: a key for each purpose, made of fields of the table.

An ``Identity`` says for every field of a record whether it belongs to the key and, if not, why. A test checks
that no field is missing, so a new field needs an entry here for each purpose.

Three comparisons have no key here. ``IdentityMemo`` and ``Enricher`` compare template objects, which
occurrences share. The ring's ``RecordRun`` and the ``Decoder`` compare bytes; ``RUN`` and ``OCCURRENCE``
state the same in terms of fields. The kernel program reuses the cgroup and the ancestors of a task that it
has just seen if ``limits.KNOWN_WORDS`` addresses and ids agree, which no record has.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.fields import fields_of
from execwhy.bpf.events.record import ExecFailure

Key = Callable[[Any], Hashable]

_NOT_IN_PARTS: Final = ("diagnosis", "search")
"""Parts of a record that are always taken as a whole."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What two failures agree in if they are the same for one purpose.

    Attributes:
        reason: What they then share, and why it is right to share it.
        fields: The fields in which they agree, always. A field of a part is dotted: "binary.ctime".
        sometimes: Fields in which they agree only under a condition, by the condition.
        derived: Fields of which only something derived counts: what that is.
        left_out: Fields in which they may differ: why.
    """

    reason: str
    fields: tuple[str, ...]
    sometimes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    derived: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def covered(self) -> frozenset[str]:
        """Every field that has to do with the key, whole parts included."""
        sometimes = (name for names in self.sometimes.values() for name in names)
        return frozenset((*self.fields, *sometimes, *self.derived))

    def places_of(self, leaf: str) -> int:
        """Return how many entries decide about a field, by its own name or its part's; it should be one."""
        named = (*self.fields, *self.derived, *self.left_out)
        sometimes = {name for names in self.sometimes.values() for name in names}
        return sum(_is_within(leaf, name) for name in (*named, *(sometimes - {*named})))

    def key(self) -> Key:
        """Return a function that takes the values of ``fields`` from a record."""
        return _key(self.fields)

    def key_if(self, condition: str) -> Key:
        """Return a function that takes the fields of one condition from a record."""
        return _key(self.sometimes[condition])

    def columns(self, columns: Mapping[str, Iterable[str]]) -> tuple[frozenset[str], tuple[str, ...]]:
        """Return the columns that ``fields`` cover as a whole, and the fields that are in no such column.

        Args:
            columns: The fields of each column.
        """
        wholes = {name for name, within in columns.items() if all(map(self.has, within))}
        covered = {each for name in wholes for each in columns[name]}
        rest = (name for name in self.fields if name not in covered and _whole(name) not in covered)
        return frozenset(wholes), tuple(rest)

    def has(self, name: str) -> bool:
        """Return whether ``fields`` has a field, or each field of a part."""
        within = [leaf for leaf in leaves() if _is_within(leaf, name)]
        return bool(within) and all(leaf in self.fields or _whole(leaf) in self.fields for leaf in within)


@functools.cache
def leaves() -> tuple[str, ...]:
    """Return the names of all fields of a record, with the fields of a part instead of the part."""
    return tuple(_leaves())


def _leaves() -> Iterator[str]:
    for name, each in fields_of(ExecFailure).items():
        if each.derived:
            continue
        if each.part is None or each.many or name in _NOT_IN_PARTS:
            yield name
        else:
            yield from (f"{name}.{inner}" for inner in fields_of(each.part))


def _is_within(name: str, whole: str) -> bool:
    return name == whole or name.startswith(f"{whole}.")


def _whole(name: str) -> str:
    """Return the part that a field is of, or the field itself."""
    return name.partition(".")[0]


def _key(names: Iterable[str]) -> Key:
    """Return a function that takes these fields from a record; None if they are of a binary that it lacks."""
    names = tuple(names)
    plain = [name for name in names if not name.startswith("binary.")]
    of_binary = [name.partition(".")[2] for name in names if name.startswith("binary.")]
    of_record = attrgetter(*plain)
    if not of_binary:
        return of_record
    of_part = attrgetter(*of_binary)

    def key(record: ExecFailure) -> Hashable:
        binary = record.binary
        return None if binary is None else of_part(binary), of_record(record)

    return key


def all_but(*differing: str) -> tuple[str, ...]:
    """Return all fields except these; the name of a part stands for all of its fields."""
    return tuple(name for name in leaves() if name not in differing and _whole(name) not in differing)


FOUND_LATER: Final = {
    "diagnosis": "it is found later, by a look",
    "search": "it is found later, from what follows",
    "host": "only files opened together have hosts, and nothing is looked up for these",
}
"""Fields that a record lacks while it is captured, and why keys leave them out."""

RUN: Final = Identity(
    "Records in the ring that differ only in time stay one burst: a core that does nothing but fail writes"
    " them faster than Python can look at each.",
    fields=all_but("timestamp", *FOUND_LATER),
    left_out={"timestamp": "it is what a burst keeps of each"} | FOUND_LATER,
)

_OF_ITS_OWN: Final = dict.fromkeys(
    (name for name in Occurrence._fields if name != "template"), "an occurrence has its own"
)

OCCURRENCE: Final = Identity(
    "Records that differ only in time and process share a template: what is worked out of it holds for each.",
    fields=all_but(*_OF_ITS_OWN, *FOUND_LATER),
    left_out=_OF_ITS_OWN | FOUND_LATER,
)

CONDENSED: Final = Identity(
    "In a full history, of the failures of one run within a second one stays and counts the others. Whatever"
    " a filter or a group can ask of the others it can ask of that one; searches differ in their ids all the"
    " same.",
    fields=all_but(*_OF_ITS_OWN),
    left_out=_OF_ITS_OWN | {"timestamp": "the second decides; the first and the last time are kept"},
)

ABROAD: Final = "in another mount namespace"
RELATIVE: Final = "relative path"
OF_PROCESS: Final = "start of the path known to the process alone"

CACHED_LOOKUP: Final = Identity(
    "Failures that wait together share the file that their path leads to: they all failed before it was"
    " sought, and a later look would only be further from the exec.",
    fields=("mount_ns", "root", "path", "flags", "truncated.path"),
    sometimes={
        # The next namespace gets the number of one that has ended, such as a restarted container's.
        ABROAD: ("ppid", "cgroup"),
        RELATIVE: ("cwd", "dirfd"),
        OF_PROCESS: ("pid",),
    },
    left_out=dict.fromkeys(
        (
            "uid", "euid", "gid", "egid", "fsuid", "fsgid", "groups", "capabilities", "foreign_user_ns",
        ),
        "the way is walked with execwhy's rights; where the caller's user matters to it, the answer is not"
        " shared (Resolution.personal)",
    )
    | dict.fromkeys(
        (
            "kind", "path_source", "path_afterwards", "return_value", "syscall", "compat", "check_only",
            "kernel_invoked", "killed_by", "arguments", "arguments_source", "environment", "interpreter_path",
            "truncated.arguments", "truncated.environment", "truncated.argc", "truncated.envc",
            "truncated.argument_indexes", "truncated.environment_indexes", "truncated.long_argument",
            "truncated.long_variable", "stdin_type", "stdin_path", "comm", "parent_comm", "ancestors", "tty",
            "unit", "container_id", "container_runtime", "pod_uid", "pid_ns", "foreign_mount_ns", "tid",
            "task", "started", "duration_ms", "shared_directories",
        ),
        "a path leads to the same file whatever this is",
    )
    | {"timestamp": "compared apart: who failed after the look has one of its own"}
    | {"binary": "what the kernel had open is compared with the answer"}
    | FOUND_LATER,
)  # fmt: skip

OF_SOME_CAUSES: Final = "a cause of that errno reads it"
"""What else counts is declared by the causes (``tui.why.registry``)."""

SHARED_DIAGNOSIS: Final = Identity(
    "Failures whose causes would be looked for in the same way share one look and its diagnosis. The key has"
    " all that a cause of their errno reads of the record; what it reads beside that is the same for all of"
    " them while no file changes.",
    fields=(
        "kind", "return_value", "path", "path_source", "truncated.path", "binary", "interpreter_path", "root",
        "cwd", "uid", "euid", "fsuid", "fsgid", "groups", "capabilities", "foreign_mount_ns",
        "foreign_user_ns", "shared_directories", "pid_ns", "syscall", "flags", "compat", "kernel_invoked",
        "check_only",
    ),
    sometimes={OF_SOME_CAUSES: ("ppid", "cgroup", "arguments", "environment", "comm")},
    derived={
        "mount_ns": "with the parent and the cgroup where it is not execwhy's own: numbers are used again",
        "duration_ms": "nothing, where it is so short that it makes no difference",
        "dirfd": "whether the path begins at a descriptor; then the diagnosis is not shared",
        "killed_by": "whether the caller was killed; then the diagnosis is not shared",
    },
    left_out=dict.fromkeys(
        ("timestamp", "started", "pid", "tid", "ancestors"),
        "it leads to the caller and says how long ago it called; where that decides, nothing is shared",
    )
    | dict.fromkeys(
        (
            "arguments_source", "truncated.arguments", "truncated.environment", "truncated.argc",
            "truncated.envc", "truncated.argument_indexes", "truncated.environment_indexes",
            "truncated.long_argument", "truncated.long_variable",
        ),
        "only causes read it whose diagnosis is not shared",
    )
    | dict.fromkeys(
        (
            "path_afterwards", "stdin_type", "stdin_path", "gid", "egid", "parent_comm", "tty", "unit",
            "container_id", "container_runtime", "pod_uid", "task",
        ),
        "no cause reads it",
    )
    | FOUND_LATER,
)  # fmt: skip

OF_THE_STRINGS: Final = "the strings are at fault"

ON_SCREEN: Final = Identity(
    "One row shows the same failure of the same program for a minute, and how often it came.",
    fields=(
        "path", "binary.path", "binary.device_id", "binary.device", "binary.inode_number", "binary.ctime",
        "binary.inode_mode", "binary.source", "binary.uid", "binary.gid", "binary.size", "interpreter_path",
        "kind", "path_source", "kernel_invoked", "arguments_source", "return_value", "syscall", "compat",
        "dirfd", "flags", "check_only", "killed_by",
        "uid", "euid", "gid", "egid", "fsuid", "fsgid", "groups", "capabilities", "foreign_user_ns",
        "shared_directories", "comm", "parent_comm", "cwd", "root", "unit", "container_id", "mount_ns",
        "host",
    ),
    sometimes={OF_THE_STRINGS: ("arguments", "environment")},
    left_out=_OF_ITS_OWN
    | {"timestamp": "a run lasts a minute"}
    | dict.fromkeys(("ppid", "ancestors"), "a crash loop may have another parent each time, of the same name")
    | dict.fromkeys(
        ("cgroup", "container_runtime", "pod_uid"),
        "unit and container say which it is; the cgroup's path is not always known where there are several"
        " hierarchies",
    )
    | dict.fromkeys(
        ("stdin_type", "stdin_path", "tty", "pid_ns", "foreign_mount_ns", "duration_ms", "path_afterwards"),
        "nobody would call it another failure for that",
    )
    | dict.fromkeys(
        (
            "truncated.arguments", "truncated.environment", "truncated.path", "truncated.argc",
            "truncated.envc", "truncated.argument_indexes", "truncated.environment_indexes",
            "truncated.long_argument", "truncated.long_variable",
        ),
        "of the strings",
    )
    | dict.fromkeys(("diagnosis", "search"), "found later; a run has them of its first"),
)  # fmt: skip

LOSSES_ON_SCREEN: Final = ("reason", "host")
"""The fields in which losses agree that one row shows, for a minute; their counts are added up."""

FAILURE_PURPOSES: Final[Mapping[str, Identity]] = {
    "run": RUN,
    "occurrence": OCCURRENCE,
    "cached look-up": CACHED_LOOKUP,
    "shared diagnosis": SHARED_DIAGNOSIS,
    "on screen": ON_SCREEN,
    "condensed": CONDENSED,
}
"""Every identity of failures, by what it is for."""
