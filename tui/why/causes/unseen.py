"""The diagnosis of a failure that was not looked at, and why it was not."""

from __future__ import annotations

import os
from typing import Final

from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.record import Diagnosis, ExecFailure, Look
from execwhy.tui.why.scene import words

NOT_LOOKED_AT: Final = "not-looked-at"

_DROPPED: Final = words.doubt("More execs failed than could be looked at, and its turn had not come.")


def not_in_time(failure: ExecFailure | Occurrence) -> Look:
    """Say that the look was ended because it did not end by itself."""
    return _look(
        failure,
        "not looked at in time",
        words.doubt(
            "The look was given up because it did not end in time: something that it needed did not answer."
        ),
    )


def shunned(failure: ExecFailure | Occurrence) -> Look:
    """Say that the place is left alone because an earlier look at it did not end."""
    return _look(
        failure,
        "not looked at in time",
        words.doubt(
            "An earlier look at the same place did not end in time, so it is left alone for a while."
        ),
    )


def left_alone(failure: ExecFailure | Occurrence, *, for_good: bool) -> Look:
    """Say that a look for the same user hangs and cannot be ended."""
    how_long = "until execwhy is started again" if for_good else "for some minutes"
    return _look(
        failure,
        "not looked at",
        words.doubt(
            "A look for the same user did not end, and its process could not be killed, so"
            f" nothing of this user is looked at {how_long}."
        ),
    )


def dropped(failure: ExecFailure | Occurrence) -> Look:
    """Say that too many waited for a look."""
    return _look(failure, "not looked at in time", _DROPPED)


def was_dropped(diagnosis: Diagnosis) -> bool:
    """Return whether only time was lacking for a look, so that there may be one now."""
    return diagnosis.code == NOT_LOOKED_AT and diagnosis.evidence == (_DROPPED,)


def looker_failed(failure: ExecFailure | Occurrence) -> Look:
    """Say that the looker ended in the middle of the look."""
    return _look(
        failure, "not looked at", words.doubt("The process that looked for the cause ended meanwhile.")
    )


def nobody_looks(failure: ExecFailure | Occurrence) -> Look:
    """Say that failures are no longer looked at."""
    return _look(
        failure, "not looked at", words.doubt("Looking for causes has stopped: start execwhy again.")
    )


def too_long(failure: ExecFailure | Occurrence) -> Look:
    """Say that the names in the cause are too long for a diagnosis."""
    return _look(
        failure,
        "left undiagnosed",
        words.doubt("What was found is longer than a diagnosis may be: the names on the way are too long."),
    )


def ended_before(failure: ExecFailure | Occurrence) -> Look:
    """Say that the recording could not wait for the look."""
    return _look(
        failure,
        "not looked at in time",
        words.doubt("Its turn had not come when the record had to be written."),
    )


def _look(failure: ExecFailure | Occurrence, why: str, lacking: str) -> Look:
    record = failure.template
    meaning = os.strerror(-record.return_value).lower()
    return Look(
        Diagnosis(
            code=NOT_LOOKED_AT,
            summary=f"The exec failed with {record.error} ({meaning}); the file was {why}.",
            evidence=(lacking,),
            certain=False,
            brief=f"{meaning}; {why}",
        )
    )
