"""What leaves the screen: to the clipboard, and to a file."""

from __future__ import annotations

import time

import numpy as np

from execwhy.tui.model.files.json_lines import Header
from execwhy.tui.model.files.snapshot import default_name
from execwhy.tui.screen import clipboard, sentences
from execwhy.tui.screen.live_screen import LiveScreen
from execwhy.tui.screen.screen_picture import svg_of
from execwhy.tui.widgets.dialogs.copy_menu import CopyMenu
from execwhy.tui.widgets.dialogs.save_dialog import SaveDialog, Selection
from execwhy.tui.widgets.events.columns import row_text


class CopyAndWrite(LiveScreen):
    """A screen of which parts can be taken along."""

    def action_copy(self) -> None:
        """Ask as what, and put it into the terminal's clipboard."""
        if self._groups.display:
            self._copy(self._groups.text)
            return
        record, fact = self._under_cursor.record(self._body), self._under_cursor.fact(self._body)
        if record is None and fact is None and self._under_cursor.is_evicted(self._body):
            self._say(sentences.EVICTED)
            return
        if record is None:
            self._copy(fact)
            return
        first = ("y", "the row" if fact is None else "this fact", row_text(record) if fact is None else fact)

        def copy(key: str | None) -> None:
            try:
                if key == "y":
                    self._copy(first[2])
                elif key is not None:
                    origin = self.source.status().origin
                    self._copy(clipboard.copy_of(key, record, origin, show_secrets=self.show_secrets))
            except clipboard.NothingToCopy as problem:
                self._say(str(problem))

        self.push_screen(CopyMenu([first, *clipboard.CHOICES]), copy)

    def _copy(self, text: str | None) -> None:
        if text is None:
            self._say("There is nothing to copy here.")
            return
        try:
            clipboard.check_size(text)
        except clipboard.NothingToCopy as problem:
            self._say(str(problem))
            return
        self.copy_to_clipboard(text)
        self._say(sentences.copied(in_tmux=self._warns_of_tmux))
        self._warns_of_tmux = False

    def action_write(self) -> None:
        """Ask where to write what the filter shows."""
        dialog = SaveDialog(self._selection(), self._selection)

        def written(said: str | None) -> None:
            if said is not None:
                self._say(said)
            if dialog.quits:
                self._leave()

        self.push_screen(dialog, written)

    def _selection(self) -> Selection:
        """What the filter shows at this moment."""
        if self._frozen_at is None:
            self.view.refresh()
            self._table.sync()
        status, now = self._source_status(), time.time_ns()
        header = Header(
            origin=status.origin,
            query=self.view.query.text,
            counters=status.counters,
            written=now,
            evicted=self.history.evicted,
        )
        screen, selected = self.screen_stack[0], np.array(self.view.with_tries(), np.int64)
        # A frozen view still has rows of what was evicted meanwhile, which nobody can write any more.
        event_ids = selected[self.history.holds(selected)].tolist()
        evicted_rows, evicted = self.view.evicted()
        rows, counted = self.view.shown - evicted_rows, self.view.counted - evicted
        return Selection(
            history=self.history,
            event_ids=event_ids,
            failures=len(event_ids) - self._losses_among(event_ids),
            rows=rows,
            repeats=counted - rows,
            gone=len(selected) - len(event_ids),
            missing=sentences.missing(status, self.view, self.history, self._behind(status)),
            header=header,
            show_secrets=self.show_secrets,
            default_name=default_name(status.origin.host, now),
            svg=lambda: svg_of(screen, "execwhy"),
        )

    def _losses_among(self, event_ids: list[int]) -> int:
        wanted = set(event_ids)
        return sum(block.id_of(at) in wanted for block in self.history.blocks for at in block.losses)
