"""The result of a benchmark: one figure, its bound, and that of a peer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement.

    Attributes:
        name: What was measured; the same in every run, for comparing.
        value: How much.
        unit: "ns", "ms", "MB", "%", "/s".
        bound: The highest value allowed, or the lowest for "/s"; None without a budget.
        note: How it grows, or what a peer takes.
    """

    name: str
    value: float
    unit: str
    bound: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Return whether the bound is kept; None if there is none."""
        if self.bound is None:
            return None
        return self.value >= self.bound if self.unit == "/s" else self.value <= self.bound

    @property
    def line(self) -> str:
        """Return a line of the table."""
        bound = "" if self.bound is None else f"{self.bound:,.6g} {self.unit}"
        kept = {None: "", True: "kept", False: "NOT KEPT"}[self.holds]
        value = f"{_amount(self.value):>12} {self.unit:<3}"
        return f"{self.name:<58}{value}{bound:>14} {kept:<9}{self.note}".rstrip()


def _amount(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
