"""A CSV snapshot is safe to open in a spreadsheet and complete."""

from __future__ import annotations

import csv
import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import Binary, Diagnosis, ExecFailure, Search
from execwhy.tui.model.files.record_csv import lines
from tests.unit.records import failure, losses, records


def table(*events: Event, show_secrets: bool = False) -> list[dict[str, str]]:
    """The rows as a reader of CSV sees them."""
    text = "".join(lines(events, show_secrets=show_secrets))
    return list(csv.DictReader(text.splitlines(keepends=True), strict=True))


@given(st.lists(records | losses, max_size=4))
def test_every_event_is_one_line_of_printable_characters(events: list[Event]) -> None:
    written = list(lines(events, show_secrets=False))
    assert len(written) == len(events) + 1
    assert all(line.endswith("\n") and line[:-1].isprintable() for line in written)
    assert all(None not in row and None not in row.values() for row in table(*events))


@given(records)
def test_no_text_can_be_taken_for_a_formula(record: ExecFailure) -> None:
    (row,) = table(record)
    assert not [
        name
        for name, cell in row.items()
        if cell[:1] in set("=+-@\t\r＝＋－＠") and not re.fullmatch(r"-\d+", cell, re.ASCII)
    ]


@pytest.mark.parametrize("path", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "＝1", "=cmd|' /C calc'!A0"])
def test_a_formula_gets_an_apostrophe(path: str) -> None:
    assert table(failure(path=path))[0]["path"] == "'" + path


def test_a_formula_at_the_head_of_argv_gets_an_apostrophe() -> None:
    assert table(failure(arguments=("@SUM", "-x")))[0]["arguments"] == "'@SUM -x"


def test_the_return_value_stays_a_number() -> None:
    row = table(failure())[0]
    assert (row["return_value"], row["error"]) == ("-2", "ENOENT")


def test_control_characters_and_bytes_are_escaped_as_on_the_screen() -> None:
    assert table(failure(path="/a\x1b[2J\n\udcff\u202e"))[0]["path"] == r"/a\x1b[2J\n\xff\u202e"


def test_argv_is_one_shell_quoted_cell_and_an_unread_element_a_bare_question_mark() -> None:
    row = table(failure(arguments=("sh", "-c", "echo 'a b'", None, "?", "")))[0]
    assert row["arguments"] == """sh -c 'echo '"'"'a b'"'"'' ? '?' ''"""


def test_unknown_values_are_empty() -> None:
    row = table(failure(path=None))[0]
    assert (row["path"], row["binary_path"], row["inode_number"], row["why"], row["cwd"]) == ("",) * 5


def test_the_binary_is_formatted_as_ls_and_stat_do() -> None:
    binary = Binary("/opt/x", 0xFE00001, "254:1", 1 << 63, 1_795_557_012_000_000_001, 0o100755, "resolved")
    row = table(dataclasses.replace(failure(), binary=binary, stdin_type=0o020000))[0]
    assert row["inode_number"] == str(1 << 63)
    assert row["inode_mode"] == "0o100755"
    assert row["ctime"] == "2026-11-24T21:50:12.000000001Z"
    assert row["stdin_type"] == "0o020000"


def test_a_loss_is_a_row_at_its_place() -> None:
    rows = table(failure(), Loss(1_795_557_013_000_000_000, 132, "ring buffer full"), failure())
    assert [row["lost"] for row in rows] == ["", "132", ""]
    assert rows[1]["lost_reason"] == "ring buffer full"
    assert rows[1]["timestamp"] == "2026-11-24T21:50:13.000000000Z"
    assert rows[1]["path"] == ""


def test_the_diagnosis_and_the_outcome_of_a_search_are_the_last_columns() -> None:
    diagnosis = Diagnosis("missing-file", '"/x" does not exist.', (), None, False, "no such file")
    search = Search(7, "x", 8, "not-found", None)
    record = dataclasses.replace(failure(), diagnosis=diagnosis, search=search)
    row = table(record)[0]
    assert list(row.items())[-6:] == [
        ("lost", ""),
        ("lost_reason", ""),
        ("certain", "no"),
        ("code", "missing-file"),
        ("search", "not-found"),
        ("kind", "exec"),
    ]
    sure = dataclasses.replace(record, diagnosis=dataclasses.replace(diagnosis, certain=True))
    assert table(sure)[0]["certain"] == "yes"
    assert list(table(failure())[0].values())[-4:] == ["", "", "", "exec"]


def test_secrets_are_masked_unless_requested() -> None:
    record = failure(environment=("DB_PASSWORD=hunter2",))
    assert "hunter2" not in table(record)[0]["environment"]
    assert "hunter2" in table(record, show_secrets=True)[0]["environment"]
