"""Records as CSV, for spreadsheets.

Text is escaped as on the screen, and no cell can be taken for a formula.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Final

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.fields import Kind, RecordField, fields_of
from execwhy.bpf.events.kinds import FAILURES, LOSS, by_kind
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.files.json_values import rfc3339
from execwhy.tui.model.text.printable import printable
from execwhy.tui.model.text.secrets import masked

_FORMULA: Final = tuple("=+-@＝＋－＠")
"""The characters that begin a formula; the full-width ones do in some languages."""

Cell = str | int | None


def _words(elements: Sequence[str | None]) -> str:
    """Return argv or envp as one shell-quoted line; an element that could not be read is a bare ?."""
    return " ".join("?" if element is None else shlex.quote(printable(element)) for element in elements)


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"


def _octal(value: int) -> str:
    return f"0o{value:06o}"


def _value(field: RecordField) -> Callable[[Any], Cell] | None:
    """Return the function that formats a field's values; None if they need no formatting."""
    if field.fact.kind is Kind.TIME:
        return rfc3339
    if field.fact.kind is Kind.OCTAL:
        return _octal
    return _yes_no if field.fact.kind is Kind.FLAG else None


def _cell_of(path: str, field: RecordField) -> Callable[[ExecFailure], str]:
    """Return the function that makes the cell of a field, also of a part that the record may lack."""
    whole, _, part = path.rpartition(".")
    of_record, of_part, spell = attrgetter(whole or part), attrgetter(part), _value(field)
    if field.many:
        return lambda record: _inert(_words(of_record(record)))

    def cell(record: ExecFailure) -> str:
        value = of_record(record)
        if whole and value is not None:
            value = of_part(value)
        return _cell(value if spell is None or value is None else spell(value))

    return cell


def _columns() -> Iterator[tuple[int, str, Callable[[ExecFailure], str]]]:
    """Yield position, name and cell of each column of records."""
    for name, field in fields_of(ExecFailure).items():
        if field.fact.csv >= 0:
            yield field.fact.csv, field.fact.csv_name, _cell_of(name, field)
        if field.part is not None and not field.many:
            for inner, part in fields_of(field.part).items():
                if part.fact.csv >= 0:
                    yield part.fact.csv, part.fact.csv_name, _cell_of(f"{name}.{inner}", part)


def _blank(_: object) -> str:
    return ""


_LOST: Final = 42
"""Position of the column ``lost`` of losses; the next one is ``lost_reason``. Newer columns follow them,
because readers may rely on positions."""

_COLUMNS: Final = sorted(
    [*_columns(), (_LOST, "lost", _blank), (_LOST + 1, "lost_reason", _blank)], key=itemgetter(0)
)


def _cell(value: Cell) -> str:
    """Return a number unchanged, a text escaped."""
    if value is None or isinstance(value, int):
        return "" if value is None else str(value)
    return _inert(printable(value))


def _inert(shown: str) -> str:
    """Return the text after an apostrophe if a spreadsheet would take it for a formula."""
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


def _record_row(record: ExecFailure, show_secrets: bool) -> list[str]:
    shown = record if show_secrets else masked(record)
    return [cell(shown) for _, _, cell in _COLUMNS]


def _loss_row(loss: Loss, _show_secrets: bool) -> list[str]:
    row = [""] * len(_COLUMNS)
    row[0] = rfc3339(loss.timestamp)
    row[_LOST : _LOST + 2] = str(loss.count), _cell(loss.reason)
    return row


_ROWS: Final[Mapping[str, Callable[[Any, bool], list[str]]]] = by_kind(
    dict.fromkeys(FAILURES, _record_row) | {LOSS: _loss_row}
)


def lines(events: Iterable[Event], *, show_secrets: bool) -> Iterator[str]:
    """Yield the lines of a CSV file (RFC 4180, but ended by LF), the names of the columns first.

    A loss has a row of its own with the columns ``lost`` and ``lost_reason``.

    Args:
        events: The events to write.
        show_secrets: Whether to write values that look like secrets unmasked.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")

    def line(row: Sequence[str]) -> str:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow(row)
        return buffer.getvalue()

    yield line([name for _, name, _ in _COLUMNS])
    for event in events:
        yield line(_ROWS[event.kind](event, show_secrets))
