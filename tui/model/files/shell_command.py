"""A failed exec as a command line that tries the same again.

Everything in it came from a process, and whoever pastes it runs a shell, mostly as root: each word is
quoted (``shell_word``) so that no shell of the Bourne family sees anything in it, no line is ended, and no
word can be taken for an option or an assignment that it was not.
"""

from __future__ import annotations

from execwhy.bpf.events.record import ExecFailure
from execwhy.tui.model.text.secret_words import MASK
from execwhy.tui.model.text.shell_word import quoted


def shell_command(shown: ExecFailure, *, with_environment: bool = True) -> str | None:
    """One line, without an end of line, that a Bourne shell runs; None where no shell could name the file.

    What could not be told in it is said first, by ``:``, which does nothing.

    Args:
        shown: The record, its secrets masked already unless they are to be shown.
        with_environment: It runs in the record's environment, else in that of the shell.
    """
    program = _program(shown)
    if program is None:
        return None
    words = ["env", "-i"] if with_environment else ["env"]
    # Without it a variable called "-u" or "--split-string" would be an option of env.
    words.append("--")
    if with_environment:
        words += [variable for variable in shown.environment if variable is not None and "=" in variable]
    if "=" in program or program == "-":
        # env would take such a name for one more variable, or for its own old option.
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
        # The descriptor that it is relative to is gone; the file that it led to may be known.
        path = None if shown.binary is None else shown.binary.path
    if not path:
        return None
    # Without a slash env would search PATH, which the exec did not.
    return path if "/" in path else f"./{path}"


def _is_searched(shown: ExecFailure) -> bool:
    """Whether env can search as the program did: along a PATH that is known."""
    return any(variable is not None and variable.startswith("PATH=") for variable in shown.environment)


def _notes(shown: ExecFailure) -> list[str]:
    """What the command line cannot have as it was."""
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
        notes.append("what env cannot set of its environment is left out")
    if any(text is not None and MASK in text for text in (*shown.arguments, *shown.environment)):
        notes.append("secrets are masked")
    return notes
