"""A file is a source of events like any other, and a damaged one gives what is left of it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from execwhy.bpf.events.arrivals import Event
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import Capture, Counters, EventSource, Origin, Stage, Status
from execwhy.tui.model.files.json_lines import (
    UNREADABLE,
    Ending,
    Header,
    ending_line,
    event_line,
    header_line,
)
from execwhy.tui.model.files.replay import file_source
from execwhy.tui.model.files.replay.file_source import OPEN, FileSource
from execwhy.tui.model.files.replay.lines import Lines
from tests.unit.records import failure
from tests.unit.waiting import PATIENCE, wait_for

ORIGIN = Origin("web-1", "6.1.0", 1_795_500_000_000_000_000, "tracepoint")
HEADER = header_line(Header(ORIGIN, "uid==33", Counters(), 1_795_557_012_000_000_000))
EVENTS: list[Event] = [failure(path=f"/{number}") for number in range(3)]
LINES = [event_line(event, show_secrets=False) for event in EVENTS]
FINAL = Counters(seen=10, recorded=3, suppressed=5, lost=2, losses={"ring buffer full": 2})
ENDING = ending_line(Ending(1_795_557_020_000_000_000, FINAL))


def drained(source: FileSource) -> tuple[list[Event], Status]:
    """All events, and the state at the end."""
    source.start()
    events: list[Event] = []
    deadline = time.monotonic() + PATIENCE
    while source.status().stage in OPEN:
        assert time.monotonic() < deadline
        source.wait(1.0)
        events += source.drain()
    events += source.drain()
    source.close()
    return events, source.status()


def opened(tmp_path: Path, *lines: str | bytes) -> tuple[list[Event], Status]:
    path = tmp_path / "recording.jsonl"
    path.write_bytes(b"".join(line if isinstance(line, bytes) else line.encode() for line in lines))
    return drained(FileSource(str(path)))


def test_a_whole_recording_gives_its_events_origin_and_last_counters(tmp_path: Path) -> None:
    events, status = opened(tmp_path, HEADER, *LINES, ENDING)
    assert events == EVENTS
    assert status == Status(Stage.ENDED, str(tmp_path / "recording.jsonl"), FINAL, ORIGIN)


def test_a_file_source_is_an_event_source(tmp_path: Path) -> None:
    source: EventSource = FileSource(str(tmp_path / "x"))
    assert source.status().stage is Stage.STARTING


def test_the_source_has_the_filter_of_the_header(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(HEADER)
    source = FileSource(str(tmp_path / "x"))
    drained(source)
    assert source.query == "uid==33"


def test_a_snapshot_keeps_the_counters_of_its_header(tmp_path: Path) -> None:
    header = header_line(Header(ORIGIN, "", FINAL, 0))
    _, status = opened(tmp_path, header, LINES[0])
    assert (status.stage, status.counters) == (Stage.ENDED, FINAL)


def test_a_recording_without_its_ending_counts_what_is_there(tmp_path: Path) -> None:
    loss = Loss(5, 7, "ring buffer full")
    events, status = opened(tmp_path, HEADER, *LINES, event_line(loss, show_secrets=False))
    assert events == [*EVENTS, loss]
    assert status.counters == Counters(seen=10, recorded=3, lost=7, losses={"ring buffer full": 7})


def test_a_torn_last_line_is_reported_and_left_out(tmp_path: Path) -> None:
    events, status = opened(tmp_path, HEADER, LINES[0], LINES[1][:100])
    assert events == [*EVENTS[:1], Loss(EVENTS[0].timestamp, 1, UNREADABLE)]
    assert status.stage is Stage.ENDED
    assert status.problem.endswith("was cut off: its last line is incomplete and left out.")


def test_a_last_line_without_newline_is_read(tmp_path: Path) -> None:
    events, status = opened(tmp_path, HEADER, LINES[0].rstrip("\n"))
    assert events == EVENTS[:1]
    assert status.detail == str(tmp_path / "recording.jsonl")


def test_damaged_lines_are_left_out_and_the_first_is_named(tmp_path: Path) -> None:
    wrong = LINES[1].replace('"pid":27420', '"pid":"many"')
    events, status = opened(tmp_path, HEADER, LINES[0], wrong, b"\xff\n", LINES[2], ENDING)
    assert events == [EVENTS[0], Loss(EVENTS[0].timestamp, 2, UNREADABLE), EVENTS[2]]
    assert status.counters == replace(FINAL, unreadable=2)
    assert status.stage is Stage.ENDED
    assert 'line 3: "pid" is not a whole number, and 1 more.' in status.problem


def test_unreadable_lines_are_reported_at_their_place(
    tmp_path: Path,
) -> None:
    bad = b'garbage\n{"x":1}\n'
    last = Loss(EVENTS[2].timestamp, 1, UNREADABLE)
    events, _ = opened(tmp_path, bad, HEADER, bad, *LINES, b"\xff\xfe\n", ENDING)
    assert events == [Loss(EVENTS[0].timestamp, 4, UNREADABLE), *EVENTS, last]
    events, _ = opened(tmp_path, HEADER, bad)
    assert events == [Loss(1_795_557_012_000_000_000, 2, UNREADABLE)]


def test_lines_that_were_unreadable_for_a_snapshot_are_reported_again_and_are_not_lost_events(
    tmp_path: Path,
) -> None:
    loss = Loss(5, 7, UNREADABLE)
    events, status = opened(tmp_path, HEADER, LINES[0], event_line(loss, show_secrets=False))
    assert events == [EVENTS[0], loss]
    assert (status.counters, status.problem) == (Counters(seen=1, recorded=1, unreadable=7), "")


def test_lines_that_went_through_grep_need_no_header(tmp_path: Path) -> None:
    events, status = opened(tmp_path, *LINES)
    assert events == EVENTS
    assert status.stage is Stage.ENDED
    assert status.counters == Counters(seen=3, recorded=3)


def test_blank_lines_mean_nothing(tmp_path: Path) -> None:
    events, status = opened(tmp_path, HEADER, "\n", LINES[0], "  \n")
    assert events == EVENTS[:1]
    assert status.detail == str(tmp_path / "recording.jsonl")


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    events, status = opened(tmp_path, HEADER.replace('"execwhy":1', '"execwhy":2'), *LINES)
    assert events == []
    assert status.stage is Stage.FAILED
    assert "update execwhy" in status.detail


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"hello\n", "line 1: it is not JSON"),
        (bytes(range(256)) * 1000, "line 1: it is not JSON"),
    ],
)
def test_a_file_of_something_else_is_refused_with_a_sentence(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    events, status = opened(tmp_path, content)
    assert events == []
    assert status.stage is Stage.FAILED
    assert f"is not a snapshot or recording of execwhy ({reason})." in status.detail


def test_a_long_file_of_something_else_is_not_read_to_its_end(tmp_path: Path) -> None:
    _, status = opened(tmp_path, b"no\n" * 1000, *LINES)
    assert status.stage is Stage.FAILED


def test_the_whole_of_a_line_that_is_too_long_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_source, "MAX_LINE_BYTES", 10_000)
    monkeypatch.setattr("execwhy.tui.model.files.replay.lines.MAX_LINE_BYTES", 10_000)
    monkeypatch.setattr("execwhy.tui.model.files.json_lines.MAX_LINE_BYTES", 10_000)
    long_line = LINES[1].rstrip().rstrip("}") + " " * 35_000 + "}\n"
    events, status = opened(tmp_path, HEADER, LINES[0], long_line, LINES[2])
    assert events == [EVENTS[0], Loss(EVENTS[0].timestamp, 1, UNREADABLE), EVENTS[2]]
    assert "line 3: it is longer than" in status.problem
    assert "more" not in status.problem


@pytest.mark.parametrize("name", ["missing", "", "a\0b", "."])
def test_a_file_that_cannot_be_opened_gives_a_sentence(name: str, tmp_path: Path) -> None:
    path = str(tmp_path / name) if name != "" else ""
    events, status = drained(FileSource(path))
    assert events == []
    assert status.stage is Stage.FAILED
    assert status.detail.endswith(".")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.binary(max_size=60) | st.sampled_from([HEADER, *LINES, ENDING]).map(str.encode), max_size=8)
)
def test_no_file_raises_and_every_good_line_is_kept(tmp_path: Path, parts: Sequence[bytes]) -> None:
    lines = [part.rstrip(b"\n") for part in parts if part in (LINES[0].encode(), LINES[1].encode())]
    events, status = opened(tmp_path, b"\n".join(part.rstrip(b"\n") for part in parts))
    assert status.stage in (Stage.ENDED, Stage.FAILED)
    assert status.detail
    assert len(events) >= len(lines)
    counters = status.counters
    assert counters.seen == counters.recorded + counters.suppressed + counters.lost


def test_standard_input_is_read_as_it_comes() -> None:
    reading, writing = os.pipe()
    source = FileSource("-", standard_input=reading)
    source.start()
    os.write(writing, HEADER.encode() + LINES[0].encode())
    deadline = time.monotonic() + PATIENCE
    events: list[Event] = []
    while not events:
        assert time.monotonic() < deadline
        source.wait(1.0)
        events += source.drain()
    assert events == EVENTS[:1]
    while source.status().stage is not Stage.LIVE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert source.status() == Status(Stage.LIVE, "standard input", Counters(seen=1, recorded=1), ORIGIN)
    os.close(writing)
    while source.status().stage in OPEN:
        assert time.monotonic() < deadline
        source.wait(1.0)
    assert source.status().stage is Stage.ENDED
    source.close()


def test_the_reader_waits_for_a_screen_that_is_slower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_source, "_PENDING_BYTES", 10 * len(LINES[0]))
    path = tmp_path / "many.jsonl"
    path.write_text(HEADER + LINES[0] * 500)
    source = FileSource(str(path))
    source.start()
    total = 0
    deadline = time.monotonic() + PATIENCE
    while total < 500:
        assert time.monotonic() < deadline
        source.wait(1.0)
        batch = source.drain()
        assert len(batch) <= 11
        total += len(batch)
    source.close()


def test_closing_ends_a_reader_that_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_source, "_PENDING_BYTES", 1)
    path = tmp_path / "many.jsonl"
    path.write_text(HEADER + LINES[0] * 500)
    source = FileSource(str(path))
    source.start()
    source.wait(PATIENCE)
    source.close()
    source.close()
    assert "execwhy-replay" not in [thread.name for thread in threading.enumerate()]


def test_closing_does_not_wait_for_a_pipe_that_says_nothing() -> None:
    reading, writing = os.pipe()
    source = FileSource("-", standard_input=reading)
    source.start()
    source.close()
    os.close(writing)
    assert "execwhy-replay" not in [thread.name for thread in threading.enumerate()]


BEGUN = header_line(Header(ORIGIN, "", Counters(), 1_795_557_012_000_000_000, recording=True))


def test_a_recording_is_followed_until_its_ending(tmp_path: Path) -> None:
    path = tmp_path / "growing.jsonl"
    with path.open("w") as file:
        file.write(BEGUN + LINES[0] + LINES[1][:50])
        file.flush()
        source = FileSource(str(path))
        source.start()
        wait_for(lambda: source.status().stage is Stage.LIVE)
        assert source.drain() == EVENTS[:1]
        assert source.status().problem == "", "the rest of the line may still come"
        file.write(LINES[1][50:])
        file.flush()
        wait_for(lambda: bool(source._pending))
        assert source.drain() == EVENTS[1:2]
        file.write(LINES[2] + ENDING)
    wait_for(lambda: source.status().stage is Stage.ENDED)
    assert source.drain() == EVENTS[2:]
    assert source.status().counters == FINAL
    source.close()


def test_a_recording_that_has_not_grown_for_long_is_waited_for_and_not_called_live(
    tmp_path: Path,
) -> None:
    path = tmp_path / "old.jsonl"
    path.write_text(BEGUN + LINES[0])
    os.utime(path, (1_000_000_000, 1_000_000_000))
    source = FileSource(str(path))
    source.start()
    wait_for(lambda: source.status().stage is Stage.WAITING)
    source.close()


@pytest.mark.parametrize(
    ("rest", "said"),
    [("", "has no ending, and"), (LINES[1][:50], "has no ending and an incomplete last line")],
)
def test_a_recording_whose_writer_was_killed_is_not_called_live(rest: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "killed.jsonl"
    with path.open("w") as file:
        file.write(BEGUN + LINES[0] + rest)
        file.flush()
        source = FileSource(str(path))
        source.start()
        wait_for(lambda: source.status().stage is Stage.LIVE)
    wait_for(lambda: source.status().stage is Stage.WAITING)
    wait_for(lambda: said in source.status().problem)
    assert "no process of this machine writes to it: its recording was cut off" in source.status().problem
    with path.open("a") as file:
        file.write((LINES[1][50:] if rest else LINES[1]) + ENDING)
    wait_for(lambda: source.status().stage is Stage.ENDED)
    assert (source.drain(), source.status().problem) == (EVENTS[:2], "")
    source.close()


def test_a_file_whose_writer_is_unknown_is_live_when_it_has_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lines, "has_writer", None)
    path = tmp_path / "remote.jsonl"
    path.write_text(BEGUN + LINES[0])
    source = FileSource(str(path))
    source.start()
    wait_for(lambda: source.status().stage is Stage.WAITING)
    assert source.status().problem == ""
    with path.open("a") as file:
        file.write(LINES[1])
    wait_for(lambda: source.status().stage is Stage.LIVE)
    source.close()


def test_a_writer_may_take_back_the_line_that_it_had_begun(tmp_path: Path) -> None:
    path = tmp_path / "full.jsonl"
    path.write_text(BEGUN + LINES[0] + LINES[1][:50])
    source = FileSource(str(path))
    source.start()
    wait_for(lambda: source.status().stage is Stage.WAITING)
    left = len((BEGUN + LINES[0]).encode())
    os.truncate(path, left)
    wait_for(lambda: source._lines is not None and source._lines.brought == left)
    with path.open("a") as file:
        file.write(LINES[2] + ENDING)
    wait_for(lambda: source.status().stage is Stage.ENDED)
    assert source.drain() == [EVENTS[0], EVENTS[2]]
    assert source.status().problem == ""
    source.close()


def test_a_file_that_becomes_shorter_is_reported_and_its_events_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "rotated.jsonl"
    path.write_text(BEGUN + LINES[0] + LINES[1])
    source = FileSource(str(path))
    source.start()
    wait_for(lambda: source.status().stage is Stage.WAITING)
    os.truncate(path, 10)
    wait_for(lambda: source.status().stage is Stage.ENDED)
    assert source.drain() == EVENTS[:2]
    assert "became shorter" in source.status().problem
    source.close()


def test_a_stream_without_its_ending_is_reported(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, BEGUN.encode() + LINES[0].encode())
    os.close(writing)
    events, status = drained(FileSource("-", standard_input=reading))
    assert events == EVENTS[:1]
    assert "ended before its recording did" in status.problem


def test_a_command_without_output_is_reported() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    source = FileSource(f"/dev/fd/{reading}", name="input 1")
    _, status = drained(source)
    os.close(reading)
    assert (status.stage, status.detail) == (
        Stage.FAILED,
        "input 1 brought nothing: see why its command failed.",
    )


def test_a_named_pipe_waits_for_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    source = FileSource(str(path))
    source.start()
    wait_for(lambda: source.status().stage is Stage.WAITING)
    with path.open("w") as file:
        file.write(HEADER + LINES[0])
    wait_for(lambda: source.status().stage is Stage.ENDED)
    assert source.drain() == EVENTS[:1]
    source.close()


def test_a_source_that_was_never_started_can_be_closed() -> None:
    FileSource("/nonexistent").close()


def test_a_capture_filter_cannot_be_applied_to_a_file(tmp_path: Path) -> None:
    source = FileSource(str(tmp_path / "x"))
    with pytest.raises(ValueError, match="use the filter"):
        source.set_capture(Capture(uid_ranges=((0, 0),)))
    source.set_capture(None)


def test_records_of_a_recording_are_sorted_by_time(
    tmp_path: Path,
) -> None:
    second = 1_000_000_000
    times = [3, 1, 2, 10, 9, 8, 30, 29, 40]
    events = [failure(path=f"/{time}", timestamp=time * second) for time in times]
    assert [event.timestamp // second for event in read(tmp_path, events, recording=True)] == sorted(times)
    assert [event.timestamp // second for event in read(tmp_path, events, recording=False)] == times


def read(tmp_path: Path, events: Sequence[ExecFailure], *, recording: bool) -> list[Event]:
    """The events of a file that is written in this order, as they are handed over."""
    path = tmp_path / f"{recording}.jsonl"
    header = Header(Origin("web-1", "6.1.0", 0), "", Counters(), 1, recording=recording)
    lines = [header_line(header), *(event_line(event, show_secrets=True) for event in events)]
    path.write_text("".join((*lines, ending_line(Ending(1, Counters())))))
    source = FileSource(str(path))
    source.start()
    found: list[Event] = []

    def ended() -> bool:
        found.extend(source.drain())
        return source.status().stage not in OPEN

    wait_for(ended)
    found.extend(source.drain())
    source.close()
    return found
