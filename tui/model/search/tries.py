"""The records of the tries of a search, of which only one has a row."""

from __future__ import annotations

from typing import Final

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.history.store import History

_NEAR: Final = 32_768
"""Events on each side of a known try that are searched for the others, which come within moments."""


def tries_of(history: History, event_id: int, search_id: int) -> list[ExecFailure]:
    """Return the tries of a search that are still in the history, oldest first.

    Args:
        history: The history.
        event_id: The id of a try, such as the one that has the row.
        search_id: The id of the search.
    """
    found: list[ExecFailure] = []
    for block in history.blocks:
        if block.end_id <= event_id - _NEAR or block.first_id > event_id + _NEAR:
            continue
        for offset in block.tries_of(search_id):
            if (failure := block[offset].failure) is not None:
                found.append(failure)
    return found
