"""How long files must be unchanged before an exec that fails on them has a certain cause."""

from __future__ import annotations

import os
from typing import Final

from execwhy.tui.why.scene import moment
from execwhy.tui.why.scene.moment import CLOCK_STEP
from execwhy.tui.why.scene.mount_watch import watch_mounts

SETTLED: Final = 1.5 * CLOCK_STEP / 1e9 + 0.02
"""Seconds after which a file's ctime proves that it has not changed since (execwhy.tui.why.scene.moment)."""

watch_mounts()
"""As the program does: it knows of no mount from before it was asked for the first time."""

if os.geteuid() != 0:
    # Files of other users must be older, by more than tests can wait for.
    vars(moment)["SLOW_SECONDS"] = 0
