"""What is said of a fault of this program: where it is, and nothing of what the program was looking at.

The exception's own words are left out as the locals are: they may hold someone's arguments.
"""

from __future__ import annotations

import os
import traceback
from typing import Final

_OURS: Final = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../..")) + os.sep
_OTHERS: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}contained.py")
"""Libraries, and what only hands on."""


def crash_report(error: BaseException | None, what: str = "execwhy stopped") -> str:
    """Return the kind of a fault and each place on the way to it, a line each."""
    lines = [f"{what}: {type(error).__name__} (a fault of this program; please report it)"]
    for frame in traceback.extract_tb(error.__traceback__ if error is not None else None):
        lines.append(f"  {frame.filename}:{frame.lineno} in {frame.name}")
    return "\n".join(lines)


def fault(error: BaseException) -> str:
    """Return the same in a few words: "IndexError in tally.py, line 164"."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if _is_ours(frame.filename)]
    at = (ours or frames)[-1:]
    where = f" in {os.path.basename(at[0].filename)}, line {at[0].lineno}" if at else ""
    return f"{type(error).__name__}{where}"


def _is_ours(filename: str) -> bool:
    return filename.startswith(_OURS) and not any(other in filename for other in _OTHERS)
