"""A recording stays within its limits, and records that it omits are counted at their place."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from execwhy.bpf.events.source import Counters, Origin, Stage, Status
from execwhy.tui.model.files.json_lines import Ending, event_line, parse_line
from execwhy.tui.model.files.live_file import LiveFile
from execwhy.tui.model.files.safe_file import NoRoom, SnapshotError
from execwhy.tui.recording.files.bounded import BoundedOutput
from execwhy.tui.recording.files.bounds import Bounds
from execwhy.tui.recording.files.counters import difference
from execwhy.tui.recording.files.omissions import NO_ROOM, SIZE_BOUND
from execwhy.tui.recording.files.rotation import Rotation
from execwhy.tui.recording.result import Limits, Result, summary
from tests.schema import kind_of
from tests.unit.records import failure
from tests.unit.tui.recording.test_recording import Kept, Script, recorder

STATUS = Status(Stage.LIVE, "", Counters(seen=9, recorded=9), Origin("web-1", "6.1.0", 0, "fentry"))
LINE = event_line(failure(path="/a", arguments=("x" * 4000,)), show_secrets=False).encode()


def bounded_output(output: Any, *notices: list[str], **bounds: Any) -> BoundedOutput:
    noticed = notices[0] if notices else []
    return BoundedOutput(output, Bounds(**bounds), status=lambda: STATUS, query="", on_notice=noticed.append)


def write(output: BoundedOutput, count: int = 1, first: int = 0) -> None:
    for number in range(first, first + count):
        output.write(LINE, number, is_record=True)


def lines(data: bytes) -> list[dict[str, Any]]:
    every = [json.loads(line) for line in data.splitlines()]
    for line in every:
        kind_of(line)
    return every


def passing(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Install a clock that advances only when it is set forward."""
    now = 1000.0

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("execwhy.tui.recording.files.bounded.time.monotonic", lambda: now)
    return wait


def test_records_omitted_by_a_size_limit_are_counted_in_place_and_at_the_end() -> None:
    kept, notices = Kept(), list[str]()
    output = bounded_output(kept, notices, max_bytes=64 << 10)
    output.begin()
    write(output, 100, first=1000)
    output.write(b'{"small":1}\n', 1100, is_record=True)
    output.end()
    assert len(kept.data) <= 64 << 10
    *_, loss, ending = kept.lines
    left_out = output.left_out[SIZE_BOUND]
    assert output.written + left_out == 101 and output.written > 5
    assert (loss["lost"], loss["reason"]) == (left_out, SIZE_BOUND)
    assert loss["timestamp"] == f"1970-01-01T00:00:00.00000{1000 + output.written}Z"
    assert (ending["written"], ending["left_out"]) == (output.written, {SIZE_BOUND: left_out})
    assert parse_line(kept.data.splitlines()[-1]) == Ending(
        parse_line(kept.data.splitlines()[-1]).timestamp,  # type: ignore[union-attr]
        STATUS.counters,
        output.written,
        {SIZE_BOUND: left_out},
    )
    assert notices == ["kept.jsonl is full (--max-bytes): further failures are left out, and counted."]
    assert not output.problem


