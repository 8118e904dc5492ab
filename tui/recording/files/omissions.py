"""Records that a recording leaves out: counted by reason, noted in the file and announced once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from execwhy.bpf.events.loss import Loss

SIZE_BOUND: Final = "recording's size bound"
NO_ROOM: Final = "no room for the recording"
NO_TIME: Final = "no time left for the recording"
FAILED: Final = "recording had failed"
"""Reasons for leaving records out: reasons of losses, and names in an ending."""

_INTERVAL: Final = 60.0
"""Seconds between losses at least; otherwise one would follow each line of another user."""


UNTIL_ROOM: Final = "What fails is left out, and counted, until there is room."
"""Ends a notice that begins with the recording's problem, which is then not reported again."""


class Omissions:
    """The records that were left out.

    Args:
        on_notice: Called with a sentence that the user should see at once.

    Attributes:
        counts: Records left out, by reason.
    """

    def __init__(self, on_notice: Callable[[str], None]) -> None:
        self.counts: Counter[str] = Counter()
        self._on_notice = on_notice
        self._unwritten: dict[str, Loss] = {}
        self._announced: set[str] = set()
        self._next_losses = 0.0

    def add(self, reason: str, timestamp: int, count: int) -> None:
        """Count records.

        Args:
            reason: Why they were left out.
            timestamp: The time of the first one: nanoseconds since 1970 UTC.
            count: How many there are.
        """
        self.counts[reason] += count
        loss = self._unwritten.get(reason)
        since, before = (timestamp, 0) if loss is None else (loss.timestamp, loss.count)
        self._unwritten[reason] = Loss(since, before + count, reason)

    def announce(self, kind: str, sentence: str) -> None:
        """Call ``on_notice``, but only once for each kind of sentence."""
        if kind not in self._announced:
            self._announced.add(kind)
            self._on_notice(sentence)

    def due(self, *, is_last: bool) -> Iterator[Loss]:
        """Yield the losses that should be written now, about once a minute.

        A loss counts as written when the next one is requested.

        Args:
            is_last: Whether the file ends, so that all must be written.
        """
        if not self._unwritten or (time.monotonic() < self._next_losses and not is_last):
            return
        for reason, loss in list(self._unwritten.items()):
            yield loss
            del self._unwritten[reason]

    def postpone(self, seconds: float) -> None:
        """Write the next losses after that many seconds, but not before the usual interval."""
        self._next_losses = time.monotonic() + max(_INTERVAL, seconds)


def notice(reason: str, name: str, *, is_share: bool) -> str:
    """Return the sentence about a reason for leaving out records.

    Args:
        reason: The reason.
        name: The current file.
        is_share: Whether the reason is that a user's share is used up.
    """
    if reason == SIZE_BOUND:
        return f"{name} is full (--max-bytes): further failures are left out, and counted."
    if is_share:
        return (
            f"{name} has no more room for the {reason}, so that others have some: further failures there are "
            "left out, and counted."
        )
    if reason == NO_TIME:
        return f"there was no time to write everything to {name}: the rest is counted."
    return f"{without_room(name)} {UNTIL_ROOM}"


def without_room(name: str) -> str:
    """Return the sentence about a file system that is nearly full."""
    problem = f"{name} is not complete, since there is too little free space for it"
    return f"{problem}: free some, or choose another place."
