"""The snapshot dialog."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from textual import events
from textual.widgets import Input

from execwhy.bpf.events.arrivals import Event, Report
from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import Stage
from execwhy.tui.model.files.json_lines import Header, parse_line
from execwhy.tui.model.files.snapshot import write
from execwhy.tui.model.history.store import History
from execwhy.tui.textual_private import is_exiting
from execwhy.tui.widgets.dialogs import snapshot_writer
from execwhy.tui.widgets.dialogs.save_dialog import SaveDialog
from tests.ui.screens import Opened, opened
from tests.ui.scripted_source import ScriptedSource, a_day, failure
from tests.unit.waiting import PATIENCE


class Unending(ScriptedSource):
    """A source that has ended but keeps handing over events until the test stops it."""

    has_more = True

    def drain(self) -> Sequence[Report]:
        """Return one more event."""
        return [*super().drain(), *([failure()] if self.has_more else [])]


class Gated:
    """A writer that waits after a number of events."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opens = threading.Event()
        monkeypatch.setattr(snapshot_writer, "write", self.write)
        monkeypatch.setattr(snapshot_writer, "_AHEAD", 2)

    def write(self, path: str, written: Iterable[Event], header: Header, **options: bool) -> int:
        def gated() -> Iterator[Event]:
            for number, event in enumerate(written):
                if number == 1_000:
                    self.opens.wait(PATIENCE)
                yield event

        return write(path, gated(), header, **options)


async def name_it(screen: Opened, path: Path) -> None:
    field = screen.app.screen.query_one(Input)
    field.value = str(path)
    await screen.pilot.press("enter")
    for _ in range(50):
        await screen.pilot.pause(0.1)
        if "Writing…" not in screen.text:
            return


async def test_the_rows_that_the_filter_selects_are_written(tmp_path: Path) -> None:
    async with opened(a_day(7), query="ENOENT") as screen:
        await screen.press("w")
        assert "3 failed execs that match ENOENT" in screen.text
        assert "execwhy-web-1-" in screen.text
        await name_it(screen, tmp_path / "x.jsonl")
        assert "3 failed execs are in" in screen.keys
    header, *events = (parse_line(line) for line in (tmp_path / "x.jsonl").read_bytes().splitlines())
    assert isinstance(header, Header)
    assert header.query == "ENOENT"
    assert len(events) == 4, "three failed execs and the loss among them"
    assert b"hunter2" not in (tmp_path / "x.jsonl").read_bytes()


async def test_a_snapshot_counts_what_was_evicted_before(tmp_path: Path) -> None:
    async with opened(a_day(40), history=History(max_events=16)) as screen:
        evicted = screen.app.history.evicted
        assert evicted > 0
        await screen.press("w")
        await name_it(screen, tmp_path / "x.jsonl")
        assert f"{evicted} evicted from memory are not in it." in " ".join(screen.text.split())
    header = parse_line((tmp_path / "x.jsonl").read_bytes().splitlines()[0])
    assert isinstance(header, Header) and header.evicted == evicted


async def test_a_snapshot_holds_what_the_history_holds_when_the_name_is_entered(tmp_path: Path) -> None:
    async with opened(a_day(16), history=History(max_events=16)) as screen:
        await screen.press("w")
        # While the name is typed, all events of the history are replaced.
        await screen.give(*(failure(path=f"/later/{number}") for number in range(100)))
        await name_it(screen, tmp_path / "x.jsonl")
        said = " ".join(screen.text.split())
        assert "failed execs are in" in said and "had left" not in said
        held = list(screen.app.history.blocks[-1].ids_of(np.arange(len(screen.app.history.blocks[-1]))))
    _, *events = (parse_line(line) for line in (tmp_path / "x.jsonl").read_bytes().splitlines())
    paths = [event.path for event in events if isinstance(event, ExecFailure)]
    assert paths[-1] == "/later/99" and len(paths) >= len(held) > 0


