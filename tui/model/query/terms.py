"""The parsed filter: conditions on one field, and how they are joined.

Each part answers two questions, and the answers must agree: does it hold for one record, and for which events
of a block does it hold? The second one examines each distinct value once, and then only codes.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.history.block import Block, Mask, Numbers
from execwhy.tui.model.history.columns import NO_NUMBER, NUMBERS
from execwhy.tui.model.history.pool import Pool
from execwhy.tui.model.query.fields import Field, Kind
from execwhy.tui.model.query.text import TextTest
from execwhy.tui.model.query.values import Bound

_INT64_MAX: Final = 2**63 - 1

_UNKNOWN: Final = 0
_NO: Final = 1
_YES: Final = 2


@dataclass(frozen=True, slots=True)
class InRanges:
    """The condition that a number is in one of these ranges."""

    bounds: tuple[Bound, ...]

    def holds(self, value: int | None) -> bool:
        """Return whether the number is in a range; None is not."""
        if value is None:
            return False
        for low, high in self.bounds:
            if (low is None or low <= value) and (high is None or value <= high):
                return True
        return False

    def holds_for_any(self, values: Sequence[int]) -> bool:
        """Return whether one of the numbers is in a range."""
        return any(map(self.holds, values))

    def select(self, numbers: Numbers) -> Mask:
        """Return for each number whether it meets the condition."""
        mask = np.zeros(len(numbers), np.bool_)
        for low, high in self.bounds:
            least = NO_NUMBER + 1 if low is None else max(low, NO_NUMBER + 1)
            most = _INT64_MAX if high is None else min(high, _INT64_MAX)
            if least <= most:
                mask |= (numbers >= least) & (numbers <= most)
        return mask

    def before(self, now: int) -> InRanges:
        """Return these ranges of ages as ranges of timestamps."""
        return InRanges(
            tuple(
                (None if high is None else now - high, None if low is None else now - low)
                for low, high in self.bounds
            )
        )


@dataclass(frozen=True, slots=True)
class IsNull:
    """The condition that a value could not be read."""

    def holds(self, value: object) -> bool:
        """Return whether there is no value."""
        return value is None

    def holds_for_any(self, values: Sequence[object]) -> bool:
        """Return whether one of the values is missing."""
        return None in values

    def select(self, numbers: Numbers) -> Mask:
        """Return for each number whether it meets the condition."""
        mask: Mask = numbers == NO_NUMBER
        return mask


class Node(Protocol):
    """A part of a filter."""

    def holds(self, record: ExecFailure, now: int) -> bool:
        """Return whether it holds for this record; ``now`` is nanoseconds since 1970 UTC."""

    def select(self, block: Block, start: int, stop: int, now: int) -> Mask:
        """Return for each event of the block from ``start`` to before ``stop`` whether it holds."""

    def terms(self) -> Iterator[Term]:
        """Yield the conditions in it, from left to right."""


class _Memo:
    """A term's verdicts on the values of a pool, so that a scan examines each value only once."""

    def __init__(self) -> None:
        self._pool: Pool | None = None
        self._generation = 0
        self._verdicts = np.zeros(0, np.uint8)

    def verdicts(self, pool: Pool) -> npt.NDArray[np.uint8]:
        """Return the verdict for each slot of the pool, to be read and filled in."""
        if pool is not self._pool or pool.generation != self._generation:
            self._pool, self._generation = pool, pool.generation
            self._verdicts = np.zeros(pool.slots, np.uint8)
        missing = pool.slots - len(self._verdicts)
        if missing > 0:
            self._verdicts = np.concatenate((self._verdicts, np.zeros(missing, np.uint8)))
        return self._verdicts


