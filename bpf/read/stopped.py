"""Why the reader has stopped, as a sentence for the operator."""

from __future__ import annotations

import os
import traceback

from execwhy.bpf.load.rlimits import obstacle


def expected_reason(error: Exception) -> str:
    """Return the sentence about an error of the kernel, of its compiler or of a limit."""
    if not isinstance(error, OSError):
        return str(error)
    reason = error.strerror or type(error).__name__
    return obstacle(error) or f"the kernel's events cannot be read ({reason}): start execwhy again."


def unexpected_reason(error: BaseException) -> str:
    """Return the sentence about an error that is a fault of execwhy."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    # The error's message may quote what a process wrote; its name cannot.
    what = f"{type(error).__name__} in {os.path.basename(frame.filename)}, line {frame.lineno}"
    return f"the reader stopped ({what}): start execwhy again, and report this."
