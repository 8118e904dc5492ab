"""A snapshot holds what the filter shows, as JSON Lines or CSV."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import pytest

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.source import Counters, Origin
from execwhy.tui.model.files import snapshot
from execwhy.tui.model.files.json_lines import (
    Header,
    parse_line,
)
from execwhy.tui.model.files.safe_file import Existing
from execwhy.tui.model.files.snapshot import default_name
from tests.unit.records import failure

HEADER = Header(
    Origin("web-1", "6.1.0-30-amd64", 1_795_500_000_000_000_000, "tracepoint"),
    "uid:1000..1999",
    Counters(1204, 1000, 72, 132, {"ring buffer full": 132}, untold=9, untracked=3),
    1_795_557_012_031_000_000,
)


def test_the_offered_name_has_host_and_time() -> None:
    name = default_name("web-1", 1_795_557_012_031_000_000)
    assert re.fullmatch(r"execwhy-web-1-202611\d\d-\d{6}\.jsonl", name)


@pytest.mark.parametrize(
    "host", ["../../etc", "a/b", "", "x\x1b[2J", "a b", "\udcff", "h" * 500, ".", "größe"]
)
def test_the_offered_name_is_safe_for_any_host_name(host: str) -> None:
    name = default_name(host, 0)
    assert "/" not in name and name.isprintable() and len(name) < 128 and name.startswith("execwhy-")


def read(path: Path) -> list[Any]:
    return [parse_line(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.JSONL", "a", "a.txt"])
def test_json_lines_are_written_under_every_name_but_csv(name: str, tmp_path: Path) -> None:
    events: list[Event] = [failure(), Loss(1, 2, "ring buffer full"), failure(path="/\udcff")]
    count = snapshot.write(str(tmp_path / name), events, HEADER, show_secrets=False)
    assert count == 2
    assert read(tmp_path / name) == [HEADER, *events]
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["a.csv", "a.CSV"])
def test_csv_is_written_by_the_ending_of_the_name(name: str, tmp_path: Path) -> None:
    assert snapshot.write(str(tmp_path / name), [failure()], HEADER, show_secrets=False) == 1
    head, row = (tmp_path / name).read_text().splitlines()
    assert head.startswith("timestamp,path,error,")
    assert row.startswith("2026-11-24T21:50:12.031000000Z,/opt/app/run.sh,ENOENT,")


def test_secrets_are_masked_in_the_file_unless_requested(tmp_path: Path) -> None:
    event = failure(arguments=("x", "--password", "hunter2"))
    for name in ("a.jsonl", "a.csv"):
        snapshot.write(str(tmp_path / name), [event], HEADER, show_secrets=False)
        assert "hunter2" not in (tmp_path / name).read_text()
        snapshot.write(str(tmp_path / name), [event], HEADER, show_secrets=True, overwrite=True)
        assert "hunter2" in (tmp_path / name).read_text()


def test_an_existing_file_is_not_replaced_without_asking(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("old")
    with pytest.raises(Existing):
        snapshot.write(str(tmp_path / "a.jsonl"), [failure()], HEADER, show_secrets=False)
    assert (tmp_path / "a.jsonl").read_text() == "old"


def test_a_text_is_written_under_the_same_rules(tmp_path: Path) -> None:
    snapshot.write_text(str(tmp_path / "a.svg"), "<svg>…</svg>")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == "<svg>…</svg>"
    assert stat.S_IMODE((tmp_path / "a.svg").stat().st_mode) == 0o600
    with pytest.raises(Existing):
        snapshot.write_text(str(tmp_path / "a.svg"), "x")
    snapshot.write_text(str(tmp_path / "a.svg"), "x", overwrite=True)
    assert (tmp_path / "a.svg").read_text() == "x"
