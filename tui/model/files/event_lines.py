"""Events as lines of a file. The records of a storm differ in few values, so most of a line is reused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from execwhy.bpf.events.arrivals import Event, Failure, Occurrence
from execwhy.bpf.events.identity_memo import IdentityMemo
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.files.json_lines import event_line, json_text
from execwhy.tui.model.files.json_values import rfc3339
from execwhy.tui.model.files.record_json import record_to_json

_OWN: Final[Mapping[str, Callable[[Failure], str]]] = {
    "timestamp": lambda again: f'"{rfc3339(again.timestamp)}"',
    "pid": lambda again: str(again.pid),
    "tid": lambda again: str(again.tid),
    "started": lambda again: "null" if again.started is None else str(again.started),
}
"""The facts that each ``Occurrence`` has of its own, as JSON."""


class EventLines:
    """Makes the lines of events, each with its newline.

    Args:
        show_secrets: Whether to write values that look like secrets unmasked.
    """

    def __init__(self, *, show_secrets: bool) -> None:
        self._show_secrets = show_secrets
        self._pieces = IdentityMemo(self._cut)

    def of(self, event: Event | Occurrence) -> str:
        """Return the line of an event."""
        failure = event.failure
        if failure is None or failure.template is failure:
            return event_line(event.materialize(), show_secrets=self._show_secrets)
        return "".join(
            piece if isinstance(piece, str) else piece(failure) for piece in self._pieces(failure.template)
        )

    def _cut(self, record: ExecFailure) -> list[str | Callable[[Failure], str]]:
        """Return the line of a record's occurrences in pieces: shared text, and functions for the rest."""
        pieces: list[str | Callable[[Failure], str]] = []
        text = "{"
        for name, value in record_to_json(record, show_secrets=self._show_secrets).items():
            text += f"{json_text(name)}:"
            if name in _OWN:
                pieces += [text, _OWN[name]]
                text = ""
            else:
                text += json_text(value)
            text += ","
        pieces.append(text.removesuffix(",") + "}\n")
        return pieces
