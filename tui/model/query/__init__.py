"""The filter language.

``parse`` turns one line of text into a ``Query``, which selects records one by one (``matches``) or from a
block of the history at once (``select``), with the same result.
"""

from __future__ import annotations

import numpy as np

from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import Capture
from execwhy.tui.model.history.block import Block, Mask
from execwhy.tui.model.history.columns import NUMBERS
from execwhy.tui.model.query.capture import capture, divided
from execwhy.tui.model.query.codes import FIELDS_OF_CODES, slip
from execwhy.tui.model.query.fields import FIELDS, Field, Kind
from execwhy.tui.model.query.lexer import QueryError, quoted
from execwhy.tui.model.query.parser import Parser
from execwhy.tui.model.query.terms import And, InRanges, Node, Or, Term

__all__ = ["FIELDS", "Field", "Kind", "Query", "QueryError", "Term", "add_term", "both", "parse"]


class Query:
    """A filter.

    Attributes:
        text: The filter as it was written.
        terms: Its conditions, each with its place in the text; a bare word has several at one place.
    """

    def __init__(self, text: str, root: Node) -> None:
        self.text = text
        self._root = root
        self.terms: tuple[Term, ...] = tuple(root.terms())

    @property
    def is_empty(self) -> bool:
        """Whether it has no conditions, and selects everything."""
        return not self.terms

    @property
    def depends_on_diagnosis(self) -> bool:
        """Whether a diagnosis that arrives later can change what it selects."""
        return any(term.field.column == "diagnosis" for term in self.terms)

    @property
    def depends_on_moment(self) -> bool:
        """Whether it can select one of two failures that differ only in time and process."""
        return any(term.field.column in NUMBERS for term in self.terms)

    @property
    def ages(self) -> tuple[int, ...]:
        """The ages, in nanoseconds, at which an event may begin or cease to match."""
        return tuple(
            age
            for term in self.terms
            if term.field.kind is Kind.AGE and isinstance(term.test, InRanges)
            for bound in term.test.bounds
            for age in bound
            if age is not None
        )

    @property
    def alternatives(self) -> bool:
        """Whether it is an ``or`` of conditions, which needs parentheses before another one is added."""
        return isinstance(self._root, Or) and len({term.start for term in self.terms}) > 1

    @property
    def required(self) -> tuple[Term, ...]:
        """The conditions that every selected event meets."""
        parts = self._root.parts if isinstance(self._root, And) else (self._root,)
        return tuple(part for part in parts if isinstance(part, Term))

    @property
    def asked(self) -> frozenset[str]:
        """The text of the required conditions."""
        return frozenset(self.text[term.start : term.end] for term in self.required)

    def matches(self, record: ExecFailure, now: int) -> bool:
        """Return whether it selects a record; ``now`` is nanoseconds since 1970 UTC, for ``age``."""
        return self._root.holds(record, now)

    def select(self, block: Block, start: int, stop: int, now: int) -> Mask:
        """Return which events of a block, from ``start`` to before ``stop``, it selects; losses always."""
        mask = self._root.select(block, start, stop, now)
        if block.losses:
            lost = np.fromiter(block.losses, np.int64, len(block.losses))
            mask[lost[(lost >= start) & (lost < stop)] - start] = True
        return mask

    def capture(self) -> Capture:
        """Return the same filter in the form that the kernel applies.

        Raises:
            QueryError: The kernel cannot apply one of the conditions.
        """
        return capture(self._root)

    def divided(self) -> tuple[str, tuple[str, ...]]:
        """Return the part that the kernel can apply, as a filter, and the conditions that it cannot.

        Raises:
            QueryError: The kernel can apply none of it.
        """
        return divided(self.text, self._root)


def parse(text: str) -> Query:
    """Parse a filter; "" selects everything.

    Raises:
        QueryError: The text is not a filter.
    """
    return Query(text, Parser(text).parse())


def both(first: Query, second: Query) -> Query:
    """Return the filter that selects what both filters select.

    Its text can be parsed again, unless it is longer or more deeply nested than a filter may be. Its terms
    then keep the places that they have in their own texts.
    """
    if first.is_empty or second.is_empty:
        return second if first.is_empty else first
    text = f"{_part(first)} {_part(second)}"
    try:
        return parse(text)
    except QueryError:
        return Query(text, And((first._root, second._root)))


def _part(query: Query) -> str:
    """Return a query's text for use in a longer one: in parentheses, unless it has only comparisons."""
    text = query.text.strip()
    parts = query._root.parts if isinstance(query._root, And) else (query._root,)
    if all(isinstance(part, Term) for part in parts):
        return text
    last = text.split()[-1]
    # A value may contain parentheses, even an unbalanced one (comm=( ), so a blank separates the last.
    return f"({text} )" if "(" in last or last.endswith("\\") else f"({text})"


def add_term(text: str, field: str, value: object, *, exclude: bool) -> str:
    """Return a filter that also requires ``field==value``, or excludes it, as ``+`` and ``-`` do.

    The new condition replaces its opposite, because both together would select nothing.

    Args:
        text: The filter so far.
        field: A name of ``FIELDS``.
        value: The field's value in a record, or one of its elements; None for an unknown value.
        exclude: Whether to require ``!=`` instead.

    Raises:
        QueryError: ``text`` is not a filter, no field has that name, or it cannot have this value.
    """
    if value is None:
        written = "null"
    elif isinstance(value, bool):
        written = "true" if value else "false"
    else:
        # A code from a file of another version is quoted, because this version does not know it.
        always = field in FIELDS_OF_CODES and slip(str(value), str(value).__eq__) is not None
        written = quoted(str(value), always=always)
    equal, unequal = f"{field}=={written}", f"{field}!={written}"
    term, opposite = (unequal, equal) if exclude else (equal, unequal)
    parse(term)
    before = parse(text)
    if before.is_empty:
        return term
    so_far = text.strip()
    asked = {text[part.start : part.end]: part for part in before.required}
    if term in asked:
        return so_far
    if opposite in asked:
        return f"{text[: asked[opposite].start]}{term}{text[asked[opposite].end :]}".strip()
    return f"{_part(before) if before.alternatives else so_far} {term}"
