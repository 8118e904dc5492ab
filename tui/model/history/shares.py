"""Whose events a full history lets go: of the users who have most, as of ``bpf.events.users``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from execwhy.bpf.events.users import user_of
from execwhy.tui.model.history.block import BYTES_AN_EVENT, Block, Mask

_SLACK: Final = (1 / 32, 1 / 2)
"""How much smaller the bound is taken to be where users have their share of it: by as much as a block has;
then, where no block is mainly of users who have more, by so much that one must be."""

_MAINLY: Final = 0.5
"""The part of a block that must go for the rest to be worth carrying over."""


class Held(NamedTuple):
    """What is held of a user.

    Attributes:
        events: How many.
        nbytes: About how many bytes these take: of a value, a part for each event of the block that has it.
    """

    events: int
    nbytes: float


_NOTHING: Final = Held(0, 0.0)

Holdings = Mapping[int, Held]
"""By user. Losses are root's."""


def holdings_of(block: Block) -> Holdings:
    """Return what a block holds of each user."""
    length = len(block)
    if not length:
        return {}
    weights = np.full(length, float(BYTES_AN_EVENT))
    for column in block.columns.values():
        sizes = column.sizes
        if len(sizes) == 1:
            weights += sizes[0] / length
            continue
        codes = column.codes[:length]
        # A value that was replaced later is one of no event.
        counts = np.maximum(np.bincount(codes, minlength=len(sizes)), 1)
        weights += (sizes / counts)[codes]
    users, of_each = _users(block)
    events = np.bincount(of_each, minlength=len(users)).tolist()
    nbytes = np.bincount(of_each, weights, minlength=len(users)).tolist()
    return {user: Held(*held) for user, *held in zip(users, events, nbytes, strict=True) if held[0]}


def _is_of(block: Block, users: Collection[int]) -> Mask:
    """Return which events of a block are of these users."""
    known, of_each = _users(block)
    found: Mask = np.array([user in users for user in known], np.bool_)[of_each]
    return found


def _users(block: Block) -> tuple[list[int], npt.NDArray[np.intp]]:
    """Return the users of a block's identities, and for each event the index of its user among them."""
    column = block.columns["identity"]
    of_entries = [user_of(entry.value[0]) for entry in column.entries]
    users, of_code = np.unique(np.array(of_entries, np.int64), return_inverse=True)
    return users.tolist(), of_code[column.codes[: len(block)]]


class Shares:
    """What each user has of a history: of its blocks that grow no more."""

    def __init__(self) -> None:
        self._of: dict[Block, Holdings] = {}
        self._outdated: set[Block] = set()
        self._held: dict[int, Held] = {}

    def count(self, block: Block) -> None:
        """Count what a block holds by now."""
        self.forget(block)
        self._of[block] = holdings_of(block)
        self._add(self._of[block], 1)

    def outdate(self, block: Block) -> None:
        """Count it again when that is needed: it holds other events now."""
        self._outdated.add(block)

    def forget(self, block: Block) -> None:
        """A block has left the history."""
        self._outdated.discard(block)
        self._add(self._of.pop(block, {}), -1)

    def choose(self, blocks: Sequence[Block], by_bytes: bool) -> tuple[Block, Mask | None] | None:
        """Return a block of which events are to go, and which ones stay; None where no block is to lose any.

        Users have a share of the bound each. What one does not need is the others', so that only those who
        have most are over it. The block is the first one that is mainly theirs.

        Args:
            blocks: Those that may lose events, oldest first.
            by_bytes: The bound that is exceeded is the one in bytes.

        Returns:
            In place of the events that stay None where all go.
        """
        for block in [*self._outdated]:
            self.count(block)
        best: tuple[float, int, frozenset[int]] = 0.0, 0, frozenset()
        for slack in _SLACK:
            over = self._over(slack, by_bytes)
            for index, block in enumerate(blocks):
                part = _part_of(over, self._of[block], by_bytes)
                if part >= _MAINLY:
                    return self._chosen(block, over)
                best = max(best, (part, -index, over), key=lambda each: each[:2])
        part, index, over = best
        return self._chosen(blocks[-index], over) if part else None

    def _chosen(self, block: Block, over: frozenset[int]) -> tuple[Block, Mask | None]:
        return block, None if over.issuperset(self._of[block]) else ~_is_of(block, over)

    def _over(self, slack: float, by_bytes: bool) -> frozenset[int]:
        """Return the users who would have more than their share if the bound were so much smaller."""
        held = np.array([each[by_bytes] for each in self._held.values()])
        ordered = np.sort(held)
        # Those below the level keep all that they have, and the others share what is left of the bound.
        left = held.sum() * (1 - slack) - (np.cumsum(ordered) - ordered)
        levels = left / np.arange(len(ordered), 0, -1)
        over = np.flatnonzero(levels < ordered)
        level = levels[over[0]] if len(over) else np.inf
        return frozenset(user for user, each in zip(self._held, held.tolist(), strict=True) if each > level)

    def _add(self, holdings: Holdings, sign: int) -> None:
        for user, (events, nbytes) in holdings.items():
            before = self._held.get(user, _NOTHING)
            after = Held(before.events + sign * events, before.nbytes + sign * nbytes)
            if after.events:
                self._held[user] = after
            else:
                del self._held[user]


def _part_of(users: frozenset[int], holdings: Holdings, by_bytes: bool) -> float:
    whole = sum(held[by_bytes] for held in holdings.values())
    of_them = sum(held[by_bytes] for user, held in holdings.items() if user in users)
    return of_them / whole if whole else 0.0
