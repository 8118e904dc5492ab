"""A search leads from one match to the next among the rows that are shown."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.loss import Loss
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import parse
from execwhy.tui.model.view.finding import Finding
from execwhy.tui.model.view.view import View
from tests.unit.records import failure

PATHS = ("/a", "/b", "/a", "/c", "/a")


def finding(text: str, events: Sequence[Event] = (), query: str = "") -> tuple[Finding, View, History]:
    history = History()
    history.append(events or [failure(path=path) for path in PATHS])
    view = View(history, parse(query))
    view.advance(10.0)
    found = Finding(history, view, parse(text))
    found.advance(10.0)
    return found, view, history


def test_it_goes_from_match_to_match_and_ends() -> None:
    found, _, _ = finding("path==/a")
    assert len(found) == 3
    assert [found.beyond(at, 1) for at in range(5)] == [2, 2, 4, 4, None]
    assert [found.beyond(at, -1) for at in range(5)] == [None, 0, 0, 2, 2]
    assert (found.first(1), found.first(-1)) == (0, 4)


def test_the_nearest_is_the_next_one_from_here_on_or_else_the_last() -> None:
    found, _, _ = finding("path==/c")
    assert [found.nearest(at) for at in range(5)] == [3, 3, 3, 3, 3]
    assert finding("path==/a")[0].nearest(0) == 0


def test_nothing_is_nearest_where_nothing_matches() -> None:
    found, _, _ = finding("path==/z")
    assert (len(found), found.nearest(2), found.first(1), found.holds(0)) == (0, None, None, False)


def test_rows_that_the_filter_hides_are_no_matches() -> None:
    found, view, _ = finding("path==/a or path==/b", query="path!=/a")
    assert [found.holds(at) for at in range(5)] == [False, True, False, False, False]
    view.query = parse("")
    view.advance(10.0)
    found.advance(10.0)
    assert [found.holds(at) for at in range(5)] == [True, True, True, False, True]


def test_an_alternative_in_the_filter_stays_one() -> None:
    found, _, _ = finding("path==/b", query="path==/a or path==/c")
    assert len(found) == 0


@pytest.mark.parametrize("query", ["path==/a", "path==/a or comm=(", "x" * 4094])
@pytest.mark.parametrize("text", ["comm=(", "zz or comm=a\\", "y" * 4094])
def test_a_value_may_be_a_parenthesis_and_filter_and_search_long(text: str, query: str) -> None:
    found, _, _ = finding(text, query=query)
    assert len(found) == 0


def test_what_comes_later_is_found_too() -> None:
    found, view, history = finding("path==/a")
    history.append([failure(path="/a")])
    view.refresh()
    assert found.advance(10.0)
    assert (len(found), found.place(5)) == (4, 3)


def test_a_loss_is_no_match() -> None:
    events: list[Event] = [failure(path="/a"), Loss(1, 7, "ring buffer full"), failure(path="/a")]
    found, _, _ = finding("path==/a", events)
    assert (len(found), found.beyond(0, 1), found.beyond(2, -1), found.holds(1)) == (2, 2, 0, False)
