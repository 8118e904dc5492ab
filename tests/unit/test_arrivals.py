from __future__ import annotations

from bpf.record import SearchEnd
from tests.ui.scripted_source import ScriptedSource, failure
from tui.arrivals import Arrivals
from tui.model.history import History


def test_what_cannot_be_taken_in_yet_waits_in_the_source() -> None:
    source, history = ScriptedSource(), History()
    arrivals = Arrivals(source, history, None)
    source.give(*(failure(f"/{number}") for number in range(5_000)))
    arrivals.pull(0.0)
    assert 0 < len(history) < 5_000
    source.give(failure("/later"))
    arrivals.pull(0.0)
    assert len(source.drain()) == 1, "it was taken before the first ones were through"


def test_nothing_is_left_out_and_nothing_comes_twice() -> None:
    source, history = ScriptedSource(), History()
    arrivals = Arrivals(source, history, None)
    paths = [f"/{number}" for number in range(2_000)]
    source.give(*map(failure, paths))
    while arrivals.pull(0.0):
        pass
    held = [history[event_id] for event_id in range(history.first_id, history.end_id)]
    assert [getattr(event, "path", None) for event in held] == paths


def test_a_search_that_ends_is_told_to_its_events() -> None:
    source, history = ScriptedSource(), History()
    arrivals = Arrivals(source, history, None)
    tries = [failure(f"/{directory}/ls", task=7) for directory in ("a", "b")]
    source.give(*tries)
    arrivals.pull(1.0)
    assert 0 not in arrivals.take_searches()
    source.give(SearchEnd(tries[-1].timestamp + 1, 7, "/bin/ls", tries[-1].tid))
    arrivals.pull(1.0)
    ended = arrivals.take_searches()
    assert (0 in ended, 1 in ended, 2 in ended) == (True, True, False)
