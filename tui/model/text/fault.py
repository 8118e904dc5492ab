"""Reports of this program's own faults: where they are, but none of the data that was being handled.

The exception's message and local variables are left out, because they may contain someone's arguments.
"""

from __future__ import annotations

import os
import traceback
from typing import Final

_OURS: Final = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../..")) + os.sep
_OTHERS: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}contained.py")
"""Parts of the paths of libraries, and of modules that only pass an exception on."""


def crash_report(error: BaseException | None, what: str = "execwhy stopped") -> str:
    """Return the class of an exception and each place on the way to it, one per line."""
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
