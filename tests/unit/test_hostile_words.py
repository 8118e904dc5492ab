"""Messages on standard error may quote anything, but consist only of printable text."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings

from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.source import Counters
from execwhy.tui.cli import main as cli
from execwhy.tui.faults.crash import crash_report
from execwhy.tui.model.files import record_csv
from execwhy.tui.model.files.snapshot import default_name
from execwhy.tui.recording.result import Result, summary
from tests.hostile import texts

with_capture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@with_capture
@given(texts)
def test_an_error_message_is_one_line_of_printable_text(capfd: pytest.CaptureFixture[str], text: str) -> None:
    assert cli.main(["--filter", "(" + text.replace(")", ""), "--open", text or "x"]) == 2
    said = capfd.readouterr().err
    assert said.startswith("execwhy: ") and said.endswith("\n")
    assert said[:-1].isprintable()


@given(texts, texts)
def test_the_summary_of_a_recording_is_printable(path: str, reason: str) -> None:
    result = Result(True, 3, Counters(5, 3, 0, 2, {reason: 2}))
    assert summary(result, path).isprintable()


@given(texts)
def test_a_crash_report_names_the_place_but_no_values(text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError as error:
        report = crash_report(error)
    assert all(line.isprintable() for line in report.splitlines())
    assert len(text) < 8 or text not in report


@given(texts)
def test_a_proposed_file_name_is_in_the_current_directory(host: str) -> None:
    name = default_name(host, 0)
    assert name.isprintable() and "/" not in name and len(name.encode()) < 256


@given(texts)
def test_no_cell_of_a_loss_is_a_formula(reason: str) -> None:
    _, line = record_csv.lines([Loss(0, 1, reason)], show_secrets=True)
    (row,) = csv.reader(io.StringIO(line, newline=""))
    assert all(cell.isprintable() and not cell.lstrip().startswith(tuple("=+-@＝＋－＠")) for cell in row)
