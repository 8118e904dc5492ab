"""A failed exec as Markdown, for a ticket: what failed, why, where it was seen, and with which versions.

Values of the environment stay out of it, but for PATH: a ticket is read by many.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import Final

from execwhy.bpf.events.record import ExecFailure
from execwhy.bpf.events.source import Origin
from execwhy.tui.model.files.json_values import rfc3339
from execwhy.tui.model.files.shell_command import shell_command
from execwhy.tui.model.text.printable import printable

_FENCE: Final = "```"


def bug_report(shown: ExecFailure, origin: Origin, version: str) -> str:
    """The report, printable line by line.

    Args:
        shown: The record, its secrets masked already unless they are to be shown.
        origin: Where and how it was captured.
        version: Of this program.
    """
    diagnosis = shown.diagnosis
    brief = "no diagnosis" if diagnosis is None else diagnosis.brief or diagnosis.summary
    what = shown.killed_by or shown.error
    lines = [f"### {_text(what)}: {_text(shown.path or 'an unreadable path')}: {_text(brief)}", ""]
    if diagnosis is not None:
        lines += [_text(diagnosis.summary), ""]
        lines += [f"- {_text(evidence)}" for evidence in diagnosis.evidence]
        if diagnosis.advice is not None:
            lines.append(f"- To do: {_text(diagnosis.advice)}")
        if not diagnosis.certain and not diagnosis.names_its_doubt:
            lines.append("- Not certain.")
        lines += [f"- Cause: {_code(diagnosis.code)}", ""]
    lines += [f"- {label}: {value}" for label, value in _facts(shown)]
    lines += ["", *_command(shown), ""]
    lines += [f"- {label}: {value}" for label, value in _versions(shown, origin, version)]
    return "\n".join(lines) + "\n"


def _facts(shown: ExecFailure) -> Iterator[tuple[str, str]]:
    yield "When", rfc3339(shown.timestamp)
    by = [f"{shown.comm} {shown.pid}", *(f"{one.comm} {one.pid}" for one in shown.ancestors)]
    yield "By", _code(" ← ".join(by))
    yield "As", f"uid {shown.uid}, euid {shown.euid}, gid {shown.gid}"
    for label, value in (
        ("In", shown.cwd), ("Unit", shown.unit), ("Container", shown.container_id), ("Root", shown.root),
        ("Interpreter", shown.interpreter_path),
    ):  # fmt: skip
        if value is not None:
            yield label, _code(value)
    binary = shown.binary
    if binary is not None:
        mode = stat.filemode(binary.inode_mode)
        owner = "" if binary.uid is None else f", owned by {binary.uid}:{binary.gid}"
        yield (
            "File",
            f"{_code(binary.path or '?')}, {mode}{owner}, inode {binary.inode_number} on {binary.device}",
        )
    search = shown.search
    if search is not None:
        end = f"found {_code(search.found_path or '')}" if search.outcome == "found" else search.outcome
        yield "PATH search", f"{_code(search.name)}, {search.tries:,} tries, {end}"
    for variable in shown.environment:
        if variable is not None and variable.startswith("PATH="):
            yield "PATH", _code(variable.removeprefix("PATH="))
    yield "Returned", f"{shown.return_value} ({shown.error}) from {shown.syscall or 'the kernel itself'}"


def _command(shown: ExecFailure) -> Iterator[str]:
    """The command line without its environment, where there is one."""
    command = shell_command(shown, with_environment=False)
    if command is not None:
        yield f"{_FENCE}sh"
        # It is one line that begins with a parenthesis, so nothing in it can end the fence.
        yield command
        yield _FENCE


def _versions(shown: ExecFailure, origin: Origin, version: str) -> Iterator[tuple[str, str]]:
    yield "execwhy", f"{version}, plan {_text(origin.plan or 'unknown')}"
    yield "Kernel", _code(origin.kernel or "unknown")
    yield "Host", _code(shown.host or origin.host or "unknown")


def _text(text: str) -> str:
    """Text in which Markdown sees nothing: every character that it could act on is escaped."""
    return "".join(
        f"\\{character}" if character in r"\`*_{}[]<>#|~&" else character for character in printable(text)
    )


def _code(text: str) -> str:
    """Text as code: between more backticks than stand anywhere in it."""
    shown = printable(text)
    ticks = "`"
    while ticks in shown:
        ticks += "`"
    return f"{ticks} {shown} {ticks}" if "`" in shown else f"`{shown}`"
