"""Mounts are watched since before the execs that are diagnosed."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from execwhy.bpf.events import clock
from execwhy.tui.why.scene import mount_watch as mount_watch_module
from execwhy.tui.why.scene.mount_watch import MountWatches, mount_watch, watch_mounts


def test_our_own_mounts_are_watched_by_the_number_of_their_namespace_too() -> None:
    watch_mounts()
    own = mount_watch(None)
    assert own is not None
    assert mount_watch(os.stat("/proc/self/ns/mnt").st_ino) is own
    assert own.unchanged_since() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def test_a_namespace_that_nobody_watches_has_no_watch() -> None:
    assert mount_watch(1) is None


def since_in_child() -> int:
    """Return since when a child that is forked here knows that no mount has changed."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            watch_mounts()
            watch = mount_watch(None)
            assert watch is not None
            os.write(theirs, str(watch.unchanged_since()).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours) as answer:
        since = int(answer.read())
    os.waitpid(child, 0)
    return since


def test_a_forked_process_continues_the_watch_of_its_parent() -> None:
    watches = MountWatches()
    known = watches._watches["/proc/self"]
    began = known.unchanged_since()
    with watches.handed_over():
        handed = since_in_child()
    # Other programs may mount on this machine in between.
    assert handed == began or handed >= known.unchanged_since() > began
    assert not mount_watch_module._handed
    assert since_in_child() > began, "without it, nothing is known from before"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_mount_removed_before_the_fork_is_noticed_by_the_child(tmp_path: Path) -> None:
    watches = MountWatches()
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
    mounted = clock.boot_clock()
    subprocess.run(["umount", tmp_path], check=True)
    with watches.handed_over():
        assert since_in_child() > mounted


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_mount_that_is_made_between_handing_over_and_taking_over_is_noticed(tmp_path: Path) -> None:
    watches = MountWatches()
    with watches.handed_over():
        handed = clock.boot_clock()
        subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
        subprocess.run(["umount", tmp_path], check=True)
        assert since_in_child() > handed
