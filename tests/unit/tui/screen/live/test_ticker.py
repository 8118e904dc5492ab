"""When the ticker takes a step, without a screen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from execwhy.tui.screen.live import ticker
from execwhy.tui.screen.live.ticker import Ticker


class Work:
    """Steps that a test sets the results of; it is the schedule as well."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.more = self.waits = self.is_typing = self.paints = False
        self.is_over = False
        self.next: Callable[[], Awaitable[None]] | None = None

    def take_in(self, is_urgent: Callable[[], bool]) -> bool:
        assert is_urgent() == self.is_typing
        self.did.append("take in")
        return not self.is_over

    def show(self) -> bool:
        self.did.append("show")
        return self.more

    def repaints(self) -> bool:
        return self.paints

    def call_later(self, callback: Callable[[], Awaitable[None]]) -> None:
        self.did.append("later")
        self.next = callback

    def call_after_refresh(self, callback: Callable[[], Awaitable[None]]) -> None:
        self.did.append("after painting")
        self.next = callback


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def ticking(work: Work) -> Ticker:
    return Ticker(work, work, lambda: work.is_typing)


def test_a_tick_reads_new_events_and_then_shows_them(work: Work, ticking: Ticker) -> None:
    ticking.on_time()
    assert work.did == ["take in", "show"]


def test_a_tick_waits_for_a_key_only_for_a_limited_time(
    work: Work, ticking: Ticker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticking.on_time()
    work.did.clear()
    work.is_typing = True
    ticking.on_time()
    assert work.did == []
    monkeypatch.setattr(ticker, "_LONGEST_TYPING", -1.0)
    ticking.on_time()
    assert work.did[0] == "take in"


def test_consecutive_steps_do_not_each_repaint(work: Work, ticking: Ticker) -> None:
    ticking.tick()
    ticking.tick()
    assert work.did == ["take in", "show", "take in"]


@pytest.mark.parametrize(("paints", "scheduled"), [(False, "later"), (True, "after painting")])
def test_further_work_is_done_after_changes_are_painted(
    paints: bool, scheduled: str, work: Work, ticking: Ticker
) -> None:
    work.waits, work.paints = True, paints
    ticking.tick()
    assert work.did == ["take in", "show", scheduled]
    assert work.next is not None
    work.waits = False
    asyncio.run(_run(work.next))
    assert work.did[3:] == ["take in"]


async def _run(step: Callable[[], Awaitable[None]]) -> None:
    await step()


def test_only_one_step_is_scheduled_at_a_time(work: Work, ticking: Ticker) -> None:
    work.more = True
    ticking.answer()
    ticking.answer()
    assert work.did == ["show", "later", "show"]


def test_no_step_is_scheduled_while_a_key_is_pending(work: Work, ticking: Ticker) -> None:
    work.more = work.is_typing = True
    ticking.answer()
    assert work.did == ["show"]


def test_a_screen_that_is_being_closed_paints_nothing(work: Work, ticking: Ticker) -> None:
    work.is_over = work.waits = True
    ticking.tick()
    assert work.did == ["take in"]
