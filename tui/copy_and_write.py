"""What leaves the screen: to the clipboard, and to a file."""

from __future__ import annotations

import time

from tui import clipboard, sentences
from tui.live_screen import LiveScreen
from tui.model.snapshot import Header, default_name
from tui.screen_picture import svg_of
from tui.widgets.columns import row_text
from tui.widgets.copy_menu import CopyMenu
from tui.widgets.save_dialog import SaveDialog, Selection


class CopyAndWrite(LiveScreen):
    """A screen of which parts can be taken along."""

    def action_copy(self) -> None:
        """Ask as what, and put it into the terminal's clipboard."""
        if self._groups.display:
            self._copy(self._groups.text)
            return
        record, fact = self._under_cursor.record(self._body), self._under_cursor.fact(self._body)
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
        self.push_screen(SaveDialog(self._selection(), self._selection), self._written)

    def _selection(self) -> Selection:
        """What the filter shows at this moment."""
        if self._frozen_at is None:
            self.view.refresh()
            self._table.sync()
        status, now = self.source.status(), time.time_ns()
        header = Header(
            origin=status.origin,
            query=self.view.query.text,
            counters=status.counters,
            written=now,
            evicted=self.history.evicted,
        )
        screen, event_ids = self.screen_stack[0], self.view.with_tries()
        return Selection(
            history=self.history,
            event_ids=event_ids,
            failures=len(event_ids) - self.view.losses,
            rows=self.view.shown,
            repeats=self.view.counted - self.view.shown,
            missing=sentences.missing(status, self.view, self.history, self._behind(status)),
            header=header,
            show_secrets=self.show_secrets,
            default_name=default_name(status.origin.host, now),
            svg=lambda: svg_of(screen, "execwhy"),
        )

    def _written(self, said: str | None) -> None:
        if said is not None:
            self._say(said)
