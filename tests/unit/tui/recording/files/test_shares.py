"""No user can fill a recording, or rotate out its files, at the expense of others."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from execwhy.bpf.events.arrivals import Event
from execwhy.tui.model.files.json_lines import event_line
from execwhy.tui.recording.files.bounded import BoundedOutput
from execwhy.tui.recording.files.bounds import LEAST_FLOOR, Bounds, least_bytes
from execwhy.tui.recording.files.omissions import NO_ROOM, SIZE_BOUND
from execwhy.tui.recording.files.rotation import Rotation
from execwhy.tui.recording.files.shares import DAY, NOBODY, Shares
from tests.schema import kind_of
from tests.unit.records import failure
from tests.unit.tui.recording.files.test_bounded import LINE, STATUS, bounded_output, passing
from tests.unit.tui.recording.test_recording import Kept, Script, recorder

KB, MB = 1 << 10, 1 << 20


def fill(shares: Shares, user: int, size: int = KB, room: int | None = None) -> int:
    """Write records until there is no share left; return how many bytes that were."""
    written = 0
    while shares.admits(user, size, room):
        shares.add(user, size)
        written += size
        room = None if room is None else room - size
        assert written < 1 << 31
    return written


def test_each_user_in_turn_gets_three_quarters_of_the_rest() -> None:
    shares = Shares(MB)
    assert fill(shares, 1) == 768 * KB
    assert fill(shares, 2) == 192 * KB
    assert fill(shares, 3) == 48 * KB
    assert fill(shares, 1) == fill(shares, 2) == 0


def test_a_user_who_wrote_little_is_never_left_out() -> None:
    shares = Shares(MB, floor=MB // 256)
    for flooder in range(20):
        fill(shares, flooder, 100)
    assert fill(shares, 1000, 100) >= MB // 256 - 100
    assert shares.admits(NOBODY, 5 * MB)


def test_the_free_space_is_shared_as_well() -> None:
    shares = Shares(None)
    assert fill(shares, 1, room=MB) == 768 * KB
    assert fill(shares, 2, room=256 * KB) == 192 * KB
    assert fill(Shares(64 * MB), 1, room=MB) == 768 * KB
    assert shares.admits(1, 100 * MB)


def test_a_day_later_a_user_may_write_the_same_amount_again(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = passing(monkeypatch)
    shares = Shares(MB, DAY)
    assert fill(shares, 1) == 768 * KB
    written = 0
    for _minute in range(24 * 60):
        wait(60)
        written += fill(shares, 1, 100)
    assert 700 * KB < written < 780 * KB
    wait(30 * DAY)
    assert fill(shares, 1) == 768 * KB


@pytest.mark.parametrize("flooders", [1, 2, 10])
def test_no_flood_rotates_out_the_records_of_the_last_day(
    flooders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All users flood at once, and again after each start of the program, once a day."""
    wait = passing(monkeypatch)
    by_hour: list[int] = []
    for _start in range(3):
        shares = Bounds(MB, Kept, 32).shares()
        for _hour in range(24):
            wait(3600)
            assert shares.admits(1000, KB), "an ordinary user, with a record now and then"
            shares.add(1000, KB)
            by_hour.append(KB + sum(fill(shares, user, 500) for user in range(flooders)))
    most = max(sum(by_hour[hour : hour + 24]) for hour in range(len(by_hour)))
    assert 5 * MB < most <= 30 * MB


KEPT = [(512 * KB, 3), (MB, 2), (MB, 3), (3 * MB, 2), (160 * KB, 8), (8 * MB, 3)]


