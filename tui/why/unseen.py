"""The diagnosis of a failure at which there was no look, and why there was none."""

from __future__ import annotations

import os
from typing import Final

from bpf.record import Again, Diagnosis, ExecFailure, Look, first_like
from tui.why import words

NOT_LOOKED_AT: Final = "not-looked-at"


def not_in_time(failure: ExecFailure | Again) -> Look:
    """Say that the look did not end, and was ended."""
    return _look(
        failure,
        "not looked at in time",
        "The look was given up, as it did not end in time: something that it needed did not answer.",
    )


def shunned(failure: ExecFailure | Again) -> Look:
    """Say that an earlier look at the same place did not end."""
    return _look(
        failure,
        "not looked at in time",
        "An earlier look at the same place did not end in time, so it is left alone for a while.",
    )


def looker_failed(failure: ExecFailure | Again) -> Look:
    """Say that the looker ended in the middle of the look."""
    return _look(failure, "not looked at", "The process that looked for the cause ended meanwhile.")


def ended_before(failure: ExecFailure | Again) -> Look:
    """Say that the recording waits no longer."""
    return _look(
        failure,
        "not looked at in time",
        "Its turn had not come when the record had to be written.",
    )


def _look(failure: ExecFailure | Again, why: str, lacking: str) -> Look:
    record = first_like(failure)
    meaning = os.strerror(-record.return_value).lower()
    return Look(
        Diagnosis(
            code=NOT_LOOKED_AT,
            summary=f"The exec failed with {record.error} ({meaning}); the file was {why}.",
            evidence=(words.doubt(lacking),),
            certain=False,
            brief=f"{meaning}; {why}",
        )
    )
