"""Records as CSV, for a spreadsheet.

A cell's text is escaped as on the screen, and no cell can be taken for a formula.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from execwhy.bpf.events.record import Event, ExecFailure, Loss
from execwhy.tui.model.files.record_json import rfc3339
from execwhy.tui.model.text.printable import printable
from execwhy.tui.model.text.secrets import masked

_FORMULA: Final = tuple("=+-@＝＋－＠")
"""What a spreadsheet knows a formula by; the full-width ones in some languages."""

Cell = str | int | None


def _words(elements: Sequence[str | None]) -> str:
    """Argv or envp as one shell-quoted line; an element that could not be read is a bare ?."""
    return " ".join("?" if element is None else shlex.quote(printable(element)) for element in elements)


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"


_COLUMNS: Final[dict[str, Callable[[ExecFailure], Cell]]] = {
    "path": lambda record: record.path,
    "error": lambda record: record.error,
    "return_value": lambda record: record.return_value,
    "why": lambda record: record.diagnosis.summary if record.diagnosis else None,
    "advice": lambda record: record.diagnosis.advice if record.diagnosis else None,
    "pid": lambda record: record.pid,
    "tid": lambda record: record.tid,
    "ppid": lambda record: record.ppid,
    "uid": lambda record: record.uid,
    "euid": lambda record: record.euid,
    "gid": lambda record: record.gid,
    "comm": lambda record: record.comm,
    "parent_comm": lambda record: record.parent_comm,
    "cwd": lambda record: record.cwd,
    "tty": lambda record: record.tty,
    "unit": lambda record: record.unit,
    "container_id": lambda record: record.container_id,
    "container_runtime": lambda record: record.container_runtime,
    "pod_uid": lambda record: record.pod_uid,
    "cgroup": lambda record: record.cgroup,
    "syscall": lambda record: record.syscall,
    "kernel_invoked": lambda record: _yes_no(record.kernel_invoked),
    "duration_ms": lambda record: record.duration_ms,
    "killed_by": lambda record: record.killed_by,
    "interpreter_path": lambda record: record.interpreter_path,
    "binary_path": lambda record: record.binary.path if record.binary else None,
    "device": lambda record: record.binary.device if record.binary else None,
    "inode_number": lambda record: record.binary.inode_number if record.binary else None,
    "inode_mode": lambda record: f"0o{record.binary.inode_mode:06o}" if record.binary else None,
    "ctime": lambda record: rfc3339(record.binary.ctime) if record.binary else None,
    "stdin_type": lambda record: f"0o{record.stdin_type:06o}",
    "stdin_path": lambda record: record.stdin_path,
    "path_source": lambda record: record.path_source,
    "path_afterwards": lambda record: record.path_afterwards,
    "argc": lambda record: record.truncated.argc,
    "arguments_truncated": lambda record: _yes_no(record.truncated.arguments),
    "envc": lambda record: record.truncated.envc,
    "environment_truncated": lambda record: _yes_no(record.truncated.environment),
    "host": lambda record: record.host,
}


_AT_END: Final[dict[str, Callable[[ExecFailure], Cell]]] = {
    "certain": lambda record: _yes_no(record.diagnosis.certain) if record.diagnosis else None,
    "code": lambda record: record.diagnosis.code if record.diagnosis else None,
    "search": lambda record: record.search.outcome if record.search else None,
}
"""Columns that came later: they stand behind all others, whose places readers may rely on."""


def _cell(value: Cell) -> str:
    """A number as it is, a text escaped."""
    if value is None or isinstance(value, int):
        return "" if value is None else str(value)
    return _inert(printable(value))


def _inert(shown: str) -> str:
    """The text behind an apostrophe where a spreadsheet would compute it."""
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


def _record_row(record: ExecFailure) -> list[str]:
    cells = [_cell(value(record)) for value in _COLUMNS.values()]
    words = [_inert(_words(record.arguments)), _inert(_words(record.environment))]
    added = [_cell(value(record)) for value in _AT_END.values()]
    return [rfc3339(record.timestamp), *cells, *words, "", "", *added]


def _loss_row(loss: Loss) -> list[str]:
    blank = [""] * (len(_COLUMNS) + 2)
    return [rfc3339(loss.timestamp), *blank, str(loss.count), _cell(loss.reason), *[""] * len(_AT_END)]


def lines(events: Iterable[Event], *, show_secrets: bool) -> Iterator[str]:
    """The lines of a CSV file (RFC 4180, but ended by LF), the column names first.

    A loss is a row of its own with the columns ``lost`` and ``lost_reason``.

    Args:
        events: What the file shall hold.
        show_secrets: Secret-looking values are written as they are, not masked.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")

    def line(row: Sequence[str]) -> str:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow(row)
        return buffer.getvalue()

    yield line(["timestamp", *_COLUMNS, "arguments", "environment", "lost", "lost_reason", *_AT_END])
    for event in events:
        if isinstance(event, Loss):
            yield line(_loss_row(event))
        else:
            yield line(_record_row(event if show_secrets else masked(event)))
