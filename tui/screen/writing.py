"""Writing what is shown to a file: what there is to write, and the dialog that writes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from textual.screen import Screen

from execwhy.tui.model.files.json_lines import Header
from execwhy.tui.model.files.snapshot import default_name
from execwhy.tui.model.history.store import History
from execwhy.tui.model.view.view import View
from execwhy.tui.screen import sentences
from execwhy.tui.screen.live.intake import Intake
from execwhy.tui.screen.live.view_control import ViewControl
from execwhy.tui.widgets.dialogs.save_dialog import SaveDialog
from execwhy.tui.widgets.dialogs.snapshot_writer import Selection


class Dialogs(Protocol):
    """What shows dialogs: an app."""

    @property
    def screen_stack(self) -> list[Screen[object]]:
        """Return the screens, the topmost last; none while the app starts or ends."""

    def push_screen(self, screen: SaveDialog, callback: Callable[[str | None], None]) -> object:
        """Show a dialog, and call back once it is closed."""


class Shown:
    """What the filter shows, to be written.

    Args:
        intake: The source's state.
        history: Where the events are.
        view: Which of them are shown.
        control: Processes the events that have arrived.
        show_secrets: Nothing is masked.
        picture: Returns the screen as SVG.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        history: History,
        view: View,
        control: ViewControl,
        show_secrets: bool,
        picture: Callable[[], str],
    ) -> None:
        self._intake = intake
        self._history = history
        self._view = view
        self._control = control
        self._show_secrets = show_secrets
        self._picture = picture

    def selection(self) -> Selection:
        """Return what the filter shows at this moment."""
        self._control.catch_up()
        status, now = self._intake.status(), time.time_ns()
        view, history = self._view, self._history
        header = Header(
            origin=status.origin,
            query=view.query.text,
            counters=status.counters,
            written=now,
            evicted=history.evicted,
        )
        selected = np.array(view.with_tries(), np.int64)
        # A frozen view still has rows of events evicted meanwhile, which can no longer be written.
        event_ids = selected[history.holds(selected)].tolist()
        evicted_rows, evicted = view.evicted()
        rows, counted = view.shown - evicted_rows, view.counted - evicted
        return Selection(
            history=history,
            event_ids=event_ids,
            failures=len(event_ids) - self._losses_among(event_ids),
            rows=rows,
            repeats=counted - rows,
            gone=len(selected) - len(event_ids),
            missing=sentences.missing(status, view, history, self._intake.behind(status)),
            header=header,
            show_secrets=self._show_secrets,
            default_name=default_name(status.origin.host, now),
            svg=self._picture,
        )

    def _losses_among(self, event_ids: list[int]) -> int:
        wanted = set(event_ids)
        return sum(block.id_of(at) in wanted for block in self._history.blocks for at in block.losses)


class Writing:
    """Asks where to write, and knows whether a file is being written.

    Args:
        dialogs: Shows the dialog.
        selection: Returns what there is to write.
        say: Says what became of it.
        leave: Leaves the screen.
    """

    def __init__(
        self,
        dialogs: Dialogs,
        selection: Callable[[], Selection],
        say: Callable[[str], None],
        leave: Callable[[], None],
    ) -> None:
        self._dialogs = dialogs
        self._selection = selection
        self._say = say
        self._leave = leave

    def ask(self) -> None:
        """Ask for a name, and write."""
        dialog = SaveDialog(self._selection(), self._selection)

        def closed(said: str | None) -> None:
            if said is not None:
                self._say(said)
            if dialog.quits:
                self._leave()

        self._dialogs.push_screen(dialog, closed)

    def is_under_way(self) -> bool:
        """Return whether a file is being written: keys wait for that."""
        return self._writer() is not None

    def quit_after(self) -> bool:
        """Leave a key that quits to the dialog that writes, which answers at once; False if none does."""
        writer = self._writer()
        if writer is not None:
            writer.quit_after()
        return writer is not None

    def _writer(self) -> SaveDialog | None:
        stack = self._dialogs.screen_stack
        top = stack[-1] if stack else None
        return top if isinstance(top, SaveDialog) and top.is_writing else None
