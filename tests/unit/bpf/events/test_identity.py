"""Every field has a declared part in what makes two failures the same, and the keys follow from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from execwhy.bpf.events.arrivals import Occurrence
from execwhy.bpf.events.identity import (
    CONDENSED,
    FAILURE_PURPOSES,
    OCCURRENCE,
    ON_SCREEN,
    RUN,
    leaves,
)
from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.program import layout
from execwhy.tui.model.history.block import Block
from execwhy.tui.model.history.column import Pools
from execwhy.tui.model.history.columns import COLUMN_FIELDS
from tests.unit.test_pinned_output import FULL


def other(value: Any) -> Any:
    """Return another value of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return value ^ 1
        case str():
            return value + "?"
        case tuple():
            return (*value, *value, value[0]) if value else ("?",)
    raise AssertionError(value)


def differing(record: ExecFailure, leaf: str) -> ExecFailure:
    """Return a record that differs in one field, or in one of a part's."""
    name, _, inner = leaf.partition(".")
    value = getattr(record, name)
    if inner:
        return replace(record, **{name: replace(value, **{inner: other(getattr(value, inner))})})
    return replace(record, **{name: other(value)})


SIMPLE: Final = tuple(leaf for leaf in leaves() if leaf not in ("diagnosis", "search"))


@pytest.mark.parametrize("purpose", FAILURE_PURPOSES)
def test_every_field_has_exactly_one_identity_decision(purpose: str) -> None:
    identity = FAILURE_PURPOSES[purpose]
    assert {leaf: identity.places_of(leaf) for leaf in leaves()} == dict.fromkeys(leaves(), 1)
    named = (*identity.covered, *identity.left_out)
    assert not [name for name in named if not any(f"{leaf}.".startswith(f"{name}.") for leaf in leaves())]


@pytest.mark.parametrize("purpose", FAILURE_PURPOSES)
def test_every_reason_is_a_sentence_or_a_clause(purpose: str) -> None:
    identity = FAILURE_PURPOSES[purpose]
    assert identity.reason.endswith(".")
    assert all(identity.left_out.values()) and all(identity.derived.values())


@pytest.mark.parametrize("leaf", SIMPLE)
@pytest.mark.parametrize("purpose", FAILURE_PURPOSES)
def test_a_key_differs_in_its_fields_and_in_no_others(purpose: str, leaf: str) -> None:
    identity, record = FAILURE_PURPOSES[purpose], FULL
    key = identity.key()
    assert (key(differing(record, leaf)) != key(record)) == identity.has(leaf)


def test_records_of_a_run_differ_in_their_first_word() -> None:
    assert layout.HEADER[0].name == "timestamp"
    assert [leaf for leaf in RUN.left_out if leaf in SIMPLE] == ["timestamp", "host"]


def test_an_occurrence_holds_the_fields_in_which_its_records_differ() -> None:
    own = {name for name in OCCURRENCE.left_out if name not in ("diagnosis", "search", "host")}
    assert own == set(Occurrence._fields) - {"template"}
    begin = [field.name for field in layout.HEADER]
    assert own | {"lost_before"} == set(begin[: begin.index("return_value")])


def block_of(*records: ExecFailure) -> Block:
    block = Block(0, len(records), Pools(1 << 20))
    block.append(records)
    return block


@pytest.mark.parametrize("leaf", SIMPLE)
def test_one_row_represents_events_equal_in_the_fields_of_the_screen(leaf: str) -> None:
    record = replace(FULL, search=None, diagnosis=None, return_value=-2)
    changed = differing(record, leaf)
    runs = block_of(record, changed).runs[:2].tolist()
    assert (runs == [0, 0]) == (not ON_SCREEN.has(leaf))


@pytest.mark.parametrize("leaf", SIMPLE)
def test_the_columns_of_condensed_events_are_those_of_their_fields(leaf: str) -> None:
    wholes, rest = CONDENSED.columns(COLUMN_FIELDS)
    within = [name for name, fields in COLUMN_FIELDS.items() if leaf.partition(".")[0] in fields]
    assert not rest
    assert bool(wholes & {*within}) == CONDENSED.has(leaf)
