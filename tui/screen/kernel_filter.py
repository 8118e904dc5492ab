"""The filter that the kernel applies, besides the screen's own."""

from __future__ import annotations

from execwhy.bpf.events.source import EventSource
from execwhy.tui.model.query import Query, QueryError, parse
from execwhy.tui.screen import sentences


class KernelFilter:
    """Turns the kernel's filter on and off.

    Attributes:
        text: The filter in force; "" if everything is recorded.
    """

    def __init__(self, source: EventSource, text: str) -> None:
        self._source = source
        self.text = text

    def toggle(self, query: Query) -> str:
        """Apply as much of a filter as the kernel can, or end it if it is in force; return a message."""
        if query.is_empty and not self.text:
            return "There is no filter for the kernel to apply: type one with / first."
        try:
            applied, left_out = query.divided()
        except QueryError as error:
            if not self.text:
                return sentences.alone(error.message)
            self._apply("")
            return f"{sentences.captured('', ())} Of this filter it can apply nothing: {error.message}."
        try:
            self._apply("" if applied == self.text else applied)
        except ValueError as error:
            return str(error)
        return sentences.captured(self.text, left_out)

    def _apply(self, text: str) -> None:
        self._source.set_capture(parse(text).capture() if text else None)
        self.text = text
