"""The clocks of the kernel's records, in a time namespace too."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from execwhy.bpf.events import clock

PROJECT = Path(__file__).parents[4]


def test_the_clocks_are_those_of_the_kernel() -> None:
    assert clock.boot_clock() + clock.boot_offset() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert abs(clock.now() - time.time_ns()) < 60_000_000_000


def test_offsets_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    (tmp_path / "offsets").write_text("monotonic           0         0\nboottime        -2 500000000\n")
    assert clock._offsets(str(tmp_path / "offsets")) == {"monotonic": 0, "boottime": -1_500_000_000}
    (tmp_path / "nonsense").write_text("x\n")
    assert clock._offsets(str(tmp_path / "nonsense")) == clock._offsets(str(tmp_path / "none")) == {}


def in_time_namespace(script: str) -> list[int]:
    """Return the numbers that a script prints in a time namespace whose boot clock is a day ahead."""
    namespace = ["unshare", "-T", "--boottime", "86400", "--monotonic", "3600", "--fork"]
    inside = subprocess.run(
        [*namespace, sys.executable, "-c", script],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert inside.returncode == 0, inside.stderr
    return [int(word) for word in inside.stdout.split()]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a time namespace")


@needs_root
def test_a_time_namespace_changes_nothing() -> None:
    boot_time, boot_clock, suspended = in_time_namespace(
        "from execwhy.bpf.events.clock import *; print(boot_time(), boot_clock(), suspended())"
    )
    minute = 60_000_000_000
    assert abs(boot_time - clock.boot_time()) < minute
    assert 0 <= clock.boot_clock() - boot_clock < minute
    assert abs(suspended - clock.suspended()) < minute


@needs_root
def test_ctimes_and_mounts_are_compared_by_the_kernels_clock() -> None:
    unchanged, changed, since = in_time_namespace(
        "import time; from execwhy.bpf.events import clock; from execwhy.tui.why.scene.moment import Moment\n"
        "from execwhy.tui.why.scene.mount_watch import MountWatch\n"
        "watch, moment, now = MountWatch('/proc/self'), Moment(clock.now()), time.time_ns()\n"
        "print(int(moment.is_unchanged(now - 3600 * 10**9)), int(moment.is_changed(now + 3600 * 10**9)))\n"
        "print(watch.unchanged_since())"
    )
    assert (unchanged, changed) == (1, 1)
    assert 0 <= clock.boot_clock() - since < 60_000_000_000
