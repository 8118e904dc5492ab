"""Asks where a snapshot shall be written, and writes it beside the event loop."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from execwhy.bpf.events.arrivals import Event
from execwhy.tui.faults.contained import Dialog
from execwhy.tui.model.files.json_lines import Header
from execwhy.tui.model.files.safe_file import Existing, SnapshotError
from execwhy.tui.model.files.snapshot import write, write_text
from execwhy.tui.model.history.store import History
from execwhy.tui.model.text.counted import counted
from execwhy.tui.model.text.printable import printable

_JSON_LINES: Final = frozenset({".jsonl", ".ndjson", ".json"})
"""Endings by which one expects them."""

_CHUNK: Final = 256
"""Events handed to the writer at a time: decoded in a few milliseconds, so keys are answered."""

_AHEAD: Final = 16
"""Chunks that may wait for the writer; bounds the memory of a large snapshot."""

_AT_ONCE: Final = 2048
"""Events that are read in one go: a small history could turn over before the writer has asked for them."""


_WAITS: Final = "Enter writes   Esc closes"
_WRITES: Final = "Esc stops it   q quits once it is written"
_WRITES_AND_QUITS: Final = "quits once it is written   Esc stops it   q quits without it"
_STOPS: Final = "Esc does not wait for it"
"""What the frame says, by what the keys do."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be written.

    Attributes:
        history: Where the events are; read from the event loop only.
        event_ids: Which, in time order.
        failures: How many of them are failed execs; the others are losses.
        rows: How many of these have a row of their own.
        repeats: How many are told by a row of one that is alike; the others are tries of the rows' searches.
        gone: How many more the view has that have left the history, so that they cannot be written.
        missing: What has come and cannot be in it, in sentences; "" for nothing.
        header: The file's first line.
        show_secrets: Nothing is masked.
        default_name: The name that is offered.
        svg: The screen below the dialog.
    """

    history: History
    event_ids: Sequence[int]
    failures: int
    rows: int
    repeats: int
    gone: int
    missing: str
    header: Header
    show_secrets: bool
    default_name: str
    svg: Callable[[], str]


class SaveDialog(Dialog[str | None]):
    """Dismissed with what to tell the operator, or None.

    Args:
        selection: What there is to write now.
        renewed: Returns what there is once a name was given; in a storm, all that there was may be gone then.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]

    def __init__(self, selection: Selection, renewed: Callable[[], Selection]) -> None:
        super().__init__()
        self._selection = selection
        self._renewed = renewed
        self._replace: str | None = None
        self._writing: asyncio.Task[None] | None = None
        self._chunks: _Chunks | None = None
        self.quits = False
        """The program is to end once the dialog has closed."""
        self._pane = Vertical(id="save-pane")
        # What is told may come after Esc has taken the dialog away: it is not looked for on the screen then.
        self._said = Static(_kind(selection.default_name), markup=False, id="save-said")

    def compose(self) -> ComposeResult:
        """The count, the name, and what is wrong."""
        query = self._selection.header.query
        what = _execs(self._selection.failures)
        if query:
            what += f" that {'matches' if self._selection.failures == 1 else 'match'} {printable(query)}"
        what += _parts(self._selection)
        if gone := self._selection.gone:
            what += f". {gone:,} of {gone + len(self._selection.event_ids):,} have left the history"
        if self._selection.missing:
            what += f". {self._selection.missing}"
        with self._pane as pane:
            pane.border_title = "write a snapshot"
            pane.border_subtitle = _WAITS
            yield Static(what, markup=False, id="save-what")
            yield Input(self._selection.default_name, compact=True, select_on_focus=False)
            yield self._said

    def on_mount(self) -> None:
        """Begin with the name."""
        self.query_one(Input).focus()

    @property
    def is_writing(self) -> bool:
        """What is typed meanwhile is not meant for the name."""
        return self._writing is not None and not self._writing.done()

    def _say(self, text: str, kind: str) -> None:
        self._said.update(printable(text))
        self._said.set_classes(kind)

    @on(Input.Changed)
    def _renamed(self, event: Input.Changed) -> None:
        self._replace = None
        self._say(_kind(event.value), "")

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        event.stop()
        path = event.value.strip()
        if not path:
            self._say("Type a name for the file, or press Esc.", "problem")
        elif _is_unknown(path):
            self._say(_kind(path), "problem")
        elif not self.is_writing:
            self._writing = asyncio.create_task(self._write(os.path.expanduser(path), self._replace == path))

    def quit_after(self) -> None:
        """Answer a key that quits: the first ends the program once the file is written, others at once."""
        if self.quits:
            self._stop()
            return
        self.quits = True
        self._pane.border_subtitle = _WRITES_AND_QUITS

    def action_cancel(self) -> None:
        """Close. A file that is half written is given up with its temporary name, and that is told.

        The second time it is not waited for: a disk may answer late, or never.
        """
        self.quits = False
        self._stop()

    def _stop(self) -> None:
        if self._writing is None or self._writing.done():
            self.dismiss(None)
        elif self._chunks is None or self._chunks.is_given_up:
            self._writing.cancel()
            self.dismiss("The snapshot was left while it was written: see whether the file is there.")
        else:
            self._chunks.give_up()
            self._say("Stopping…", "busy")
            self._pane.border_subtitle = _STOPS

    async def _write(self, path: str, overwrite: bool) -> None:
        self._say("Writing…", "busy")
        self._pane.border_subtitle = _WRITES
        self._chunks = None
        try:
            said = await self._written(path, overwrite)
        except _GivenUp as stopped:
            self.dismiss(str(stopped))
        except Existing:
            self._replace = path
            self._ask_again()
            self._say(f"{path} exists. Enter again replaces it, another name keeps it.", "question")
        except (SnapshotError, OSError) as error:
            self._ask_again()
            self._say(str(error), "problem")
        else:
            self.dismiss(said)

    def _ask_again(self) -> None:
        """Wait for another name; whoever wanted to quit behind the file does not have it."""
        self.quits = False
        self._pane.border_subtitle = _WAITS

    async def _written(self, path: str, overwrite: bool) -> str:
        selection = self._selection = self._renewed()
        if _ending(path) == ".svg":
            await asyncio.to_thread(write_text, path, selection.svg(), overwrite)
            return f"This screen is in {path}."
        if selection.gone and not selection.event_ids:
            raise SnapshotError(
                f"All {selection.gone:,} have left the history, so there is nothing to write: press Esc, "
                "then Space to see what is there now."
            )
        chunks = self._chunks = _Chunks()
        writer = asyncio.create_task(
            asyncio.to_thread(
                write, path, chunks.events(), selection.header,
                show_secrets=selection.show_secrets, overwrite=overwrite,
            )
        )  # fmt: skip
        try:
            await self._feed(chunks, writer)
        except BaseException:
            chunks.give_up()
            # Nobody waits for the writer any more; what it says in the end would be a fault of the program.
            writer.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            raise
        count = await writer
        asked = len(selection.event_ids) + selection.gone
        gone = asked - chunks.given
        left_out = f" {gone:,} of {asked:,} had left the history." if gone else ""
        said = f"{_execs(count)} {'is' if count == 1 else 'are'} in {path}.{left_out}"
        return f"{said} {selection.missing}".strip()

    async def _feed(self, chunks: _Chunks, writer: asyncio.Task[int]) -> None:
        """Read the history here, on the event loop, which alone may touch it."""
        ids = self._selection.event_ids
        for start in range(0, len(ids), _CHUNK):
            while start >= _AT_ONCE and chunks.is_full and not writer.done():
                await asyncio.sleep(0.01)
            if writer.done() or chunks.is_given_up:
                return
            chunks.put(list(_held(self._selection.history, ids[start : start + _CHUNK])))
            if start + _CHUNK >= _AT_ONCE:
                self._say(f"Writing… {start:,} of {len(ids):,}   Esc stops it", "busy")
                await asyncio.sleep(0)
        chunks.end()


