"""After a crash the events are in a file: bounded, private and readable, even if more has failed."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from execwhy.bpf.events.arrivals import Burst, Event, Occurrence, Report, SearchEnd
from execwhy.bpf.events.loss import Loss
from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.faults import crash_file as module
from execwhy.tui.faults.rescue import Rescued, rescue
from execwhy.tui.model.files.json_lines import Header, parse_line
from execwhy.tui.model.history.store import History
from tests.ui.scripted_source import START, ScriptedSource, failure

LOSS = Loss(START, 7, "ring buffer full")


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Below /tmp no directory belongs to this user; the next candidate does.
    monkeypatch.setattr(module, "_own_directories", lambda: [])
    monkeypatch.setattr(module, "_LAST_RESORT", str(tmp_path))


def filled(count: int) -> History:
    history = History()
    history.append([failure(f"/n/{number}", timestamp=START + number) for number in range(count)])
    return history


def written(rescued: Rescued | None) -> tuple[Header, list[Event]]:
    assert rescued is not None
    header, *events = map(parse_line, Path(rescued.path).read_bytes().splitlines())
    assert isinstance(header, Header)
    assert all(isinstance(event, ExecFailure | Loss) for event in events)
    return header, [event for event in events if isinstance(event, ExecFailure | Loss)]


def paths(events: Sequence[Event]) -> list[str | None]:
    return [event.path for event in events if isinstance(event, ExecFailure)]


def test_all_events_are_in_a_private_file_in_their_order() -> None:
    history = filled(3000)
    history.append([LOSS])
    rescued = rescue(history, ScriptedSource(), show_secrets=False)
    header, events = written(rescued)
    assert paths(events) == [f"/n/{number}" for number in range(3000)]
    assert events[-1] == LOSS and header.origin.host == "web-1"
    assert rescued is not None and (rescued.events, rescued.broken, rescued.left_out) == (3001, 0, 0)
    assert stat.S_IMODE(Path(rescued.path).stat().st_mode) == 0o600
    assert rescued.path in str(rescued)


def test_secrets_are_masked_unless_they_are_shown() -> None:
    history = filled(1)
    for show_secrets in (False, True):
        rescued = rescue(history, ScriptedSource(), show_secrets=show_secrets)
        assert rescued is not None
        assert (b"hunter2" in Path(rescued.path).read_bytes()) == show_secrets


def test_the_newest_events_are_kept_if_not_all_fit() -> None:
    rescued = rescue(filled(2000), ScriptedSource(), show_secrets=False, max_bytes=200_000)
    _, events = written(rescued)
    assert rescued is not None and os.stat(rescued.path).st_size <= 200_000
    assert paths(events) == [f"/n/{number}" for number in range(2000 - len(events), 2000)]
    assert 10 < rescued.events == len(events) < 2000
    assert rescued.left_out == 2000 - len(events)
    assert f"{rescued.left_out:,} older ones are left out" in str(rescued)


def test_events_that_have_not_reached_the_history_are_the_newest() -> None:
    record = failure("/late")
    times = START + np.arange(3, dtype=np.int64)
    late: list[Report] = [
        replace(record, path="/single"),
        Occurrence(record, START, 5, 5, 0, None),
        SearchEnd(START, 1, None),
        Burst(Occurrence(record, START + 2, 5, 5, 0, None), times),
        LOSS,
    ]
    _, events = written(rescue(filled(2), ScriptedSource(), show_secrets=False, late=late))
    assert paths(events) == ["/n/0", "/n/1", "/single", "/late", "/late", "/late", "/late"]
    assert [event.timestamp for event in events[-4:-1]] == times.tolist() and events[-1] == LOSS


def test_events_that_cannot_be_read_are_counted_and_the_others_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    history, get = filled(100), History.__getitem__

    def broken(self: History, event_id: int) -> Event:
        if event_id % 10 == 3:
            raise (IndexError if event_id % 20 == 3 else MemoryError)("hunter2")
        return get(self, event_id)

    monkeypatch.setattr(History, "__getitem__", broken)
    rescued = rescue(history, ScriptedSource(), show_secrets=False)
    _, events = written(rescued)
    assert rescued is not None and (rescued.events, rescued.broken, rescued.left_out) == (90, 10, 0)
    assert len(events) == 90 and "10 could not be read" in str(rescued)


def test_a_failing_source_leaves_out_only_the_facts_of_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: ScriptedSource) -> None:
        raise RuntimeError

    monkeypatch.setattr(ScriptedSource, "status", broken)
    _, events = written(rescue(filled(5), ScriptedSource(), show_secrets=False))
    assert len(events) == 5


def test_without_events_there_is_no_file(tmp_path: Path) -> None:
    assert rescue(History(), ScriptedSource(), show_secrets=False) is None
    assert not list(tmp_path.iterdir())


def test_a_private_directory_is_created_and_links_on_the_way_are_refused(tmp_path: Path) -> None:
    # For root it is /root; otherwise the home directory.
    home = Path("/root") if os.geteuid() == 0 else Path.home()
    base = home / f".execwhy-test-{os.getpid()}"
    try:
        os.close(module._own_directory(str(base / "state" / "execwhy")))
        assert stat.S_IMODE((base / "state").stat().st_mode) == 0o700
        (base / "link").symlink_to("state")
        with pytest.raises(OSError):
            module._own_directory(str(base / "link" / "execwhy"))
        (base / "state").chmod(0o777)
        with pytest.raises(PermissionError):
            module._own_directory(str(base / "state" / "execwhy"))
    finally:
        for path in (base / "link", base / "state" / "execwhy", base / "state", base):
            if path.is_symlink():
                path.unlink()
            elif path.exists():
                path.rmdir()


def test_a_directory_that_all_can_write_to_is_not_private() -> None:
    with pytest.raises(PermissionError):
        module._own_directory("/tmp/execwhy")
