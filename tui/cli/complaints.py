"""Messages on standard error, and the exit status that goes with them."""

from __future__ import annotations

import contextlib
import sys
from typing import Final

from execwhy.bpf.load.rlimits import obstacle
from execwhy.tui.faults.crash import crash_report
from execwhy.tui.model.text.printable import printable

FAILURE: Final = 1
"""Exit status if a valid request failed."""


class CommandError(Exception):
    """A valid request that cannot be fulfilled; ``str()`` is one sentence that says what to do."""


def complain(message: str, status: int) -> int:
    """Print a message and return the exit status."""
    print(f"execwhy: {printable(message)}", file=sys.stderr)
    return status


def report(error: Exception) -> int:
    """Print the resource limit that caused an error, or else where it was raised; return the exit status.

    Python's own message could quote what a process wrote.
    """
    if (sentence := obstacle(error)) is not None:
        return complain(sentence, FAILURE)
    print(crash_report(error), file=sys.stderr)
    return FAILURE


def say(text: str) -> None:
    """Print a notice, if standard error can be written; a recording does not depend on it."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)
