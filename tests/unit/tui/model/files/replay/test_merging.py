"""Several recordings are shown in one order of time, each event with its host."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure, Search
from execwhy.bpf.events.source import Capture, Counters, EventSource, Origin, Stage
from execwhy.tui.model.files.json_lines import (
    UNREADABLE,
    Ending,
    Header,
    ending_line,
    event_line,
    header_line,
)
from execwhy.tui.model.files.replay import merging
from execwhy.tui.model.files.replay.file_source import OPEN, FileSource
from execwhy.tui.model.files.replay.merging import MergedSource, opened
from tests.unit.records import failure
from tests.unit.waiting import wait_for

SECOND = 1_000_000_000
FROM = 1_795_557_012 * SECOND


def header(host: str) -> str:
    return header_line(Header(Origin(host, "6.1.0", FROM, "tracepoint"), "", Counters(), FROM))


def exec_at(second: float, path: str = "/x", **facts: Any) -> str:
    record = replace(failure(path=path), timestamp=FROM + int(second * SECOND), **facts)
    return event_line(record, show_secrets=False)


def file(path: Path, *lines: str) -> str:
    path.write_text("".join(lines))
    return str(path)


def drained(source: FileSource | MergedSource) -> list[Event]:
    source.start()
    events: list[Event] = []

    def is_over() -> bool:
        ended = source.status().stage not in OPEN
        events.extend(source.drain())
        return ended

    wait_for(is_over)
    while batch := source.drain():
        events += batch
    source.close()
    return events


def times(events: Sequence[Event]) -> list[float]:
    return [(event.timestamp - FROM) / SECOND for event in events]


def test_one_file_is_not_merged(tmp_path: Path) -> None:
    source = opened([file(tmp_path / "a", header("web-1"), exec_at(1))])
    (event,) = drained(source)
    assert event.host is None
    assert not source.status().is_merged


def test_events_of_several_files_come_in_the_order_of_their_times_with_their_hosts(tmp_path: Path) -> None:
    a = file(tmp_path / "a", header("web-1"), exec_at(1), exec_at(4), exec_at(5))
    b = file(tmp_path / "b", header("web-2"), exec_at(2), exec_at(3), exec_at(6))
    source: EventSource = opened([a, b])
    events = drained(opened([a, b]))
    assert times(events) == [1, 2, 3, 4, 5, 6]
    assert [event.host for event in events] == ["web-1", "web-2", "web-2", "web-1", "web-1", "web-2"]
    assert source.status().is_merged


def test_many_events_are_returned_in_parts_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_AT_ONCE", 7)
    paths = [
        file(tmp_path / str(n), header(f"h{n}"), *(exec_at(n / 10 + second) for second in range(100)))
        for n in range(3)
    ]
    events = drained(opened(paths))
    assert len(events) == 300
    assert times(events) == sorted(times(events))


def test_a_file_without_a_header_is_called_by_its_name(tmp_path: Path) -> None:
    a = file(tmp_path / "grepped.jsonl", exec_at(1))
    b = file(tmp_path / "b", header("web-2"), exec_at(2))
    assert [event.host for event in drained(opened([a, b]))] == ["grepped.jsonl", "web-2"]


def test_hosts_in_records_are_kept(tmp_path: Path) -> None:
    path = file(tmp_path / "a", header("web-1, web-2"), exec_at(1, host="web-2"))
    source = opened([path])
    assert [event.host for event in drained(source)] == ["web-2"]
    assert source.status().is_merged


def test_losses_have_their_host_too(tmp_path: Path) -> None:
    lost = event_line(Loss(FROM + 2 * SECOND, 7, "ring buffer full"), show_secrets=False)
    a = file(tmp_path / "a", header("web-1"), exec_at(1), lost)
    events = drained(opened([a, file(tmp_path / "b", header("web-2"))]))
    assert [(type(event), event.host) for event in events] == [(ExecFailure, "web-1"), (Loss, "web-1")]


def test_searches_of_different_hosts_have_different_ids(tmp_path: Path) -> None:
    search = Search(5, "helm", 2, "not-found")
    paths = [file(tmp_path / host, header(host), exec_at(1, search=search)) for host in ("web-1", "web-2")]
    events = drained(opened(paths))
    assert len({event.search.id for event in events if isinstance(event, ExecFailure) and event.search}) == 2


def test_the_counters_are_summed_and_the_hosts_named(tmp_path: Path) -> None:
    counters = Counters(seen=10, recorded=7, suppressed=1, lost=2, losses={"ring buffer full": 2})
    ending = ending_line(Ending(FROM, counters))
    paths = [file(tmp_path / host, header(host), exec_at(1), ending) for host in ("web-1", "web-2")]
    source = opened(paths)
    drained(source)
    status = source.status()
    assert status.stage is Stage.ENDED
    assert status.counters == Counters(20, 14, 2, 4, {"ring buffer full": 4})
    assert status.origin == Origin("web-1, web-2", "6.1.0", FROM, "tracepoint")


def test_a_source_that_fails_is_reported_and_the_others_are_shown(tmp_path: Path) -> None:
    a = file(tmp_path / "a", header("web-1"), exec_at(1))
    source = opened([a, file(tmp_path / "b", "hello\n"), str(tmp_path / "missing")])
    assert times(drained(source)) == [1]
    status = source.status()
    assert status.stage is Stage.ENDED
    assert "b is not a snapshot or recording of execwhy" in status.problem
    assert "missing cannot be read" in status.problem


def test_if_all_sources_fail_all_are_reported(tmp_path: Path) -> None:
    source = opened([str(tmp_path / "a"), str(tmp_path / "b")])
    assert drained(source) == []
    assert source.status().stage is Stage.FAILED
    assert source.status().detail.count("cannot be read") == 2


def test_a_cut_off_file_among_several_is_reported(tmp_path: Path) -> None:
    a = file(tmp_path / "a", header("web-1"), exec_at(1), exec_at(2)[:40])
    source = opened([a, file(tmp_path / "b", header("web-2"), exec_at(3))])
    (_, lost, _) = events = drained(source)
    assert times(events) == [1, 1, 3]
    assert (lost, source.status().counters.unreadable) == (
        Loss(events[0].timestamp, 1, UNREADABLE, "web-1"),
        1,
    )
    assert "a was cut off: its last line is incomplete" in source.status().problem


class Hosts:
    """Two hosts whose recordings come through pipes, and a clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0
        pipes = [os.pipe() for _ in range(2)]
        self.writing = [writing for _, writing in pipes]
        marks = [merging._marking(place, 2, "") for place in range(2)]
        self.sources = [
            FileSource("-", standard_input=pipes[place][0], mark=marks[place]) for place in range(2)
        ]
        self.merged = MergedSource(self.sources, clock=lambda: self.now)
        self.merged.start()

    def say(self, place: int, *lines: str) -> None:
        before = self.sources[place]._tally.records
        os.write(self.writing[place], "".join(lines).encode())
        execs = sum('"path"' in line for line in lines)
        wait_for(lambda: self.sources[place]._tally.records == before + execs)
        wait_for(lambda: self.sources[place].status().stage is Stage.LIVE)
        wait_for(lambda: all(source.quiet > 0 for source in self.sources))

    def close(self) -> None:
        for descriptor in self.writing:
            os.close(descriptor)
        self.merged.close()


