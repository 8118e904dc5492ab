"""How large a recording may become, and what each user may write of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from execwhy.tui.recording.files.output import Output
from execwhy.tui.recording.files.shares import DAY, Shares

RESERVED: Final = 8 << 10
"""Bytes for the losses and the ending of a file, which are always written."""

_FLOOR: Final = 32 << 10
"""Bytes that each user has, whatever others do, unless the files are very small: ten ordinary records."""

_FLOOR_PARTS: Final = (256, 32)
"""A floor is at least this part of the capacity; below ``_FLOOR``, at most this part of all bytes."""

_FLOODS: Final = 10
"""Users who may write all that they may while each other user still has the floor."""

LEAST_FLOOR: Final = 30 << 10
"""Bytes of the floor for which the files of a recording must have room, if they are kept for a day."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a recording may take.

    Attributes:
        max_bytes: Bytes of one file; None if only the free space limits it.
        open_next: Opens the next file when one is full. If it raises ``NoRoom``, records are left out until
            it succeeds. None to leave records out for good.
        files: Files to keep.
    """

    max_bytes: int | None = None
    open_next: Callable[[], Output] | None = None
    files: int = 1

    def shares(self) -> Shares:
        """Return the shares of users: of one file, or with ``open_next`` of what is kept for a day."""
        if self.max_bytes is None:
            return Shares(None)
        size = self.max_bytes - RESERVED
        if self.open_next is None:
            floor = _floor(size, size)
            return Shares(size - _FLOODS * floor, floor=floor)
        # The current file may have little in it, and so may the last one before a restart.
        kept = size * (self.files - 1)
        capacity = size * max(1, self.files - 2) // 3
        floor = _floor(capacity, kept)
        return Shares(max(0, min(capacity, kept // 2 - _FLOODS * floor)), DAY, floor=floor)


def least_bytes(files: int) -> int:
    """Return how large each of at least two files must be for every user to have ``LEAST_FLOOR`` bytes."""
    return -(-LEAST_FLOOR * _FLOOR_PARTS[1] // (files - 1)) + RESERVED


def _floor(capacity: int, kept: int) -> int:
    """Return how many of the bytes that are kept each user has, whatever others do."""
    of_capacity, of_kept = _FLOOR_PARTS
    return max(capacity // of_capacity, min(_FLOOR, kept // of_kept))


UNBOUNDED: Final = Bounds()
