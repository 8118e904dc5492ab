"""The kinds of events: a closed set, declared once, from the kernel's header byte to the screen.

A layer that treats kinds differently keeps a table made by ``by_kind``. The table must cover every kind:
after a kind is added here, importing a module without an entry for it fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

T = TypeVar("T")

FailureKind = Literal["exec"]
"""Names of the kinds of starts that fail; ``ExecFailure.kind`` is one of them."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """One kind of event.

    Attributes:
        name: Its name in files and filters.
        code: The value of the byte ``kind`` in the header of a raw record; 0: the kernel writes none.
        is_failure: It is a start that failed: it has a caller and a cause, and a row in the columns of the
            history. Else it is a mark in time that the history keeps as it is.
    """

    name: str
    code: int
    is_failure: bool


EXEC: Final = EventKind("exec", code=1, is_failure=True)
"""An exec that failed (``bpf.events.record.ExecFailure``)."""
LOSS: Final = EventKind("loss", code=0, is_failure=False)
"""Events that were lost (``bpf.events.loss.Loss``)."""

KINDS: Final = (EXEC, LOSS)
FAILURES: Final = tuple(kind for kind in KINDS if kind.is_failure)

SEARCH_END_CODE: Final = 255
"""The header byte of the end of a search: a report about earlier events, not an event."""


def by_kind(parts: Mapping[EventKind, T], among: Iterable[EventKind] = KINDS) -> Mapping[str, T]:
    """Return what a layer has for each kind, by the kind's name.

    Args:
        parts: What it has.
        among: The kinds that it is asked about.

    Raises:
        LookupError: It has nothing for one of these kinds, or something for another one.
    """
    wanted = set(among)
    if wanted != parts.keys():
        names = ", ".join(sorted(kind.name for kind in wanted ^ parts.keys()))
        raise LookupError(f"this table and the kinds that it is for differ in: {names}")
    return {kind.name: part for kind, part in parts.items()}
