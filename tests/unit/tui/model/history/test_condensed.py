"""What a full history keeps of events that differ only in time and process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execwhy.bpf.events.arrivals import Arrival, Burst, Event, Occurrence
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Diagnosis, ExecFailure, Look, Search
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import parse
from execwhy.tui.model.view.view import View

SECOND = 10**9
PLAIN = ExecFailure(timestamp=0, path="/bin/x", return_value=-2)
STORM = replace(PLAIN, path="/storm")


def storm(count: int, seconds: float, *, begin: float = 0, pids: int = 40_000) -> list[ExecFailure]:
    step = seconds * SECOND / count
    return [replace(STORM, timestamp=int(begin * SECOND + n * step), pid=n % pids) for n in range(count)]


def unlike(count: int, begin: float = 0) -> list[ExecFailure]:
    return [replace(PLAIN, timestamp=int(begin * SECOND) + n, path=f"/bin/{n}") for n in range(count)]


def complete(history: History, query: str = "", *, fold: bool = True) -> View:
    view = View(history, parse(query), clock=lambda: 10**15, fold_repeats=fold)
    while not view.complete:
        view.advance(0)
    return view


def paths(view: View, history: History) -> list[str | None]:
    return [getattr(history[event_id], "path", None) for event_id in view]


def test_a_storm_pushes_out_its_own_repeats_and_nothing_else() -> None:
    history = History(max_events=3200)
    history.append([*unlike(500), Loss(600, 7, "ring buffer full")])
    history.append(storm(40_000, 20, begin=1))
    history.append(unlike(3, begin=60))
    view = complete(history)
    assert len(view) == 505, "the loss has a row, and the storm one"
    assert paths(view, history)[499:] == ["/bin/499", None, "/storm", "/bin/0", "/bin/1", "/bin/2"]
    assert [view.times(row) for row in range(len(view))].count(1) == 504
    (row,) = (row for row in range(len(view)) if view.times(row) != 1)
    assert (view.times(row), view.repeats(row).last) == (40_000, storm(40_000, 20, begin=1)[-1].timestamp)
    assert len(history) <= 3200
    assert history.evicted == history.end_id - len(history) > 36_000
    assert (history.first_id, history.losses) == (0, 1)


def test_a_storm_over_many_paths_pushes_out_its_own_repeats_too() -> None:
    history = History(max_events=20_000)
    history.append(unlike(500))
    paths = [replace(STORM, path=f"/storm/{number}") for number in range(200)]
    history.append([replace(paths[n % 200], timestamp=SECOND + n * SECOND // 9000) for n in range(60_000)])
    view = complete(history)
    assert len(view) == 700
    assert [view.times(row) for row in range(500, 700)] == [300] * 200


def test_the_newest_events_are_kept_even_if_they_repeat() -> None:
    history = History(max_events=3200)
    history.append(storm(40_000, 20))
    assert all(event_id in history for event_id in range(history.end_id - 800, history.end_id))
    assert history.end_id - 4001 not in history
    with pytest.raises(KeyError):
        history[history.end_id - 4001]


def test_of_a_storm_an_event_a_second_is_kept_where_it_was_and_as_it_was() -> None:
    history = History(max_events=3200)
    events = storm(40_000, 20)
    history.append(events)
    held = [event_id for event_id in range(history.end_id) if event_id in history]
    assert [history[event_id] for event_id in held] == [events[event_id] for event_id in held]
    assert {events[event_id].timestamp // SECOND for event_id in held} == set(range(20))
    assert Counter(events[event_id].timestamp // SECOND for event_id in held)[3] == 1


def test_different_events_are_evicted_block_by_block_when_no_repeats_are_left() -> None:
    history = History(max_events=3200)
    history.append(storm(10_000, 5))
    history.append(unlike(50_000, begin=60))
    assert 3000 < len(history) <= 3200
    assert history.first_id == history.end_id - len(history)


@pytest.mark.parametrize(
    "other",
    [
        {"arguments": ("x",)},
        {"environment": ("A=1",)},
        {"uid": 33},
        {"diagnosis": Diagnosis("code", "It is so.")},
        {"tty": "pts/3"},
    ],
)
def test_what_differs_in_anything_but_its_process_is_kept(other: dict[str, object]) -> None:
    history = History(max_events=3200)
    events = storm(20_000, 0.5)
    events[7] = replace(events[7], **other)  # type: ignore[arg-type]
    history.append(events)
    assert history[7] == events[7]
    assert 6 not in history


def test_a_filter_counts_what_it_certainly_selects() -> None:
    history = History(max_events=3200)
    history.append(storm(40_000, 20, pids=100))
    assert complete(history, "path:/storm uid:0").times(0) == 40_000
    assert complete(history, "pid:7").times(0) < 100, "which process the others were is not known any more"
    assert complete(history, "/storm", fold=False).counted == len(history)


def test_a_diagnosis_that_comes_late_is_given_to_what_is_kept() -> None:
    history = History(max_events=3200)
    history.append(storm(20_000, 10))
    found = Diagnosis("missing-file", "It is missing.")
    history.set_looks(range(20_000), Look(found))
    held = [history[event_id] for event_id in range(20_000) if event_id in history]
    assert len(held) == len(history)
    assert all(isinstance(event, ExecFailure) and event.diagnosis == found for event in held)
    history.set_looks([1], Look(found))
    assert complete(history, "why:missing-file").times(0) == 20_000


def test_a_search_that_ends_late_is_shown_with_its_outcome() -> None:
    history = History(max_events=3200)
    history.append(storm(10_000, 0.5))
    history.set_search(0, Search(7, "storm", 1, "found"))
    history.append(storm(10_000, 0.4, begin=0.5))
    view = complete(history)
    assert view.hidden_found == 1
    represented = history.blocks[0].represented
    assert represented is not None
    assert sum(view.times(row) for row in range(len(view))) == 20_000 - 1 - int(represented[0])


def test_all_memory_is_accounted_for_when_all_events_are_gone() -> None:
    history = History(max_events=640)
    history.append(unlike(700))
    level = history.nbytes
    for begin in range(0, 600, 60):
        history.append(storm(3000, 50, begin=begin))
        history.append(unlike(300, begin=begin + 55))
    history.append(unlike(2000, begin=700))
    assert history.nbytes < level * 1.3
    assert history.nbytes == (history._pools.nbytes + sum(block.nbytes for block in history.blocks)), (
        "what it adds up is what is there"
    )


def test_the_byte_bound_condenses_as_well() -> None:
    history = History(max_bytes=2_000_000)
    history.append(unlike(100))
    for begin in range(60):
        history.append(storm(1000, 1, begin=begin))
    assert history.nbytes <= 2_000_000
    assert history.first_id == 0 and history.evicted > 10_000


KINDS: list[Event] = [
    PLAIN,
    STORM,
    replace(STORM, arguments=("x",)),
    replace(STORM, search=Search(1, "storm", 2, "found", folded=True)),
    Loss(0, 3, "ring buffer full"),
]
arrivals = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(1, 200),
        st.sampled_from([0, SECOND // 300, SECOND // 7, 9 * SECOND]),
        st.booleans(),
    ),
    max_size=12,
)


def come(drawn: Sequence[tuple[Event, int, int, bool]]) -> list[tuple[list[Event], list[Arrival]]]:
    """The events of each part of a draw, one by one and as they come."""
    parts: list[tuple[list[Event], list[Arrival]]] = []
    now = 0
    for kind, count, step, as_burst in drawn:
        times = [now + step * n for n in range(1 if isinstance(kind, Loss) else count)]
        now = times[-1] + step
        events: list[Event] = [replace(kind, timestamp=time) for time in times]
        arriving: list[Arrival] = [*events]
        if as_burst and len(times) > 1 and isinstance(kind, ExecFailure) and kind.search is None:
            last = Occurrence(kind, times[-1], kind.pid, kind.tid, kind.task, None)
            arriving = [Burst(last, np.array(times))]
        parts.append((events, arriving))
    return parts


@settings(max_examples=30, deadline=None)
@given(arrivals, st.sampled_from([40, 400, 700]), st.sampled_from(["", "arg:x", "not arg:x", "path:/bin/**"]))
def test_rows_count_as_many_as_if_all_had_been_kept(
    drawn: Sequence[tuple[Event, int, int, bool]], most: int, query: str
) -> None:
    parts = come(drawn)
    events = [event for expand_bursts, _ in parts for event in expand_bursts]
    history = History(max_events=most)
    kept_up, unfolded = View(history, parse(query), fold_repeats=True), View(history, parse(query))
    for _, arriving in parts:
        history.append(arriving)
        kept_up.refresh()
        unfolded.refresh()
    assert len(history) <= most
    assert history.end_id == len(events)
    held = [event_id for event_id in range(history.end_id) if event_id in history]
    assert len(held) == len(history)
    assert [history[event_id] for event_id in held] == [events[event_id] for event_id in held]
    wanted = [
        event.timestamp
        for event_id, event in enumerate(events)
        if event_id >= history.first_id
        and isinstance(event, ExecFailure)
        and event.search is None
        and parse(query).matches(event, 0)
    ]
    for view in (complete(history, query), kept_up, complete(history, query, fold=False), unfolded):
        while not view.complete:
            view.advance(0)
        failed = [row for row in range(len(view)) if not history.is_loss(view[row])]
        counted = sum(view.times(row) for row in failed)
        assert counted == len(wanted)
        if failed:
            assert max(view.repeats(row).last for row in failed) == max(wanted)
    assert list(kept_up) == list(complete(history, query))
