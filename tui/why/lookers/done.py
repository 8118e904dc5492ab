"""Looks to hand out: a turn for each user, and one entry for all events that share a look."""

from __future__ import annotations

import sys
from typing import Final, NamedTuple

import numpy as np

from execwhy.bpf.events.record import Look
from execwhy.tui.why.lookers.fair_queue import EventIds
from execwhy.tui.why.lookers.ready import Ready

MAX_BYTES: Final = 8 << 20
"""Most bytes of all looks, shared equally between users. While a user's share is full, nothing more of theirs
is looked at."""

_LOOK_BYTES: Final = 800
"""Bytes of a look's objects without their text, and of its entries in the queue."""

_IDS_BYTES: Final = 120
"""Bytes of an array without its ids."""


class _Entry(NamedTuple):
    user: int
    look: Look
    ids: list[EventIds]


class Done:
    """The looks that have arrived, and which events they are for. Not safe to share between threads.

    Args:
        max_bytes: Most bytes of all looks.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._turns = Ready()
        # By number; each user has at most one entry for a look.
        self._waiting: dict[int, _Entry] = {}
        self._numbers: dict[tuple[int, Look], int] = {}
        self._bytes: dict[int, int] = {}
        self._weights: dict[int, int] = {}
        self._last = 0

    def __len__(self) -> int:
        """Return the number of looks that wait."""
        return len(self._waiting)

    @property
    def nbytes(self) -> int:
        """About how many bytes the looks that wait take."""
        return sum(self._bytes.values())

    @property
    def ids(self) -> EventIds:
        """The events of all looks that wait, in no particular order."""
        pieces = [piece for entry in self._waiting.values() for piece in entry.ids]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.int64)

    def put(self, user: int, ids: EventIds, look: Look) -> None:
        """Add a look at events of a user; none of these events may have a look here already."""
        number = self._numbers.get((user, look))
        weight = _IDS_BYTES + ids.nbytes
        if number is None:
            self._last = number = self._last + 1
            weight += _weight_of(look)
            self._numbers[user, look] = number
            self._waiting[number] = _Entry(user, look, [])
            self._turns.put(user, number, weight)
        self._waiting[number].ids.append(ids)
        self._weights[number] = self._weights.get(number, 0) + weight
        self._bytes[user] = self._bytes.get(user, 0) + weight

    def has_room(self, user: int) -> bool:
        """Return whether there is room for more of this user, with an equal share for each."""
        of_user = self._bytes.get(user, 0)
        return not of_user or of_user * 2 * len(self._bytes) < self._max_bytes

    def take(self, most: int | None = None) -> list[tuple[EventIds, Look]]:
        """Remove and return the next looks.

        Args:
            most: How many; the last turn may bring some more. None for all.

        Returns:
            Event ids, ascending, and what was found.
        """
        taken: list[tuple[EventIds, Look]] = []
        while most is None or len(taken) < most:
            turn = self._turns.next_turn()
            if not turn:
                break
            for number in turn:
                user, look, pieces = self._waiting.pop(number)
                del self._numbers[user, look]
                self._bytes[user] -= self._weights.pop(number)
                if not self._bytes[user]:
                    del self._bytes[user]
                taken.append((pieces[0] if len(pieces) == 1 else np.sort(np.concatenate(pieces)), look))
        return taken


class Dropped:
    """Events without a look that share an answer. In a storm there are tens of thousands a second.

    Attributes:
        look: The answer for each of them.
    """

    def __init__(self, look: Look) -> None:
        self.look = look
        self._single: list[int] = []
        self._several: list[EventIds] = []

    def add(self, ids: EventIds) -> None:
        """Add the events of a group."""
        if len(ids) == 1:
            self._single.append(int(ids[0]))
        else:
            self._several.append(ids)

    @property
    def ids(self) -> EventIds:
        """Their ids, ascending, each once."""
        ids: EventIds = np.unique(np.concatenate([np.array(self._single, np.int64), *self._several]))
        return ids


def _weight_of(look: Look) -> int:
    diagnosis = look.diagnosis
    texts = diagnosis.summary, diagnosis.brief, diagnosis.advice, *diagnosis.evidence, look.cgroup
    facts = look.interpreter_path, None if look.binary is None else look.binary.path
    return _LOOK_BYTES + sum(sys.getsizeof(text) for text in (*texts, *facts) if text is not None)
