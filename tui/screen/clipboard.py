"""The clipboard: in which forms an event can be copied, and copying it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import EventSource, Origin
from execwhy.tui.model.files.bug_report import Names, bug_report
from execwhy.tui.model.files.json_lines import event_line
from execwhy.tui.model.files.shell_command import shell_command
from execwhy.tui.screen import sentences
from execwhy.tui.screen.under_cursor import UnderCursor
from execwhy.tui.widgets.body import Body
from execwhy.tui.widgets.dialogs.copy_menu import Choice
from execwhy.tui.widgets.events.columns import row_text
from execwhy.tui.widgets.groups.group_pane import GroupPane
from execwhy.tui.widgets.painting.accounts import group_name, user_name

MOST_BYTES: Final = 74_994
"""What terminals take by OSC 52: a sequence of 100,000 bytes holds three quarters of that, in base64."""

CHOICES: Final[tuple[Choice, ...]] = (
    ("j", "JSON", "one line, as in a recording"),
    ("s", "a shell command", "quoted, with its environment"),
    ("b", "a bug report", "Markdown: the cause, its evidence, versions"),
)


class NothingToCopy(Exception):
    """It cannot be copied; ``str()`` is a sentence that says what to do instead."""


def copy_of(key: str, shown: ExecFailure, origin: Origin, *, show_secrets: bool) -> str:
    """Return an event in the form of a choice; ASCII or printable, so that pasting it does nothing else.

    Args:
        key: A key of ``CHOICES``; any other stands for the row.
        shown: The record, its secrets masked unless they are to be shown.
        origin: Where it was captured.
        show_secrets: Nothing is masked.

    Raises:
        NothingToCopy: No shell could run it.
    """
    if key == "j":
        return event_line(shown, show_secrets=show_secrets).rstrip("\n")
    if key == "s":
        command = shell_command(shown)
        if command is None:
            raise NothingToCopy("A shell cannot name what was to be executed: copy it as JSON.")
        return command
    if key == "b":
        return bug_report(shown, origin, _version(), Names(user_name, group_name))
    return row_text(shown)


def check_size(text: str) -> None:
    """Refuse a text that a terminal would cut or ignore.

    Raises:
        NothingToCopy: The text is too long.
    """
    size = len(text.encode())
    if size > MOST_BYTES:
        raise NothingToCopy(
            f"That is {size:,} bytes, and terminals take {MOST_BYTES:,}: write it to a file with w."
        )


class Copier:
    """Copies what the cursor is on.

    Args:
        under_cursor: What the cursor is on, in table and detail.
        body: Table and detail.
        groups: The groups; while they are shown, the cursor is on one of them.
        source: Where the events come from.
        show_secrets: Nothing is masked.
        ask: Shows choices, and calls back with the key of one, or with None.
        put: Puts a text into the terminal's clipboard.
        say: Says what became of it.
        in_tmux: The first time, say what tmux needs.
    """

    def __init__(
        self,
        *,
        under_cursor: UnderCursor,
        body: Body,
        groups: GroupPane,
        source: EventSource,
        show_secrets: bool,
        ask: Callable[[Sequence[Choice], Callable[[str | None], None]], object],
        put: Callable[[str], None],
        say: Callable[[str], None],
        in_tmux: bool,
    ) -> None:
        self._under_cursor = under_cursor
        self._body = body
        self._groups = groups
        self._source = source
        self._show_secrets = show_secrets
        self._ask = ask
        self._put = put
        self._say = say
        self._warns_of_tmux = in_tmux

    def copy(self) -> None:
        """Ask in which form, and copy; a group and a lone fact have one form only."""
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

        def chosen(key: str | None) -> None:
            try:
                if key == "y":
                    self._copy(first[2])
                elif key is not None:
                    origin = self._source.status().origin
                    self._copy(copy_of(key, record, origin, show_secrets=self._show_secrets))
            except NothingToCopy as problem:
                self._say(str(problem))

        self._ask([first, *CHOICES], chosen)

    def _copy(self, text: str | None) -> None:
        if text is None:
            self._say("There is nothing to copy here.")
            return
        try:
            check_size(text)
        except NothingToCopy as problem:
            self._say(str(problem))
            return
        self._put(text)
        self._say(sentences.copied(in_tmux=self._warns_of_tmux))
        self._warns_of_tmux = False


def _version() -> str:
    try:
        return version("execwhy")
    except PackageNotFoundError:
        return "unknown"
