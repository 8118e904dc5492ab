"""The declarations of causes: the code, the errnos, what a cause reads, and its text in the manual.

``cause`` declares a code on the function that makes its diagnosis, and ``finds`` registers the function that
is called for an errno. The dispatch, the key of a shared diagnosis, the manual's CAUSES and the codes of the
filter language follow from both.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from execwhy.bpf.events.record import Diagnosis, ExecFailure

T_co = TypeVar("T_co", bound=Hashable, covariant=True)
F = TypeVar("F", bound=Callable[..., object])


class Sharing(Enum):
    """A reading's value that is not one of the record."""

    NEVER = "never"
    """Only this process at this moment has what is read, so the diagnosis is not shared."""


class Reading(Generic[T_co]):
    """A part of the record on which a diagnosis depends: two failures that share one must agree in it.

    Args:
        of: Returns that part.
        fields: Fields of the record, such as "truncated.path", that may be read directly, because they differ
            only if that part does.
    """

    def __init__(self, of: Callable[[ExecFailure], T_co], *fields: str) -> None:
        self.of = of
        self.fields = frozenset(fields)

    def __call__(self, record: ExecFailure) -> T_co:
        """Return that part of a record."""
        return self.of(record)


@functools.cache
def whole(*fields: str) -> Reading[Hashable]:
    """Return the reading of one or several entire fields."""
    return Reading(operator.attrgetter(*fields), *fields)


NEVER_SHARED: Final = Reading(lambda _record: Sharing.NEVER)
"""For causes that look at the caller's memory or its limits."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a cause declares.

    Attributes:
        code: Its stable name.
        errnos: The errors that it can explain; empty for a diagnosis of any error.
        manual: What it means, a sentence or two; ``env(1)`` names a manual page.
        reads: What it reads of the record beyond ``scene.readings.SCENE``.
    """

    code: str
    errnos: tuple[int, ...]
    manual: str
    reads: tuple[Reading[Hashable], ...] = ()


class Stage(Enum):
    """When the causes of an errno are looked for."""

    CALL = "call"
    """First: the call itself or a limit is at fault, whatever the file is."""
    FILE = "file"
    """Then: the file, its interpreters or the way to them show the fault."""


Finder = Callable[..., list[Diagnosis]]
"""Returns the causes that fit a ``Scene``. Where it returns several, none of them is claimed."""

_declarations: Final[list[Declaration]] = []
_finders: Final[dict[tuple[Stage, int], Finder]] = {}


def cause(
    code: str, *errnos: int, manual: str, reads: Iterable[Reading[Hashable] | str] = ()
) -> Callable[[F], F]:
    """Declare a cause on the function that makes its diagnosis; see ``Declaration`` for the arguments.

    One code can be declared several times, with another text for another errno.

    Raises:
        ValueError: The code is declared for that errno already.
    """
    readings = tuple(whole(one) if isinstance(one, str) else one for one in reads)
    declaration = Declaration(code, errnos, manual, readings)
    for other in _declarations:
        if other.code == code and (other.errnos == errnos or not {*other.errnos}.isdisjoint(errnos)):
            raise ValueError(f"{code} is declared twice for one errno")
    _declarations.append(declaration)
    declared.cache_clear()
    readings_of.cache_clear()

    def unchanged(function: F) -> F:
        return function

    return unchanged


def finds(*errnos: int, stage: Stage = Stage.FILE) -> Callable[[Finder], Finder]:
    """Register the function that finds the causes of these errors.

    Raises:
        ValueError: There is one already.
    """

    def register(finder: Finder) -> Finder:
        for number in errnos:
            if (stage, number) in _finders:
                raise ValueError(f"errno {number} has a finder of that stage already")
            _finders[stage, number] = finder
        return finder

    return register


def finder_of(stage: Stage, errno: int) -> Finder | None:
    """Return the function that finds the causes of an errno."""
    return _finders.get((stage, errno))


@functools.cache
def declared() -> Mapping[str, tuple[Declaration, ...]]:
    """Return the declarations of each code."""
    codes: dict[str, tuple[Declaration, ...]] = {}
    for one in _declarations:
        codes[one.code] = (*codes.get(one.code, ()), one)
    return MappingProxyType(codes)


@functools.cache
def readings_of(errno: int) -> tuple[Reading[Hashable], ...]:
    """Return what the causes of an errno read of the record, beyond what every look reads."""
    chosen = (one for one in _declarations if not one.errnos or errno in one.errnos)
    return tuple(dict.fromkeys(reading for one in chosen for reading in one.reads))
