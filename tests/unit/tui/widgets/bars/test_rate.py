"""The last minute in the status line: a burst is visible, a single failure is no tall bar."""

from __future__ import annotations

import pytest

from execwhy.tui.widgets.bars.rate import Rate


def after(*totals: int) -> Rate:
    """Return a rate that has seen the counter at these values, a second apart."""
    rate = Rate()
    for total in totals:
        rate.tick(total)
    return rate


def test_events_before_the_first_look_are_not_a_burst() -> None:
    assert after(1_000_000).now == 0
    assert after(1_000_000).sparkline(6) == "▁" * 6


def test_events_read_from_a_file_have_no_rate() -> None:
    rate = Rate()
    for total, reads in ((0, True), (5_000, True), (9_000, False), (9_003, False)):
        rate.tick(total, reads=reads)
    assert rate.now == 1
    assert rate.sparkline(60) == "▁" * 59 + rate.sparkline(60)[-1]


def test_the_rate_is_that_of_the_last_three_seconds() -> None:
    assert after(0, 10, 20, 30).now == 10
    assert after(0, 30, 30, 30, 30).now == 0


@pytest.mark.parametrize("bars", [6, 12, 20, 30])
def test_a_burst_of_one_second_stands_out_for_a_minute(bars: int) -> None:
    quiet = list(range(1, 30))
    burst = [quiet[-1] + 5000 + n for n in range(59)]
    line = after(*quiet, *burst).sparkline(bars)
    assert len(line) == bars
    assert line.index("█") == 0
    assert line.count("█") == 1
    gone = after(*quiet, *burst, *range(burst[-1] + 1, burst[-1] + 3)).sparkline(bars)
    assert len(set(gone)) == 1, "and then it has gone by"


def test_a_single_failure_is_visible_but_not_a_tall_bar() -> None:
    assert after(0, 1).sparkline(6) == "▁▁▁▁▁▃"


def test_a_steady_rate_is_a_flat_line() -> None:
    assert after(*range(0, 620, 10)).sparkline(12) == "█" * 12
