"""A failed exec as a command line that tries the same exec again.

Every word came from a process, and is pasted into a shell, often as root. So each word is quoted
(``shell_word``): it means nothing special to a Bourne shell, ends no line, and cannot become an option or an
assignment.
"""

from __future__ import annotations

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.text.secret_words import MASK
from execwhy.tui.model.text.shell_word import quoted


def shell_command(shown: ExecFailure, *, with_environment: bool = True) -> str | None:
    """Return one line, without a newline, for a Bourne shell; None if no shell could name the file.

    What the command line cannot reproduce is noted first, as an argument of ``:``, which does nothing.

    Args:
        shown: The record, with its secrets already masked unless they are to be shown.
        with_environment: Whether to run it in the record's environment instead of that of the shell.
    """
    program = _program(shown)
    if program is None:
        return None
    words = ["env", "-i"] if with_environment else ["env"]
    # Without this, a variable named "-u" or "--split-string" would be an option of env.
    words.append("--")
    if with_environment:
        words += [variable for variable in shown.environment if variable is not None and "=" in variable]
    if "=" in program or program == "-":
        # env would take such a name for another variable, or for an old option of its own.
        words += ["/bin/sh", "-c", 'exec "$0" "$@"']
    words += [program, *(argument for argument in shown.arguments[1:] if argument is not None)]
    command = " ".join(map(quoted, words))
    if shown.cwd is not None:
        command = f"cd -- {quoted(shown.cwd)} && {command}"
    said = "".join(f": {quoted(note)}; " for note in _notes(shown))
    return f"({said}{command})"


def _program(shown: ExecFailure) -> str | None:
    if shown.search is not None and not shown.search.folded and _is_searched(shown):
        return shown.search.name
    path = shown.path
    if not path or (shown.dirfd is not None and not path.startswith("/") and shown.dirfd >= 0):
        # The descriptor that the path is relative to is gone, but the file may be known.
        path = None if shown.binary is None else shown.binary.path
    if not path:
        return None
    # Without a slash, env would search PATH, which the exec did not do.
    return path if "/" in path else f"./{path}"


def _is_searched(shown: ExecFailure) -> bool:
    """Return whether env can search as the program did, because PATH is known."""
    return any(variable is not None and variable.startswith("PATH=") for variable in shown.environment)


def _notes(shown: ExecFailure) -> list[str]:
    """Return notes about what the command line cannot reproduce."""
    notes = []
    if shown.uid or shown.euid:
        ids = f"uid {shown.uid}" + (f", euid {shown.euid}" if shown.euid != shown.uid else "")
        notes.append(f"it failed for {ids}, gid {shown.gid}")
    if shown.container_id is not None:
        notes.append(f"in container {shown.container_id[:12]}")
    if shown.root is not None:
        notes.append(f"in the root directory {shown.root}")
    first = shown.arguments[0] if shown.arguments else None
    if not shown.arguments:
        notes.append("without any argument, not even the zeroth")
    elif first is not None and first != shown.path:
        notes.append(f"argument 0 was {first}")
    if shown.arguments_source == "unreadable":
        notes.append("its arguments could not be read")
    elif None in shown.arguments or shown.truncated.arguments:
        notes.append("some arguments are missing")
    if None in shown.environment or shown.truncated.environment:
        notes.append("some variables are missing")
    if any(variable is not None and "=" not in variable for variable in shown.environment):
        notes.append("variables that env cannot set are left out")
    if any(text is not None and MASK in text for text in (*shown.arguments, *shown.environment)):
        notes.append("secrets are masked")
    return notes
