"""The events of one block, counted by group, and the numbers of groups in all blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from execwhy.tui.model.history.block import Block, Column, Numbers
from execwhy.tui.model.history.columns import Key

Indexes = npt.NDArray[np.int64]
Offsets = npt.NDArray[np.unsignedinteger]


class Numbered:
    """Distinct values with a small number each, which is reused once no block holds the value.

    Attributes:
        values: The value of each number; free numbers have None.
    """

    def __init__(self) -> None:
        self.values: list[Key] = []
        self._numbers: dict[Key, int] = {}
        self._uses: list[int] = []
        self._free: list[int] = []

    def number_of(self, value: Key) -> int | None:
        """Return the number of a value; None where no block holds it."""
        return self._numbers.get(value)

    def take(self, value: Key) -> int:
        """Return the number of a value, with one more use."""
        number = self._numbers.get(value)
        if number is None:
            if self._free:
                number = self._free.pop()
                self.values[number] = value
            else:
                number = len(self.values)
                self.values.append(value)
                self._uses.append(0)
            self._numbers[value] = number
        self._uses[number] += 1
        return number

    def release(self, numbers: Iterable[int]) -> None:
        """Remove one use of each number."""
        for number in numbers:
            self._uses[number] -= 1
            if not self._uses[number]:
                del self._numbers[self.values[number]]
                self.values[number] = None
                self._free.append(number)


@dataclass(frozen=True, slots=True)
class Facet:
    """A fact of a record that groups are made by or show.

    Attributes:
        column: The column of the history that holds the fact.
        pick: Returns the fact from a key of that column.
        numbered: The numbers of its values.
    """

    column: str
    pick: Callable[[Any], Key]
    numbered: Numbered


class _Translation:
    """Translates the codes of a column in one block to the numbers of a facet's values.

    Attributes:
        numbers: The distinct numbers, ascending.
    """

    def __init__(self, column: Column, facet: Facet) -> None:
        self.numbers: Indexes = np.empty(0, np.int64)
        self._column = column
        self._facet = facet
        self._of_code: Indexes = self.numbers
        self._rank_of_code: Indexes = self.numbers

    def extend(self) -> None:
        """Take in the codes that were added to the column."""
        known, entries = len(self._of_code), self._column.entries
        if known == len(entries):
            return
        take, pick = self._facet.numbered.take, self._facet.pick
        fresh = [take(pick(entry.value)) for entry in entries[known:]]
        self._of_code = np.concatenate((self._of_code, np.array(fresh, np.int64)))
        self.numbers, self._rank_of_code = np.unique(self._of_code, return_inverse=True)

    def ranks(self, offsets: Offsets) -> Indexes:
        """Return for each event the index in ``numbers`` of its number."""
        ranks: Indexes = self._rank_of_code[self._column.codes[offsets]]
        return ranks

    def release(self) -> None:
        """Give the numbers back."""
        self._facet.numbered.release(self._of_code.tolist())


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts of a block's selected failures, a row for each combination of the first four.

    Attributes:
        groups: The group's number, ascending.
        whys: The number of the diagnosis' words.
        certain: The number of whether it is certain.
        users: The number of the user.
        counts: How many failures.
        firsts: The earliest timestamp.
        lasts: The latest timestamp.
        newest: The highest event id.
    """

    groups: Indexes
    whys: Indexes
    certain: Indexes
    users: Indexes
    counts: Indexes
    firsts: Indexes
    lasts: Indexes
    newest: Indexes

    def only(self, wanted: npt.NDArray[np.bool_]) -> Counted:
        """Return some of the rows."""
        return Counted(*(getattr(self, name)[wanted] for name in _ROWS))

    @staticmethod
    def joined(parts: Sequence[Counted]) -> Counted:
        """Return the rows of several counts, one after another."""
        return Counted(*(np.concatenate([getattr(part, name) for part in parts]) for name in _ROWS))


_ROWS: Final = tuple(field.name for field in fields(Counted))