def test_an_event_waits_for_older_ones_of_a_silent_host_and_no_longer_than_it_must() -> None:
    hosts = Hosts()
    hosts.say(0, header("web-1"), exec_at(5))
    assert hosts.merged.drain() == []
    hosts.say(1, header("web-2"), exec_at(4))
    assert times(hosts.merged.drain()) == [4]
    hosts.now += merging.HOLD
    assert times(hosts.merged.drain()) == [5]
    hosts.close()


def test_an_event_of_one_host_releases_older_events_of_the_other_at_once() -> None:
    hosts = Hosts()
    hosts.say(0, header("web-1"), exec_at(1), exec_at(2))
    hosts.say(1, header("web-2"), exec_at(3))
    assert times(hosts.merged.drain()) == [1, 2]
    assert hosts.merged.status().stage is Stage.LIVE
    hosts.close()


def test_a_host_that_has_ended_holds_nothing_back() -> None:
    hosts = Hosts()
    hosts.say(0, header("web-1"), exec_at(1))
    os.close(hosts.writing.pop())
    wait_for(lambda: hosts.sources[1].status().stage not in OPEN)
    assert times(hosts.merged.drain()) == [1]
    assert "brought nothing" in hosts.merged.status().problem
    hosts.close()


def test_a_capture_filter_cannot_be_applied(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="use the filter"):
        opened([str(tmp_path / "a"), str(tmp_path / "b")]).set_capture(Capture(uid_ranges=((0, 0),)))


def test_the_pipes_of_a_shell_are_read_and_named_until_their_host_is_known(tmp_path: Path) -> None:
    a = file(tmp_path / "a", header("web-1"), exec_at(1), exec_at(3))
    b = file(tmp_path / "b", header("web-2"), exec_at(2))
    script = (
        "import sys; from execwhy.tui.model.files.replay.merging import opened\n"
        "from tests.unit.tui.model.files.replay.test_merging import drained\n"
        "source = opened(sys.argv[1:])\n"
        "print([event.host for event in drained(source)])\n"
        "print(source.status().problem)\n"
    )
    command = f'{sys.executable} -c "$SCRIPT" <(cat {a}) <(cat {b}) <(exit 1)'
    run = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"SCRIPT": script},
    )
    hosts, problem = run.stdout.splitlines()
    assert hosts == "['web-1', 'web-2', 'web-1']"
    assert (
        problem.startswith("input 3 (/dev/fd/") and "brought nothing: see why its command failed" in problem
    )
