"""Writes a snapshot in a thread, from events that are read on the event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.events.arrivals import Event
from execwhy.tui.model.files.json_lines import Header
from execwhy.tui.model.files.safe_file import SnapshotError
from execwhy.tui.model.files.snapshot import write, write_text
from execwhy.tui.model.history.store import History

_CHUNK: Final = 256
"""Events handed to the writer at a time: decoded in a few milliseconds, so keys are answered."""

_AHEAD: Final = 16
"""Chunks that may wait for the writer; bounds the memory of a large snapshot."""

_AT_ONCE: Final = 2048
"""Events that are read in one go: a small history could turn over before the writer has asked for them."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be written.

    Attributes:
        history: Where the events are; read from the event loop only.
        event_ids: Which, in time order.
        failures: How many of them are failed execs; the others are losses.
        rows: How many of these have a row of their own.
        repeats: How many share the row of the same failure; the rest are tries of the rows' searches.
        gone: How many more the view has that have left the history, and can no longer be written.
        missing: Sentences on events that arrived and cannot be in it; "" if there are none.
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


class GivenUp(SnapshotError):
    """The operator stopped it; the writer removes its temporary file."""


class Chunks:
    """A queue of lists of events, from the event loop to the thread that writes.

    Attributes:
        given: How many events were put in.
    """

    def __init__(self) -> None:
        self.given = 0
        self._queue: queue.Queue[list[Event] | None] = queue.Queue()
        self._given_up = threading.Event()

    @property
    def is_full(self) -> bool:
        """Enough waits for the writer."""
        return self._queue.qsize() >= _AHEAD

    def put(self, events: list[Event]) -> None:
        """Hand events over."""
        self.given += len(events)
        self._queue.put(events)

    def end(self) -> None:
        """Let the writer finish: no more events come."""
        self._queue.put(None)

    def give_up(self) -> None:
        """Let the writer fail, so that it leaves no file."""
        self._given_up.set()
        self._queue.put(None)

    @property
    def is_given_up(self) -> bool:
        """The writer is to fail."""
        return self._given_up.is_set()

    def events(self) -> Iterator[Event]:
        """Yield the events in the writer's thread."""
        while (events := self._queue.get()) is not None:
            if self._given_up.is_set():
                break
            yield from events
        if self._given_up.is_set():
            raise GivenUp("Esc stopped it: no snapshot was written.")


class Snapshot:
    """One snapshot while it is written.

    Args:
        selection: What is written.
        report: Called with the progress, in words.
    """

    def __init__(self, selection: Selection, report: Callable[[str], None]) -> None:
        self._selection = selection
        self._report = report
        self._chunks: Chunks | None = None

    def give_up(self) -> bool:
        """Have the writer stop; False if it was asked before, or writes what it cannot stop."""
        if self._chunks is None or self._chunks.is_given_up:
            return False
        self._chunks.give_up()
        return True

    async def write(self, path: str, overwrite: bool) -> str:
        """Write the selection, or for a name that ends in .svg the picture.

        Returns:
            What to say of the file.

        Raises:
            Existing: The file is there, and is not to be replaced.
            GivenUp: It was given up.
            SnapshotError: It cannot be written.
            OSError: The system refused it.
        """
        selection = self._selection
        if path.lower().endswith(".svg"):
            await asyncio.to_thread(write_text, path, selection.svg(), overwrite)
            return f"This screen is in {path}."
        if selection.gone and not selection.event_ids:
            raise SnapshotError(
                f"All {selection.gone:,} have left the history, so there is nothing to write: press Esc, "
                "then Space to see what is there now."
            )
        chunks = self._chunks = Chunks()
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
            # Nobody waits for the writer now; its error would count as a fault of the program.
            writer.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            raise
        count = await writer
        asked = len(selection.event_ids) + selection.gone
        gone = asked - chunks.given
        left_out = f" {gone:,} of {asked:,} had left the history." if gone else ""
        said = f"{execs(count)} {'is' if count == 1 else 'are'} in {path}.{left_out}"
        return f"{said} {selection.missing}".strip()

    async def _feed(self, chunks: Chunks, writer: asyncio.Task[int]) -> None:
        """Read the history on the event loop, which alone may touch it."""
        ids = self._selection.event_ids
        for start in range(0, len(ids), _CHUNK):
            while start >= _AT_ONCE and chunks.is_full and not writer.done():
                await asyncio.sleep(0.01)
            if writer.done() or chunks.is_given_up:
                return
            chunks.put(list(_held(self._selection.history, ids[start : start + _CHUNK])))
            if start + _CHUNK >= _AT_ONCE:
                self._report(f"Writing… {start:,} of {len(ids):,}   Esc stops it")
                await asyncio.sleep(0)
        chunks.end()


def execs(count: int) -> str:
    """Return "7 failed execs"."""
    return f"{count:,} failed {'exec' if count == 1 else 'execs'}"


def _held(history: History, event_ids: Iterable[int]) -> Iterator[Event]:
    for event_id in event_ids:
        try:
            yield history[event_id]
        except KeyError:
            continue