def test_records_are_omitted_until_there_is_enough_free_space(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = passing(monkeypatch)
    kept, notices = Kept(), list[str]()
    output = bounded_output(kept, notices)
    output.begin()
    kept.free = 20_000
    write(output, 2)
    wait(2)
    kept.free = 5
    write(output, 8, first=2)
    kept.free = 1 << 30
    write(output, 2, first=10)
    wait(2)
    write(output, 3, first=12)
    output.end()
    every = lines(kept.data)
    ids = [line.get("lost", line.get("path")) for line in every[1:-1]]
    left_out = output.left_out[NO_ROOM]
    assert output.written + left_out == 15
    assert ids == ["/a"] * (output.written - 3) + [left_out] + ["/a"] * 3
    assert every[-1]["left_out"] == {NO_ROOM: left_out}
    assert len(notices) == 1 and "too little free space for it: free some, or choose another" in notices[0]
    assert output.problem and output.problem in notices[0], "the end has nothing to say again"


def test_a_write_that_does_not_fit_is_omitted_and_the_next_is_tried_a_second_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait = passing(monkeypatch)
    kept = Kept(room=10_000, error=NoRoom("there is no room."))
    output = bounded_output(kept)
    output.begin()
    write(output, 4)
    assert output.left_out[NO_ROOM] == 4 - output.written > 0
    kept._room = 1 << 30
    wait(2)
    write(output)
    output.end()
    assert [line["lost"] for line in lines(kept.data) if "lost" in line] == [output.left_out[NO_ROOM]]


def test_standard_output_that_took_part_of_a_line_is_not_written_to_again() -> None:
    kept = Kept(room=10_000, error=NoRoom("there is no room."))
    kept.takes_back = False
    output = bounded_output(kept)
    output.begin()
    with pytest.raises(NoRoom):
        write(output, 10)


def test_a_recording_that_omits_everything_still_ends_by_its_count_and_says_so() -> None:
    kept = Kept()
    kept.free = 0
    result = recorder(Script([[failure(path="/a"), failure(path="/b")]]), kept, limits=Limits(count=2)).run()
    assert (result.written, result.left_out) == (0, {NO_ROOM: 2})
    assert "0 written to kept.jsonl, 2 left out (no room for the recording: 2)." in summary(result, "f.jsonl")
    assert "too little free space for it" in result.problem


@pytest.mark.parametrize(
    ("records", "files"),
    [(1, ""), (20, "2 files, the last "), (50, "5 files, of which the newest 3 are kept, the last ")],
)
def test_the_summary_names_files_that_exist(records: int, files: str, tmp_path: Path) -> None:
    rotation = Rotation(str(tmp_path / "r.jsonl"), 3)
    output = bounded_output(rotation.open_next(), max_bytes=64 << 10, open_next=rotation.open_next, files=3)
    output.begin()
    write(output, records)
    output.end()
    result = Result(
        True, output.written, STATUS.counters, files=output.files, kept=output.kept, name=output.name
    )
    assert summary(result, "r.jsonl").endswith(f"; {records} written to {files}{output.name}.")
    assert Path(output.name).exists() and output.kept == len(list(tmp_path.iterdir()))


def test_a_removed_file_ends_the_recording_with_its_name(tmp_path: Path) -> None:
    output = bounded_output(LiveFile(str(tmp_path / "r.jsonl")))
    output.begin()
    output.look()
    (tmp_path / "r.jsonl").unlink()
    with pytest.raises(SnapshotError, match=r"r\.jsonl was removed while it was written"):
        output.end()
    assert output.fate == "removed"


def test_truncating_the_file_ends_the_recording_and_leaves_no_hole(tmp_path: Path) -> None:
    output = bounded_output(LiveFile(str(tmp_path / "r.jsonl")))
    output.begin()
    os.truncate(tmp_path / "r.jsonl", 0)
    write(output)
    assert (tmp_path / "r.jsonl").read_bytes() == LINE
    with pytest.raises(SnapshotError, match=r"r\.jsonl was truncated while it was written"):
        output.look()


@pytest.mark.parametrize("replaced", [True, False])
def test_a_renamed_file_is_still_written_to(replaced: bool, tmp_path: Path) -> None:
    notices: list[str] = []
    output = bounded_output(LiveFile(str(tmp_path / "r.jsonl")), notices)
    output.begin()
    (tmp_path / "r.jsonl").rename(tmp_path / "r.jsonl.1")
    if replaced:
        (tmp_path / "r.jsonl").write_text("")
    output.look()
    write(output)
    output.end()
    output.close()
    assert len(notices) == 1 and notices[0] == output.problem
    assert "r.jsonl was renamed or replaced while it was written" in output.problem
    assert len(lines((tmp_path / "r.jsonl.1").read_bytes())) == 3
    assert not replaced or (tmp_path / "r.jsonl").read_text() == ""


def test_the_summary_of_a_recording_that_was_removed_does_not_say_that_it_is_there() -> None:
    kept = Kept()
    source = Script([[failure(path="/a")]], on_wait=lambda: setattr(kept, "became", "removed"))
    result = recorder(source, kept).run()
    assert "kept.jsonl was removed" in result.problem
    assert "written to kept.jsonl, which was removed meanwhile." in summary(result, "kept.jsonl")


def test_full_files_are_followed_by_new_ones_and_the_oldest_are_removed(tmp_path: Path) -> None:
    rotation = Rotation(str(tmp_path / "r.jsonl"), 3)
    output = bounded_output(rotation.open_next(), max_bytes=64 << 10, open_next=rotation.open_next)
    output.begin()
    write(output, 100)
    output.end()
    output.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 3 and output.files > 5
    assert names[-1] == f"r.{output.files:06d}.jsonl" and output.name.endswith(names[-1])
    assert (output.written, output.left_out) == (100, {})
    for name in names:
        data = (tmp_path / name).read_bytes()
        header, *records, ending = lines(data)
        assert header["recording"] and len(data) <= 64 << 10
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        assert (ending["written"], ending["left_out"]) == (len(records), {})
        # Each file has the counters of its own period, so that those of several can be added.
        assert ending["counters"]["seen"] == 0


def test_a_record_larger_than_a_file_is_omitted_and_the_next_one_is_written(tmp_path: Path) -> None:
    rotation = Rotation(str(tmp_path / "r.jsonl"), 2)
    output = bounded_output(rotation.open_next(), max_bytes=64 << 10, open_next=rotation.open_next)
    output.begin()
    write(output)
    output.write(b"x" * (70 << 10), 1, is_record=True)
    write(output)
    assert (output.written, output.left_out) == (2, {SIZE_BOUND: 1})


def test_only_recordings_of_this_user_with_such_a_name_are_counted_and_removed(tmp_path: Path) -> None:
    header = b'{"execwhy":1}\n'
    stay = {
        "r.jsonl": header, "r.000001.jsonl": b"notes\n", "r.2.jsonl": header, "r.000002.csv": header,
        "rr.000001.jsonl": header, "r.000003.jsonl.gz": header,
    }  # fmt: skip
    for name, data in stay.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "r.000004.jsonl").symlink_to(tmp_path / "r.jsonl")
    (tmp_path / "r.000005.jsonl").mkdir()
    os.mkfifo(tmp_path / "r.000006.jsonl")
    for number in (7, 8):
        (tmp_path / f"r.00000{number}.jsonl").write_bytes(header)
    if os.geteuid() == 0:
        (tmp_path / "r.999999.jsonl").write_bytes(header)
        os.chown(tmp_path / "r.999999.jsonl", 65534, 65534)
    before = {path.name for path in tmp_path.iterdir()}
    file = Rotation(str(tmp_path / "r.jsonl"), 2).open_next()
    assert file.name == str(tmp_path / "r.000009.jsonl")
    assert {path.name for path in tmp_path.iterdir()} == before - {"r.000007.jsonl"} | {"r.000009.jsonl"}
    assert all((tmp_path / name).read_bytes() == data for name, data in stay.items())
    file.close()


