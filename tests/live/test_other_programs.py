"""A real recording loads unchanged into the programs that the documentation names."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.live.command import PROJECT, recording


@dataclass(frozen=True)
class Recording:
    """A recording, and the directory of the programs that failed while it was made.

    Attributes:
        path: Of the recording.
        directory: Of the programs.
        lines: What is in the recording, read by Python.
    """

    path: Path
    directory: Path
    lines: list[dict[str, Any]]

    @property
    def ours(self) -> list[dict[str, Any]]:
        """Return the records of our programs in the order of the recording, in which they were diagnosed."""
        return [line for line in self.lines if str(line.get("path")).startswith(f"{self.directory}/")]

    @property
    def by_time(self) -> list[dict[str, Any]]:
        """Return the records of our programs in the order of their times."""
        return sorted(self.ours, key=lambda line: str(line["timestamp"]))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Record a script with CR LF, a file that nobody may execute, and one whose name is not valid UTF-8."""
    directory = tmp_path_factory.mktemp("other")
    programs = [os.fsencode(directory) + name for name in (b"/crlf", b"/plain", b"/\xff")]
    for program in programs[:2]:
        with open(program, "wb") as file:
            file.write(b"#!/bin/sh\r\n")
    os.chmod(programs[0], 0o755)
    path = directory / "fails.jsonl"
    with recording(path) as recorder:
        for program in programs:
            with pytest.raises(OSError):
                subprocess.run([program, "an argument"], check=False)
        recorder.wait_for(r"\udcff")
        recorder.end()
    made = Recording(path, directory, [json.loads(line) for line in path.read_text().splitlines()])
    assert [line["error"] for line in made.by_time] == ["ENOENT", "EACCES", "ENOENT"]
    return made


def test_jq_reads_every_line_and_selects_by_the_published_names(recorded: Recording) -> None:
    def jq(program: str) -> list[Any]:
        command = ["jq", "-c", program, str(recorded.path)]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return [json.loads(line) for line in out.splitlines()]

    assert len(jq(".timestamp")) == len(recorded.lines)
    selected = jq(f'select((.path // "") | startswith("{recorded.directory}/")) | [.error, .diagnosis.code]')
    assert selected == [[line["error"], line["diagnosis"]["code"]] for line in recorded.ours]


def test_duckdb_imports_a_recording_with_a_type_for_each_field(recorded: Recording) -> None:
    # JSON has no place for bytes that are not valid UTF-8; they are lone surrogates, which DuckDB refuses.
    with pytest.raises(duckdb.Error, match="surrogate"):
        duckdb.read_json(str(recorded.path)).fetchall()
    table = f"read_json('{recorded.path}', ignore_errors=true)"
    base = duckdb.connect()
    found = base.execute(
        "select path, error, diagnosis.code, arguments[2], typeof(timestamp), typeof(pid)"
        f" from {table} where path like '{recorded.directory}/%' order by timestamp"
    ).fetchall()
    types = ("TIMESTAMP WITH TIME ZONE", "BIGINT")
    assert found == [
        (line["path"], line["error"], line["diagnosis"]["code"], "an argument", *types)
        for line in recorded.by_time[:2]
    ]
    # Lines that it cannot read become rows of nulls.
    assert base.execute(f"select count(*) from {table}").fetchone() == (len(recorded.lines),)


def test_lnav_shows_each_line_at_its_time_and_level(recorded: Recording, tmp_path: Path) -> None:
    def lnav(*arguments: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "dumb", "TZ": "UTC"}
        return subprocess.run(
            ["lnav", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
            env=environment,
        ).stdout

    lnav("-i", str(PROJECT / "packaging/execwhy.lnav.json"))
    out = lnav(
        "-n",
        *("-c", ";select log_level, log_time, error from execwhy order by log_time"),
        *("-c", ":write-csv-to -"),
        str(recorded.path),
    )
    shown = list(csv.DictReader(io.StringIO(out)))
    assert len(shown) == len(recorded.lines)
    levels = [
        "info" if {"execwhy", "ended"} & set(line) else "warning"
        for line in recorded.lines
        if "pid" not in line
    ]
    assert sorted(row["log_level"] for row in shown if row["error"] == "<NULL>") == sorted(levels)
    assert {row["log_level"] for row in shown if row["error"] != "<NULL>"} == {"error"}
    times = sorted(line["timestamp"][:23].replace("T", " ") for line in recorded.lines)
    assert [row["log_time"] for row in shown] == times
    assert "unknown" not in lnav("-n", str(recorded.path))
