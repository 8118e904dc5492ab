"""The kinds are a closed set: each has a code of its own, and a part in every table."""

from __future__ import annotations

from pathlib import Path
from typing import Final, get_args

import pytest

from execwhy.bpf.events.arrivals import Burst, Occurrence, SearchEnd
from execwhy.bpf.events.kinds import EXEC, FAILURES, KINDS, LOSS, SEARCH_END_CODE, FailureKind, by_kind
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.program import layout
from tests.unit.records import failure

A_LOSS: Final = Loss(5, 3, "ring buffer full")


def test_names_and_codes_are_distinct() -> None:
    codes = [kind.code for kind in KINDS if kind.code] + [SEARCH_END_CODE]
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert len(set(codes)) == len(codes) and max(codes) < 256
    assert get_args(FailureKind) == tuple(kind.name for kind in FAILURES)


def test_the_program_in_the_kernel_has_each_code() -> None:
    text = layout.c_declarations(4096, 4096)
    assert f"#define KIND_EXEC {EXEC.code:#x}\n" in text
    assert f"#define KIND_SEARCH_END {SEARCH_END_CODE:#x}\n" in text
    assert "KIND_LOSS" not in text, "the kernel writes none"


def test_each_table_covers_exactly_the_registered_kinds() -> None:
    assert by_kind({EXEC: 1, LOSS: 2}) == {"exec": 1, "loss": 2}
    assert by_kind({EXEC: 1}, FAILURES) == {"exec": 1}
    with pytest.raises(LookupError, match="differ in: loss"):
        by_kind({EXEC: 1})
    with pytest.raises(LookupError, match="differ in: loss"):
        by_kind({EXEC: 1, LOSS: 2}, FAILURES)


def test_every_arrival_has_the_same_interface() -> None:
    np = pytest.importorskip("numpy")
    record = failure()
    again = Occurrence(record, 7, 1, 2, 3, 4)
    burst = Burst(again, np.array([5, 6, 7]))
    arrivals = (record, again, burst, A_LOSS)
    assert [each.kind for each in arrivals] == ["exec", "exec", "exec", "loss"]
    assert [each.event_count for each in (*arrivals, SearchEnd(1, 2, None))] == [1, 1, 3, 1, 0]
    assert [each.failure for each in arrivals] == [record, again, burst, None]
    assert all(each.template is record for each in (record, again, burst))
    assert (record.first, again.last, burst.first.timestamp, burst.last) == (record, again, 5, again)
    assert (record.at(0), again.at(0), burst.at(1).timestamp) == (record, again, 6)
    assert (record.materialize(), A_LOSS.materialize()) == (record, A_LOSS)
    assert again.materialize().timestamp == 7
    assert [each.search for each in arrivals] == [None] * 4


def test_the_guide_to_a_new_kind_names_each_module_that_depends_on_kinds() -> None:
    root = Path(__file__).parents[4]
    guide = (root / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Add a kind of event")[2]
    section = guide.partition("\n## ")[0]
    modules = [path for folder in ("bpf", "tui") for path in (root / folder).rglob("*.py")]
    asking = [
        str(path.relative_to(root)) for path in modules if "by_kind({EXEC" in path.read_text(encoding="utf-8")
    ]
    assert len(asking) > 3
    assert not [name for name in asking if f"`{name}`" not in section]
