"""What a filter selects of a block of the history is what it selects record by record."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import (
    Ancestor,
    ArgumentsSource,
    Attempt,
    Binary,
    Diagnosis,
    ExecFailure,
    Outcome,
    PathSource,
    Search,
    Truncated,
)
from execwhy.tui.model.history.columns import GROUPS, NUMBERS, record_of
from execwhy.tui.model.history.store import History
from execwhy.tui.model.query import parse
from execwhy.tui.model.query.text import TextTest
from tests.unit.tui.model.history.held import as_held

NOW = 1_000_000_000_000

TEXT = st.sampled_from(
    ["", "a", "A", "sh", "/opt/a", "/opt/b/c", "/opt/B", "café", "\udcff\x1b", "null", "a b"]
)
MAYBE_TEXT = st.none() | TEXT
NUMBER = st.sampled_from([0, 1, 2, 33, 1000, 1999, 2**31, 2**32 - 1])
MAYBE_NUMBER = st.none() | NUMBER
TEXTS = st.lists(MAYBE_TEXT, max_size=3).map(tuple)

BINARIES = st.builds(
    Binary, TEXT, NUMBER, st.sampled_from(["8:1", "254:0"]), NUMBER | st.just(2**64 - 1), NUMBER,
    st.sampled_from([0o100644, 0o100755]), st.sampled_from(["kernel", "resolved"]), MAYBE_NUMBER,
)  # fmt: skip
DIAGNOSES = st.builds(
    Diagnosis,
    st.sampled_from(["missing-file", "missing-interpreter"]),
    TEXT,
    st.lists(TEXT, max_size=2).map(tuple),
)
ATTEMPTS = st.lists(st.builds(Attempt, TEXT, st.sampled_from([-2, -13])), max_size=3).map(tuple)
SEARCHES = st.builds(
    Search, NUMBER, TEXT, NUMBER, st.sampled_from(get_args(Outcome)), MAYBE_TEXT, ATTEMPTS, st.booleans()
)

RECORDS = st.builds(
    ExecFailure,
    timestamp=st.sampled_from([NOW, NOW - 1, NOW - 60 * 10**9, NOW - 300 * 10**9, NOW + 10**9]),
    path=MAYBE_TEXT,
    return_value=st.sampled_from([-1, -2, -8, -13, -524, -999]),
    binary=st.none() | BINARIES,
    interpreter_path=MAYBE_TEXT,
    stdin_type=st.sampled_from([0, 0o020000, 0o010000]),
    stdin_path=MAYBE_TEXT,
    kernel_invoked=st.booleans(),
    arguments=TEXTS,
    environment=TEXTS,
    truncated=st.builds(Truncated, arguments=st.booleans(), argc=MAYBE_NUMBER),
    arguments_source=st.sampled_from(get_args(ArgumentsSource)),
    path_source=st.sampled_from(get_args(PathSource)),
    path_afterwards=MAYBE_TEXT,
    syscall=st.sampled_from(["execve", "execveat", None]),
    compat=st.booleans(),
    dirfd=st.none() | st.sampled_from([-100, 0, 1]),
    flags=MAYBE_NUMBER,
    pid=NUMBER,
    tid=NUMBER,
    ppid=NUMBER,
    uid=NUMBER,
    groups=st.none() | st.lists(NUMBER, max_size=2).map(tuple),
    comm=TEXT,
    ancestors=st.lists(st.builds(Ancestor, NUMBER, TEXT), max_size=2).map(tuple),
    tty=MAYBE_TEXT,
    unit=MAYBE_TEXT,
    mount_ns=MAYBE_NUMBER,
    started=MAYBE_NUMBER,
    killed_by=st.none() | st.just("SIGSEGV"),
    diagnosis=st.none() | DIAGNOSES,
    search=st.none() | SEARCHES,
)

EQUALITY = ("==", "!=")
COMPARED = (*EQUALITY, "<", "<=", ">", ">=")
TEXT_TERMS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["path", "comm", "arg", "env", "why", "tty", "unit", "interp", "binary.path", "ancestors",
                     "search.found_path", "search.name", "search.outcome", "diagnosis.evidence",
                     "killed_by"]),
    st.sampled_from([*EQUALITY, ":", "!:", "~", "!~"]),
    st.sampled_from(["a", "/opt/a", '"a b"', "sh", "missing-file", '""', '"\\xff\\x1b"', "SIGSEGV", "CAF"]),
)  # fmt: skip
GLOB_TERMS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["path", "arg", "comm"]),
    st.sampled_from([":", "!:"]),
    st.sampled_from(["/opt/**", "/opt/*", "*", "?", "[!a]*"]),
)
NUMBER_TERMS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["uid", "pid", "tid", "ppid", "started", "inode", "mount_ns", "truncated.argc", "groups",
                     "user", "dirfd", "flags", "search.tries", "search.id", "binary.uid", "return_value",
                     "error", "timestamp"]),
    st.sampled_from(COMPARED),
    st.sampled_from(["0", "1", "2", "-2", "33", "1999", "4294967295", "18446744073709551615", f"-{10**20}"]),
)  # fmt: skip
OTHER_TERMS = st.sampled_from(
    [
        "age<1m", "age<=60s", "age>1m", "age==1m", "age!=5m", "age:0..5m", "age<0",
        "uid:1..1999", "uid!:..33", "groups!:1", "diagnosis.evidence==null",
        "error:EN", "error==ENOENT", "error!~^E[NA]", "errno in (EPERM,8)",
        "stdin_type==0o020000", "mode==0755",
        "compat==true", "kernel_invoked!=yes", "truncated.arguments==true", "device==8:1", "started==null",
        "path==null", "inode!=null", "groups==null", "arg==null", "why!=null",
        "uid in (0,1000..1999)", "ENOENT", "user:root", "/opt", "sh", "*", "a",
    ]
)  # fmt: skip
TERMS = TEXT_TERMS | GLOB_TERMS | NUMBER_TERMS | OTHER_TERMS
QUERIES = st.recursive(
    TERMS,
    lambda inner: (
        st.builds("({}) ({})".format, inner, inner)
        | st.builds("{} or ({})".format, inner, inner)
        | st.builds("not ({})".format, inner)
    ),
    max_leaves=4,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(RECORDS, min_size=1, max_size=6), QUERIES, st.data())
def test_a_block_is_filtered_as_its_records_are(
    records: list[ExecFailure], text: str, data: st.DataObject
) -> None:
    history = History(max_events=1000)
    history.append(records)
    block = history.blocks[0]
    query = parse(text)
    expected = [query.matches(record, NOW) for record in records[: len(block)]]
    start = data.draw(st.integers(0, len(block)))
    stop = data.draw(st.integers(start, len(block)))
    assert query.select(block, start, stop, NOW).tolist() == expected[start:stop]
    assert query.select(block, 0, len(block), NOW).tolist() == expected


@settings(max_examples=30, deadline=None)
@given(st.lists(RECORDS, min_size=9, max_size=20), QUERIES)
def test_a_filter_may_be_used_again_after_values_were_evicted(records: list[ExecFailure], text: str) -> None:
    history = History(max_events=8)
    query = parse(text)
    for record in records:
        history.append([record])
        for block in history.blocks:
            kept = [history[event_id] for event_id in range(block.first_id, block.end_id)]
            expected = [query.matches(event, NOW) for event in kept if isinstance(event, ExecFailure)]
            assert query.select(block, 0, len(block), NOW).tolist() == expected


def test_a_loss_is_always_selected() -> None:
    history = History()
    record = ExecFailure(timestamp=1, path="/a", return_value=-2)
    history.append([record, Loss(2, 132, "ring buffer full"), record])
    selected = parse("path==/b").select(history.blocks[0], 0, 3, NOW)
    assert selected.tolist() == [False, True, False]
    assert parse("path==/b").select(history.blocks[0], 2, 3, NOW).tolist() == [False]


def test_a_text_is_looked_at_once_however_often_it_occurs(monkeypatch: pytest.MonkeyPatch) -> None:
    history = History()
    record = ExecFailure(timestamp=1, path="/a", return_value=-2, environment=("A=1", "B=2"))
    history.append([record] * 1000)
    looked_at: list[object] = []

    def look(self: TextTest, texts: object) -> bool:
        looked_at.append(texts)
        return False

    monkeypatch.setattr(TextTest, "holds_for_any", look)
    query = parse("env:zzz")
    assert not query.select(history.blocks[0], 0, 1000, NOW).any()
    assert not query.select(history.blocks[0], 0, 1000, NOW).any()
    assert looked_at == [("A=1", "B=2")]


@given(RECORDS)
def test_every_field_of_a_record_has_one_column(record: ExecFailure) -> None:
    in_columns = [*NUMBERS, *(field for group in GROUPS.values() for field in group.fields)]
    parts_of_search = ["search_id", "attempts"]
    stored = [field.name for field in fields(ExecFailure) if field.name != "task"]
    assert sorted(in_columns) == sorted([*stored, *parts_of_search])
    keys = {name: group.key(record) for name, group in GROUPS.items()}
    assert record_of({name: get(record) for name, get in NUMBERS.items()}, keys) == as_held(record)
