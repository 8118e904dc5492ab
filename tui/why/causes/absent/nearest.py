"""The nearest of many names: the one with the fewest edits, if they are few for its length."""

from __future__ import annotations

import functools
from typing import Final

from execwhy.bpf.caller.own_time import own_time

NEAREST_SECONDS: Final = 0.05
"""Time limit for comparing the names of one directory, of which some thousand may resemble each other."""

_AT_A_TIME: Final = 256
"""Names that are compared between two looks at the clock, 5 ms at most; that many are always compared."""


def nearest(name: str, names: tuple[str, ...], deadline: float | None = None) -> str | None:
    """Return the first of the names with the fewest edits, if these are few for its length.

    Args:
        name: The name that was meant to exist.
        names: The names that exist.
        deadline: When to stop comparing, on the clock of ``own_time``.
    """
    limit = _edits_allowed(name, name)
    deadline = own_time() + NEAREST_SECONDS if deadline is None else deadline
    wanted = _letters(name)
    best, chosen, compared = limit + 1, None, 0
    for candidate in names:
        if abs(len(candidate) - len(name)) >= best or candidate == name:
            continue
        if (wanted ^ _letters(candidate)).bit_count() > 2 * (best - 1):
            continue
        compared += 1
        if best == 1 or (compared % _AT_A_TIME == 0 and own_time() > deadline):
            break
        edits = distance(name, candidate, best - 1)
        if edits < best and edits <= _edits_allowed(name, candidate):
            best, chosen = edits, candidate
    return chosen


def _edits_allowed(name: str, candidate: str) -> int:
    """Return how many edits two names that mean the same may differ in: one for four letters, two at most.

    A short name is near to many that have nothing to do with it. Names of four letters must have the same
    first letter; names of three letters must have the same letters, in any order.
    """
    shorter = min(len(name), len(candidate))
    if shorter < 5 and (shorter < 4 or name[:1] != candidate[:1]):
        return int(shorter >= 3 and sorted(name) == sorted(candidate))
    return min(2, shorter // 4)


@functools.lru_cache(maxsize=16384)
def _letters(name: str) -> int:
    """Return the letters that occur, a bit each: two names that differ in many of them are far apart."""
    bits = 0
    for letter in name:
        bits |= 1 << (ord(letter) & 127)
    return bits


def distance(one: str, other: str, limit: int) -> int:
    """Return the edits from one name to the other, exactly up to ``limit``.

    An edit inserts, deletes or replaces a letter, or swaps two neighbours.
    """
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    far = limit + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        # Cells farther than ``limit`` from the diagonal cannot be reached.
        first, last = max(1, i - limit), min(len(other), i + limit)
        older, before, row = before, row, [far] * (len(other) + 1)
        row[0] = i
        for j in range(first, last + 1):
            opposite = other[j - 1]
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != opposite))
            if older and j > 1 and letter == other[j - 2] and one[i - 2] == opposite:
                cost = min(cost, older[j - 2] + 1)
            row[j] = cost
        if min(row) > limit:
            return far
    return row[-1]
