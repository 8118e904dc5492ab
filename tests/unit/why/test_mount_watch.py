"""Mounts are watched from before the execs that are looked at."""

from __future__ import annotations

import os
import time

from tui.why.mount_watch import mount_watch, watch_mounts


def test_our_own_mounts_are_watched_by_the_number_of_their_namespace_too() -> None:
    watch_mounts()
    own = mount_watch(None)
    assert own is not None
    assert mount_watch(os.stat("/proc/self/ns/mnt").st_ino) is own
    assert own.unchanged_since() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def test_a_namespace_that_nobody_watches_has_no_watch() -> None:
    assert mount_watch(1) is None
