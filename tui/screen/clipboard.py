"""What of an event can be copied, and as what."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import Origin
from execwhy.tui.model.files.bug_report import Names, bug_report
from execwhy.tui.model.files.json_lines import event_line
from execwhy.tui.model.files.shell_command import shell_command
from execwhy.tui.widgets.dialogs.copy_menu import Choice
from execwhy.tui.widgets.events.columns import row_text
from execwhy.tui.widgets.painting.accounts import group_name, user_name

MOST_BYTES: Final = 74_994
"""What terminals take by OSC 52: a sequence of 100,000 bytes, of which base64 makes a third."""

CHOICES: Final[tuple[Choice, ...]] = (
    ("j", "JSON", "one line, as in a recording"),
    ("s", "a shell command", "quoted, with its environment"),
    ("b", "a bug report", "Markdown: the cause, its evidence, versions"),
)


class NothingToCopy(Exception):
    """It cannot be copied; ``str()`` is one sentence that says what to do."""


def copy_of(key: str, shown: ExecFailure, origin: Origin, *, show_secrets: bool) -> str:
    """The event as the choice of that key; ASCII or printable, so that pasting it does nothing else.

    Args:
        key: Of ``CHOICES``; any other is the row.
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
    """Refuse what a terminal would cut or ignore.

    Raises:
        NothingToCopy: It is too long.
    """
    size = len(text.encode())
    if size > MOST_BYTES:
        raise NothingToCopy(
            f"That is {size:,} bytes, and terminals take {MOST_BYTES:,}: write it to a file with w."
        )


def _version() -> str:
    try:
        return version("execwhy")
    except PackageNotFoundError:
        return "unknown"