NOTHING: Final = Counted(*(np.empty(0, np.int64) for _ in _ROWS))
"""No row."""


class Tally:
    """The counts that the selected failures of one block add to the groups.

    It is not updated in place: when a block or its selection has changed, the whole block is counted again,
    which takes a millisecond or two.

    Only ``count`` reads what may change in a block. Otherwise a late diagnosis or a condensed block could
    give ``since`` values that have not been counted yet.

    Attributes:
        block: The block.
        counted: The counts as of the last ``count``.
    """

    def __init__(self, block: Block, group: Facet, why: Facet, certain: Facet, user: Facet) -> None:
        self.block = block
        self.counted = NOTHING
        self._translations = tuple(
            _Translation(block.columns[facet.column], facet) for facet in (group, why, certain, user)
        )
        self._selected: Offsets | None = None
        # The offset of each counted failure, and the index of its group's number in _groups.
        self._failures: Offsets = np.empty(0, np.uint16)
        self._ranks: Offsets = self._failures
        self._groups: Indexes = NOTHING.groups
        # How many failures each of them counts for; None: one each.
        self._each: Numbers | None = None
        self._version = -1

    def is_of(self, selected: Offsets | None) -> bool:
        """Return whether this selection, an array that never changes in place, is counted as it is now."""
        return self._selected is selected and (selected is None or self._version == self.block.version)

    def count(self, selected: Offsets, represented: Numbers | None = None) -> None:
        """Count the failures at these offsets, without losses.

        Args:
            selected: The offsets.
            represented: How many other events each event of the block represents; None: none does.
        """
        block = self.block
        self._selected, self._version = selected, block.version
        failures = selected
        if block.losses:
            failures = selected[~np.isin(selected, np.fromiter(block.losses, np.int64))]
        for translation in self._translations:
            translation.extend()
        groups = self._translations[0]
        self._failures, self._groups = failures, groups.numbers
        self._ranks = groups.ranks(failures).astype(np.min_scalar_type(len(groups.numbers)))
        self._each = None if represented is None else represented[failures] + 1
        self.counted = self._count(failures) if len(failures) else NOTHING

    def _count(self, failures: Offsets) -> Counted:
        combined = np.zeros(len(failures), np.int64)
        for translation in self._translations:
            # One block has too few values for the product of their numbers to reach 2**63.
            combined = combined * len(translation.numbers) + translation.ranks(failures)
        order = np.argsort(combined)
        starts = np.flatnonzero(np.diff(combined[order], prepend=-1))
        examples = failures[order[starts]]
        times = self.block.numbers["timestamp"]
        lasts = times if self._each is None or self.block.lasts is None else self.block.lasts
        each = np.ones(len(failures), np.int64) if self._each is None else self._each
        groups, whys, certain, users = (
            translation.numbers[translation.ranks(examples)] for translation in self._translations
        )
        return Counted(
            groups,
            whys,
            certain,
            users,
            np.add.reduceat(each[order], starts),
            np.minimum.reduceat(times[failures[order]], starts),
            np.maximum.reduceat(lasts[failures[order]], starts),
            self.block.ids_of(np.maximum.reduceat(failures[order], starts)),
        )

    def leave_out(self) -> None:
        """Count nothing of the block for now."""
        self._selected, self.counted = None, NOTHING
        self._failures, self._ranks, self._each = self._failures[:0], self._ranks[:0], None

    def since(self, timestamp: int) -> tuple[Indexes, Numbers, Numbers]:
        """Return group number, timestamp and count of each counted failure after this time."""
        times = self.block.numbers["timestamp"][self._failures]
        recent = times > timestamp
        times = times[recent]
        each = np.ones(len(times), np.int64) if self._each is None else self._each[recent]
        return self._groups[self._ranks[recent]], times, each

    def release(self) -> None:
        """Give the numbers back. The tally must not be used afterwards."""
        for translation in self._translations:
            translation.release()
