"""A script whose first line asks env(1) for its interpreter: env succeeds, and its own exec is what fails."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from bpf.lookup import File
from bpf.record import Diagnosis, ExecFailure
from bpf.walk import Trail
from tui.why import suggestions, words
from tui.why.scene import Scene

_COMM_BYTES: Final = 15
"""TASK_COMM_LEN without its NUL."""

_MOST_WORDS: Final = 16
"""Words behind ``env -S`` among which the script's path is looked for."""

_PLAIN: Final = re.compile(r"[\w.+-]+")


@dataclass(frozen=True, slots=True)
class Script:
    """A script that asks env for a program: the file, its first line, and what that says after env."""

    file: File
    line: bytes
    argument: str


def may_be_scripts(record: ExecFailure) -> tuple[str, ...]:
    """The arguments that may be the script: those after which the process can have been named."""
    comm = os.fsencode(record.comm)
    words_ = (word for word in record.arguments[1:_MOST_WORDS] if word)
    return tuple(word for word in words_ if os.fsencode(os.path.basename(word))[:_COMM_BYTES] == comm)


def script_of(scene: Scene) -> Script | None:
    """The script for which env looks for a program, if that is what this exec is.

    The process is named after the script (begin_new_exec), and the script's path follows what env was told.
    """
    for word in may_be_scripts(scene.record):
        sight = scene.look(word)
        file = None if sight is None else sight.file
        line = None if file is None else file.shebang
        if file is None or line is None or os.path.basename(line.interpreter or "") != "env":
            continue
        if line.argument:
            return Script(file, line.line, line.argument)
    return None


def missing(scene: Scene, trail: Trail) -> Diagnosis | None:
    """ENOENT of what a script asks env for."""
    script = script_of(scene)
    if script is None:
        return None
    name = os.path.basename(trail.asked)
    shown, line = words.quoted(script.file.path), os.fsdecode(script.line)
    if " " in name and name == script.argument:
        return scene.diagnosis(
            "blank-in-env-argument",
            f"The script {shown} makes env look for one program named {words.quoted(name)}: the kernel passes"
            " all that follows env in the #! line as one word.",
            f"env looks for {words.quoted(name)} as one name",
            f"Its first line is {words.quoted(line)}.",
            advice=f"Let env split it: `sed -i '1s|env  *|env -S |' {words.shell(script.file.path)}`"
            f"{scene.elsewhere}.",
        )
    return scene.diagnosis(
        "missing-program-of-env",
        f"The script {shown} is to be run by {words.quoted(name)}, for which it asks env in its first line,"
        f" and {words.quoted(trail.path)} does not exist.",
        f"wanted by script {os.path.basename(script.file.path)}",
        f"Its first line is {words.quoted(line)}.",
        advice=_name_it(script, name, suggestions.for_missing(scene, trail)),
    )


def _name_it(script: Script, name: str, advice: str | None) -> str | None:
    """An advice that names a program, with the way to have the script ask for that."""
    found = None if advice is None else re.search(r"([^/\s]+)[.?]$", advice)
    if found is None or not _PLAIN.fullmatch(name) or not _PLAIN.fullmatch(found[1]) or found[1] == name:
        return advice
    change = f"sed -i '1s|{name}|{found[1]}|' {words.shell(script.file.path)}"
    return f"{advice} Then `{change}` names it in the script."
