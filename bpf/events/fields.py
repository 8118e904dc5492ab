"""The table of fields: what each field of a record is, declared where the field is.

A field of ``ExecFailure`` and of its parts is a ``dataclasses.field(metadata=fact(...))``. Its annotation
says the type and the range of its values. Files, the history, the filter language, the masking of secrets,
the schema and the manual all follow from ``fields_of``; ``make fields`` writes the last two.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

_KEY: Final = "fact"


class Kind(enum.Enum):
    """How the filter language compares a field; the value is what the operator reads in a message."""

    TEXT = "text"
    PATH = "a path"
    NUMBER = "a number"
    OCTAL = "a file mode"
    FLAG = "true or false"
    ERROR = "an errno"
    USER = "a user"
    AGE = "an age"
    TIME = "a time"


class Secret(enum.Enum):
    """How a text may come to hold a secret, which is masked unless ``--show-secrets`` is given."""

    NEVER = "never"
    BY_SHAPE = "by its own shape"
    BY_CONTEXT = "by the text beside it, or as a quotation"


class Storage(enum.Enum):
    """How the history keeps a field."""

    SHARED = "a code in a column of distinct values"
    TEXTS = "the same, with the values as bytes: tuples of many strings"
    NUMBER = "an integer of 64 bits for each event: nearly every one is different"
    NONE = "not at all: only needed before an event is in the history"


@dataclass(frozen=True, slots=True)
class Range:
    """The integers that a field can hold, both ends included."""

    lowest: int
    highest: int


U16 = Annotated[int, Range(0, 2**16 - 1)]
U32 = Annotated[int, Range(0, 2**32 - 1)]
U64 = Annotated[int, Range(0, 2**64 - 1)]
I32 = Annotated[int, Range(-(2**31), 2**31 - 1)]
U63 = Annotated[int, Range(0, 2**63 - 1)]
"""What fits the history's integers, which are signed. Nanoseconds since 1970 last until 2262."""
Moment = Annotated[U63, "RFC 3339"]
"""Nanoseconds since 1970 UTC; in JSON a string."""
Errno = Annotated[int, Range(-4095, -1)]
"""A negative errno. MAX_ERRNO is 4095 (include/linux/err.h)."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known about a field besides its name and type.

    Attributes:
        help: What it is, for the manual and the schema: plain English, null instead of None.
        kind: How a filter compares it; None: no filter does, or only its parts.
        short: Other names of it in the filter language.
        column: The column of the history that holds it.
        storage: How that column keeps it.
        secret: Whether it may hold a secret.
        csv: Its position among the columns of a CSV file; -1: it is not in one.
        csv_name: The name of that column.
        in_file: Whether recordings and snapshots have it.
        only_if_known: Whether they leave it out, instead of writing null.
        after: For a property: the field that it follows.
    """

    help: str
    kind: Kind | None
    short: tuple[str, ...]
    column: str
    storage: Storage
    secret: Secret
    csv: int
    csv_name: str
    in_file: bool
    only_if_known: bool
    after: str


def fact(
    help: str,
    kind: Kind | None = None,
    *,
    short: tuple[str, ...] = (),
    column: str = "",
    storage: Storage = Storage.SHARED,
    secret: Secret = Secret.NEVER,
    csv: int = -1,
    csv_name: str = "",
    in_file: bool = True,
    only_if_known: bool = False,
    after: str = "",
) -> Mapping[str, Fact]:
    """Return the metadata of a field; see ``Fact``.

    Args:
        help: What the field is.
        kind: How a filter compares it.
        short: Other names of it in the filter language.
        column: The column of the history that it shares with others that change together; "": its own.
        storage: How that column keeps it.
        secret: Whether it may hold a secret.
        csv: Its position in a CSV file. A new one goes to the end, since readers rely on positions.
        csv_name: The name of that column, unless it is the field's.
        in_file: False: it is of use only while execwhy runs.
        only_if_known: Leave it out of a file, instead of writing null.
        after: For a property: the field that it follows.
    """
    return {
        _KEY: Fact(
            help, kind, short, column, storage, secret, csv, csv_name, in_file, only_if_known, after
        )
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecordField:
    """A field of a record, or of a part of one.

    Attributes:
        name: Its name.
        fact: What was declared for it, with column and CSV name filled in.
        type: The type of its value, or of each value if it has many.
        optional: It may be None.
        many: It is a tuple; ``type`` is that of the elements.
        limits: The range of its integers.
        words: The only texts that it can be; empty: any.
        part: The dataclass that its value is, or each of its values.
        moment: It is a time.
        required: It has no default.
        derived: It is a property, and can be read but not set.
    """

    name: str
    fact: Fact
    type: Any
    optional: bool
    many: bool
    limits: Range | None
    words: tuple[str, ...]
    part: type[Any] | None
    moment: bool
    required: bool
    derived: bool = False


Getter = TypeVar("Getter", bound=Callable[..., Any])


def described(metadata: Mapping[str, Fact]) -> Callable[[Getter], Getter]:
    """Declare a property as a field that is derived from others; goes below ``@property``."""

    def describe(getter: Getter) -> Getter:
        setattr(getter, _KEY, metadata)
        return getter

    return describe


_known: Final[dict[type[Any], Mapping[str, RecordField]]] = {}


def fields_of(kind: type[Any]) -> Mapping[str, RecordField]:
    """Return the fields of a dataclass by name, in the order in which files have them."""
    if kind not in _known:
        _known[kind] = MappingProxyType({field.name: field for field in _fields(kind)})
    return _known[kind]


def _fields(kind: type[Any]) -> Iterator[RecordField]:
    hints = get_type_hints(kind, include_extras=True)
    properties = {name: value.fget for name, value in vars(kind).items() if hasattr(value, "fget")}
    derived = {name: getter for name, getter in properties.items() if hasattr(getter, _KEY)}
    for field in dataclasses.fields(kind):
        required = field.default is MISSING and field.default_factory is MISSING
        yield _field(field.name, field.metadata[_KEY], hints[field.name], required=required)
        for name, getter in derived.items():
            declared = getattr(getter, _KEY)[_KEY]
            if declared.after == field.name:
                returned = get_type_hints(getter, include_extras=True)["return"]
                yield dataclasses.replace(_field(name, declared, returned, required=False), derived=True)


def _field(name: str, declared: Fact, hint: Any, *, required: bool) -> RecordField:  # noqa: ANN401
    filled_in = dataclasses.replace(
        declared, column=declared.column or name, csv_name=declared.csv_name or name
    )
    base, optional = _without_none(hint)
    many = get_origin(base) is tuple
    element = get_args(base)[0] if many else base
    plain = _without_none(element)[0]
    extras = getattr(plain, "__metadata__", ())
    plain = get_args(plain)[0] if extras else plain
    return RecordField(
        name,
        filled_in,
        element,
        optional,
        many,
        next((extra for extra in extras if isinstance(extra, Range)), None),
        get_args(plain) if get_origin(plain) is Literal else (),
        plain if dataclasses.is_dataclass(plain) and isinstance(plain, type) else None,
        "RFC 3339" in extras,
        required,
    )


def _without_none(hint: Any) -> tuple[Any, bool]:  # noqa: ANN401
    """Return a type without None, and whether None was part of it."""
    if get_origin(hint) not in (Union, UnionType):
        return hint, False
    (base,) = (option for option in get_args(hint) if option is not NoneType)
    return base, True