async def test_a_frozen_view_whose_execs_have_all_left_the_history_writes_no_empty_file(
    tmp_path: Path,
) -> None:
    async with opened([failure(path=f"/{number}") for number in range(16)], history=History(16)) as screen:
        await screen.press("space")
        await screen.press("w")
        assert "16 failed execs" in screen.text
        await screen.give(*(failure(path=f"/later/{number}") for number in range(100)))
        await name_it(screen, tmp_path / "x.jsonl")
        said = " ".join(screen.text.replace("│", " ").split())
        assert "All 16 have left the history, so there is nothing to write" in said
        await screen.press("escape", "w")
        said = " ".join(screen.text.replace("│", " ").split())
        assert "0 failed execs. 16 of 16 have left the history" in said
    assert list(tmp_path.iterdir()) == []


async def test_a_frozen_view_offers_and_writes_what_is_still_held(tmp_path: Path) -> None:
    events = [failure(path=f"/{number}", uid=number) for number in range(16)]
    async with opened(events, history=History(16)) as screen:
        await screen.press("space")
        await screen.give(*(failure(path=f"/later/{number}", uid=99) for number in range(10)))
        held = sum(event_id in screen.app.history for event_id in range(16))
        assert 0 < held < 16
        failures = screen.app.history.failures
        assert f"{held} of {failures} shown   {16 - held} evicted" in screen.filter
        await screen.press("w")
        assert f"{held} failed exec" in screen.text
        await name_it(screen, tmp_path / "x.jsonl")
        said = " ".join(screen.text.split())
        assert f"{16 - held} of 16 had left the history." in said
    _, *events_written = (parse_line(line) for line in (tmp_path / "x.jsonl").read_bytes().splitlines())
    assert len(events_written) == held


async def test_a_snapshot_of_a_file_that_is_still_being_read_says_so_first() -> None:
    async with opened(source=Unending([failure()], stage=Stage.ENDED), history=History(2_000)) as screen:
        await screen.until(lambda: "○ reading…" in screen.status)
        await screen.press("w")
        assert "More is still being read." in " ".join(screen.text.replace("│", " ").split())
        await screen.press("escape")
        screen.source.has_more = False  # type: ignore[attr-defined]
        await screen.until(lambda: "■ ended" in screen.status)
        await screen.press("w")
        assert "write a snapshot" in screen.text and "still being read" not in screen.text


async def test_a_snapshot_counts_what_the_screen_has_not_read_yet(tmp_path: Path) -> None:
    async with opened(a_day(3)) as screen:
        screen.source.waiting = 5_000
        await screen.press("w")
        await name_it(screen, tmp_path / "x.jsonl")
        assert "5,000 that the screen is behind are not in it." in " ".join(screen.text.split())


async def test_the_dialog_names_what_is_written_besides_rows(tmp_path: Path) -> None:
    async with opened([failure(), failure(), failure(path="/other")]) as screen:
        await screen.press("w")
        assert "3 failed execs: 2 rows, 1 repeat" in screen.text


