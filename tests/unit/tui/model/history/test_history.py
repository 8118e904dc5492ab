"""The bounded store of events."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from execwhy.bpf.events.arrivals import Arrival, Burst, Event, Occurrence, expand_bursts
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import (
    Ancestor,
    Attempt,
    Binary,
    Diagnosis,
    ExecFailure,
    Look,
    Search,
    Truncated,
)
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import parse
from execwhy.tui.model.view.view import View
from tests.unit.tui.model.history.held import as_held

FULL = ExecFailure(
    timestamp=1_790_000_000_123_456_789,
    path="/opt/\udcff\x1b[31m",
    return_value=-2,
    binary=Binary("/opt/x", 8 << 20 | 1, "8:1", 2**64 - 1, 1, 0o100644, "resolved", 0, None, 12),
    interpreter_path="/bin/sh",
    stdin_type=0o010000,
    stdin_path="pipe:[1]",
    kernel_invoked=True,
    arguments=("a", None, "\ud800"),
    environment=("A=1",),
    truncated=Truncated(True, False, False, 400, None, (1,), ()),
    arguments_source="kernel",
    path_source="unchanged",
    path_afterwards="/opt/\udcff2",
    syscall="execveat",
    compat=True,
    dirfd=-100,
    flags=0x1000,
    check_only=True,
    pid=1, tid=2, ppid=3, uid=4, euid=5, gid=6, egid=7, fsuid=8, fsgid=9,
    groups=(10, 11),
    capabilities=2**40,
    comm="c",
    parent_comm="p",
    ancestors=(Ancestor(3, "p"), Ancestor(1, "init")),
    cwd="/w", root="/r", tty="pts/3", cgroup="/s", unit="u.service", container_id="4f9c",
    container_runtime="docker", pod_uid="6f1e",
    mount_ns=12, foreign_mount_ns=True, foreign_user_ns=True, shared_directories=True, pid_ns=13,
    task=2**64 - 4096, started=14,
    duration_ms=15,
    killed_by="SIGSEGV",
    diagnosis=Diagnosis("code", "summary", ("e",), "advice", False, "brief"),
    search=Search(1, "x", 2, "found", "/usr/bin/x", (Attempt("/bin/x", -2), Attempt("/opt/x", -13))),
)  # fmt: skip

PLAIN = ExecFailure(timestamp=1, path=None, return_value=-13)


def failures(count: int) -> list[ExecFailure]:
    return [replace(PLAIN, timestamp=number, pid=number) for number in range(count)]


def test_what_goes_in_comes_out() -> None:
    history = History()
    events: list[Event] = [FULL, PLAIN, Loss(5, 132, "ring buffer full"), FULL]
    assert history.append(events) == range(0, 4)
    assert [history[event_id] for event_id in range(4)] == list(map(as_held, events))
    assert type(history[0].compat) is bool if isinstance(history[0], ExecFailure) else False
    assert (history.failures, history.losses, len(history)) == (3, 1, 4)


def test_what_comes_out_behind_a_loss_has_its_own_types() -> None:
    history = History()
    history.append([Loss(1, 1, "ring buffer full"), failures(1)[0]])
    event = history[1]
    assert isinstance(event, ExecFailure)
    assert repr(event) == repr(failures(1)[0])


def test_ids_grow_by_one_for_ever_and_the_oldest_events_go_first() -> None:
    history = History(max_events=100)
    unlike = [replace(event, path=f"/{event.pid}") for event in failures(7)]
    given = [event_id for _ in range(50) for event_id in history.append(unlike)]
    assert given == list(range(350))
    assert history.end_id == 350
    assert history.first_id == history.evicted == 350 - len(history)
    assert 90 <= len(history) <= 100
    with pytest.raises(KeyError):
        history[history.first_id - 1]
    with pytest.raises(KeyError):
        history[350]
    with pytest.raises(KeyError):
        history[-1]
    assert history[history.first_id] == unlike[history.first_id % 7]


def test_a_batch_beyond_the_bound_keeps_its_newest_events() -> None:
    history = History(max_events=10)
    assert history.append(failures(1000)) == range(0, 1000)
    assert len(history) == 10
    newest = history[999]
    assert isinstance(newest, ExecFailure)
    assert newest.pid == 999


def test_a_history_of_one_event_holds_the_last_one() -> None:
    history = History(max_events=1)
    history.append(failures(3))
    assert (len(history), history.first_id) == (1, 2)


def test_the_byte_bound_holds_whatever_comes() -> None:
    history = History(max_bytes=2_000_000)
    for number in range(3000):
        unlike = tuple(f"{number}-{index}" * 20 for index in range(20))
        history.append([replace(PLAIN, timestamp=number, environment=unlike, path=f"/{number}")])
        assert history.nbytes <= 2_000_000
    assert history.evicted
    assert len(history) > 100
    history.append([replace(PLAIN, environment=("x" * 3_000_000,))])
    assert history.nbytes <= 2_000_000
    assert history.append([PLAIN]) == range(3001, 3002)
    assert history[3001] == PLAIN


def test_the_bytes_counted_are_the_bytes_used() -> None:
    history = History(max_events=20_000)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(8000):
            unlike = tuple(f"VARIABLE_{index}={number}" for index in range(15))
            history.append([replace(PLAIN, timestamp=number, path=f"/usr/bin/{number}", environment=unlike)])
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.8 * taken < history.nbytes < 1.5 * taken


def test_environments_that_repeat_cost_next_to_nothing() -> None:
    history = History()
    environments = [tuple(f"NAME_{index}_{number}={'x' * 50}" for index in range(30)) for number in range(10)]
    events = [
        replace(PLAIN, timestamp=n, pid=n, environment=tuple(map(str, environments[n % 10])))
        for n in range(50_000)
    ]
    history.append(events)
    assert history.nbytes / 50_000 < 200


def test_all_memory_comes_back_when_everything_has_been_evicted() -> None:
    history = History(max_events=64)
    for number in range(500):
        history.append([replace(FULL, environment=(f"N={number}", "SAME=1"), path=f"/{number}", pid=number)])
    level = history.nbytes
    for number in range(500, 5000):
        history.append([replace(FULL, environment=(f"N={number}", "SAME=1"), path=f"/{number}", pid=number)])
    assert history.nbytes < level * 1.2


def test_a_diagnosis_can_come_later() -> None:
    history = History(max_events=1000)
    history.append(failures(600))
    found = Diagnosis("missing-file", "It is missing.")
    for event_id in (0, 300, 599):
        history.set_looks([event_id], Look(found))
    expected = failures(600)
    for event_id in (0, 300, 599):
        assert history[event_id] == replace(expected[event_id], diagnosis=found)
    assert history[1] == expected[1]


def test_more_diagnoses_than_fit_a_small_code() -> None:
    history = History(max_events=100_000)
    history.append(failures(9000))
    for event_id in range(3000):
        history.set_looks([event_id], Look(Diagnosis("code", f"The file {event_id} is missing.")))
    for event_id in range(0, 3000, 7):
        event = history[event_id]
        assert isinstance(event, ExecFailure)
        assert event.diagnosis is not None
        assert event.diagnosis.summary == f"The file {event_id} is missing."


def test_a_diagnosis_for_an_evicted_event_is_dropped_and_one_for_a_loss_is_refused() -> None:
    history = History(max_events=32)
    history.append(failures(100))
    history.set_looks([0], Look(Diagnosis("code", "summary")))
    history.append([Loss(1, 2, "ring buffer full")])
    with pytest.raises(ValueError, match="loss"):
        history.set_looks([100], Look(Diagnosis("code", "summary")))
    with pytest.raises(ValueError, match="yet"):
        history.set_looks([101], Look(Diagnosis("code", "summary")))


def test_diagnoses_count_towards_the_byte_bound() -> None:
    history = History(max_bytes=1_000_000)
    history.append(failures(2000))
    for event_id in range(history.first_id, history.end_id):
        history.set_looks([event_id], Look(Diagnosis("code", f"{event_id}" * 500)))
        assert history.nbytes <= 1_000_000


def test_losses_leave_the_count_with_their_block() -> None:
    history = History(max_events=50)
    history.append([Loss(number, 1, "ring buffer full") for number in range(40)])
    assert history.losses == 40
    history.append(failures(60))
    assert history.losses == 0
    assert history.failures == len(history)


def test_a_search_can_come_later() -> None:
    history = History(max_events=1000)
    history.append(failures(600))
    folded = Search(7, "x", 2, "not-found", folded=True)
    stands = replace(folded, folded=False, attempts=(Attempt("/a/x", -2), Attempt("/b/x", -2)))
    before = {block.first_id: block.search_version for block in history.blocks}
    history.set_search(10, folded)
    history.set_search(599, stands)
    expected = failures(600)
    assert history[10] == replace(expected[10], search=folded)
    assert history[599] == replace(expected[599], search=stands)
    assert history[11] == expected[11]
    changed = [block for block in history.blocks if block.search_version != before[block.first_id]]
    assert [block is changed[0] or block is changed[-1] for block in changed] == [True, True]
    history.append([Loss(1, 2, "ring buffer full")])
    with pytest.raises(ValueError, match="loss"):
        history.set_search(600, folded)
    with pytest.raises(ValueError, match="yet"):
        history.set_search(601, folded)


def test_a_search_for_an_evicted_event_is_dropped() -> None:
    history = History(max_events=32)
    history.append(failures(100))
    history.set_search(0, Search(7, "x", 2, "not-found"))
    assert history.representative_of(0) == 0


def test_searches_count_towards_the_byte_bound() -> None:
    history = History(max_bytes=1_000_000)
    history.append(failures(2000))
    for event_id in range(history.first_id, history.end_id):
        attempts = tuple(Attempt(f"/{event_id}/{number}", -2) for number in range(50))
        history.set_search(event_id, Search(event_id, "x", 50, "not-found", attempts=attempts))
        assert history.nbytes <= 1_000_000


def test_a_folded_try_has_the_representative_of_its_search() -> None:
    history = History(max_events=320)
    folded = Search(7, "x", 3, "not-found", folded=True)
    searches = {3: folded, 12: replace(folded, folded=False), 14: folded, 15: replace(folded, id=8)}
    history.append([replace(record, search=searches.get(record.pid)) for record in failures(20)])
    assert [history.representative_of(event_id) for event_id in (3, 12, 14)] == [12, 12, 12]
    assert history.representative_of(4) == 4, "no search"
    assert history.representative_of(15) == 15, "its search has no representative"
    assert history.representative_of(10**9) == 10**9


def test_a_million_tries_of_searches_fit_into_the_budget() -> None:
    history = History()
    directories = [f"/usr/local/{number}/bin" for number in range(5)]
    for search_id in range(4000):
        name = f"program-{search_id % 50}"
        folded = Search(search_id, name, 5, "found", f"/usr/bin/{name}", folded=True)
        paths = [f"{directory}/{name}" for directory in directories]
        stands = replace(folded, folded=False, attempts=tuple(Attempt(path, -2) for path in paths))
        history.append(
            [
                replace(PLAIN, path=path, task=search_id, pid=search_id, search=search)
                for path, search in zip(paths, [folded] * 4 + [stands], strict=True)
            ]
        )
    assert history.nbytes / len(history) < 400


def test_a_time_beyond_64_bits_is_refused_and_changes_nothing() -> None:
    history = History()
    history.append([PLAIN])
    with pytest.raises(OverflowError):
        history.append([replace(PLAIN, timestamp=2**80)])
    assert history.append([FULL]) == range(1, 2)
    assert history[1] == as_held(FULL)


def test_a_history_needs_room() -> None:
    with pytest.raises(ValueError, match="at least one"):
        History(max_events=0)


def test_an_empty_history_is_a_history() -> None:
    history = History()
    assert (len(history), history.first_id, history.end_id, history.evicted) == (0, 0, 0, 0)
    assert history.append([]) == range(0, 0)
    assert len(View(history, parse(""))) == 0


KINDS = [
    PLAIN,
    replace(FULL, diagnosis=None, search=None),
    replace(PLAIN, environment=("A=1",), return_value=-13),
]
SECOND = 1_000_000_000


def make_storms(storms: Sequence[tuple[int, int, int]]) -> list[Arrival]:
    """One behind the other: of which kind, how many (0: one that comes whole), nanoseconds between them."""
    arrivals: list[Arrival] = []
    moment = 0
    for pid, (kind, count, step) in enumerate(storms, 1):
        times = moment + step * np.arange(1, max(1, count) + 1)
        moment = int(times[-1])
        last = Occurrence(KINDS[kind], moment, pid, pid + 1, pid + 2, None)
        arrivals.append(
            Burst(last, times) if count > 1 else last if count else replace(KINDS[kind], timestamp=moment)
        )
    return arrivals


def storms() -> st.SearchStrategy[list[Arrival]]:
    steps = st.sampled_from([1, SECOND, 7 * SECOND])
    return st.lists(st.tuples(st.integers(0, 2), st.integers(0, 70), steps), max_size=9).map(make_storms)


def whole_in_steps(arrivals: list[Arrival]) -> Iterator[list[Event]]:
    """Yield the events, whole, in the steps after which a history holds its bounds: they decide what goes."""
    for is_burst, step in itertools.groupby(arrivals, lambda arrival: isinstance(arrival, Burst)):
        together = list(step)
        for arrived in [[arrival] for arrival in together] if is_burst else [together]:
            yield [each.materialize() for each in expand_bursts(arrived)]


OLD_ENOUGH_BY_THEN = make_storms(
    [(1, 49, 1), (1, 69, SECOND), (0, 0, 1), (0, 38, 1), (0, 40, SECOND), (0, 51, 1), (1, 69, 1), (0, 0, 1)]
)
"""A block of these gets old enough to be condensed within a step: where it comes whole at once, too late."""


@example(OLD_ENOUGH_BY_THEN, 149)
@given(storms(), st.integers(1, 2000))
def test_what_comes_again_is_held_as_if_it_had_come_whole(arrivals: list[Arrival], most: int) -> None:
    steps = list(whole_in_steps(arrivals))
    alone = [event for step in steps for event in step]
    history, expected = History(max_events=most), History(max_events=most)
    for step in steps:
        expected.append(step)
    assert history.append(arrivals) == range(len(alone)) == range(expected.end_id)
    assert history.first_id == expected.first_id
    held = [event_id for event_id in range(history.first_id, history.end_id) if event_id in history]
    assert [history[event_id] for event_id in held] == [as_held(alone[event_id]) for event_id in held]
    assert len(held) == len(history) <= most
    for block, like in zip(history.blocks, expected.blocks, strict=True):
        assert (block.first_id, block.oldest, block.newest) == (like.first_id, like.oldest, like.newest)
        assert block.runs[: len(block)].tolist() == like.runs[: len(like)].tolist()


def test_one_diagnosis_is_set_for_many_events_over_several_blocks() -> None:
    history = History(max_events=256)
    history.append([replace(PLAIN, timestamp=number) for number in range(200)])
    diagnosis = Diagnosis("missing-file", "It is missing.")
    wanted = [*range(3, 150, 2), 199]
    history.set_looks(wanted, Look(diagnosis))
    diagnosed = [
        event_id
        for event_id in range(200)
        if isinstance(event := history[event_id], ExecFailure) and event.diagnosis == diagnosis
    ]
    assert diagnosed == wanted
    with pytest.raises(ValueError, match="no event has the id 200 yet"):
        history.set_looks([5, 200], Look(diagnosis))


def test_a_diagnosis_for_many_is_dropped_for_those_that_have_been_evicted() -> None:
    history = History(max_events=64)
    history.append([replace(PLAIN, timestamp=number, path=f"/{number}") for number in range(300)])
    diagnosis = Diagnosis("missing-file", "It is missing.")
    history.set_looks(range(300), Look(diagnosis))
    for event_id in range(history.first_id, 300):
        event = history[event_id]
        assert isinstance(event, ExecFailure) and event.diagnosis == diagnosis
