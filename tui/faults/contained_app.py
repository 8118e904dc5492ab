"""An app that survives faults of its parts; after a crash it writes its events to a file."""

from __future__ import annotations

import gc
import sys
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Any, Final

from textual.app import ComposeResult, ScreenStackError
from textual.await_complete import AwaitComplete
from textual.command import CommandList, CommandPalette
from textual.css.query import NoMatches
from textual.theme import ThemeProvider
from textual.worker import WorkerFailed

from execwhy.bpf.events.arrivals import Report
from execwhy.bpf.events.source import EventSource
from execwhy.tui.faults.contained import Contained, Faults
from execwhy.tui.faults.rescue import MOST_SECONDS, rescue
from execwhy.tui.model.history.store import History
from execwhy.tui.model.text.fault import crash_report, fault
from execwhy.tui.textual_private import FaultHooks, SafeCommandList, SafePalette, is_of_frame, skip_frame

_RESERVE: Final = 16 << 20
"""Bytes of address space that are released after a crash, so that there is room to write the events if it is
limited. They are never touched, so they take no memory."""

_NEXT_FRAME: Final = 1.0
"""Seconds until everything is drawn again after a frame failed."""

_WRITING: Final = (
    f"Writing the events in memory to a file, for at most {MOST_SECONDS:.0f} seconds; Ctrl-C ends that."
)


class _CommandList(Contained, SafeCommandList):
    """The palette's list."""


class _Palette(Contained, SafePalette):
    """The palette; like ``Dialog``, it is closed only once."""

    def compose(self) -> ComposeResult:
        """Compose the palette, with a list that survives its faults."""
        for part in super().compose():
            if type(part) is CommandList:
                part.__class__ = _CommandList
            yield part

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Close the palette if it is still open."""
        if not self.is_current:
            return AwaitComplete()
        return super().dismiss(result)


class ContainedApp(Contained, FaultHooks):
    """Catches the faults of its parts; after a crash it writes the events in memory to a file.

    Args:
        source: The source of events.
        history: The events in memory.
        show_secrets: Whether to mask nothing.
    """

    def __init__(self, source: EventSource, history: History, *, show_secrets: bool) -> None:
        super().__init__()
        self.source = source
        self.history = history
        self.show_secrets = show_secrets
        self.faults = Faults()
        """Faults of single parts of the screen."""
        self._reserve = mmap(-1, _RESERVE, MAP_PRIVATE | MAP_ANONYMOUS)
        self._late: Sequence[Report] | None = None

    @property
    def is_rescuing(self) -> bool:
        """Whether it has crashed and is writing the events in memory to a file."""
        return self._late is not None

    @abstractmethod
    def untaken(self) -> Sequence[Report]:
        """Return the reports that have arrived but are not in the history yet."""

    def run(self, **arguments: Any) -> None:  # noqa: ANN401
        """Run until the app ends; after a crash, write the events and print where they are."""
        try:
            super().run(**arguments)
        except Exception as error:
            self._crashed()
            self.set_exit_status(1)
            print(crash_report(error), file=sys.__stderr__)
        if self._late is not None:
            print(_WRITING, file=sys.__stderr__, flush=True)
            print(self.rescue(), file=sys.__stderr__, flush=True)

    def handle_fault(self, error: Exception) -> None:
        """Survive a worker that fails, such as the palette's, which may end after its list is gone.

        Survive a frame that cannot be laid out or painted, too: the next one may succeed.
        """
        failed = error.error if isinstance(error, WorkerFailed) else None
        if failed is None and is_of_frame(error):
            failed = error
            self._skip_frame()
        if isinstance(failed, Exception):
            try:
                if not isinstance(failed, NoMatches):
                    self.faults.caught(failed)
                return
            except Exception as again:
                error = again
        super().handle_fault(error)

    def _skip_frame(self) -> None:
        """Draw the whole screen a moment later, instead of failing on the same frame in a loop."""
        for screen in self.screen_stack:
            skip_frame(screen)
        self.set_timer(_NEXT_FRAME, self._draw_all)

    def _draw_all(self) -> None:
        if self.screen_stack:
            self.screen.refresh(layout=True)

    def report_crash(self) -> None:
        """Report a crash without local variables, which Textual would print: they hold others' arguments."""
        self._crashed()
        self.print_at_exit([crash_report(sys.exc_info()[1])])
        self.close_now()

    def _crashed(self) -> None:
        self._reserve.close()
        if self._late is None:
            self._late = ()
            with suppress(Exception):
                self._late = self.untaken()

    def rescue(self) -> str:
        """Write the events to a file, and return a sentence about it."""
        gc.collect()
        try:
            rescued = rescue(self.history, self.source, show_secrets=self.show_secrets, late=self._late or ())
        except Exception as error:
            return f"The events in memory could not be written to a file ({fault(error)})."
        return "There were no events in memory." if rescued is None else str(rescued)

    def report_faults(self) -> None:
        """Print the reports of the contained faults when the program ends."""
        self.print_at_exit(self.faults.reports.values())

    def action_command_palette(self) -> None:
        """Show the palette."""
        with suppress(ScreenStackError):
            if self.use_command_palette and not isinstance(self.screen, CommandPalette):
                self.push_screen(_Palette(id="--command-palette"))

    def search_themes(self) -> None:
        """Show the themes in the palette."""
        self.push_screen(_Palette(providers=[ThemeProvider], placeholder="Search for themes…"))