async def test_esc_stops_a_snapshot_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gated(monkeypatch)
    async with opened(a_day(5_000)) as screen:
        await screen.press("w")
        assert "Enter writes   Esc closes" in screen.text
        screen.app.screen.query_one(Input).value = str(tmp_path / "x.jsonl")
        await screen.press("enter")
        await screen.until(lambda: "Writing… 1," in screen.text and "of 5,250   Esc stops it" in screen.text)
        assert "Esc stops it   q quits once it is written" in screen.text
        assert "Enter writes" not in screen.text
        await screen.press("escape")
        assert "Stopping…" in screen.text
        gate.opens.set()
        await screen.until(lambda: "Esc stopped it: no snapshot was written." in screen.keys)
        assert screen.app.is_running
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_key_that_quits_is_answered_while_a_snapshot_is_written(
    key: str, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gated(monkeypatch)
    async with opened(a_day(5_000)) as screen:
        await screen.press("w")
        screen.app.screen.query_one(Input).value = str(tmp_path / "x.jsonl")
        await screen.press("enter")
        await screen.until(lambda: "Writing… 1," in screen.text)
        await screen.press(key)
        assert "quits once it is written   Esc stops it   q quits without it" in screen.text
        if times == 2:
            await screen.press(key)
            assert "Stopping…" in screen.text
        gate.opens.set()
        deadline = time.monotonic() + PATIENCE
        while not is_exiting(screen.app):
            assert time.monotonic() < deadline, "it never quits"
            await screen.pilot.pause(0.05)
    written = [path.name for path in tmp_path.iterdir()]
    assert written == (["x.jsonl"] if times == 1 else []), "the second time it ends without the file"


async def test_quitting_after_a_snapshot_that_cannot_be_written_stays_in_the_dialog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gated(monkeypatch)
    path = tmp_path / "x.jsonl"
    async with opened(a_day(5_000)) as screen:
        await screen.press("w")
        screen.app.screen.query_one(Input).value = str(path)
        await screen.press("enter")
        await screen.until(lambda: "Writing… 1," in screen.text)
        await screen.press("q")
        path.write_text("mine")
        gate.opens.set()
        await screen.until(lambda: "exists. Enter again replaces it" in screen.text)
        assert screen.app.is_running and "Enter writes   Esc closes" in screen.text


async def test_a_file_that_exists_is_replaced_only_after_a_yes(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("mine")
    async with opened(a_day(7)) as screen:
        await screen.press("w")
        await name_it(screen, path)
        assert "exists" in screen.text
        assert path.read_text() == "mine"
        await name_it(screen, path)
        assert "7 failed execs are in" in screen.keys
    assert path.read_text() != "mine"


async def test_an_error_stays_in_the_dialog(tmp_path: Path) -> None:
    async with opened(a_day(7)) as screen:
        await screen.press("w")
        await name_it(screen, tmp_path / "no" / "such" / "x.jsonl")
        assert "could not be written" in screen.text
        await screen.press("escape")
        assert screen.app.is_running
        assert "could not be written" not in screen.text


async def test_svg_is_the_screen_without_the_dialog(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    async with opened(a_day(7)) as screen:
        await screen.press("w")
        await name_it(screen, tmp_path / "x.svg")
        assert "This screen is in" in screen.keys
    root = ElementTree.parse(tmp_path / "x.svg").getroot()
    text = "".join(root.itertext())
    assert "ENOEXEC" in text
    assert "snapshot" in text, "the line of keys"
    assert "Enter\u00a0writes" not in text
    assert "url(http" not in (tmp_path / "x.svg").read_text(), "whoever opens it asks no server for fonts"


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
async def test_a_large_snapshot_is_complete(tmp_path: Path, ending: str) -> None:
    async with opened(a_day(5_000)) as screen:
        await screen.press("w")
        await name_it(screen, tmp_path / f"x.{ending}")
        assert "5,000 failed execs are in" in screen.keys


async def test_the_dialog_names_the_format_of_a_file_extension() -> None:
    async with opened(a_day(3)) as screen:
        await screen.press("w")
        assert "JSON Lines; .csv for a table" in screen.text
        for name, said in (
            ("x.csv", "CSV, a line for each"),
            ("x.SVG", "A picture of this screen"),
            ("x.pdf", "No format has the ending .pdf: end the name in .jsonl, .csv or .svg"),
            ("x", "The ending decides the format: end the name in .jsonl, .csv or .svg"),
        ):
            screen.app.screen.query_one(Input).value = name
            await screen.settle()
            assert said in screen.text


@pytest.mark.parametrize("name", ["x.pdf", "x.txt", "x", "jsonl"])
async def test_a_name_without_a_known_extension_writes_nothing(name: str, tmp_path: Path) -> None:
    async with opened(a_day(3)) as screen:
        await screen.press("w")
        screen.app.screen.query_one(Input).value = str(tmp_path / name)
        await screen.press("enter")
        assert "end the name in .jsonl, .csv or .svg" in screen.text
        assert list(tmp_path.iterdir()) == []
        assert isinstance(screen.app.screen, SaveDialog)


async def test_an_editing_key_and_text_in_one_write_keep_their_order() -> None:
    async with opened(a_day(3)) as screen:
        await screen.press("w")
        for key in ("ctrl+u", "a", "b", "home", "x", "end", "backspace", "c"):
            screen.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await screen.settle()
        assert screen.app.screen.query_one(Input).value == "xac"


async def test_a_message_after_the_dialog_was_closed_does_no_harm() -> None:
    async with opened(a_day(3)) as screen:
        await screen.press("w")
        dialog = screen.app.screen
        assert isinstance(dialog, SaveDialog)
        changed = Input.Changed(dialog.query_one(Input), "x.csv")
        await screen.press("escape")
        dialog._renamed(changed)
        await screen.settle()
        assert screen.app.is_running
