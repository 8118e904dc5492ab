"""History, views, groups, searches and finding, driven in any order, against plain lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from execwhy.bpf.caller.cgroups import where_of
from execwhy.bpf.events.arrivals import Burst, Event, Occurrence, Report, SearchEnd, expand_bursts
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Diagnosis, ExecFailure, Look, Outcome, Search
from execwhy.tui.model.history.columns import Key
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import parse
from execwhy.tui.model.search.searches import Searches
from execwhy.tui.model.view.finding import Finding
from execwhy.tui.model.view.group_by import BY
from execwhy.tui.model.view.groups import Groups
from execwhy.tui.model.view.view import View
from tests.ui.scripted_source import binary
from tests.unit.tui.model.history.held import as_held
from tests.unit.tui.model.view.test_groups import VALUES

SECOND = 10**9
NOW = 1_795_557_012 * SECOND
PLAIN = ExecFailure(timestamp=NOW, path="/bin/x", return_value=-2)
PATHS = ["/a/tool", "/b/tool", "/c/tool", "/bin/x", None, *(f"/many/{number}" for number in range(40))]
DIAGNOSES = [
    Diagnosis(f"cause-{number}", f"Words {number}.", brief=f"brief {number % 7}") for number in range(60)
]
PREDICATES: Mapping[str, Callable[[ExecFailure], bool]] = {
    "": lambda record: True,
    "uid:1..3": lambda record: 1 <= record.uid <= 3,
    "why==cause-1": lambda record: record.diagnosis is not None and record.diagnosis.code == "cause-1",
    "not why==cause-1": lambda record: record.diagnosis is None or record.diagnosis.code != "cause-1",
    "path==/a/tool or path==null": lambda record: record.path in ("/a/tool", None),
    "pid>5": lambda record: record.pid > 5,
}
QUERIES = [*PREDICATES, "age<20s", "age>10s or uid=1", "search.outcome==found", "path:/many/**"]

places = st.floats(0, 1, exclude_max=True)
records = st.builds(
    replace,
    st.just(PLAIN),
    path=st.sampled_from(PATHS),
    return_value=st.sampled_from([-2, -13, -7]),
    uid=st.integers(0, 5),
    pid=st.integers(1, 9),
    tid=st.integers(1, 3),
    task=st.integers(0, 3),
    comm=st.sampled_from(["sh", "cron"]),
    unit=st.sampled_from([None, "a.service"]),
    arguments=st.sampled_from([(), ("x", "--y"), ("z" * 300,)]),
    environment=st.sampled_from([(), ("PATH=/a:/b:/c",), ("A=1", None, "B=" + "b" * 200)]),
    diagnosis=st.sampled_from([None, None, DIAGNOSES[1], DIAGNOSES[59]]),
)
looks = st.builds(
    Look,
    st.sampled_from(DIAGNOSES),
    binary=st.sampled_from([None, binary("/bin/x"), binary("/usr/bin/x", inode=7)]),
    interpreter_path=st.sampled_from([None, "/bin/sh", "/lib64/ld.so"]),
    cgroup=st.sampled_from([None, "/system.slice/b.service", "/"]),
)


def held_ids(history: History) -> list[int]:
    return [each for block in history.blocks for each in block.ids_of(np.arange(len(block))).tolist()]


def evicted_represented(history: History) -> dict[int, int]:
    """Return how many evicted events each held event represents."""
    return {
        block.id_of(offset): int(block.represented[offset])
        for block in history.blocks
        if block.represented is not None
        for offset in range(len(block))
    }


class AnyOrder(RuleBasedStateMachine):
    """The operations of the screen on the model, in any order, checked at any moment."""

    @initialize(
        max_events=st.sampled_from([1, 30, 64, 200, 1000, 5000]),
        max_bytes=st.sampled_from([1 << 14, 1 << 17, 1 << 20, 1 << 28]),
    )
    def begin(self, max_events: int, max_bytes: int) -> None:
        self.now = NOW
        self.history = History(max_events, max_bytes)
        self.searches = Searches()
        self.view = View(self.history, parse(""), lambda: self.now, fold_repeats=True)
        self.groups = Groups(self.history, self.view, BY["path"])
        self.finding: Finding | None = None
        self.frozen = False
        self.events: list[Event] = []
        self.text = ""

    # Events that arrive

    def take(self, reports: list[Report]) -> None:
        arrivals = self.searches.take(reports, self.now)
        whole = [
            each.materialize() if isinstance(each, Occurrence) else each for each in expand_bursts(arrivals)
        ]
        first = len(self.events)
        self.events += whole
        assert self.history.append(arrivals) == range(first, len(self.events))
        for event_id, search in self.searches.ended():
            self.set_search(event_id, search)

    def set_search(self, event_id: int, search: Search) -> None:
        event = self.events[event_id]
        assert isinstance(event, ExecFailure)
        self.events[event_id] = replace(event, search=search)
        self.history.set_search(event_id, search)

    @rule(
        events=st.lists(records | st.just(Loss(NOW, 3, "ring buffer full")), max_size=40),
        step=st.integers(-2, 9),
    )
    def come(self, events: list[Event], step: int) -> None:
        for number, event in enumerate(events):
            events[number] = replace(event, timestamp=self.now + number * step * SECOND // 20)
        self.take(list(events))

    @rule(record=records, count=st.integers(1, 300), single=st.booleans())
    def storm(self, record: ExecFailure, count: int, single: bool) -> None:
        """Yield one failure over and over, as one burst or one by one."""
        record = replace(record, timestamp=self.now, search=None)
        times = self.now + np.arange(1, count + 1) * (SECOND // 50)
        last = Occurrence(record, int(times[-1]), record.pid, record.tid, record.task, record.started)
        again = Burst(last, times)
        self.take([record, *again] if single else [record, again])
        self.now = int(times[-1])

    @rule(record=records, count=st.integers(1, 200))
    def unlike(self, record: ExecFailure, count: int) -> None:
        """Add failures with a different path each."""
        self.take(
            [
                replace(record, path=f"/unlike/{number}", timestamp=self.now + number * SECOND // 100)
                for number in range(count)
            ]
        )

    @rule(task=st.integers(0, 3), found=st.sampled_from([None, "/c/tool", "/bin/x"]))
    def end_search(self, task: int, found: str | None) -> None:
        self.take([SearchEnd(self.now, task, found)])

    # Facts found later

    def some(self, low: float, high: float) -> list[int]:
        """Return failures among all that have come, held or not."""
        low, high = sorted((low, high))
        ids = range(int(low * len(self.events)), int(high * len(self.events)) + 1)
        return [
            number
            for number in ids
            if number < len(self.events) and isinstance(self.events[number], ExecFailure)
        ]

    def find_out(self, event_id: int, look: Look) -> None:
        event = self.events[event_id]
        assert isinstance(event, ExecFailure)
        event = replace(event, diagnosis=look.diagnosis)
        if look.binary is not None:
            event = replace(event, binary=look.binary)
        if look.interpreter_path is not None:
            event = replace(event, interpreter_path=look.interpreter_path)
        if look.cgroup is not None:
            event = replace(event, cgroup=look.cgroup, **where_of(look.cgroup)._asdict())
        self.events[event_id] = event

    @rule(
        low=places,
        high=places,
        step=st.integers(1, 9),
        look=looks,
        plain=st.booleans(),
    )
    def look_at(self, low: float, high: float, step: int, look: Look, plain: bool) -> None:
        ids = self.some(low, high)[::step]
        for event_id in ids:
            self.find_out(event_id, look)
        self.history.set_looks(ids if plain else np.array(ids, np.int64), look)

    @rule(place=places, causes=st.lists(st.sampled_from(DIAGNOSES), min_size=1, max_size=60, unique=True))
    def diagnose_each(self, place: float, causes: list[Diagnosis]) -> None:
        """Diagnose the newest ones one by one, each with another cause."""
        for event_id, diagnosis in zip(reversed(self.some(place, 1)), causes, strict=False):
            self.find_out(event_id, Look(diagnosis))
            self.history.set_looks([event_id], Look(diagnosis))

    @rule(place=places, found=st.booleans(), folded=st.booleans())
    def fold(self, place: float, found: bool, folded: bool) -> None:
        if ids := self.some(place, place):
            outcome: Outcome = "found" if found else "not-found"
            self.set_search(ids[0], Search(ids[0] + 1, "x", 2, outcome, folded=folded))

    # Queries

    @rule(text=st.sampled_from(QUERIES))
    def ask(self, text: str) -> None:
        self.text, self.view.query = text, parse(text)

    @rule(show=st.booleans())
    def show_found(self, show: bool) -> None:
        self.view.show_found = show

    @rule(fold=st.booleans())
    def fold_repeats(self, fold: bool) -> None:
        self.view.fold_repeats = fold

    @rule(name=st.sampled_from(sorted(BY)))
    def regroup(self, name: str) -> None:
        self.groups.by = BY[name]

    @rule(text=st.sampled_from([text for text in QUERIES if text]))
    def look_for(self, text: str) -> None:
        self.finding = Finding(self.history, self.view, parse(text), lambda: self.now)

    @rule(frozen=st.booleans())
    def freeze(self, frozen: bool) -> None:
        self.frozen = frozen

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    # Updates and reads

    @rule(count=st.integers(1, 3))
    def tick(self, count: int) -> None:
        for _ in range(count):
            if not self.frozen:
                self.view.refresh()
            if not self.view.complete:
                self.view.advance(0)
            if self.finding is not None:
                self.finding.advance(0)
            self.groups.advance(0)

    @rule(by_rate=st.booleans())
    def read_groups(self, by_rate: bool) -> None:
        self.groups.look(self.now)
        shown = self.groups.ranked(len(self.events) + 1, by_rate=by_rate)
        assert len(shown) == len(set(shown)) == len(self.groups)
        assert sum(group.count for group in self.groups.describe(shown)) == self.groups.failures
        self.groups.describe(self.groups.ranked(3, by_rate=by_rate))

    @rule(place=places)
    def read_rows(self, place: float) -> None:
        view = self.view
        assert len(list(view)) == len(view)
        assert 0 <= view.progress <= 1
        for row in {0, int(place * len(view)), len(view) - 1} if len(view) else ():
            event_id = view[row]
            assert view.row_of(event_id) == row
            repeats = view.repeats(row)
            assert repeats.times == view.times(row) >= 1
            assert 0 <= view.row_at(view.timestamp(row)) < len(view)
            if isinstance(self.events[event_id], Loss):
                assert view.lost(row)[0] % 3 == 0
        if len(view):
            assert 0 <= view.row_of(int(place * len(self.events))) < len(view)
        ids = view.with_tries()
        assert ids == sorted(set(ids))

    @rule(place=places, step=st.sampled_from([1, -1]))
    def read_matches(self, place: float, step: int) -> None:
        if self.finding is None:
            return
        event_id = int(place * len(self.events))
        for found in (
            self.finding.nearest(event_id),
            self.finding.beyond(event_id, step),
            self.finding.first(step),
        ):
            if found is not None:
                assert self.finding.holds(found)
                assert 0 <= self.finding.place(found) < len(self.finding)

    @rule(place=places)
    def read_event(self, place: float) -> None:
        event_id = int(place * len(self.events))
        if event_id in self.history:
            assert self.history[event_id] == as_held(self.events[event_id])
            assert self.history.representative_of(event_id) < len(self.events)

    @invariant()
    def bounds_hold(self) -> None:
        if hasattr(self, "history"):
            history = self.history
            assert len(history) <= history.max_events
            assert history.nbytes <= history.max_bytes or not history.blocks
            assert len(history) == history.failures + history.losses == history.end_id - history.evicted

    @rule()
    def compare(self) -> None:
        history, view, groups = self.history, self.view, self.groups
        held = held_ids(history)
        assert held == sorted(set(held)) and len(held) == len(history)
        for event_id in held:
            assert history[event_id] == as_held(self.events[event_id])
        assert history.losses == sum(isinstance(self.events[event_id], Loss) for event_id in held)
        self.frozen = False
        view.refresh()
        while not view.complete:
            view.advance(0)
        self.compare_view(held)
        self.compare_groups(held)
        if self.finding is not None:
            self.compare_finding()
        groups.look(self.now)

    def shown(self, held: list[int]) -> list[int]:
        """Return the ids that the view shows, losses included, for a filter that has a naive form."""
        asked = PREDICATES[self.text]
        ids = []
        for event_id in held:
            event = self.events[event_id]
            if isinstance(event, ExecFailure):
                search = event.search
                if not asked(event) or (search is not None and search.folded):
                    continue
                if search is not None and search.outcome == "found" and not self.view.show_found:
                    continue
            ids.append(event_id)
        return ids

    def compare_view(self, held: list[int]) -> None:
        view = self.view
        fresh = View(self.history, view.query, lambda: self.now, fold_repeats=view.fold_repeats)
        fresh.show_found = view.show_found
        while not fresh.complete:
            fresh.advance(0)
        assert list(view) == list(fresh)
        for name in ("failures", "shown", "counted", "folded", "losses", "hidden_found", "hidden"):
            assert getattr(view, name) == getattr(fresh, name), name
        rows = range(len(view))
        assert [view.repeats(row) for row in rows] == [fresh.repeats(row) for row in rows]
        if self.text in PREDICATES:
            shown = self.shown(held)
            if not view.fold_repeats:
                assert list(view) == shown
            assert set(view) <= set(shown)
            failures = [event_id for event_id in shown if isinstance(self.events[event_id], ExecFailure)]
            assert view.counted == len(failures)
            assert view.losses == len(shown) - len(failures)

    def compare_groups(self, held: list[int]) -> None:
        groups = self.groups
        groups.advance(0)
        while not groups.complete:
            groups.advance(0)
        groups.look(self.now)
        if self.text not in PREDICATES:
            return
        also = {} if self.view.query.depends_on_moment else evicted_represented(self.history)
        counts: Counter[Key] = Counter()
        for event_id in self.shown(held):
            event = self.events[event_id]
            if isinstance(event, ExecFailure):
                counts[VALUES[groups.by.name](event)] += 1 + also.get(event_id, 0)
        shown = groups.ranked(len(self.events) + 1, by_rate=False)
        assert {group.value: group.count for group in groups.describe(shown)} == counts

    def compare_finding(self) -> None:
        assert self.finding is not None
        fresh = Finding(self.history, self.view, self.finding.query, lambda: self.now)
        for finding in (fresh, self.finding):
            finding.advance(0)
            while not finding.complete:
                finding.advance(0)
        assert len(self.finding) == len(fresh)
        matches = [event_id for event_id in held_ids(self.history) if fresh.holds(event_id)]
        assert matches == [event_id for event_id in held_ids(self.history) if self.finding.holds(event_id)]
        assert len(matches) == len(fresh)
        assert [self.finding.place(event_id) for event_id in matches] == list(range(len(matches)))

    def teardown(self) -> None:
        if hasattr(self, "history"):
            self.compare()


AnyOrder.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
test_what_is_kept_up_to_date_is_what_plain_lists_say = AnyOrder.TestCase