def test_a_number_that_is_taken_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "r.000001.jsonl").symlink_to("/etc/passwd")
    assert Rotation(str(tmp_path / "r.jsonl"), 2).open_next().name.endswith("r.000002.jsonl")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_mounted_file_is_neither_examined_nor_removed(tmp_path: Path) -> None:
    path = tmp_path / "r.000001.jsonl"
    path.write_bytes(b'{"execwhy":1}\n')
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        for number in (2, 3):
            file = Rotation(str(tmp_path / "r.jsonl"), 1).open_next()
            assert file.name.endswith(f"r.00000{number}.jsonl")
            file.write(b'{"execwhy":1}\n')
            file.close()
    finally:
        subprocess.run(["umount", path], check=True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["r.000001.jsonl", "r.000003.jsonl"]


def test_a_file_that_vanishes_during_the_scan_is_not_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.000001.jsonl").write_bytes(b'{"execwhy":1}\n')
    rotation = Rotation(str(tmp_path / "r.jsonl"), 1)
    found = rotation._found()
    monkeypatch.setattr(rotation, "_found", lambda: found)
    (tmp_path / "r.000001.jsonl").unlink()
    assert rotation.open_next().name.endswith("r.000002.jsonl")


def test_numbers_taken_by_others_do_not_end_a_recording(tmp_path: Path) -> None:
    (tmp_path / "r.000001.jsonl").write_bytes(b'{"execwhy":1}\n')
    for number in range(2, 1502):
        (tmp_path / f"r.{number:06d}.jsonl").write_text("")
    assert Rotation(str(tmp_path / "r.jsonl"), 2).open_next().name.endswith("r.001502.jsonl")


def test_the_highest_file_number_has_no_successor(tmp_path: Path) -> None:
    (tmp_path / "r.999999999999.jsonl").write_bytes(b'{"execwhy":1}\n')
    with pytest.raises(SnapshotError, match=r"r\.jsonl has no number left: choose another name\.$"):
        Rotation(str(tmp_path / "r.jsonl"), 2).open_next()


def test_a_full_file_is_closed_once_if_the_next_one_cannot_be_created() -> None:
    def fails() -> Kept:
        raise SnapshotError("it has no number left.")

    kept = Kept()
    source = Script([[failure(path="/a", arguments=("x" * 4000,)) for _ in range(30)]])
    result = recorder(source, kept, bounds=Bounds(64 << 10, fails, 32)).run()
    assert result.problem == "it has no number left."
    assert kept.state == "closed"
    assert result.written and result.left_out == {"recording had failed": 30 - result.written}
    assert lines(kept.data)[-1]["written"] == result.written


def test_a_missing_directory_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="its directory does not exist: make it"):
        Rotation(str(tmp_path / "no/r.jsonl"), 2).open_next()


