"""A time of day goes to the day that one has in mind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from execwhy.tui.model.view.moment import MomentError, is_moment, moment


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    os.environ.pop("TZ", None)
    time.tzset()


def at(day: int, clock: str) -> int:
    return int(datetime.fromisoformat(f"2026-11-{day:02d}T{clock}").replace(tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("typed", "oldest", "newest", "meant"),
    [
        ("@21:50", at(24, "20:00:00"), at(24, "22:00:00"), at(24, "21:50:00")),
        ("@21:50:14", at(24, "20:00:00"), at(24, "22:00:00"), at(24, "21:50:14")),
        ("@9:05", at(24, "08:00:00"), at(24, "22:00:00"), at(24, "09:05:00")),
        ("@23:50", at(23, "20:00:00"), at(24, "00:10:00"), at(23, "23:50:00")),
        ("@21:50", at(24, "21:50:30"), at(24, "22:00:00"), at(24, "21:50:00")),
        ("@23:00", at(24, "20:00:00"), at(24, "22:00:00"), at(24, "23:00:00")),
        ("@03:00", at(24, "20:00:00"), at(24, "22:00:00"), at(24, "03:00:00")),
        ("@12:00", at(20, "10:00:00"), at(24, "11:00:00"), at(23, "12:00:00")),
        ("@2026-11-21 12:00", at(20, "10:00:00"), at(24, "11:00:00"), at(21, "12:00:00")),
        ("@2026-11-21T12:00:07", at(20, "10:00:00"), at(24, "11:00:00"), at(21, "12:00:07")),
    ],
)
def test_a_clock_time_is_the_last_one_among_the_events(
    typed: str, oldest: int, newest: int, meant: int
) -> None:
    assert moment(typed, oldest, newest) == meant


@pytest.mark.parametrize("typed", ["@", "@21", "@25:00", "@21:60", "@2026-02-30 12:00", "@noon", "@21:50x"])
def test_what_is_no_time_is_answered_with_one(typed: str) -> None:
    with pytest.raises(MomentError, match="@21:50"):
        moment(typed, at(24, "20:00:00"), at(24, "22:00:00"))


def test_a_time_is_known_by_its_first_character() -> None:
    assert is_moment(" @21:50") and is_moment("@")
    assert not is_moment("user@host")
