"""Whose events a full history drops: those of the users (``bpf.events.users``) who have the most."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from execwhy.bpf.events.users import user_of
from execwhy.tui.model.history.block import BYTES_AN_EVENT, Block, Mask

_SLACK: Final = (1 / 32, 1 / 2)
"""How much smaller the bound is assumed to be when users are given their shares: first by about one block;
then, if no block belongs mainly to users above their share, by so much that one must."""

_MAINLY: Final = 0.5
"""The part of a block that must be dropped for the rest to be worth carrying over."""


class Held(NamedTuple):
    """What the history holds of one user.

    Attributes:
        events: The number of events.
        nbytes: About how many bytes they take; a value's bytes are divided among the events that have it.
    """

    events: int
    nbytes: float


_NOTHING: Final = Held(0, 0.0)

Holdings = Mapping[int, Held]
"""By user. Losses count as root's."""


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
        # A value that was replaced later belongs to no event.
        counts = np.maximum(np.bincount(codes, minlength=len(sizes)), 1)
        weights += (sizes / counts)[codes]
    users, indexes = _users(block)
    events = np.bincount(indexes, minlength=len(users)).tolist()
    nbytes = np.bincount(indexes, weights, minlength=len(users)).tolist()
    return {user: Held(*held) for user, *held in zip(users, events, nbytes, strict=True) if held[0]}


def _is_of(block: Block, users: Collection[int]) -> Mask:
    """Return which events of a block are of these users."""
    known, indexes = _users(block)
    found: Mask = np.array([user in users for user in known], np.bool_)[indexes]
    return found


def _users(block: Block) -> tuple[list[int], npt.NDArray[np.intp]]:
    """Return the users of a block's identities, and for each event the index of its user among them."""
    column = block.columns["identity"]
    of_entries = [user_of(entry.value[0]) for entry in column.entries]
    users, of_code = np.unique(np.array(of_entries, np.int64), return_inverse=True)
    return users.tolist(), of_code[column.codes[: len(block)]]


class Shares:
    """How much of a history each user has, counted in its sealed blocks."""

    def __init__(self) -> None:
        self._of: dict[Block, Holdings] = {}
        self._outdated: set[Block] = set()
        self._held: dict[int, Held] = {}

    def count(self, block: Block) -> None:
        """Count what a block holds now."""
        self.forget(block)
        self._of[block] = holdings_of(block)
        self._add(self._of[block], 1)

    def outdate(self, block: Block) -> None:
        """Mark a block to be counted again before the next choice: its events have changed."""
        self._outdated.add(block)

    def forget(self, block: Block) -> None:
        """Remove a block that has left the history."""
        self._outdated.discard(block)
        self._add(self._of.pop(block, {}), -1)

    def choose(self, blocks: Sequence[Block], by_bytes: bool) -> tuple[Block, Mask | None] | None:
        """Choose the block that loses events, and the events of it to keep.

        Each user has a share of the bound. What one user does not need is divided among the others, so only
        those who have the most are above their share. The block is the first that is mainly theirs.

        Args:
            blocks: The blocks that may lose events, oldest first.
            by_bytes: Whether the bound that is exceeded is the one in bytes.

        Returns:
            The block, and which of its events to keep (None: none of them); None if no block is to lose any.
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
        """Return the users who would be above their share if the bound were smaller by this part."""
        held = np.array([each[by_bytes] for each in self._held.values()])
        ordered = np.sort(held)
        # Users below the level keep all that they have; the others share the rest of the bound equally.
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