@pytest.mark.parametrize("at", ["open", "header", "ending"])
def test_without_room_for_the_next_file_records_are_omitted_until_there_is_some(
    at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = passing(monkeypatch)
    no_room = NoRoom("next.jsonl could not be written, since the quota is used up.")
    is_full = True
    first = Kept()
    tried: list[Kept] = []

    def open_next() -> Kept:
        if is_full and at == "open":
            raise no_room
        tried.append(Kept(0 if is_full and at == "header" else 1 << 30, no_room))
        if is_full and at == "ending":
            first._error, first._room = no_room, len(first.data)
        return tried[-1]

    notices: list[str] = []
    output = bounded_output(first, notices, max_bytes=64 << 10, open_next=open_next)
    output.begin()
    write(output, 40)
    left_out = output.left_out[NO_ROOM]
    assert left_out > 20 and output.written + left_out == 40
    assert first.state == "open" and all(each.state == "discarded" for each in tried)
    incomplete = f"kept.jsonl is not complete: {no_room}"
    assert notices == [f"{incomplete} What fails is left out, and counted, until there is room."]
    assert output.problem == incomplete
    wait(60)
    write(output)
    assert output.left_out[NO_ROOM] == left_out + 1
    assert len(tried) == (0 if at == "open" else 2)
    is_full, first._room = False, 1 << 30
    write(output)
    wait(60)
    write(output, 2)
    output.end()
    assert output.left_out == {NO_ROOM: left_out + 2}
    assert output.files == 2 and first.state == "closed" and tried[-1].state == "open"
    assert len(notices) == 1 and "the quota is used up" in output.problem
    *_, loss, ending = lines(first.data)
    assert (loss["lost"], ending["left_out"]) == (left_out + 2, {NO_ROOM: left_out + 2})
    header, *records, ending = lines(tried[-1].data)
    assert header["recording"] and (ending["written"], ending["left_out"]) == (len(records), {}) == (2, {})


def test_a_full_file_that_cannot_be_closed_completely_does_not_end_the_recording(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def close() -> None:
        raise NoRoom("kept.jsonl could not be written, since the quota is used up.")

    full, fresh, notices = Kept(), Kept(), list[str]()
    monkeypatch.setattr(full, "close", close)
    output = bounded_output(full, notices, max_bytes=64 << 10, open_next=lambda: fresh)
    output.begin()
    write(output, 20)
    assert output.written == 20 and len(notices) == 1
    assert "the quota is used up" in output.problem


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_without_free_inodes_the_recording_keeps_its_file_and_rotates_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = passing(monkeypatch)
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=12", "none", place], check=True)
    try:
        notices: list[str] = []
        rotation = Rotation(str(place / "r.jsonl"), 8)
        output = bounded_output(
            rotation.open_next(), notices, max_bytes=64 << 10, open_next=rotation.open_next
        )
        output.begin()
        taken = [place / f"user{number}" for number in range(os.statvfs(place).f_favail)]
        for path in taken:
            path.touch()
        write(output, 40)
        assert output.files == 1 and output.left_out[NO_ROOM] == 40 - output.written > 20
        assert len(notices) == 1 and "its file system has no inodes left" in notices[0]
        taken[0].unlink()
        wait(60)
        write(output, 2)
        output.end()
        output.close()
        assert output.files == 2
        assert [lines(path.read_bytes())[-1]["written"] for path in sorted(place.glob("r.*"))] == [
            output.written - 2, 2,
        ]  # fmt: skip
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_twentieth_of_the_file_system_stays_free(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=True)
    try:
        output = bounded_output(LiveFile(str(place / "r.jsonl")))
        output.begin()
        write(output, 400)
        output.end()
        output.close()
        system = os.statvfs(place)
        assert output.left_out[NO_ROOM] > 100 and output.written > 100
        assert system.f_bavail * system.f_frsize >= (1 << 20) // 20
        assert lines((place / "r.jsonl").read_bytes())[-1]["written"] == output.written
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_the_difference_of_counters_adds_up() -> None:
    before = Counters(10, 5, 2, 3, {"ring buffer full": 3}, incomplete={"a": 1})
    now = Counters(20, 11, 4, 5, {"ring buffer full": 4, "map full": 1}, incomplete={"a": 1})
    assert difference(now, before) == Counters(
        10, 6, 2, 2, {"ring buffer full": 1, "map full": 1}, incomplete={"a": 0}
    )
