"""How a PATH search ended, in words: one row stands for all its tries."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from execwhy.bpf.events.record import ExecFailure, Search
from execwhy.tui.model.text.counted import counted

_PASSED_OVER: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
"""As in execwhy.tui.model.search.representative: the search goes on as if nothing had been there."""

_NOT_SEEN: Final = frozenset({"not-looked-at", "namespace-gone", "diagnosis-failed"})
"""Codes of tries whose files were not looked at."""

_OF_ONE_PLACE: Final = frozenset(
    {
        "missing-file",
        "missing-directory",
        "missing-in-working-directory",
        "not-a-directory",
        "not-looked-at",
        "vanished-since",
        "appeared-since",
        "namespace-gone",
        "diagnosis-failed",
    }
)
"""Codes that say only that a try was passed over, so that the other directories matter as much."""

WENT_ON: Final = (
    "A search goes on after such an error, and ends with it where it finds nothing else (execvp(3))."
)


def outcome(record: ExecFailure) -> str:
    """Say how a PATH search ended: "not found in 8 directories"."""
    search = record.search
    assert search is not None
    tries = counted(search.tries, "try", "tries")
    if search.outcome == "found":
        return f"found at {search.found_path} after {tries}"
    so_far = " so far" if search.outcome == "open" else ""
    if len(search.attempts) < search.tries:
        return f"not found in {tries}{so_far}"
    places = _places(record)
    return f"not found in {counted(places, 'directory', 'directories')}{so_far}"


def end(search: Search) -> str:
    """Say in two or three words how a search ended that did not find its program."""
    if search.outcome == "open":
        return "its end was not seen"
    met = any(-attempt.return_value not in _PASSED_OVER for attempt in search.attempts)
    return "not executed" if met else "not found"


def says_more(record: ExecFailure) -> bool:
    """Return whether the try that stands for a search says more than that nothing was there."""
    diagnosis = record.diagnosis
    if diagnosis is None or record.search is None or record.search.outcome == "found":
        return False
    return stopped(record) or diagnosis.code not in _OF_ONE_PLACE


def with_best_cause(record: ExecFailure, tries: Callable[[], Iterable[ExecFailure]]) -> ExecFailure:
    """Return a record that stands for a search, with the cause of another try if it has none.

    Args:
        record: Any record.
        tries: Returns all tries of its search; called only if its own file was not looked at.
    """
    if record.search is None or not lacks_cause(record):
        return record
    others = (replace(record, diagnosis=one.diagnosis) for one in tries() if not stopped(one))
    return next((other for other in others if says_more(other)), record)


def lacks_cause(record: ExecFailure) -> bool:
    """Return whether a record stands for a search that failed, and was not looked at."""
    search, diagnosis = record.search, record.diagnosis
    if search is None or search.folded or search.outcome == "found" or stopped(record):
        return False
    return diagnosis is None or diagnosis.code in _NOT_SEEN


def stopped(record: ExecFailure) -> bool:
    """Return whether the try that stands for the search was more than passed over, as with EACCES."""
    return -record.return_value not in _PASSED_OVER


def in_brief(record: ExecFailure, brief: str) -> str:
    """Return what stands under WHY if the try ``says_more``."""
    others = _elsewhere(record)
    if record.binary is None and not stopped(record):
        return f"{brief}; {outcome(record)}"
    return f"{brief}; {others}" if others else brief


def sentence(record: ExecFailure) -> str:
    """Return how the search ended, as a sentence; raw text."""
    search = record.search
    assert search is not None
    name = f'"{search.name}"'
    if search.outcome == "found" or (record.binary is None and not stopped(record)):
        return f"{name} was {outcome(record)}."
    others = _elsewhere(record)
    if record.binary is None and search.outcome == "open":
        said = f"The search for {name} met {record.error} at {record.path}"
    elif record.binary is None:
        said = f"The search for {name} ended with {record.error}, which it met at {record.path}"
    else:
        said = f"{name} was found at {record.path}, where it could not be executed"
    return f"{said}; {others}." if others else f"{said}."


def _elsewhere(record: ExecFailure) -> str:
    """Say what the other directories had; "" if there were none."""
    search = record.search
    assert search is not None
    others = _places(record) - 1
    rest = [one for one in search.attempts if one.path != record.path]
    if others < 1 or len(search.attempts) < search.tries:
        return ""
    if any(-one.return_value not in _PASSED_OVER for one in rest):
        return f"nor was it executed in {others:,} other {_directories(others)}"
    return f"it is not in {others:,} other {_directories(others)}"


def _directories(count: int) -> str:
    return "directory" if count == 1 else "directories"


def _places(record: ExecFailure) -> int:
    assert record.search is not None
    return len({attempt.path.rpartition("/")[0] for attempt in record.search.attempts})
