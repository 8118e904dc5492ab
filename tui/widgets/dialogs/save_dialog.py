"""Asks for the name of a snapshot, and shows how writing it goes on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from execwhy.tui.faults.contained import Dialog
from execwhy.tui.model.files.safe_file import Existing, SnapshotError
from execwhy.tui.model.text.counted import counted
from execwhy.tui.model.text.printable import printable
from execwhy.tui.widgets.dialogs.snapshot_writer import GivenUp, Selection, Snapshot, execs

_JSON_LINES: Final = frozenset({".jsonl", ".ndjson", ".json"})
"""Endings that stand for JSON Lines."""

_WAITS: Final = "Enter writes   Esc closes"
_WRITES: Final = "Esc stops it   q quits once it is written"
_WRITES_AND_QUITS: Final = "quits once it is written   Esc stops it   q quits without it"
_STOPS: Final = "Esc does not wait for it"
"""What the frame says about the keys."""


class SaveDialog(Dialog[str | None]):
    """Asks for a name; dismissed with what to say to the operator, or None.

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
        self._snapshot: Snapshot | None = None
        self.quits = False
        """The program is to end once the dialog has closed."""
        self._pane = Vertical(id="save-pane")
        # Progress may come after Esc has closed the dialog, when this is no longer on the screen.
        self._said = Static(_kind(selection.default_name), markup=False, id="save-said")

    def compose(self) -> ComposeResult:
        """Yield the count, the name, and what is wrong."""
        query = self._selection.header.query
        what = execs(self._selection.failures)
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
        """Focus the name."""
        self.query_one(Input).focus()

    @property
    def is_writing(self) -> bool:
        """A file is being written; what is typed meanwhile is not meant for the name."""
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
        """Close. A file that is half written is given up with its temporary name, and the screen says so.

        The second time it is not waited for: a disk may answer late, or never.
        """
        self.quits = False
        self._stop()

    def _stop(self) -> None:
        if self._writing is None or self._writing.done():
            self.dismiss(None)
        elif self._snapshot is not None and self._snapshot.give_up():
            self._say("Stopping…", "busy")
            self._pane.border_subtitle = _STOPS
        else:
            self._writing.cancel()
            self.dismiss("The snapshot was left while it was written: see whether the file is there.")

    async def _write(self, path: str, overwrite: bool) -> None:
        self._say("Writing…", "busy")
        self._pane.border_subtitle = _WRITES
        self._snapshot = None
        try:
            self._selection = self._renewed()
            self._snapshot = Snapshot(self._selection, lambda words: self._say(words, "busy"))
            said = await self._snapshot.write(path, overwrite)
        except GivenUp as stopped:
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
        """Wait for another name; a file to quit after has not been written."""
        self.quits = False
        self._pane.border_subtitle = _WAITS


def _ending(path: str) -> str:
    return os.path.splitext(path.strip())[1].lower()


def _kind(path: str) -> str:
    """Say what a file of this name will hold."""
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


def _parts(selection: Selection) -> str:
    """Say what the failed execs are if there are more of them than rows."""
    tries = selection.failures - selection.rows - selection.repeats
    counts = ((selection.rows, "row", "s"), (selection.repeats, "repeat", "s"))
    parts = [f"{count:,} {word}{many if count > 1 else ''}" for count, word, many in counts if count]
    if tries:
        parts.append(f"{counted(tries, 'more try', 'more tries')} of their searches")
    return f": {', '.join(parts)}" if selection.failures > selection.rows else ""
