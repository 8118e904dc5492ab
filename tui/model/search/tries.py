"""What was found out about each try of a search, whose one row tells all of them."""

from __future__ import annotations

from typing import Final

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.history.store import History

_NEAR: Final = 32_768
"""Events: how far from one of them the tries are looked for, since they come within moments."""


def tries_of(history: History, event_id: int, search_id: int) -> list[ExecFailure]:
    """The tries of a search that are still held, oldest first.

    Args:
        history: Where they are.
        event_id: One of them, such as the one whose row tells the others.
        search_id: The search's.
    """
    found: list[ExecFailure] = []
    for block in history.blocks:
        if block.end_id <= event_id - _NEAR or block.first_id > event_id + _NEAR:
            continue
        for offset in block.tries_of(search_id):
            if (failure := block[offset].failure) is not None:
                found.append(failure)
    return found
