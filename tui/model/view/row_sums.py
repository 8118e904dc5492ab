"""Sums, extremes and most frequent values of counts, by row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from execwhy.tui.model.history.columns import Key
from execwhy.tui.model.view.tally import Counted, Indexes

MOST_VALUES: Final = 4
"""Values of a row that are listed; all are counted."""


def sums(numbers: Indexes, counts: Indexes, length: int) -> Indexes:
    """Return the sum of the counts of each number; a float is exact for every count that fits in memory."""
    return np.bincount(numbers, counts, minlength=length).astype(np.int64)


def rows_with(rows: Indexes, numbers: Indexes, number: int | None, length: int) -> list[bool]:
    """Return for each row whether it has this number."""
    found = np.zeros(length, np.bool_)
    if number is not None:
        found[rows[numbers == number]] = True
    return found.tolist()


def extremes(rows: Indexes, counted: Counted, length: int) -> tuple[list[int], ...]:
    """Return for each row the count, the first time, the last time and the newest id."""
    totals = np.zeros(length, np.int64)
    firsts = np.full(length, np.iinfo(np.int64).max)
    lasts = np.full(length, np.iinfo(np.int64).min)
    newest = lasts.copy()
    np.add.at(totals, rows, counted.counts)
    np.minimum.at(firsts, rows, counted.firsts)
    np.maximum.at(lasts, rows, counted.lasts)
    np.maximum.at(newest, rows, counted.newest)
    return tuple(numbers.tolist() for numbers in (totals, firsts, lasts, newest))


def most_frequent(
    rows: Indexes, numbers: Indexes, counts: Indexes, values: Sequence[Key], length: int
) -> list[tuple[list[Any], int]]:
    """Return for each row its most frequent values, the highest count first, and the number of all values."""
    pairs = rows * max(1, len(values)) + numbers
    order = np.argsort(pairs)
    starts = np.flatnonzero(np.diff(pairs[order], prepend=-1))
    sums = np.add.reduceat(counts[order], starts) if len(starts) else counts
    row, number = np.divmod(pairs[order[starts]], max(1, len(values)))
    order = np.lexsort((-sums, row))
    bounds = np.searchsorted(row, np.arange(length + 1)).tolist()
    return [
        ([values[at] for at in number[order[begin : min(end, begin + MOST_VALUES)]].tolist()], end - begin)
        for begin, end in pairwise(bounds)
    ]