def _ending(path: str) -> str:
    return os.path.splitext(path.strip())[1].lower()


def _kind(path: str) -> str:
    """What a file of this name will hold."""
    ending = _ending(path)
    if ending == ".csv":
        return "CSV, a line for each; .jsonl for all facts, .svg for this screen"
    if ending == ".svg":
        return "A picture of this screen; .jsonl or .csv for the failed execs"
    if ending in _JSON_LINES:
        return "JSON Lines; .csv for a table, .svg for this screen"
    what = f"No format has the ending {ending}" if ending else "The ending decides the format"
    return f"{what}: end the name in .jsonl, .csv or .svg (this screen)."


def _is_unknown(path: str) -> bool:
    return _ending(path) not in {*_JSON_LINES, ".csv", ".svg"}


def _execs(count: int) -> str:
    return f"{count:,} failed {'exec' if count == 1 else 'execs'}"


def _parts(selection: Selection) -> str:
    """What the failed execs are, where there are more of them than rows."""
    tries = selection.failures - selection.rows - selection.repeats
    counts = ((selection.rows, "row", "s"), (selection.repeats, "repeat", "s"))
    parts = [f"{count:,} {word}{many if count > 1 else ''}" for count, word, many in counts if count]
    if tries:
        parts.append(f"{counted(tries, 'more try', 'more tries')} of their searches")
    return f": {', '.join(parts)}" if selection.failures > selection.rows else ""


def _held(history: History, event_ids: Iterable[int]) -> Iterator[Event]:
    for event_id in event_ids:
        try:
            yield history[event_id]
        except KeyError:
            continue


class _GivenUp(SnapshotError):
    """The operator stopped it; the writer removes what it has begun."""


class _Chunks:
    """Hands lists of events from the event loop to the thread that writes."""

    def __init__(self) -> None:
        self.given = 0
        self._queue: queue.Queue[list[Event] | None] = queue.Queue()
        self._given_up = threading.Event()

    @property
    def is_full(self) -> bool:
        """Enough waits for the writer."""
        return self._queue.qsize() >= _AHEAD

    def put(self, events: list[Event]) -> None:
        """Hand over events."""
        self.given += len(events)
        self._queue.put(events)

    def end(self) -> None:
        """No more events come."""
        self._queue.put(None)

    def give_up(self) -> None:
        """Let the writer fail, so that it leaves no file."""
        self._given_up.set()
        self._queue.put(None)

    @property
    def is_given_up(self) -> bool:
        """The writer was told to fail."""
        return self._given_up.is_set()

    def events(self) -> Iterator[Event]:
        """The events, for the writer's thread."""
        while (events := self._queue.get()) is not None:
            if self._given_up.is_set():
                break
            yield from events
        if self._given_up.is_set():
            raise _GivenUp("Esc stopped it: no snapshot was written.")
