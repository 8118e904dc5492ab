"""The rows that a filter selects, while events come, are evicted, get a diagnosis and grow old."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Attempt, Diagnosis, ExecFailure, Look, Outcome, Search
from execwhy.tui.model.history.repeats import Repeats, RunFinder
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import parse
from execwhy.tui.model.view.view import View

SECOND = 10**9
PLAIN = ExecFailure(timestamp=0, path="/bin/x", return_value=-2)


def failures(count: int, first_pid: int = 0) -> list[ExecFailure]:
    return [replace(PLAIN, timestamp=pid, pid=pid) for pid in range(first_pid, first_pid + count)]


def held(history: History) -> list[int]:
    """The ids of all events, oldest first."""
    return [each for block in history.blocks for each in block.ids_of(np.arange(len(block))).tolist()]


def finish(view: View) -> None:
    while not view.complete:
        view.advance(0)


def test_a_new_filter_shows_the_newest_events_first() -> None:
    history = History(max_events=3200)
    history.append(failures(3000))
    view = View(history, parse("pid>=10"))
    assert not view.complete
    first_rows = list(view)
    assert first_rows
    assert first_rows[-1] == 2999
    assert 0 < view.progress < 1
    view.advance(0)
    assert list(view)[-len(first_rows) :] == first_rows
    assert len(view) > len(first_rows)
    finish(view)
    assert list(view) == list(range(10, 3000))
    assert view.progress == 1


def test_rows_and_ids_find_each_other() -> None:
    history = History(max_events=3200)
    history.append(failures(1000))
    view = View(history, parse("pid>=100 not pid:200..299"))
    finish(view)
    for row in range(len(view)):
        assert view.row_of(view[row]) == row
    assert view[view.row_of(250)] == 199, "the nearest one before it"
    assert view.row_of(5) == 0
    assert view.row_of(10**9) == len(view) - 1
    with pytest.raises(IndexError):
        view[len(view)]
    with pytest.raises(IndexError):
        view[-1]


def test_what_comes_is_taken_in_by_refresh_alone() -> None:
    history = History()
    view = View(history, parse("pid:5..14"))
    assert view.complete
    history.append(failures(10))
    assert len(view) == 0
    assert view.refresh()
    assert list(view) == [5, 6, 7, 8, 9]
    history.append(failures(10, first_pid=10))
    assert view.refresh()
    assert list(view) == list(range(5, 15))
    history.append(failures(10, first_pid=20))
    assert not view.refresh()
    assert view.complete


def test_losses_are_always_shown_and_not_counted_as_failures() -> None:
    history = History()
    history.append([PLAIN, Loss(1, 132, "ring buffer full"), PLAIN, Loss(2, 1, "ring buffer full")])
    view = View(history, parse("nginx"))
    assert list(view) == [1, 3]
    assert view.failures == 0
    view.query = parse("/bin/x")
    assert list(view) == [0, 1, 2, 3]
    assert view.failures == 2


def test_losses_that_no_row_parts_are_one_row_for_a_minute_and_add_up() -> None:
    def loss(second: int, count: int, reason: str = "ring buffer full") -> Loss:
        return Loss(second * SECOND, count, reason)

    history = History()
    history.append([PLAIN, loss(1, 10), replace(PLAIN, pid=7), loss(2, 20)])
    view = View(history, parse(""), fold_repeats=True)
    assert list(view) == [0, 1]
    history.append(
        [loss(3, 30), loss(3, 1, "no buffer free"), loss(4, 2), replace(PLAIN, comm="b"), loss(5, 5)]
    )
    view.refresh()
    assert list(view) == [0, 1, 5, 6, 7, 8]
    assert [view.lost(row) for row in (1, 2, 3, 5)] == [
        (60, 3 * SECOND), (1, 3 * SECOND), (2, 4 * SECOND), (5, 5 * SECOND)
    ]  # fmt: skip
    assert view[view.row_of(4)] == 1
    assert (view.failures, view.counted, view.shown, view.losses) == (3, 3, 2, 6)
    assert view.with_tries() == list(range(9))
    history.append([loss(64, 1), loss(65, 1)])
    view.refresh()
    assert list(view)[-2:] == [8, 10]
    view.fold_repeats = False
    assert list(view) == list(range(11))


def test_evicted_events_leave_the_view() -> None:
    history = History(max_events=320)
    history.append(failures(300))
    view = View(history, parse(""))
    finish(view)
    history.append([replace(event, path=f"/{event.pid}") for event in failures(10_000, first_pid=300)])
    assert view.refresh()
    finish(view)
    assert list(view) == list(range(history.first_id, history.end_id))


def test_a_diagnosis_that_comes_later_brings_its_row() -> None:
    history = History(max_events=640)
    history.append(failures(600))
    view = View(history, parse("why:missing"))
    finish(view)
    assert len(view) == 0
    for event_id in (3, 333, 599):
        history.set_looks([event_id], Look(Diagnosis("missing-file", "It is missing.")))
    assert view.refresh()
    assert list(view) == [3, 333, 599]
    assert not view.refresh()


def test_rows_go_as_they_grow_too_old_and_come_as_they_grow_old_enough() -> None:
    now = 1000 * SECOND
    history = History()
    history.append([replace(PLAIN, timestamp=(990 + number) * SECOND) for number in range(10)])
    young = View(history, parse("age<5s"), clock=lambda: now)
    old = View(history, parse("age>=5s"), clock=lambda: now)
    assert list(young) == [6, 7, 8, 9]
    for now in (1001 * SECOND, 1002 * SECOND, 1010 * SECOND):
        assert young.refresh()
        expected = [n for n in range(10) if now - (990 + n) * SECOND < 5 * SECOND]
        assert list(young) == expected
        old.refresh()
        assert list(old) == [n for n in range(10) if n not in expected]
    now = 1000 * SECOND
    assert young.refresh()
    assert list(young) == [6, 7, 8, 9], "the clock was set back"


FOLDED = Search(1, "x", 3, "not-found", folded=True)
ATTEMPTS = tuple(Attempt(f"/{directory}/x", -2) for directory in ("a", "b", "c"))


def tries(search_id: int, found_path: str | None = None, uid: int = 0) -> list[ExecFailure]:
    """Three tries of a search, of which the last one stands for it."""
    outcome: Outcome = "not-found" if found_path is None else "found"
    folded = replace(FOLDED, id=search_id, outcome=outcome, found_path=found_path)
    stands = replace(folded, folded=False, attempts=ATTEMPTS)
    return [
        replace(PLAIN, path=attempt.path, uid=uid, search=search)
        for attempt, search in zip(ATTEMPTS, [folded, folded, stands], strict=True)
    ]


def test_a_search_is_one_row_and_a_found_one_is_hidden() -> None:
    history = History()
    history.append([*tries(1), PLAIN, *tries(2, "/bin/x"), Loss(1, 5, "ring buffer full")])
    view = View(history, parse(""))
    assert list(view) == [2, 3, 7]
    assert (view.failures, view.shown, view.folded, view.hidden_found) == (7, 2, 4, 1)
    view.show_found = True
    assert list(view) == [2, 3, 6, 7]
    assert (view.failures, view.shown, view.folded, view.hidden_found) == (7, 3, 4, 0)
    view.query = parse("uid==0")
    assert view.show_found
    assert list(view) == [2, 3, 6, 7]


def test_hidden_searches_are_counted_among_those_that_the_filter_selects() -> None:
    history = History()
    history.append([*tries(1, "/bin/x", uid=1), *tries(2, "/bin/x", uid=2), *tries(3, uid=1)])
    view = View(history, parse("uid==1"))
    assert list(view) == [8]
    assert (view.failures, view.shown, view.folded, view.hidden_found) == (6, 1, 4, 1)


def test_a_filter_on_one_directory_shows_the_row_of_the_search() -> None:
    history = History()
    history.append([*tries(1), PLAIN])
    view = View(history, parse("path==/a/x"))
    assert list(view) == [2]
    assert view.with_tries() == [0, 1, 2]
    view.query = parse("path!=/a/x")
    assert list(view) == [3]
    assert view.with_tries() == [3]


def test_the_tries_of_the_searches_shown_go_with_their_rows() -> None:
    history = History(max_events=320)
    for number in range(0, 60, 2):
        history.append([*tries(number), *tries(number + 1, "/bin/x"), Loss(1, 5, "ring buffer full")])
    view = View(history, parse(""))
    finish(view)
    searches = [history[event_id] for event_id in view.with_tries()]
    assert len(searches) == 30 * 4
    assert not any(
        isinstance(event, ExecFailure) and event.search and event.search.outcome == "found"
        for event in searches
    )
    view.show_found = True
    finish(view)
    assert view.with_tries() == list(range(history.end_id))
    assert View(History(), parse("")).with_tries() == []


def test_rows_fold_as_their_search_ends() -> None:
    history = History(max_events=640)
    history.append(failures(600))
    view = View(history, parse(""))
    finish(view)
    assert len(view) == 600
    for event_id in (100, 101, 350):
        history.set_search(event_id, FOLDED if event_id < 350 else replace(FOLDED, folded=False))
    assert view[view.row_of(100)] == 100, "nothing moves before the screen takes it in"
    assert view.refresh()
    assert len(view) == 598
    assert view[view.row_of(100)] == 350, "the row that counts it now"
    assert view.row_of(350) == view.row_of(349) + 1
    assert not view.refresh()
    history.set_search(350, replace(FOLDED, folded=False, outcome="found"))
    assert view.refresh()
    assert view[view.row_of(350)] == 349, "the row before it, since it is hidden"
    assert (view.shown, view.folded, view.hidden_found) == (597, 2, 1)


def test_a_search_that_comes_later_brings_its_row() -> None:
    history = History(max_events=640)
    history.append(failures(600))
    view = View(history, parse("path:/a/** or search.name==y"))
    finish(view)
    assert len(view) == 0
    history.set_search(5, replace(FOLDED, folded=False, attempts=ATTEMPTS))
    history.set_search(400, replace(FOLDED, folded=False, name="y"))
    assert view.refresh()
    assert list(view) == [5, 400]


def test_a_crash_loop_has_a_row_a_minute_that_counts() -> None:
    """Ten times a second, with another pid each time; something else fails once in between."""
    loop = [replace(PLAIN, timestamp=n * SECOND // 10, pid=1000 + n) for n in range(1250)]
    other = replace(PLAIN, timestamp=30 * SECOND, path="/bin/other")
    history = History()
    history.append([*loop[:300], other, *loop[300:]])
    view = View(history, parse(""), fold_repeats=True)
    finish(view)
    assert [history[event_id].timestamp for event_id in view] == [0, 30 * SECOND, 60 * SECOND, 120 * SECOND]
    assert [view.times(row) for row in range(4)] == [600, 1, 600, 50]
    assert view.repeats(2).last == 120 * SECOND - SECOND // 10
    assert (view.failures, view.shown, view.counted, view.folded) == (1251, 4, 1251, 0)
    assert len(view.with_tries()) == 1251, "a snapshot has all of them"
    assert view.row_of(900) == 2
    history.append([replace(loop[-1], timestamp=125 * SECOND)])
    assert view.refresh(), "a count on the screen has grown"
    assert view.times(3) == 51


@pytest.mark.parametrize(
    "other",
    [
        {"path": "/bin/y"},
        {"return_value": -13},
        {"uid": 33},
        {"comm": "cron"},
        {"parent_comm": "cron"},
        {"unit": "other.service"},
        {"container_id": "4f9c"},
        {"mount_ns": 7},
        {"cwd": "/srv"},
        {"killed_by": "SIGSEGV"},
    ],
)
def test_what_differs_in_more_than_its_process_has_a_row_of_its_own(other: dict[str, object]) -> None:
    history = History()
    history.append([PLAIN, replace(PLAIN, **other), replace(PLAIN, pid=9, ppid=8, arguments=("x",))])  # type: ignore[arg-type]
    view = View(history, parse(""), fold_repeats=True)
    assert list(view) == [0, 1]


def test_an_error_of_the_strings_is_the_same_only_with_the_same_strings() -> None:
    one_long = replace(PLAIN, return_value=-7, arguments=("x", "x" * 200_000))
    many = replace(one_long, arguments=("x" * 100_000,) * 40)
    variable = replace(one_long, arguments=("x",), environment=("BIG=" + "x" * 200_000,))
    history = History()
    history.append([one_long, many, variable, replace(one_long, pid=9), replace(many, pid=10)])
    view = View(history, parse(""), fold_repeats=True)
    assert list(view) == [0, 1, 2]
    assert [view.times(row) for row in range(3)] == [2, 2, 1]


def test_a_storm_has_one_row_for_a_minute_however_many_blocks_of_the_history_it_fills() -> None:
    history = History(max_events=3200)
    storm = [replace(PLAIN, timestamp=n * SECOND // 10, pid=n, arguments=("x", f"{n}")) for n in range(800)]
    history.append(storm[:350])
    view = View(history, parse(""), fold_repeats=True)
    finish(view)
    assert list(view) == [0]
    assert (view.times(0), view.repeats(0)) == (350, Repeats(350, 349 * SECOND // 10))
    history.append(storm[350:])
    assert view.refresh()
    assert list(view) == [0, 600]
    assert [view.times(0), view.times(1)] == [600, 200]
    assert (view.row_of(599), view.row_of(600), view.row_of(799)) == (0, 1, 1)
    assert (view.failures, view.shown, view.counted) == (800, 2, 800)
    view.query = parse("pid>=250")
    finish(view)
    assert list(view) == [250, 600]
    assert view.times(0) == 350
    unlike = [replace(PLAIN, timestamp=100 * SECOND + n, path=f"/bin/{n}") for n in range(2700)]
    history.append(unlike)
    view.refresh()
    assert history.first_id == view[0] == 300, "the events of its row are evicted one block after the other"
    assert view.times(0) == 300


def test_a_filter_on_one_process_of_a_crash_loop_finds_it() -> None:
    history = History()
    history.append(failures(100))
    view = View(history, parse("pid=40 or pid=41"), fold_repeats=True)
    assert list(view) == [40]
    assert view.times(0) == 2


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40)), min_size=1, max_size=60), st.integers(1, 9)
)
def test_a_run_lasts_a_minute_from_its_first_as_long_as_each_block_has_some_of_it(
    steps: list[tuple[str, int]], size: int
) -> None:
    times = list(itertools.accumulate(seconds for _, seconds in steps))
    finder: RunFinder | None = None
    found: list[int] = []
    for start in range(0, len(steps), size):
        finder, before = RunFinder(finder), found[max(0, start - size) : start]
        keys = [(key,) for key, _ in steps[start : start + size]]
        offsets = finder.take(keys, [time * SECOND for time in times[start : start + size]], range(len(keys)))
        continued = {here: before[there] for here, there in finder.continued.items()}
        found += [continued.get(offset, start + offset) for offset in offsets]
    expected: list[int] = []
    for at, (key, _) in enumerate(steps):
        reach = range(max(0, (at // size - 1) * size), at)
        last = next((other for other in reversed(reach) if steps[other][0] == key), None)
        goes_on = last is not None and times[at] - times[expected[last]] < 60
        expected.append(expected[last] if last is not None and goes_on else at)
    assert found == expected


class ViewsAgree(RuleBasedStateMachine):
    """A view that was kept up to date has the rows that a new one finds."""

    queries = st.sampled_from(
        ["", "pid:3..40", "why:missing", "not why:missing pid>5", "age<20s", "age>10s or pid=1", "path:/b/**"]
    )

    @initialize(max_events=st.sampled_from([1, 20, 100, 1000]), text=queries)
    def begin(self, max_events: int, text: str) -> None:
        self.now = 100 * SECOND
        self.history = History(max_events=max_events)
        self.view = View(self.history, parse(text), clock=lambda: self.now)

    @rule(count=st.integers(1, 60), lost=st.lists(st.sampled_from(["ring buffer full", "other"]), max_size=4))
    def append(self, count: int, lost: list[str]) -> None:
        events: list[Event] = [
            replace(PLAIN, timestamp=self.now - n % 7 * SECOND, pid=n % 50, comm="ab"[n % 3 == 0])
            for n in range(count)
        ]
        for reason in lost:
            events.append(Loss(self.now, 3, reason))
        self.history.append(events)

    @rule(count=st.integers(50, 400), path=st.sampled_from("ab"))
    def storm(self, count: int, path: str) -> None:
        """A step further for each; once the history is full, these are condensed."""
        storm = replace(PLAIN, path=f"/{path}/storm")
        step = SECOND // 100
        self.history.append([replace(storm, timestamp=self.now + n * step, pid=n % 50) for n in range(count)])
        self.now += count * step

    def some(self, place: float) -> int | None:
        """One of the failures, by its place among the events; None where there is none, or a loss."""
        ids = held(self.history)
        event_id = ids[int(place * len(ids))] if ids else None
        return None if event_id is None or self.history.is_loss(event_id) else event_id

    @rule(place=st.floats(0, 1, exclude_max=True), missing=st.booleans())
    def diagnose(self, place: float, missing: bool) -> None:
        if (event_id := self.some(place)) is not None:
            code = "missing-file" if missing else "permission"
            self.history.set_looks([event_id], Look(Diagnosis(code, "Said so.")))

    @rule(
        place=st.floats(0, 1, exclude_max=True),
        outcome=st.sampled_from(["found", "not-found"]),
        folded=st.booleans(),
    )
    def end_search(self, place: float, outcome: Outcome, folded: bool) -> None:
        if (event_id := self.some(place)) is not None:
            attempts = () if folded else ATTEMPTS
            self.history.set_search(event_id, Search(event_id, "x", 3, outcome, None, attempts, folded))

    @rule(show_found=st.booleans())
    def show(self, show_found: bool) -> None:
        self.view.show_found = show_found

    @rule(fold=st.booleans())
    def fold(self, fold: bool) -> None:
        self.view.fold_repeats = fold

    @rule(seconds=st.integers(0, 15))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(text=queries)
    def filter(self, text: str) -> None:
        self.view.query = parse(text)

    @rule()
    def advance(self) -> None:
        self.view.advance(0)

    @rule()
    def refresh(self) -> None:
        before = list(self.view)
        changed = self.view.refresh()
        assert changed or list(self.view) == before
        finish(self.view)
        query = self.view.query
        events = [(event_id, self.history[event_id]) for event_id in held(self.history)]
        lost = [event_id for event_id, event in events if isinstance(event, Loss)]
        selected = {
            event_id: event.search
            for event_id, event in events
            if isinstance(event, ExecFailure) and query.matches(event, self.now)
        }
        alone = [event_id for event_id, search in selected.items() if search is None or not search.folded]
        shown = [
            event_id
            for event_id in alone
            if self.view.show_found or (search := selected[event_id]) is None or search.outcome != "found"
        ]
        row_by_event = {each: each for each in shown}
        lost_by = {each: each for each in lost}
        if self.view.fold_repeats:
            row_by_event, firsts = self.rows_of(shown, selected)
            lost_by = self.rows_of_losses(lost, firsts)
        rows = sorted({*lost_by.values(), *row_by_event.values()})
        assert list(self.view) == rows
        rows_used = [*row_by_event.values(), *lost_by.values()]
        represented = {} if query.depends_on_moment else self.represented()
        times = Counter(rows_used)
        for event_id, row in row_by_event.items():
            times[row] += represented.get(event_id, 0)
        assert [self.view.times(row) for row in range(len(rows))] == [times[row] for row in rows]
        assert self.view.losses == len(lost)
        assert all(self.view[self.view.row_of(each)] == row for each, row in row_by_event.items())
        assert self.view.counted == len(shown)
        assert self.view.failures == len(selected)
        assert self.view.folded == len(selected) - len(alone)
        assert self.view.shown == len(set(row_by_event.values()))
        assert self.view.hidden_found == len(alone) - len(shown)
        of_found = [search for search in selected.values() if search and search.outcome == "found"]
        assert self.view.hidden == (0 if self.view.show_found else len(of_found))

    def represented(self) -> dict[int, int]:
        """Return how many evicted events each of the others represents."""
        return {
            block.id_of(offset): int(block.represented[offset])
            for block in self.history.blocks
            if block.represented is not None
            for offset in range(len(block))
        }

    def rows_of_losses(self, lost: list[int], others: set[int]) -> dict[int, int]:
        """Return the row of each loss: that of the loss right above for the same reason in this minute."""
        row_by_event: dict[int, int] = {}
        for block in self.history.blocks:
            above: int | None = None
            for event_id in block.ids_of(np.arange(len(block))).tolist():
                if event_id in others:
                    above = None
                elif event_id in lost:
                    event, first = self.history[event_id], None if above is None else self.history[above]
                    assert isinstance(event, Loss)
                    if (
                        not isinstance(first, Loss)
                        or first.reason != event.reason
                        or event.timestamp - first.timestamp >= 60 * SECOND
                    ):
                        above = event_id
                    assert above is not None
                    row_by_event[event_id] = above
        return row_by_event

    def rows_of(
        self, shown: list[int], searches: dict[int, Search | None]
    ) -> tuple[dict[int, int], set[int]]:
        """Return the row of each event, the first shown one of its run, and the first ones of each block.

        A row counts events in later blocks as long as each block has some of its run.
        """
        row_by_event: dict[int, int] = {}
        firsts: set[int] = set()
        before: dict[tuple[int, bool], int] = {}
        for block in self.history.blocks:
            rows: dict[tuple[int, bool], int] = {}
            for offset, event_id in enumerate(block.ids_of(np.arange(len(block))).tolist()):
                if event_id in shown:
                    search, run = searches[event_id], int(block.runs[offset])
                    is_found = search is not None and search.outcome == "found"
                    if (run, is_found) not in rows:
                        firsts.add(event_id)
                        earlier = block.continued.get(run, -1), is_found
                        rows[run, is_found] = before.get(earlier, event_id)
                    row_by_event[event_id] = rows[run, is_found]
            before = rows
        return row_by_event, firsts

    @invariant()
    def rows_are_in_order_and_counted(self) -> None:
        rows = list(self.view)
        assert rows == sorted(set(rows))
        assert len(self.view) == len(rows)
        assert [self.view[row] for row in range(len(rows))] == rows
        assert 0 <= self.view.progress <= 1


ViewsAgree.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_a_view_kept_up_to_date_has_the_rows_of_a_new_one = ViewsAgree.TestCase


def test_what_the_history_let_go_between_is_no_progress() -> None:
    state = ViewsAgree()
    state.begin(max_events=1000, text="")
    state.storm(count=393, path="a")
    state.advance()
    for count in (328, 298, 375):
        state.storm(count=count, path="a")
    assert not state.view.complete
    assert 0 <= state.view.progress <= 1


def test_what_a_frozen_view_shows_can_be_written_also_where_it_has_been_evicted() -> None:
    history = History(max_events=64)
    history.append([replace(PLAIN, pid=number, path=f"/bin/{number}") for number in range(64)])
    view = View(history, parse(""), fold_repeats=True)
    while not view.complete:
        view.advance(0)
    history.append([replace(PLAIN, pid=number, path=f"/bin/new/{number}") for number in range(60)])
    assert view.with_tries() == list(range(64))
