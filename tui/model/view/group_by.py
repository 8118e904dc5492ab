"""The fields that failures can be grouped by, and their columns in the history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from execwhy.bpf.events.record import error_name
from execwhy.tui.model.history.columns import DIAGNOSIS, Key
from execwhy.tui.model.query.fields import FIELDS
from execwhy.tui.model.view.tally import Facet, Numbered


@dataclass(frozen=True, slots=True)
class By:
    """A field that failures are grouped by.

    Attributes:
        name: The name that an operator sees.
        field: The name in the filter language.
        unknown: The label of failures that have no value.
    """

    name: str
    field: str
    unknown: str

    def asked(self, value: Key) -> object:
        """Return the value that the field must equal in a filter for the group of this value."""
        return error_name(-value) if self.field == "error" and isinstance(value, int) else value

    def facet(self) -> Facet:
        """Return the field as a facet: its column in the history, and how to pick it."""
        field = FIELDS["diagnosis.code" if self.field == "why" else self.field]
        return Facet(field.column, field.pick, Numbered())


BY: Final[Mapping[str, By]] = {
    by.name: by
    for by in (
        By("path", "path", "unreadable path"),
        By("error", "error", ""),
        By("why", "why", "not diagnosed"),
        By("user", "uid", ""),
        By("comm", "comm", ""),
        By("unit", "unit", "no unit"),
        By("container", "container", "no container"),
        By("parent", "parent_comm", ""),
    )
}
"""By name, in the order in which they are offered."""


def why_facet() -> Facet:
    """Return the facet of the diagnosis in brief, as the screen shows it in a column."""
    return Facet("diagnosis", _brief, Numbered())


def certain_facet() -> Facet:
    """Return the facet of whether the diagnosis is certain; its value is None without a diagnosis."""
    at = DIAGNOSIS.index("certain")
    return Facet("diagnosis", lambda key: None if key is None else key[at], Numbered())


def user_facet() -> Facet:
    """Return the facet of the real user id."""
    return BY["user"].facet()


def _brief(key: tuple[Any, ...] | None) -> Key:
    if key is None:
        return None
    words: str = key[DIAGNOSIS.index("brief")] or key[DIAGNOSIS.index("summary")]
    return words
