"""The table's columns: which of them fit into a width, and what stands in a cell.

Numbers are right-aligned. WHY and PATH share what the others leave, so their widths depend on the
width of the table alone and never on what is shown.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from execwhy.bpf.events.kinds import EXEC, FAILURES, by_kind
from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.model.text.printable import printable
from execwhy.tui.widgets.events.search_words import in_brief, outcome, says_more
from execwhy.tui.widgets.painting.accounts import user_name
from execwhy.tui.widgets.painting.error_class import error_class, own_words
from execwhy.tui.widgets.painting.painted import Piece, in_role
from execwhy.tui.widgets.painting.shorten import keep_beginning, keep_name, width_of

LOOKING: Final = "looking…"
"""WHY while the diagnosis is under way."""

GUTTER: Final = 1
"""Cells left of the first column, for the cursor's mark."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table.

    Attributes:
        title: Its heading.
        field: Its name in the filter language; None if its cells cannot become filters.
        value: Returns what ``field`` is compared with; None if the record has none.
        right: Right-aligned.
    """

    title: str
    field: str | None
    value: Callable[[ExecFailure], object]
    right: bool = False


TIME: Final = Column("TIME", None, lambda record: None)
HOST: Final = Column("HOST", "host", lambda record: record.host)
PID: Final = Column("PID", "pid", lambda record: record.pid, right=True)
USER: Final = Column("USER", "uid", lambda record: record.uid)
COMM: Final = Column("COMM", "comm", lambda record: record.comm)
PARENT: Final = Column("PARENT", "parent_comm", lambda record: record.parent_comm)
UNIT: Final = Column("UNIT", "unit", lambda record: record.unit)
ERROR: Final = Column("ERROR", "error", lambda record: record.error)
PATH: Final = Column("PATH", "path", lambda record: record.path)
WHY: Final = Column(
    "WHY", "why", lambda record: record.diagnosis.code if record.diagnosis is not None else None
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A column at its place: its first cell, and how many it has."""

    column: Column
    x: int
    width: int


_TIERS: Final[tuple[tuple[int, tuple[tuple[Column, int], ...]], ...]] = (
    (200, ((TIME, 12), (PID, 7), (USER, 12), (COMM, 15), (PARENT, 15), (UNIT, 20), (ERROR, 12))),
    (172, ((TIME, 12), (PID, 7), (USER, 12), (COMM, 15), (UNIT, 20), (ERROR, 7))),
    (130, ((TIME, 12), (PID, 7), (USER, 10), (COMM, 15), (ERROR, 7))),
    (106, ((TIME, 12), (PID, 7), (USER, 8), (COMM, 10), (ERROR, 7))),
    (98, ((TIME, 12), (PID, 7), (USER, 8), (ERROR, 7))),
    (64, ((TIME, 8), (USER, 8), (ERROR, 7))),
    (46, ((TIME, 8), (ERROR, 7))),
    (0, ((ERROR, 7),)),
)
"""From which width on which columns stand left of PATH and WHY. A comm has at most 15 bytes, and few have
more than 10, so that PATH can use the others if it is short of room; a pid has at most 7 digits
(PID_MAX_LIMIT is 4,194,304), and of the errors only ENAMETOOLONG needs more than 7. Where WHY would have less
than some 32 cells, it needs the room of PID more, which the detail has as well."""

_HOST_WIDTHS: Final = ((172, 16), (106, 12), (0, 8))
"""From which width on HOST has how many cells: the beginnings of most host names differ."""

_WIDE: Final = 200
"""From here on nearly every WHY fits, and there is space between columns."""

_PATH_SHARES: Final = ((130, 38), (106, 40), (98, 42), (0, 36))
"""From which width on PATH has how many percent of what it shares with WHY: of a path the name may do."""

_WIDEST_PATH: Final = 64
"""Beyond this WHY makes more use of the room."""