@dataclass(frozen=True, slots=True)
class Term:
    """One condition.

    Attributes:
        field: The field that it examines.
        test: What must hold.
        negate: Whether it must not hold. A negated test is true of a value that could not be read.
        start: Where in the filter it begins.
        end: Where it ends.
        exact: The texts that it requires, if it requires only exact texts or ``prefixes``.
        prefixes: The prefixes that it requires.
        written: Whether it is a condition of its own in the text; False for a part of a bare word.
    """

    field: Field
    test: InRanges | TextTest | IsNull
    negate: bool
    start: int
    end: int
    exact: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    written: bool = True
    _memos: defaultdict[str, _Memo] = dataclasses.field(
        default_factory=lambda: defaultdict(_Memo), compare=False, repr=False
    )

    def holds(self, record: ExecFailure, now: int) -> bool:
        """See ``Node``."""
        value = self.field.of(record)
        if self.field.kind is Kind.AGE and isinstance(value, int):
            value = now - value
        tries = self.field.tries
        held = self._judge(self.field)(value) or (tries is not None and self._judge(tries)(tries.of(record)))
        return held is not self.negate

    def select(self, block: Block, start: int, stop: int, now: int) -> Mask:
        """See ``Node``."""
        if self.field.column in NUMBERS and not isinstance(self.test, TextTest):
            is_age = self.field.kind is Kind.AGE and isinstance(self.test, InRanges)
            test = self.test.before(now) if is_age and isinstance(self.test, InRanges) else self.test
            mask = test.select(block.numbers[self.field.column][start:stop])
        else:
            mask = self._look_up(self.field, block, start, stop)
        if self.field.tries is not None:
            mask |= self._look_up(self.field.tries, block, start, stop)
        return ~mask if self.negate else mask

    def terms(self) -> Iterator[Term]:
        """See ``Node``."""
        yield self

    def _judge(self, field: Field) -> Callable[[Any], bool]:
        if not field.many:
            return self.test.holds
        alone: Callable[[None], bool] = self.test.holds
        for_any: Callable[[Any], bool] = self.test.holds_for_any
        return lambda value: alone(None) if value is None else for_any(value)

    def _look_up(self, field: Field, block: Block, start: int, stop: int) -> Mask:
        column = block.columns[field.column]
        codes = column.codes[start:stop]
        entries, slots = column.entries, column.slots
        few = len(codes) < len(entries)
        wanted = np.unique(codes) if few else np.arange(len(entries))
        verdicts = self._memos[field.column].verdicts(column.pool)
        unknown = wanted[verdicts[slots[wanted]] == _UNKNOWN]
        if len(unknown):
            pick, judge = field.pick, self._judge(field)
            found = [_YES if judge(pick(entries[code].value)) else _NO for code in unknown.tolist()]
            verdicts[slots[unknown]] = found
        truth = np.zeros(len(entries), np.bool_)
        truth[wanted] = verdicts[slots[wanted]] == _YES
        mask: Mask = truth[codes]
        return mask


@dataclass(frozen=True, slots=True)
class _Joined:
    parts: tuple[Node, ...]

    def terms(self) -> Iterator[Term]:
        """See ``Node``."""
        for part in self.parts:
            yield from part.terms()


@dataclass(frozen=True, slots=True)
class And(_Joined):
    """The condition that all parts hold; without parts, everything matches.

    Attributes:
        places: Where in the filter each part begins and ends, including its parentheses.
    """

    places: tuple[tuple[int, int], ...] = dataclasses.field(default=(), compare=False)

    def holds(self, record: ExecFailure, now: int) -> bool:
        """See ``Node``."""
        return all(part.holds(record, now) for part in self.parts)

    def select(self, block: Block, start: int, stop: int, now: int) -> Mask:
        """See ``Node``."""
        mask = np.ones(stop - start, np.bool_)
        for part in self.parts:
            mask &= part.select(block, start, stop, now)
            if not mask.any():
                break
        return mask


@dataclass(frozen=True, slots=True)
class Or(_Joined):
    """The condition that one part holds."""

    def holds(self, record: ExecFailure, now: int) -> bool:
        """See ``Node``."""
        return any(part.holds(record, now) for part in self.parts)

    def select(self, block: Block, start: int, stop: int, now: int) -> Mask:
        """See ``Node``."""
        mask = np.zeros(stop - start, np.bool_)
        for part in self.parts:
            mask |= part.select(block, start, stop, now)
        return mask


@dataclass(frozen=True, slots=True)
class Not:
    """The condition that the part does not hold."""

    part: Node

    def holds(self, record: ExecFailure, now: int) -> bool:
        """See ``Node``."""
        return not self.part.holds(record, now)

    def select(self, block: Block, start: int, stop: int, now: int) -> Mask:
        """See ``Node``."""
        return ~self.part.select(block, start, stop, now)

    def terms(self) -> Iterator[Term]:
        """See ``Node``."""
        yield from self.part.terms()
