"""Looks that wait to be taken: shared out by user, bounded, and one for all events that share it."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from execwhy.bpf.events.record import Diagnosis, Look
from execwhy.tui.why.lookers.done import Done

SAME = Look(Diagnosis("not-looked-at", "It was not looked at.", certain=False))


def look(number: int) -> Look:
    return Look(Diagnosis("missing-file", f"/{number} is missing."))


def ids(*event_ids: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(event_ids, np.int64)


def test_events_that_share_a_look_are_one_entry() -> None:
    done = Done()
    for event_id in (5, 3, 9):
        done.put(1, ids(event_id, event_id + 100), SAME)
    done.put(2, ids(4), SAME)
    assert len(done) == 2
    assert [(taken.tolist(), each) for taken, each in done.take()] == [
        ([3, 5, 9, 103, 105, 109], SAME),
        ([4], SAME),
    ]
    assert (len(done), done.nbytes, done.take()) == (0, 0, [])


def test_a_flood_of_looks_delays_nobody_else() -> None:
    done = Done()
    for number in range(1000):
        done.put(1, ids(number), look(number))
    done.put(2, ids(1000), look(1000))
    first = [int(each[0]) for each, _ in done.take(32)]
    assert len(first) < 50
    assert 1000 in first
    assert len(done) == 1001 - len(first)


def test_each_user_has_a_share_of_the_room() -> None:
    done = Done(max_bytes=200_000)
    for user in (1, 2, 3):
        number = 0
        while done.has_room(user):
            number += 1
            done.put(user, ids(user * 1000 + number), look(number))
            assert number < 1000
    assert done.nbytes < 200_000
    assert not any(map(done.has_room, (1, 2, 3)))
    assert done.has_room(4)
    done.take()
    assert done.has_room(1)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 4)), max_size=60))
def test_whatever_is_put_in_comes_out_once(puts: list[tuple[int, int, int]]) -> None:
    done, end = Done(), 0
    wanted = Counter[tuple[int, Look]]()
    for user, number, count in puts:
        done.put(user, np.arange(end, end + count), look(number))
        wanted.update((event_id, look(number)) for event_id in range(end, end + count))
        end += count
    assert sorted(done.ids.tolist()) == list(range(end))
    came = Counter[tuple[int, Look]]()
    while taken := done.take(1):
        for event_ids, each in taken:
            assert np.all(np.diff(event_ids) > 0)
            came.update((int(event_id), each) for event_id in event_ids)
    assert came == wanted
    assert (len(done), done.nbytes) == (0, 0)
