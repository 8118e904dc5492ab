"""The filter that the kernel applies, beside the one that the screen does."""

from __future__ import annotations

from execwhy.bpf.events.source import EventSource
from execwhy.tui.model.query import Query, QueryError, parse
from execwhy.tui.screen import sentences


class KernelFilter:
    """What ``K`` turns on and off.

    Attributes:
        text: The filter in force; "" where everything is recorded.
    """

    def __init__(self, source: EventSource, text: str) -> None:
        self._source = source
        self.text = text

    def toggle(self, query: Query) -> str:
        """Apply what the kernel can of a filter, or end it where that is in force; what to say of it."""
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
