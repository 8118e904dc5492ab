"""The clocks of the kernel's records, in a time namespace too."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from bpf import clock

PROJECT = Path(__file__).parents[2]


def test_the_clocks_are_those_of_the_kernel() -> None:
    assert clock.boot_clock() + clock.boot_offset() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert abs(clock.now() - time.time_ns()) < 60_000_000_000


def test_offsets_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    (tmp_path / "offsets").write_text("monotonic           0         0\nboottime        -2 500000000\n")
    assert clock._offsets(str(tmp_path / "offsets")) == {"monotonic": 0, "boottime": -1_500_000_000}
    (tmp_path / "nonsense").write_text("x\n")
    assert clock._offsets(str(tmp_path / "nonsense")) == clock._offsets(str(tmp_path / "none")) == {}


def test_a_time_namespace_changes_nothing() -> None:
    script = "from bpf import clock; print(clock.boot_time(), clock.boot_clock(), clock.suspended())"
    namespace = ["unshare", "-T", "--boottime", "86400", "--monotonic", "3600", "--fork"]
    inside = subprocess.run(
        [*namespace, sys.executable, "-c", script],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unshare failed" in inside.stderr or "invalid option" in inside.stderr:
        pytest.skip("no time namespace can be made here")
    assert inside.returncode == 0, inside.stderr
    boot_time, boot_clock, suspended = map(int, inside.stdout.split())
    minute = 60_000_000_000
    assert abs(boot_time - clock.boot_time()) < minute
    assert 0 <= clock.boot_clock() - boot_clock < minute
    assert abs(suspended - clock.suspended()) < minute
