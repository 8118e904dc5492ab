from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execwhy.bpf.events.arrivals import Burst, Occurrence, Report, SearchEnd
from execwhy.bpf.events.record import Diagnosis, ExecFailure, Look, error_name
from execwhy.tui.arrivals import Arrivals
from execwhy.tui.model.history.store import History
from execwhy.tui.why.causes import unseen
from execwhy.tui.why.lookers.fair_queue import EventIds
from tests.looks import InlineLookers
from tests.ui.scripted_source import ScriptedSource, failure


def test_events_that_cannot_be_taken_yet_wait_in_the_source() -> None:
    source, history = ScriptedSource(), History()
    arrivals = Arrivals(source, history, None)
    source.give(*(failure(f"/{number}") for number in range(5_000)))
    arrivals.pull(0.0)
    assert 0 < len(history) < 5_000
    source.give(failure("/later"))
    arrivals.pull(0.0)
    assert len(source.drain()) == 1, "it was taken before the first ones were through"


def test_every_event_arrives_exactly_once() -> None:
    source, history = ScriptedSource(), History()
    arrivals = Arrivals(source, history, None)
    paths = [f"/{number}" for number in range(2_000)]
    source.give(*map(failure, paths))
    while arrivals.pull(0.0):
        pass
    held = [history[event_id] for event_id in range(history.first_id, history.end_id)]
    assert [getattr(event, "path", None) for event in held] == paths


def test_the_end_of_a_search_updates_the_events_of_its_tries() -> None:
    source, history = ScriptedSource(), History()
    arrivals = Arrivals(source, history, None)
    path = ("PATH=/a:/b:/bin",)
    tries = [failure(f"/{directory}/ls", task=7, environment=path) for directory in ("a", "b")]
    source.give(*tries)
    arrivals.pull(1.0)
    assert 0 not in arrivals.take_searches()
    source.give(SearchEnd(tries[-1].timestamp + 1, 7, "/bin/ls", tries[-1].tid))
    arrivals.pull(1.0)
    ended = arrivals.take_searches()
    assert (0 in ended, 1 in ended, 2 in ended) == (True, True, False)


def failures_at(kind: int, burst: bool, moments: range) -> list[Report]:
    """Return failures of one task, each a nanosecond after the one before."""
    first = replace(failure(f"/missing/{kind}"), timestamp=0, return_value=-(kind + 1), search=None)
    last = Occurrence(first, moments[-1], 7, 8, kind + 1, None)
    if burst:
        return [Burst(last, np.array(moments))]
    return [last._replace(timestamp=moment) for moment in moments]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(1, 3000)), min_size=1, max_size=5),
    st.sampled_from([0.0, 1.0]),
)
def test_a_burst_is_stored_and_diagnosed_like_its_single_execs(
    pieces: list[tuple[int, bool, int]], seconds: float
) -> None:
    source, history = ScriptedSource(), History()
    causes: Counter[str] = Counter()

    def count(diagnosis: Diagnosis, number: int) -> None:
        causes[diagnosis.code] += number

    lookers = InlineLookers(lambda record: Diagnosis(record.error.lower(), "So."))
    arrivals = Arrivals(source, history, lookers, count)
    try:
        now, total = 0, Counter[str]()
        for kind, burst, times in pieces:
            reports = failures_at(kind, burst, range(now + 1, now + times + 1))
            now += times
            total[error_name(-(kind + 1)).lower()] += times
            source.give(*reports)
            while arrivals.pull(seconds):
                pass
        assert len(history) == now
        deadline = time.monotonic() + 30
        while causes != total:
            assert time.monotonic() < deadline, f"{causes}, not {total}"
            arrivals.take_diagnoses()
            time.sleep(0.001)
    finally:
        arrivals.close()
    events = [history[event_id] for event_id in range(now)]
    assert [event.timestamp for event in events] == list(range(1, now + 1))
    assert all(
        isinstance(event, ExecFailure)
        and event.diagnosis is not None
        and event.diagnosis.code == event.error.lower()
        for event in events
    )


def code_at(history: History, event_id: int) -> str | None:
    event = history[event_id]
    assert isinstance(event, ExecFailure)
    return None if event.diagnosis is None else event.diagnosis.code


