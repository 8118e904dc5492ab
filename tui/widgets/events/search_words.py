"""What became of a PATH search, in words: its one row tells all its tries."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from execwhy.bpf.events.record import ExecFailure, Search
from execwhy.tui.model.text.counted import counted

_PASSED_OVER: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
"""As of execwhy.tui.model.search.representative: a search goes on as if nothing had been there."""

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
"""Codes that say of a try that was passed over no more than that: the other directories count as much."""

WENT_ON: Final = (
    "A search goes on after such an error, and ends with it where it finds nothing else (execvp(3))."
)


def outcome(record: ExecFailure) -> str:
    """How a PATH search ended: "not found in 8 directories"."""
    search = record.search
    assert search is not None
    tries = counted(search.tries, "try", "tries")
    if search.outcome == "found":
        return f"found at {search.found_path} after {tries}"
    if search.outcome == "open":
        return f"not found in {tries} that are known"
    if len(search.attempts) < search.tries:
        return f"not found in {tries}"
    places = _places(record)
    return f"not found in {counted(places, 'directory', 'directories')}"


def end(search: Search) -> str:
    """How a search that did not end well ended, in two or three words."""
    if search.outcome == "open":
        return "its end was not seen"
    met = any(-attempt.return_value not in _PASSED_OVER for attempt in search.attempts)
    return "not executed" if met else "not found"


def tells_more(record: ExecFailure) -> bool:
    """Whether the try that stands for the search tells more than that nothing was there: it comes first."""
    diagnosis = record.diagnosis
    if diagnosis is None or record.search is None or record.search.outcome == "found":
        return False
    return stopped(record) or diagnosis.code not in _OF_ONE_PLACE


def with_best_cause(record: ExecFailure, tries: Callable[[], Iterable[ExecFailure]]) -> ExecFailure:
    """Return the record whose row tells a search, with the cause that another try has where it has none.

    Args:
        record: Any record.
        tries: Return all tries of its search; called only where its own file was not looked at.
    """
    if record.search is None or not lacks_cause(record):
        return record
    others = (replace(record, diagnosis=one.diagnosis) for one in tries() if not stopped(one))
    return next((other for other in others if tells_more(other)), record)


def lacks_cause(record: ExecFailure) -> bool:
    """Whether its row tells a search that ended badly, and the try that stands for it was not looked at."""
    search, diagnosis = record.search, record.diagnosis
    if search is None or search.folded or search.outcome == "found" or stopped(record):
        return False
    return diagnosis is None or diagnosis.code in _NOT_SEEN


def stopped(record: ExecFailure) -> bool:
    """Whether the try that stands for the search was not just passed over, such as one with EACCES."""
    return -record.return_value not in _PASSED_OVER


def in_brief(record: ExecFailure, brief: str) -> str:
    """What stands under WHY where the try ``tells_more``."""
    others = _elsewhere(record)
    if record.binary is None and not stopped(record):
        return f"{brief}; {outcome(record)}"
    return f"{brief}; {others}" if others else brief


def sentence(record: ExecFailure) -> str:
    """How the search ended, as a sentence; raw text."""
    search = record.search
    assert search is not None
    name = f'"{search.name}"'
    if search.outcome == "found" or (record.binary is None and not stopped(record)):
        return f"{name} was {outcome(record)}."
    others = _elsewhere(record)
    if record.binary is None:
        told = f"The search for {name} ended with {record.error}, which it met at {record.path}"
    else:
        told = f"{name} was found at {record.path}, where it could not be executed"
    return f"{told}; {others}." if others else f"{told}."


def _elsewhere(record: ExecFailure) -> str:
    """What the other directories had; "" where there were none."""
    search = record.search
    assert search is not None
    others = _places(record) - 1
    alike = [one for one in search.attempts if one.path != record.path]
    if others < 1 or len(search.attempts) < search.tries:
        return ""
    if any(-one.return_value not in _PASSED_OVER for one in alike):
        return f"nor was it executed in {others:,} other {_directories(others)}"
    return f"it is not in {others:,} other {_directories(others)}"


def _directories(count: int) -> str:
    return "directory" if count == 1 else "directories"


def _places(record: ExecFailure) -> int:
    assert record.search is not None
    return len({attempt.path.rpartition("/")[0] for attempt in record.search.attempts})
