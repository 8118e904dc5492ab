"""How long files must be left alone until an exec that fails on them has a certain cause."""

from __future__ import annotations

from typing import Final

from tui.why.moment import CLOCK_STEP
from tui.why.mount_watch import watch_mounts

SETTLED: Final = 1.5 * CLOCK_STEP / 1e9 + 0.02
"""Seconds after which a file's ctime proves that it has not changed since (tui.why.moment)."""

watch_mounts()
"""As the program does: it knows of no mount from before it was asked for the first time."""
