"""The three standard descriptors, if the parent process closed some of them."""

from __future__ import annotations

import os
import sys
from typing import Final

_NAMES: Final = ("stdin", "stdout", "stderr")


def occupy_closed() -> frozenset[int]:
    """Open /dev/null where a standard descriptor is closed.

    Otherwise the next file that is opened would take its number and receive its data, and Python, whose
    sys.stderr is then None, would print messages to standard output.

    Returns:
        The numbers that were closed.

    Raises:
        OSError: /dev/null cannot be opened.
    """
    closed = []
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            # open(2) returns the lowest free number, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            closed.append(number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    return frozenset(closed)
