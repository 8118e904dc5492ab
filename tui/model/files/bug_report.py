"""A failed exec as Markdown for a bug report: what failed, why, where it was seen, and the versions.

It contains no values of the environment except PATH, because many people read a bug report.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import Origin
from execwhy.tui.model.files.json_values import rfc3339
from execwhy.tui.model.files.shell_command import shell_command
from execwhy.tui.model.text.counted import counted
from execwhy.tui.model.text.printable import printable

_FENCE: Final = "```"


@dataclass(frozen=True, slots=True)
class Names:
    """Functions that return the name of a user or a group; None if an id has no name here."""

    user: Callable[[int], str | None] = lambda _uid: None
    group: Callable[[int], str | None] = lambda _gid: None


def bug_report(shown: ExecFailure, origin: Origin, version: str, names: Names | None = None) -> str:
    """Return the report, whose lines are printable.

    Args:
        shown: The record, with its secrets already masked unless they are to be shown.
        origin: Where and how it was captured.
        version: The version of this program.
        names: The users and groups of the host where it was captured; None if they are not known.
    """
    names = names or Names()
    diagnosis = shown.diagnosis
    brief = "no diagnosis" if diagnosis is None else diagnosis.brief or diagnosis.summary
    what = shown.killed_by or shown.error
    lines = [f"### {_text(what)}: {_text(shown.path or 'an unreadable path')}: {_text(brief)}", ""]
    if diagnosis is not None:
        lines += [_sentence(diagnosis.summary), ""]
        lines += [f"- {_sentence(evidence)}" for evidence in diagnosis.evidence]
        if diagnosis.advice is not None:
            lines.append(f"- To do: {_sentence(diagnosis.advice)}")
        if not diagnosis.certain and not diagnosis.names_its_doubt:
            lines.append("- Not certain.")
        lines += [f"- Cause: {_code(diagnosis.code)}", ""]
    lines += [f"- {label}: {value}" for label, value in _facts(shown, names)]
    lines += ["", *_command(shown), ""]
    lines += [f"- {label}: {value}" for label, value in _versions(shown, origin, version)]
    return "\n".join(lines) + "\n"


def _facts(shown: ExecFailure, names: Names) -> Iterator[tuple[str, str]]:
    yield "When", rfc3339(shown.timestamp)
    by = [f"{shown.comm} {shown.pid}", *(f"{one.comm} {one.pid}" for one in shown.ancestors)]
    yield "By", _code(" ← ".join(by))
    uid, euid = (_named(number, names.user(number)) for number in (shown.uid, shown.euid))
    yield "As", f"uid {uid}, euid {euid}, gid {_named(shown.gid, names.group(shown.gid))}"
    for label, value in (
        ("In", shown.cwd), ("Unit", shown.unit), ("Container", shown.container_id), ("Root", shown.root),
        ("Interpreter", shown.interpreter_path),
    ):  # fmt: skip
        if value is not None:
            yield label, _code(value)
    binary = shown.binary
    if binary is not None:
        mode = stat.filemode(binary.inode_mode)
        owner = "" if binary.uid is None else f", owned by {_owner(binary.uid, binary.gid, names)}"
        yield (
            "File",
            f"{_code(binary.path or '?')}, {mode}{owner}, inode {binary.inode_number} on {binary.device}",
        )
    search = shown.search
    if search is not None:
        end = f"found {_code(search.found_path or '')}" if search.outcome == "found" else search.outcome
        yield "PATH search", f"{_code(search.name)}, {counted(search.tries, 'try', 'tries')}, {end}"
    for variable in shown.environment:
        if variable is not None and variable.startswith("PATH="):
            yield "PATH", _code(variable.removeprefix("PATH="))
    yield "Returned", f"{shown.return_value} ({shown.error}) from {shown.syscall or 'the kernel itself'}"


def _command(shown: ExecFailure) -> Iterator[str]:
    """Yield the command line without its environment, if there is one."""
    command = shell_command(shown, with_environment=False)
    if command is not None:
        yield f"{_FENCE}sh"
        # One line that begins with a parenthesis cannot end the fence.
        yield command
        yield _FENCE


def _versions(shown: ExecFailure, origin: Origin, version: str) -> Iterator[tuple[str, str]]:
    yield "execwhy", f"{version}, plan {_text(origin.plan or 'unknown')}"
    yield "Kernel", _code(origin.kernel or "unknown")
    yield "Host", _code(shown.host or origin.host or "unknown")


def _named(number: int, name: str | None) -> str:
    return str(number) if name is None else f"{number} ({_text(name)})"


def _owner(uid: int, gid: int | None, names: Names) -> str:
    return f"{_named(uid, names.user(uid))}:{'?' if gid is None else _named(gid, names.group(gid))}"


def _sentence(text: str) -> str:
    """Return a sentence with its commands, which are between backquotes, as code, and the rest as text."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        # The last backquote has no partner: it is an ordinary character.
        parts[-2:] = ["`".join(parts[-2:])]
    written = ""
    for index, part in enumerate(parts):
        if index % 2 == 0:
            # Two adjacent pieces of code need a blank between them to remain two.
            written += _text(part) or (" " if 0 < index < len(parts) - 1 else "")
        else:
            written += _code(part) if part.strip() else _text(f"`{part}`")
    return written


def _text(text: str) -> str:
    """Return text that is printable and in which every character with a meaning in Markdown is escaped."""
    return "".join(
        f"\\{character}" if character in r"\`*_{}[]<>#|~&" else character for character in printable(text)
    )


def _code(text: str) -> str:
    """Return text as code, between more backticks than it contains anywhere."""
    shown = printable(text)
    ticks = "`"
    while ticks in shown:
        ticks += "`"
    return f"{ticks} {shown} {ticks}" if "`" in shown else f"`{shown}`"