def test_a_dropped_look_is_made_when_its_row_is_shown_and_counts_once() -> None:
    source, history = ScriptedSource(), History()
    causes: list[tuple[str, int]] = []
    is_late = True

    def why(record: ExecFailure) -> Diagnosis:
        return unseen.dropped(record).diagnosis if is_late else Diagnosis("missing", "So.")

    lookers = InlineLookers(why)
    arrivals = Arrivals(source, history, lookers, lambda one, count: causes.append((one.code, count)))
    source.give(*map(failure, ("/a", "/b", "/c")))
    arrivals.pull(1.0)
    arrivals.take_diagnoses()
    is_late = False
    arrivals.prefer([1])
    assert lookers.preferred == [1]
    events = [event for number in range(3) if isinstance(event := history[number], ExecFailure)]
    lookers.submit([(1, events[1])])  # like the real ones with records that they prefer
    arrivals.take_diagnoses()
    assert [code_at(history, number) for number in range(3)] == ["not-looked-at", "missing", "not-looked-at"]
    assert sum(count for _, count in causes) == 3
    arrivals.prefer([1])
    assert lookers.preferred == []
    arrivals.close()


def test_a_step_is_bounded_by_its_events_too() -> None:
    source, history = ScriptedSource(), History()
    arrivals = Arrivals(source, history, None)
    source.give(
        *(report for n in range(20) for report in failures_at(0, True, range(n * 2000 + 1, n * 2000 + 2001)))
    )
    arrivals.pull(0.0)
    assert 0 < len(history) < 10_000
    while arrivals.pull(0.0):
        pass
    assert len(history) == 40_000


def test_a_look_that_cannot_be_stored_affects_no_other() -> None:
    source, history = ScriptedSource(), History()
    causes: list[str] = []
    lookers = InlineLookers(lambda record: Diagnosis(f"cause-{record.path}", "So."))
    arrivals = Arrivals(source, history, lookers, lambda one, count: causes.append(one.code))
    source.give(*map(failure, ("/a", "/b", "/c")))
    arrivals.pull(1.0)
    put, broken = history.set_looks, 1

    def failing(event_ids: EventIds, look: Look) -> None:
        if broken in event_ids:
            raise RuntimeError("this one")
        put(event_ids, look)

    history.set_looks = failing  # type: ignore[method-assign, assignment]
    with pytest.raises(RuntimeError):
        arrivals.take_diagnoses()
    assert [code_at(history, number) for number in range(3)] == ["cause-/a", None, "cause-/c"]
    assert causes == ["cause-/a", "cause-/c"]
    changed = arrivals.take_diagnoses()
    assert [event_id in changed for event_id in range(3)] == [True, False, True]


def test_looks_that_cannot_be_stored_yet_wait_with_a_share_for_each_user() -> None:
    source, history = ScriptedSource(), History()
    lookers = InlineLookers(lambda record: Diagnosis("missing", f"{record.path} is missing."))
    asked: list[int | None] = []
    results = lookers.results

    def some(most: int | None = None) -> list[tuple[EventIds, Look]]:
        asked.append(most)
        return results(most)

    lookers.results = some  # type: ignore[method-assign]
    arrivals = Arrivals(source, history, lookers)
    source.give(failure("/a"), failure("/b"))
    arrivals.pull(1.0)
    arrivals.take_diagnoses(0.0)
    assert arrivals.wait
    assert [code_at(history, number) for number in range(2)] == ["missing", None]
    arrivals.take_diagnoses()
    assert not arrivals.wait
    assert code_at(history, 1) == "missing"
    assert all(most is not None and most <= 64 for most in asked)


class _Storm(ScriptedSource):
    """Has more each time, until it is closed."""

    def drain(self) -> Sequence[Report]:
        if not self.is_closed:
            self.give(failure("/more"))
        return super().drain()


def test_taking_the_remaining_events_during_a_storm_terminates() -> None:
    source = _Storm()
    source.give(failure("/first"))
    assert len(Arrivals(source, History(), None).untaken()) == 1
    assert source.is_closed
