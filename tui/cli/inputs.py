"""The files of ``--open``: checked before the screen covers the shell."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Final

from execwhy.tui.cli.complaints import CommandError
from execwhy.tui.cli.options import UsageError

WITHOUT_SCREEN: Final = "read the file with jq, as it is JSON Lines"
"""What to do with a recording if there is no terminal."""


def require_readable(path: str) -> None:
    """Raise ``CommandError`` for a file that cannot be read; reading may still fail later."""
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            raise CommandError(f"{path} is a directory: give the name of a snapshot or a recording in it.")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no name of a file"
        raise CommandError(f"{path} cannot be read ({reason}): check its name.") from None
    if not os.access(path, os.R_OK):
        raise CommandError(f"{path} cannot be read by this user: ask its owner, or open it as root.")


def require_distinct(paths: Sequence[str]) -> None:
    """Refuse one file under two names, because each of its events would be counted twice.

    Raises:
        UsageError: Two of them are the same file.
    """
    named: dict[tuple[int, int], str] = {}
    for path in paths:
        try:
            status = os.fstat(0) if path == "-" else os.stat(path)
        except OSError:
            continue
        file = status.st_dev, status.st_ino
        if file in named and stat.S_ISREG(status.st_mode):
            raise UsageError(f"--open: {named[file]} and {path} are the same file: leave one of them out.")
        named[file] = path


def data_descriptor(closed: frozenset[int]) -> int:
    """Move standard input to another descriptor, which is returned, and put the terminal in its place.

    Args:
        closed: Standard descriptors that were closed when the program started.

    Raises:
        UsageError: Standard input is the terminal itself, or was closed.
        CommandError: There is no terminal.
    """
    if 0 in closed:
        raise UsageError("--open - reads standard input, and that is closed: give it a file.")
    if os.isatty(0):
        raise UsageError("--open - reads standard input: give it a file, as in execwhy --open - < FILE.")
    data = os.dup(0)
    try:
        keyboard = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        raise CommandError(f"the screen needs a terminal: run execwhy in one, or {WITHOUT_SCREEN}.") from None
    os.dup2(keyboard, 0)
    os.close(keyboard)
    return data
