"""What failures have in common, while events come, are evicted, are diagnosed, fold and are filtered."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Diagnosis, ExecFailure, Look, Search
from execwhy.tui.model.history.block import Numbers
from execwhy.tui.model.history.columns import Key
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import add_term, parse
from execwhy.tui.model.view.group_by import BY
from execwhy.tui.model.view.groups import Group, Groups
from execwhy.tui.model.view.row_sums import MOST_VALUES
from execwhy.tui.model.view.tally import Offsets, Tally
from execwhy.tui.model.view.view import View

SECOND = 10**9
NOW = 1_795_557_012 * SECOND
PLAIN = ExecFailure(timestamp=NOW, path="/bin/x", return_value=-2)
EVERYTHING = 10_000


def ago(seconds: float, path: str = "/bin/x") -> ExecFailure:
    return replace(PLAIN, timestamp=NOW - int(seconds * SECOND), path=path)


def grouped(history: History, by: str = "path", query: str = "") -> Groups:
    view = View(history, parse(query))
    while not view.complete:
        view.advance(0)
    groups = Groups(history, view, BY[by])
    groups.look(NOW)
    finish(groups)
    return groups


def finish(groups: Groups) -> None:
    groups.advance(0)
    while not groups.complete:
        groups.advance(0)


def values(groups: Groups, *, by_rate: bool = False, most: int = EVERYTHING) -> list[Key]:
    return groups.ranked(most, by_rate=by_rate)


def only(groups: Groups) -> Group:
    (value,) = values(groups)
    (group,) = groups.describe([value])
    return group


def test_a_unit_that_fails_ten_times_a_second_is_one_group_with_the_right_count() -> None:
    history = History()
    crashing = replace(PLAIN, unit="app.service")
    history.append([replace(crashing, timestamp=NOW - n * SECOND // 10) for n in range(600)][::-1])
    group = only(grouped(history, "unit"))
    assert (group.value, group.count, group.rate) == ("app.service", 600, 10.0)
    assert group.minute == (10,) * 60
    assert group.first == NOW - 599 * SECOND // 10
    assert group.last == NOW
    assert group.example == 599


@pytest.mark.parametrize(
    ("by", "value", "record"),
    [
        ("path", "/opt/run.sh", replace(PLAIN, path="/opt/run.sh")),
        ("path", None, replace(PLAIN, path=None)),
        ("error", 13, replace(PLAIN, return_value=-13)),
        ("why", "missing-file", replace(PLAIN, diagnosis=Diagnosis("missing-file", "It is missing."))),
        ("why", None, PLAIN),
        ("user", 33, replace(PLAIN, uid=33)),
        ("comm", "cron", replace(PLAIN, comm="cron")),
        ("unit", "cron.service", replace(PLAIN, unit="cron.service")),
        ("unit", None, PLAIN),
        ("container", "4f9c2a1be07d", replace(PLAIN, container_id="4f9c2a1be07d")),
        ("parent", "containerd", replace(PLAIN, parent_comm="containerd")),
        ("comm", 'a "b\x1b', replace(PLAIN, comm='a "b\x1b')),
    ],
)
def test_the_filter_of_a_group_selects_its_events(by: str, value: Key, record: ExecFailure) -> None:
    other = replace(
        PLAIN, path="/other", return_value=-7, uid=1, comm="other", parent_comm="other",
        unit="other.service", container_id="other", diagnosis=Diagnosis("other", "Another."),
    )  # fmt: skip
    history = History()
    history.append([record, other, record])
    groups = grouped(history, by)
    assert values(groups)[0] == value
    (group,) = groups.describe([value])
    assert group.count == 2
    text = add_term("", BY[by].field, BY[by].asked(value), exclude=False)
    assert list(View(history, parse(text))) == [0, 2]


def test_groups_stand_by_rate_or_by_count() -> None:
    history = History()
    history.append([*[ago(300, "/often")] * 9, *[ago(40, "/lately")] * 3, *[ago(3, "/now")] * 2])
    groups = grouped(history)
    assert values(groups, by_rate=False) == ["/often", "/lately", "/now"]
    assert values(groups, by_rate=True) == ["/now", "/often", "/lately"]
    assert values(groups, by_rate=True, most=2) == ["/now", "/often"]
    assert len(groups) == 3
    assert groups.failures == 14


def test_rate_and_minute_go_on_with_the_time_alone() -> None:
    history = History()
    history.append([ago(0.5)] * 5)
    groups = grouped(history)
    assert only(groups).rate == 0.5
    assert only(groups).minute == (*[0] * 59, 5)
    groups.look(NOW + 9 * SECOND)
    assert only(groups).rate == 0.5
    assert only(groups).minute == (*[0] * 50, 5, *[0] * 9)
    groups.look(NOW + 10 * SECOND)
    assert only(groups).rate == 0
    groups.look(NOW + 60 * SECOND)
    assert only(groups).minute == (0,) * 60
    assert only(groups).count == 5


def test_an_event_ahead_of_the_clock_has_just_come() -> None:
    history = History()
    history.append([ago(-5)])
    assert only(grouped(history)).minute == (*[0] * 59, 1)


def test_a_group_shows_its_users_and_its_most_frequent_cause() -> None:
    history = History()
    missing = Diagnosis("missing-file", "The file is missing.", brief="missing")
    long = Diagnosis("other", "It has no brief words.")
    history.append([replace(PLAIN, uid=1000 + n % 9, diagnosis=missing) for n in range(18)])
    history.append([replace(PLAIN, uid=0, diagnosis=long)] * 7)
    history.append([PLAIN] * 30)
    group = only(grouped(history))
    assert group.why == "missing", "what has no diagnosis yet does not outvote what has one"
    assert group.users == 10
    assert group.uids[0] == 0
    assert len(group.uids) == MOST_VALUES
    history.append([replace(PLAIN, diagnosis=long)] * 12)
    assert only(grouped(history)).why == "It has no brief words."


def test_a_group_without_any_certain_cause_is_known_as_such_until_it_has_one() -> None:
    history = History()
    doubtful = Diagnosis("missing-file", "It may be missing.", brief="missing", certain=False)
    history.append([PLAIN])
    assert not only(grouped(history)).is_uncertain, "there is no cause at all"
    history.append([replace(PLAIN, diagnosis=doubtful)] * 3)
    assert only(grouped(history)).is_uncertain
    history.append([replace(PLAIN, diagnosis=replace(doubtful, certain=True))])
    group = only(grouped(history))
    assert (group.is_uncertain, group.why, group.whys) == (False, "missing", 1)


def test_a_search_is_one_failure_and_a_found_one_is_none() -> None:
    folded = Search(1, "x", 3, "not-found", folded=True)
    history = History()
    history.append(
        [replace(PLAIN, search=folded)] * 2 + [replace(PLAIN, search=replace(folded, folded=False))]
    )
    found = Search(2, "x", 1, "found", found_path="/usr/bin/x")
    history.append([replace(PLAIN, search=found)])
    groups = grouped(history)
    assert groups.failures == 1
    view = View(history, parse(""))
    view.show_found = True
    groups = Groups(history, view, BY["path"])
    finish(groups)
    assert groups.failures == 2


def test_a_row_that_folds_later_leaves_its_group() -> None:
    history = History()
    history.append([PLAIN] * 3)
    view = View(history, parse(""))
    groups = Groups(history, view, BY["path"])
    finish(groups)
    assert groups.failures == 3
    history.set_search(0, Search(1, "x", 2, "not-found", folded=True))
    view.refresh()
    assert groups.advance(0)
    assert groups.failures == 2


def test_losses_are_in_no_group() -> None:
    history = History()
    history.append([Loss(NOW, 7, "ring buffer full"), PLAIN, Loss(NOW, 7, "ring buffer full")])
    assert only(grouped(history)).count == 1
    assert values(grouped(history, query="nothing-like-it")) == []


def test_what_is_evicted_leaves_its_group_also_while_the_view_is_frozen() -> None:
    history = History(max_events=320)
    history.append([ago(9, "/old")] * 100)
    view = View(history, parse(""))
    while not view.complete:
        view.advance(0)
    groups = Groups(history, view, BY["path"])
    finish(groups)
    assert groups.describe(["/old"])[0].count == 100
    history.append([ago(1, f"/new/{number}") for number in range(320)])
    finish(groups)
    assert groups.describe(["/old", "/new/9"]) == [Group("/old"), Group("/new/9")]
    view.refresh()
    finish(groups)
    assert "/old" not in values(groups)
    assert groups.failures == len(history)


def test_a_group_counts_what_is_evicted_but_represented_by_an_event_that_is_kept() -> None:
    history = History(max_events=3200)
    history.append([ago(50, "/one"), *(ago(40 - n / 1000, "/storm") for n in range(40_000))])
    groups = grouped(history)
    assert len(history) < 3200
    assert groups.failures == 40_001
    assert values(groups) == ["/storm", "/one"]
    (storm,) = groups.describe(["/storm"])
    last = ago(40 - 39_999 / 1000).timestamp
    assert (storm.count, storm.first, storm.last) == (40_000, NOW - 40 * SECOND, last)
    assert sum(storm.minute) == 40_000 and storm.minute.count(1000) >= 38, "each second has its own"
    assert grouped(history, query="pid==0").failures == len(history), (
        "which of the others had it is not known"
    )


def test_numbers_of_values_that_are_gone_are_used_again() -> None:
    history = History(max_events=320)
    view = View(history, parse(""))
    groups = Groups(history, view, BY["path"])
    for number in range(5_000):
        history.append([ago(0, f"/tmp/{number}")])
        view.refresh()
        groups.advance(1)
    assert len(groups) == len(history)
    assert len(groups._counts) < 2_000


def test_only_blocks_that_changed_are_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(max_events=3200)
    history.append([PLAIN] * 3000)
    view = View(history, parse(""))
    while not view.complete:
        view.advance(0)
    groups = Groups(history, view, BY["path"])
    finish(groups)
    counted: list[int] = []
    count = Tally.count

    def noted(tally: Tally, selected: Offsets, represented: Numbers | None) -> None:
        counted.append(tally.block.first_id)
        count(tally, selected, represented)

    monkeypatch.setattr(Tally, "count", noted)
    assert not groups.advance(0)
    assert not counted
    history.append([PLAIN])
    view.refresh()
    assert groups.advance(0)
    assert counted == [3000]
    history.set_looks([250], Look(Diagnosis("missing-file", "It is missing.", brief="missing")))
    assert groups.advance(0)
    assert counted == [3000, 200]
    assert only(groups).why == "missing"


def test_a_new_filter_or_key_is_counted_in_steps_newest_first() -> None:
    history = History(max_events=3200)
    history.append([ago(1, f"/bin/{number // 1000}") for number in range(3000)])
    view = View(history, parse(""))
    while not view.complete:
        view.advance(0)
    groups = Groups(history, view, BY["path"])
    assert not groups.complete
    assert groups.advance(0)
    assert values(groups) == ["/bin/2"]
    assert not groups.complete
    finish(groups)
    assert len(groups) == 3
    groups.by = BY["error"]
    assert not groups.complete
    assert values(groups) == []
    finish(groups)
    assert values(groups) == [2]
    view.query = parse("path==/bin/1")
    assert groups.advance(1)
    assert not groups.complete, "the view has not found all of them yet"
    while not view.complete:
        view.advance(0)
    finish(groups)
    assert groups.failures == 1000


def test_groups_by_cause_are_read_while_diagnoses_bring_causes_that_nobody_has_counted_yet() -> None:
    history = History()
    history.append([ago(n % 60) for n in range(50)])
    groups = grouped(history, "why")
    for number in range(200):
        history.set_looks([number % 50], Look(Diagnosis(f"cause-{number}", "Said later.")))
        groups.look(NOW)
        assert [(group.value, group.count) for group in groups.describe(values(groups, by_rate=True))] == [
            (None, 50)
        ]
    groups.advance(1)
    assert len(values(groups, by_rate=True)) == 50


records = st.builds(
    replace,
    st.just(PLAIN),
    timestamp=st.integers(NOW - 100 * SECOND, NOW + 2 * SECOND),
    path=st.sampled_from(["/a", "/b", None]),
    return_value=st.sampled_from([-2, -13]),
    uid=st.integers(0, 5),
    comm=st.sampled_from(["sh", "cron"]),
    unit=st.sampled_from([None, "a.service"]),
    diagnosis=st.sampled_from([None, Diagnosis("a", "A.", brief="a"), Diagnosis("b", "B.")]),
)


class Member(NamedTuple):
    """One event of a group.

    Attributes:
        event_id: Its id.
        event: The event as it is known so far.
        times: How many events it represents, itself included.
        last: The timestamp of the last one of these.
    """

    event_id: int
    event: ExecFailure
    times: int
    last: int


class KeptAsRecomputed(RuleBasedStateMachine):
    """Whatever happens in between, the groups are those of the events that the view shows."""

    @initialize()
    def begin(self) -> None:
        self.history = History(max_events=128)
        self.view = View(self.history, parse(""))
        self.groups = Groups(self.history, self.view, BY["path"])
        self.now = NOW

    @rule(events=st.lists(records | st.just(Loss(NOW, 3, "ring buffer full")), max_size=30))
    def come(self, events: list[Event]) -> None:
        self.history.append(events)

    @rule(event=records, count=st.integers(20, 200))
    def storm(self, event: ExecFailure, count: int) -> None:
        self.history.append(
            [replace(event, timestamp=event.timestamp + n * SECOND // 50) for n in range(count)]
        )

    def some(self, at: float) -> int | None:
        """One of the failures, by its place among the events; None where there is none, or a loss."""
        ids = [each for block in self.history.blocks for each in block.ids_of(np.arange(len(block))).tolist()]
        event_id = ids[int(at * len(ids))] if ids else None
        return None if event_id is None or self.history.is_loss(event_id) else event_id

    @rule(at=st.floats(0, 0.999), code=st.sampled_from(["a", "c"]))
    def diagnose(self, at: float, code: str) -> None:
        if (event_id := self.some(at)) is not None:
            self.history.set_looks([event_id], Look(Diagnosis(code, code, brief=code)))

    @rule(at=st.floats(0, 0.999), found=st.booleans(), folded=st.booleans())
    def fold(self, at: float, found: bool, folded: bool) -> None:
        if (event_id := self.some(at)) is not None:
            search = Search(event_id + 1, "x", 2, "found" if found else "not-found", folded=folded)
            self.history.set_search(event_id, search)

    @rule(text=st.sampled_from(["", "uid:1..3", "why==a", "path==/a or path==null"]))
    def ask(self, text: str) -> None:
        self.view.query = parse(text)

    @rule(name=st.sampled_from(sorted(BY)))
    def regroup(self, name: str) -> None:
        self.groups.by = BY[name]

    @rule()
    def refresh(self) -> None:
        self.view.refresh()

    @rule()
    def step(self) -> None:
        self.view.advance(0)
        self.groups.advance(0)

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(by_rate=st.booleans())
    def read(self, by_rate: bool) -> None:
        """As the screen does at any moment, also right after a change that nobody has taken in yet."""
        self.groups.look(self.now)
        shown = values(self.groups, by_rate=by_rate)
        assert len(shown) == len(self.groups)
        assert sum(group.count for group in self.groups.describe(shown)) == self.groups.failures

    @rule()
    def compare(self) -> None:
        self.view.refresh()
        while not self.view.complete:
            self.view.advance(0)
        finish(self.groups)
        self.groups.look(self.now)
        represented = {
            block.id_of(offset): (1 + int(block.represented[offset]), int(block.lasts[offset]))
            for block in self.history.blocks
            if block.represented is not None and block.lasts is not None
            for offset in range(len(block))
        }
        members: dict[Key, list[Member]] = defaultdict(list)
        for event_id in self.view:
            event = self.history[event_id]
            if isinstance(event, ExecFailure):
                count, last = represented.get(event_id, (1, event.timestamp))
                member = Member(event_id, event, count, last)
                members[VALUES[self.groups.by.name](event)].append(member)
        assert set(values(self.groups)) == set(members)
        assert self.groups.failures == sum(member.times for each in members.values() for member in each)
        groups = self.groups.describe(list(members))
        for group in groups:
            self.compare_group(group, members[group.value])
        by_count = sorted(groups, key=lambda group: (-group.count, -group.rate, str(group.value)))
        assert values(self.groups) == [group.value for group in by_count]
        by_rate = sorted(groups, key=lambda group: (-group.rate, -group.count, str(group.value)))
        assert values(self.groups, by_rate=True) == [group.value for group in by_rate]

    def compare_group(self, group: Group, members: list[Member]) -> None:
        minute: Counter[int] = Counter()
        users: Counter[int] = Counter()
        whys: Counter[str] = Counter()
        for _, event, count, _ in members:
            minute[max(0, self.now - event.timestamp) // SECOND] += count
            users[event.uid] += count
            if event.diagnosis:
                whys[event.diagnosis.brief or event.diagnosis.summary] += count
        assert group.count == sum(member.times for member in members)
        assert group.minute == tuple(minute[59 - second] for second in range(60))
        assert group.rate == sum(minute[age] for age in range(10)) / 10
        firsts = min(member.event.timestamp for member in members)
        assert (group.first, group.last) == (firsts, max(member.last for member in members))
        assert group.example == max(member.event_id for member in members)
        assert group.users == len(users)
        assert [users[uid] for uid in group.uids] == sorted(users.values(), reverse=True)[:MOST_VALUES]
        assert (group.why is None, group.whys) == (not whys, len(whys))
        assert group.why is None or whys[group.why] == max(whys.values())
        sure = any(event.diagnosis and event.diagnosis.certain for _, event, _, _ in members)
        assert group.is_uncertain is (bool(whys) and not sure)

    def teardown(self) -> None:
        if hasattr(self, "view"):
            self.compare()


VALUES: Mapping[str, Callable[[ExecFailure], Key]] = {
    "path": lambda event: event.path,
    "error": lambda event: -event.return_value,
    "why": lambda event: event.diagnosis and event.diagnosis.code,
    "user": lambda event: event.uid,
    "comm": lambda event: event.comm,
    "unit": lambda event: event.unit,
    "container": lambda event: event.container_id,
    "parent": lambda event: event.parent_comm,
}

KeptAsRecomputed.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_groups_kept_up_to_date_are_those_counted_anew = KeptAsRecomputed.TestCase
