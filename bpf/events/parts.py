"""The parts of a record: the file, what is missing, the diagnosis, the PATH search."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from execwhy.bpf.events.fields import U16, U32, U63, U64, Errno, Kind, Secret, Storage, fact

Outcome = Literal["found", "not-found", "open"]


@dataclass(frozen=True, slots=True)
class Binary:
    """The file that was to be executed."""

    path: str | None = field(
        metadata=fact(
            "Absolute path with every link followed, in the caller's root directory.",
            Kind.PATH, secret=Secret.BY_SHAPE, csv=26, csv_name="binary_path",
        )
    )  # fmt: skip
    device_id: U32 = field(
        metadata=fact("The kernel's s_dev: major << 20 | minor.", Kind.NUMBER),
    )
    device: str = field(
        metadata=fact(
            "The device as major:minor, as in /proc/PID/mountinfo.", Kind.TEXT, short=("device",), csv=27
        ),
    )
    inode_number: U64 = field(metadata=fact("Inode number.", Kind.NUMBER, short=("inode",), csv=28))
    ctime: U64 = field(
        metadata=fact("Last change of the inode: nanoseconds since 1970 UTC.", Kind.TIME, csv=30),
    )
    inode_mode: U16 = field(
        metadata=fact("The full i_mode: file type and permissions.", Kind.OCTAL, csv=29),
    )
    source: Literal["kernel", "resolved"] = field(
        metadata=fact(
            '"kernel": read from the file that the kernel had open. "resolved": looked up by path right '
            "after the exec failed.",
            Kind.TEXT,
        )
    )
    uid: U32 | None = field(default=None, metadata=fact("Owner.", Kind.NUMBER))
    gid: U32 | None = field(default=None, metadata=fact("Owning group.", Kind.NUMBER))
    size: U63 | None = field(default=None, metadata=fact("Size in bytes.", Kind.NUMBER))


@dataclass(frozen=True, slots=True)
class Truncated:
    """What is missing of argv, envp and path, and how much there was."""

    arguments: bool = field(
        default=False,
        metadata=fact(
            "Part of argv is missing: elements at its end, or the end of an element.",
            Kind.FLAG, csv=36, csv_name="arguments_truncated",
        ),
    )  # fmt: skip
    environment: bool = field(
        default=False,
        metadata=fact("The same for envp.", Kind.FLAG, csv=38, csv_name="environment_truncated"),
    )
    path: bool = field(
        default=False, metadata=fact("The path was longer than the 4,095 bytes that are read.", Kind.FLAG)
    )
    argc: U32 | None = field(
        default=None,
        metadata=fact(
            "How many arguments there were; null if the end of argv was not reached.", Kind.NUMBER, csv=35
        ),
    )
    envc: U32 | None = field(
        default=None,
        metadata=fact(
            "How many variables there were; null if the end of envp was not reached.", Kind.NUMBER, csv=37
        ),
    )
    argument_indexes: tuple[U32, ...] = field(
        default=(), metadata=fact("Indexes of the arguments of which only the beginning was read.")
    )
    environment_indexes: tuple[U32, ...] = field(
        default=(), metadata=fact("The same for the environment.")
    )  # fmt: skip
    long_argument: U32 | None = field(
        default=None,
        metadata=fact(
            "After E2BIG, the first argument that was not read whole and is longer than the kernel takes "
            "for one string. Only 64 pieces of 4 KiB, or 64 shorter strings, after those that were read "
            "are measured; null if it comes later, or if there is none."
        ),
    )
    long_variable: U32 | None = field(default=None, metadata=fact("The same for the environment."))


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A process above the caller."""

    pid: U32 = field(metadata=fact("Its pid, as on the host."))
    comm: str = field(metadata=fact("Its command name.", secret=Secret.BY_SHAPE))


DOUBT: Final = "Not certain: "
"""How a sentence of evidence begins that says why the cause is not certain."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why the exec failed (see ``tui.why.causes``)."""

    code: str = field(
        metadata=fact(
            'Name of the cause, such as "missing-interpreter"; it stays the same in later versions.',
            Kind.TEXT, csv=45,
        )
    )  # fmt: skip
    summary: str = field(
        metadata=fact(
            "The cause in one sentence.", Kind.TEXT, secret=Secret.BY_CONTEXT, csv=4, csv_name="why"
        )
    )
    evidence: tuple[str, ...] = field(
        default=(),
        metadata=fact(
            "The facts that were examined, one sentence each.", Kind.TEXT, secret=Secret.BY_CONTEXT
        ),
    )
    advice: str | None = field(
        default=None,
        metadata=fact("What to do, in one sentence.", Kind.TEXT, secret=Secret.BY_CONTEXT, csv=5),
    )
    certain: bool = field(
        default=True,
        metadata=fact(
            "False if evidence is missing or contradictory, or if something that the cause rests on may "
            "have changed between the exec and the look: a directory or a link on the way, the file, a "
            'mount, the working directory. The evidence then says what, as "Not certain: ...", and on the '
            "screen a question mark precedes the cause.",
            Kind.FLAG, csv=44,
        ),
    )  # fmt: skip
    brief: str = field(
        default="",
        metadata=fact(
            "The cause in as few words as a table column has room for.", Kind.TEXT, secret=Secret.BY_CONTEXT
        ),
    )

    @property
    def names_its_doubt(self) -> bool:
        """One of the evidence says why the cause is not certain."""
        return any(sentence.startswith(DOUBT) for sentence in self.evidence)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a failed exec found, by a process of its own, after the record was written.

    Attributes:
        diagnosis: Why the exec failed.
        binary: The file; None if there is none, or if the record's own says more.
        interpreter_path: Its interpreter, with the same meaning of None.
        cgroup: The cgroup that says most about where the caller runs, on a host with v1 hierarchies; None if
            that is the record's own.
    """

    diagnosis: Diagnosis
    binary: Binary | None = None
    interpreter_path: str | None = None
    cgroup: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a PATH search."""

    path: str = field(metadata=fact("The path as the caller gave it.", secret=Secret.BY_SHAPE))
    return_value: Errno = field(metadata=fact("The negative errno."))


@dataclass(frozen=True, slots=True)
class Search:
    """The PATH search that an exec belongs to.

    Its id is nearly unique, and many searches share one list of attempts, so the history keeps both apart.
    """

    id: U63 = field(
        metadata=fact(
            "The same for all tries of one search, and different for each search in a file.",
            Kind.NUMBER, column="search_id", storage=Storage.NUMBER,
        )
    )  # fmt: skip
    name: str = field(
        metadata=fact(
            "What was searched for: the last component of the path of every try.",
            Kind.TEXT, column="search", secret=Secret.BY_SHAPE,
        )
    )  # fmt: skip
    tries: U32 = field(metadata=fact("How many execs failed.", Kind.NUMBER, column="search"))
    outcome: Outcome = field(
        metadata=fact(
            '"found", "not-found", or "open" if it is not known.',
            Kind.TEXT, column="search", csv=46, csv_name="search",
        )
    )  # fmt: skip
    found_path: str | None = field(
        default=None,
        metadata=fact(
            "The path where it was found, as the caller gave it.",
            Kind.PATH, column="search", secret=Secret.BY_SHAPE,
        ),
    )  # fmt: skip
    attempts: tuple[Attempt, ...] = field(
        default=(),
        metadata=fact(
            "All tries, oldest first; only for the try whose row stands for the whole search.",
            secret=Secret.BY_SHAPE, in_file=False,
        ),
    )  # fmt: skip
    folded: bool = field(
        default=False,
        metadata=fact("Another try's row stands for this one.", column="search", in_file=False),
    )
