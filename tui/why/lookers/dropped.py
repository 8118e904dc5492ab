"""Events that get no look, and what is said of them."""

from __future__ import annotations

import numpy as np

from execwhy.bpf.events.record import Look
from execwhy.tui.why.lookers.fair_queue import EventIds


class Dropped:
    """Events that get no look for the same reason. In a storm there are tens of thousands a second.

    Attributes:
        look: What is said of each of them.
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
