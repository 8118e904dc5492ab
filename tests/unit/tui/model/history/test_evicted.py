"""Whose events a full history lets go, and what it keeps of the others'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Diagnosis, ExecFailure, Look
from execwhy.tui.model.history import shares
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import parse
from execwhy.tui.model.view.view import View

PLAIN = ExecFailure(timestamp=0, path="/bin/x", return_value=-2)


def unlike(uid: int, count: int, begin: int = 0, **facts: object) -> list[ExecFailure]:
    return [
        replace(PLAIN, timestamp=n, path=f"/bin/{n}", uid=uid, **facts)  # type: ignore[arg-type]
        for n in range(begin, begin + count)
    ]


def in_turn(*events: list[ExecFailure]) -> list[ExecFailure]:
    return [event for several in zip(*events, strict=True) for event in several]


def held(history: History) -> list[int]:
    return [event_id for event_id in range(history.end_id) if event_id in history]


def users(history: History) -> Counter[int]:
    events = map(history.__getitem__, held(history))
    return Counter(event.uid for event in events if isinstance(event, ExecFailure))


def assert_sound(history: History, given: Iterable[Event]) -> None:
    """What is held is as it came, and all that is counted is what is there."""
    events, ids = list(given), held(history)
    assert [history[event_id] for event_id in ids] == [events[event_id] for event_id in ids]
    assert len(history) == len(ids) <= history.max_events
    assert history.losses == sum(isinstance(events[event_id], Loss) for event_id in ids)
    assert history.nbytes == history._pools.nbytes + sum(block.nbytes for block in history.blocks)
    assert sum(len(block) for block in history.blocks) == len(ids)


def test_a_flood_of_one_user_costs_another_nothing() -> None:
    history = History(max_events=3200)
    early, late = unlike(1, 300), unlike(1, 5, begin=500)
    flood = unlike(2, 30_000, begin=1000)
    events = [*early, *flood[:5000], *late, *flood[5000:]]
    history.append(events)
    assert users(history) == {1: 305, 2: len(history) - 305}
    assert len(history) > 3000
    assert history.end_id - 1 in history
    assert_sound(history, events)


def test_of_a_flood_the_oldest_events_go_first() -> None:
    history = History(max_events=3200)
    history.append(in_turn(unlike(1, 200), unlike(2, 200)))
    history.append(unlike(2, 20_000, begin=1000))
    ids = [event_id for event_id in held(history) if history[event_id].uid == 2]  # type: ignore[union-attr]
    newest = [event_id for event_id in ids if event_id >= history.end_id - 2500]
    assert len(newest) == 2500


@pytest.mark.parametrize("others", [0, 3])
def test_floods_share_what_is_left(others: int) -> None:
    history = History(max_events=6400)
    few = [event for uid in range(others) for event in unlike(10 + uid, 200)]
    events = [*few, *in_turn(unlike(1, 10_000, begin=1000), unlike(2, 10_000, begin=1000))]
    history.append(events)
    counts = users(history)
    assert all(counts[10 + uid] == 200 for uid in range(others))
    assert abs(counts[1] - counts[2]) < 6400 // 8
    assert_sound(history, events)


def test_a_second_flood_takes_of_the_first_one_what_is_its_share() -> None:
    history = History(max_events=6400)
    events = [*unlike(3, 100), *unlike(1, 10_000, begin=1000), *unlike(2, 20_000, begin=20_000)]
    history.append(events)
    counts = users(history)
    assert counts[3] == 100
    assert abs(counts[1] - counts[2]) < 6400 // 8
    assert_sound(history, events)


def test_a_user_of_many_ids_has_one_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "user_of", lambda uid: 100_000 if uid >= 100_000 else uid)
    history = History(max_events=3200)
    history.append(unlike(1, 1000))
    history.append([replace(event, uid=100_000 + event.timestamp) for event in unlike(0, 20_000)])
    assert users(history)[1] == 1000


def test_a_flood_of_large_events_costs_others_nothing() -> None:
    history = History(max_bytes=1_500_000)
    history.append(unlike(1, 300))
    for number in range(3000):
        environment = tuple(f"{number}-{index}" * 20 for index in range(30))
        history.append(unlike(2, 1, begin=1000 + number, environment=environment))
        assert history.nbytes <= 1_500_000
    counts = users(history)
    assert counts[1] == 300
    assert 0 < counts[2] < 3000


def test_what_many_share_is_the_weight_of_none_of_them() -> None:
    history = History(max_bytes=1_500_000)
    environment = tuple(f"NAME_{index}={'x' * 50}" for index in range(200))
    history.append(unlike(1, 500, environment=environment))
    for number in range(3000):
        own = tuple(f"{number}-{index}" * 20 for index in range(30))
        history.append(unlike(2, 1, begin=1000 + number, environment=own))
    assert history.evicted
    assert users(history)[1] == 500


def test_losses_are_kept_beside_a_flood() -> None:
    history = History(max_events=3200)
    loss = Loss(5, 132, "ring buffer full")
    events: list[Event] = [*unlike(1, 10), loss, *unlike(2, 20_000, begin=100)]
    history.append(events)
    assert history[10] == loss
    assert_sound(history, events)


def test_looks_pass_over_what_has_gone_between() -> None:
    history = History(max_events=3200)
    events = [*unlike(1, 150), *unlike(2, 20_000, begin=1000)]
    history.append(events)
    found = Diagnosis("missing-file", "It is missing.")
    assert 150 not in history
    history.set_looks(range(100, 10_000), Look(found))
    history.set_looks([5_000], Look(found))
    for event_id in held(history):
        event = history[event_id]
        assert isinstance(event, ExecFailure)
        assert (event.diagnosis == found) == (100 <= event_id < 10_000)


PIECES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(1, 400), st.integers(1, 60), st.booleans()), max_size=14
)


@settings(max_examples=40, deadline=None)
@given(PIECES, st.sampled_from([64, 400, 700]))
def test_whoever_has_less_than_half_an_equal_share_keeps_all(
    pieces: list[tuple[int, int, int, bool]], most: int
) -> None:
    history, events = History(max_events=most), list[Event]()
    kept_up = View(history, parse(""), fold_repeats=True)
    for uid, count, paths, is_lost in pieces:
        begin = len(events)
        came: list[Event] = [
            replace(PLAIN, timestamp=begin + n, path=f"/{n % paths}", uid=uid) for n in range(count)
        ]
        if is_lost:
            came.append(Loss(begin + count, 3, "ring buffer full"))
        events += came
        history.append(came)
        kept_up.refresh()
        while not kept_up.complete:
            kept_up.advance(0)
    assert_sound(history, events)
    came_of = Counter(event.uid if isinstance(event, ExecFailure) else 0 for event in events)
    counts = users(history)
    for uid in came_of:
        # The history keeps one repeat a second, which represents the others.
        if uid and came_of[uid] * 2 * len(came_of) < most:
            counted: list[int] = [
                int(block.represented[offset]) + 1 if block.represented is not None else 1
                for block in history.blocks
                for offset in range(len(block))
                if offset not in block.losses and block[offset].uid == uid  # type: ignore[union-attr]
            ]
            assert sum(counted) == came_of[uid], counts
    fresh = View(history, parse(""), fold_repeats=True)
    while not fresh.complete:
        fresh.advance(0)
    assert list(kept_up) == list(fresh)
    assert [kept_up.times(row) for row in range(len(fresh))] == [
        fresh.times(row) for row in range(len(fresh))
    ]