@lru_cache(maxsize=64)
def placed_columns(width: int, with_host: bool = False) -> tuple[Placed, ...]:
    """Return the columns of a table of ``width`` cells, from the left.

    Args:
        width: Cells of the table.
        with_host: Events of several hosts are shown, so each has its own beside it.
    """
    gap = 1 if width < 90 else 2
    host = next(cells for smallest, cells in _HOST_WIDTHS if width >= smallest) if with_host else 0
    room = max(0, width - host - gap) if with_host else width
    fixed = next(columns for smallest, columns in _TIERS if room >= smallest)
    if with_host:
        after_time = 1 if fixed[0][0] is TIME else 0
        fixed = (*fixed[:after_time], (HOST, host), *fixed[after_time:])
    x = GUTTER
    places: list[Placed] = []
    for column, cells in fixed:
        places.append(Placed(column, x, cells))
        # These columns are rarely full, so one blank between them is enough.
        x += cells + (1 if column in (TIME, COMM, ERROR) and width < _WIDE else gap)
    rest = max(2, width - x - gap)
    share = next(percent for smallest, percent in _PATH_SHARES if width >= smallest)
    path = max(1, min(_WIDEST_PATH, rest * share // 100))
    places.append(Placed(PATH, x, path))
    places.append(Placed(WHY, x + path + gap, rest - path))
    return tuple(places)


@lru_cache(maxsize=4096)
def _clock(second: int) -> str:
    return datetime.fromtimestamp(second).strftime("%H:%M:%S")


def clock(timestamp: int, width: int = 8) -> str:
    """Return the local time of day of a time in nanoseconds, with milliseconds if 12 cells are there."""
    second, rest = divmod(timestamp, 1_000_000_000)
    return _clock(second) if width < 12 else f"{_clock(second)}.{rest // 1_000_000:03d}"


def why_text(record: ExecFailure, looking: bool) -> tuple[str, str]:
    """Return what stands under WHY, and its role."""
    diagnosis = record.diagnosis
    if record.search is not None and not record.search.folded:
        if record.search.outcome == "found":
            return outcome(record), "muted"
        if diagnosis is not None and says_more(record):
            return in_brief(record, _cause(diagnosis)), "why"
        return outcome(record), "why"
    if diagnosis is not None:
        return _cause(diagnosis), "why" if diagnosis.certain else "plain"
    return (LOOKING, "muted") if looking else (own_words(record), "plain")


def _cause(diagnosis: Diagnosis) -> str:
    """Return the cause, after a question mark if it is not certain: its end may not fit."""
    brief = diagnosis.brief or diagnosis.summary
    return brief if diagnosis.certain else f"? {brief}"


def cell(record: ExecFailure, place: Placed, looking: bool, times: int = 1) -> list[Piece]:
    """What stands in one cell: exactly ``place.width`` cells wide.

    Args:
        record: The failed exec, its secrets masked already.
        place: The column.
        looking: Its diagnosis is still to come.
        times: How many failures the row stands for.
    """
    column, width = place.column, place.width
    if column is PATH:
        pieces = _SUBJECTS[record.kind](record, width)
    elif column is WHY:
        text, role = why_text(record, looking)
        again = f"{times:,}× "[:width] if times > 1 else ""
        pieces = in_role(keep_beginning(text, width - len(again)), role)
        if again:
            pieces.insert(0, (again, "strong"))
    elif column is ERROR:
        text, role = _ERRORS[record.kind](record)
        pieces = in_role(keep_beginning(text, width), role)
    elif column is TIME:
        pieces = [(clock(record.timestamp, width), "muted")]
    elif column is PID:
        pieces = [(str(record.pid), "muted")]
    elif column is USER:
        name = user_name(record.uid)
        pieces = in_role(keep_beginning(str(record.uid) if name is None else name, width), "plain")
    else:
        value = column.value(record)
        text = "" if value is None else str(value)
        pieces = in_role(keep_beginning(text, width), "muted")
    padding = " " * (width - width_of((text, False) for text, _ in pieces))
    return [(padding, "plain"), *pieces] if column.right else [*pieces, (padding, "plain")]


def cells_of(
    record: ExecFailure, places: Iterable[Placed], looking: bool, times: int, focused: str
) -> list[Piece]:
    """Return all cells of a row, from the first column on.

    Args:
        record: The failed exec, its secrets masked already.
        places: The columns.
        looking: Its diagnosis is still to come.
        times: How many failures the row stands for.
        focused: The heading of the column whose cell is focused, or "".
    """
    pieces: list[Piece] = []
    used = GUTTER
    for place in places:
        pieces.append((" " * (place.x - used), "plain"))
        texts = cell(record, place, looking, times)
        pieces += [(text, "cell") for text, _ in texts] if place.column.title == focused else texts
        used = place.x + place.width
    return pieces


def _cut(word: str, width: int) -> str:
    return word if len(word) <= width else word[: width - 1] + "…"


def _path(record: ExecFailure, width: int) -> list[Piece]:
    """Return the path with muted directories and a bright name; of a search, the name alone."""
    if record.search is not None and not record.search.folded:
        role = "muted" if record.search.outcome == "found" else "name"
        if record.return_value == -errno.ENOENT or record.path is None:
            return in_role(keep_beginning(record.search.name, width), role)
    if record.path is None:
        return [(_cut("unreadable", width), "muted")]
    path = record.path
    if not path and record.binary is not None and record.binary.path is not None:
        path = record.binary.path  # execveat with AT_EMPTY_PATH: the descriptor's file was meant
    if not path:
        return [(_cut('""' if record.dirfd is None else f"fd {record.dirfd}", width), "muted")]
    directory, name = keep_name(path, width)
    return [*in_role(directory, "muted"), *in_role(name, "name")]


def _error(record: ExecFailure) -> tuple[str, str]:
    """The errno, or the signal that killed the caller, and its role."""
    role = "danger" if record.killed_by else error_class(record.return_value)
    return record.killed_by or record.error, role


_SUBJECTS: Final[Mapping[str, Callable[[ExecFailure, int], list[Piece]]]] = by_kind({EXEC: _path}, FAILURES)
"""What stands under PATH, by kind, in this many cells."""
_ERRORS: Final[Mapping[str, Callable[[ExecFailure], tuple[str, str]]]] = by_kind({EXEC: _error}, FAILURES)
"""What stands under ERROR, by kind, and its role."""


def row_text(record: ExecFailure) -> str:
    """Return a row for the clipboard, not cut: printable, with two spaces between the columns."""
    name = user_name(record.uid)
    texts = (
        clock(record.timestamp, 12),
        *(() if record.host is None else (record.host,)),
        str(record.pid),
        str(record.uid) if name is None else name,
        record.comm,
        _ERRORS[record.kind](record)[0],
        record.path or "",
        why_text(record, False)[0],
    )
    return "  ".join(map(printable, texts))
