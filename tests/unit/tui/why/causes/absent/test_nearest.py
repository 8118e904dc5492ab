"""The nearest name: the number of edits agrees with the definition, and the search ends at its deadline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwhy.tui.why.causes.absent import nearest as nearest_names
from execwhy.tui.why.causes.absent.nearest import distance, nearest

NAMES = st.text("abc", max_size=8)


def by_definition(one: str, other: str) -> int:
    """Insert, delete, replace, swap neighbours: the whole table of all beginnings of both."""
    table = [[i + j for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i, letter in enumerate(one, 1):
        for j, opposite in enumerate(other, 1):
            replaced = table[i - 1][j - 1] + (letter != opposite)
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, replaced)
            if i > 1 and j > 1 and (letter, one[i - 2]) == (other[j - 2], opposite):
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]


@given(NAMES, NAMES, st.integers(0, 3))
def test_edit_distances_are_exact_up_to_the_limit_and_above_it_beyond(
    one: str, other: str, limit: int
) -> None:
    counted, right = distance(one, other, limit), by_definition(one, other)
    assert counted == right if right <= limit else counted > limit


def test_no_more_names_are_compared_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("systemcel", "systemctl")
    assert nearest("systemclt", names, deadline=0.0) == "systemctl", "a few are compared in any case"
    monkeypatch.setattr(nearest_names, "_AT_A_TIME", 2)
    assert nearest("systemclt", names, deadline=0.0) == "systemcel"
    assert nearest("systemclt", names, deadline=float("inf")) == "systemctl"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("gti", "git"),
        ("grpe", "grep"),
        ("gerp", "grep"),
        ("pyton", "python"),
        ("makee", "make"),
        ("docker-compse", "docker-compose"),
        ("python3.12", "python3.11"),
    ],
)
def test_a_mistyped_name_gets_the_nearest_name_suggested(name: str, near: str) -> None:
    assert nearest(name, (near,)) == near


@pytest.mark.parametrize(
    ("name", "far"),
    [
        ("rid", "red"),
        ("fred", "red"),
        ("cared", "red"),
        ("breed", "red"),
        ("no", "nl"),
        ("sl", "ls"),
        ("tac", "cat"),
        ("work", "fork"),
        ("worker", "docker"),
        ("redis", "red"),
    ],
)
def test_an_unrelated_short_name_is_not_suggested(name: str, far: str) -> None:
    assert nearest(name, (far,)) is None