@pytest.mark.parametrize("flooders", [1, 3, 10])
@pytest.mark.parametrize(("max_bytes", "files"), [*KEPT, (512 * KB, 1), (MB, 1), (8 * MB, 1)])
def test_a_quiet_user_has_room_under_any_flood(
    max_bytes: int, files: int, flooders: int, tmp_path: Path
) -> None:
    """Ten records of usual size; five in one small file without a successor."""
    rotation = Rotation(str(tmp_path / "r.jsonl"), files)
    bounds = Bounds(max_bytes, rotation.open_next if files > 1 else None, files)
    output = BoundedOutput(rotation.open_next(), bounds, status=lambda: STATUS, query="")
    output.begin()
    for user in range(1, flooders + 1):
        line = event_line(flood(user, 1)[0], show_secrets=False).encode()[: 2700 - len(str(user))]
        for _ in range(max_bytes * files // len(line) + 10):
            output.write(line, 0, is_record=True, user=user)
    assert output.left_out.total() > flooders
    quiet = b'{"quiet":"' + b"x" * (3 * KB - 13) + b'"}\n'
    before = output.written
    for number in range(10):
        output.write(quiet, number, is_record=True, user=1000)
    output.end()
    room = 10 if files > 1 or max_bytes >= MB else 5
    assert output.written - before >= room
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert data.count(b'{"quiet"') == output.written - before
    assert all(path.stat().st_size <= max_bytes for path in tmp_path.iterdir())


@pytest.mark.parametrize(("max_bytes", "files"), KEPT[:5])
def test_ten_floods_rotate_out_no_record_of_the_last_day(
    max_bytes: int, files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = passing(monkeypatch)
    rotation = Rotation(str(tmp_path / "r.jsonl"), files)
    bounds = Bounds(max_bytes, rotation.open_next, files)
    output = BoundedOutput(rotation.open_next(), bounds, status=lambda: STATUS, query="")
    output.begin()
    line = b'{"flood":"' + b"x" * 2700 + b'"}\n'
    output.write(b'{"quiet":1}\n', 0, is_record=True, user=1000)
    for _minutes in range(24 * 12):
        for user in range(1, 11):
            for _record in range(100):
                output.write(line, 0, is_record=True, user=user)
        wait(300)
    output.end()
    newest = b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert b'{"quiet"' in newest and b'{"flood"' in newest
    assert output.left_out.total() > 100_000


def test_least_bytes_give_each_user_room_for_ten_records() -> None:
    for files in (2, 3, 4, 8, 32, 1000):
        least = least_bytes(files)
        assert Bounds(least, Kept, files).shares().floor >= LEAST_FLOOR
        assert Bounds(least - KB, Kept, files).shares().floor < LEAST_FLOOR


def test_large_files_leave_a_latecomer_a_256th_of_the_space() -> None:
    assert Bounds(64 * MB, Kept, 8).shares().floor == (64 * MB - 8 * KB) * 2 // 256
    assert Bounds(64 * MB).shares().floor == (64 * MB - 8 * KB) // 256


def test_losses_between_records_use_some_space_of_a_small_recording(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait, kept = passing(monkeypatch), Kept()
    output = bounded_output(kept, max_bytes=MB, open_next=Kept, files=3)
    output.begin()
    for minute in range(24 * 60):
        for user in range(1, 11):
            output.leave_out(output._shares.name_of(user), [failure()])
        output.write(b"{}\n", minute, is_record=True)
        wait(60)
    losses = [line for line in kept.data.splitlines() if b'"lost"' in line]
    assert 0 < sum(map(len, losses)) < MB // 3 // 8 + 4 * KB


class Disk(Kept):
    """An output on a file system that fills up."""

    def room(self) -> int | None:
        return None if self.free is None else self.free - len(self.data)


def flood(user: int, count: int) -> list[Event]:
    return [replace(failure(path=f"/{user}", arguments=("x" * 4000,)), uid=user) for _ in range(count)]


def paths(data: bytes) -> Counter[str]:
    lines = [json.loads(line) for line in data.splitlines()]
    for line in lines:
        kind_of(line)
    return Counter(line["path"] for line in lines if "path" in line)


@pytest.mark.parametrize("bound", ["size", "space"])
def test_a_flood_leaves_room_for_others_and_is_counted_by_user(bound: str) -> None:
    kept, notices = Disk(), list[str]()
    bounds = {"max_bytes": 1 << 18} if bound == "size" else {}
    kept.free = None if bounds else 1 << 18
    output = bounded_output(kept, notices, **bounds)
    output.begin()
    for user, count in (1, 200), (2, 5), (1, 5):
        for event in flood(user, count):
            line = event_line(event, show_secrets=False).encode()
            output.write(line, event.timestamp, is_record=True, user=user)
    output.end()
    written = paths(kept.data)
    assert written["/2"] == 5 and 20 < written["/1"] < 50
    name = "share of user 1" if bound == "size" else NO_ROOM
    assert output.left_out == {name: 205 - written["/1"]}
    assert len(notices) == 1
    if bound == "size":
        assert not output.problem
        assert notices[0].startswith(
            "kept.jsonl has no more room for the share of user 1, so that others have some"
        )
    else:
        assert "kept.jsonl is not complete, since there is too little free space for it" in output.problem
    assert kept.lines[-1]["left_out"] == output.left_out
    losses = [line for line in kept.lines if "lost" in line]
    assert sum(line["lost"] for line in losses) == 205 - written["/1"]
    assert {line["reason"] for line in losses} == {name} and len(losses) <= 3


def test_space_that_becomes_free_again_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = passing(monkeypatch)
    kept = Disk()
    kept.free = 1 << 17
    output = bounded_output(kept)
    output.begin()
    for number in range(100):
        output.write(LINE, number, is_record=True, user=1)
    assert output.left_out.keys() == {NO_ROOM}
    kept.free = 1 << 30
    wait(2)
    before = output.written
    for number in range(100):
        output.write(LINE, number, is_record=True, user=1)
    assert output.written >= before + 99


def test_many_users_are_not_all_named_and_the_ending_fits_in_the_file() -> None:
    kept, notices = Kept(), list[str]()
    output = bounded_output(kept, notices, max_bytes=1 << 16)
    output.begin()
    for number in range(10):
        output.write(LINE, number, is_record=True, user=5)
    for user in range(1000, 1100):
        for number in range(10):
            output.write(LINE, number, is_record=True, user=user)
    output.end()
    assert len(kept.data) <= 1 << 16
    names = output.left_out.keys() - {SIZE_BOUND}
    assert len(names) == 17 and "shares of other users" in names
    assert len(notices) <= 18
    assert output.written + output.left_out.total() == 1010


def test_a_flood_does_not_rotate_out_the_records_of_others(tmp_path: Path) -> None:
    rotation = Rotation(str(tmp_path / "r.jsonl"), 8)
    source = Script([flood(2, 3), flood(1, 500), flood(2, 1), flood(1, 500), flood(2, 1)])
    first = rotation.open_next()
    result = recorder(source, first, bounds=Bounds(64 << 10, rotation.open_next, 8)).run()  # type: ignore[arg-type]
    written = paths(b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir())))
    assert written["/2"] == 5
    assert result.left_out["share of user 1"] and sum(result.left_out.values()) == 1000 - written["/1"]
    assert rotation.removed == 0 and 1 < result.files < 8
