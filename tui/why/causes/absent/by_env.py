"""A script whose first line asks env(1) for its interpreter: env runs, and its own exec fails."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Final

from execwhy.bpf.caller.lookup import File
from execwhy.bpf.caller.resolution import Resolution
from execwhy.bpf.events.record import Diagnosis, ExecFailure
from execwhy.tui.why.causes.absent import suggestions
from execwhy.tui.why.causes.format import shebang
from execwhy.tui.why.registry import Reading, cause
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.files import is_found
from execwhy.tui.why.scene.scene import Scene

_COMM_BYTES: Final = 15
"""TASK_COMM_LEN without its NUL."""

_MOST_WORDS: Final = 16
"""Words after ``env -S`` that may be the script's path."""

UNPROVEN: Final = (
    "That the process was started for that script follows only from its name and arguments, which any process"
    " can choose."
)


@dataclass(frozen=True, slots=True)
class Script:
    """A script that asks env for a program: its file, its first line, and the argument of env in it."""

    file: File
    line: bytes
    argument: str


def _may_be_scripts(record: ExecFailure) -> tuple[tuple[str, ...], str | None]:
    """Return the arguments that may be the script, and the directory where one of them begins, if any does.

    The process can have got its name from each of these.
    """
    comm = os.fsencode(record.comm)
    words_ = tuple(
        word
        for word in record.arguments[1:_MOST_WORDS]
        if word and os.fsencode(os.path.basename(word))[:_COMM_BYTES] == comm
    )
    is_relative = any(not word.startswith("/") for word in words_)
    return words_, record.cwd if is_relative else None


may_be_scripts: Final = Reading(_may_be_scripts, "cwd")


def script_of(scene: Scene) -> Script | None:
    """Return the script for which env may be looking for a program.

    The process is named after the script (begin_new_exec), and the script's path follows env's own arguments.
    That proves nothing: see ``UNPROVEN``.
    """
    for word in may_be_scripts(scene.record)[0]:
        resolved = scene.aside(word)
        file = None if resolved is None else resolved.file
        line = None if file is None else file.shebang
        if file is None or line is None or os.path.basename(line.interpreter or "") != "env":
            continue
        if line.argument:
            return Script(file, line.line, line.argument)
    return None


def name_with_cr(scene: Scene, resolution: Resolution) -> Diagnosis | None:
    """Report a name that ends in CR if the first line of a script may have passed it to env.

    Unlike ``missing`` this advises, in words, to change the script: its first line is seen to end in CR.
    """
    script, name = script_of(scene), os.path.basename(resolution.asked)
    if script is None or name not in (script.argument, script.argument.rpartition(" ")[2]):
        return None
    return scene.diagnosis(
        "name-ends-in-cr",
        f"{words.quoted(resolution.path)} does not exist; it seems that env looks for"
        f" {words.quoted(name)} to run"
        f" the script {words.quoted(script.file.path)}, whose first line ends in CR (a Windows line ending).",
        f"CR ends the #! line of {os.path.basename(script.file.path)}",
        f"Its first line is {words.quoted(os.fsdecode(script.line))}.",
        without_it(scene, resolution),
        advice=shebang.WITHOUT_CR,
        lacking=UNPROVEN,
    )


def without_it(scene: Scene, resolution: Resolution) -> str:
    """Return whether a path that ends in CR leads to something without it, as evidence."""
    plain = resolution.path.rstrip("\r")
    return f"{words.quoted(plain)} {'exists' if is_found(scene.aside(plain)) else 'does not exist either'}."


@cause(
    "missing-program-of-env",
    errno.ENOENT,
    manual="The first line of a script asks env(1) for a program that does not exist.",
    reads=(may_be_scripts, *suggestions.READS),
)
@cause(
    "blank-in-env-argument",
    errno.ENOENT,
    manual="The first line of a script has an option after the program that it asks env(1) for, and env"
    " takes both as one name.",
    reads=(may_be_scripts,),
)
def missing(scene: Scene, resolution: Resolution) -> Diagnosis | None:
    """Report a missing program that a script may have asked env for.

    This is only a possibility, and no change of the script is advised: any process can take that name and
    those arguments, for a script of another user.
    """
    script = script_of(scene)
    if script is None:
        return None
    name = os.path.basename(resolution.asked)
    shown, line = words.quoted(script.file.path), os.fsdecode(script.line)
    if " " in name and name == script.argument:
        return scene.diagnosis(
            "blank-in-env-argument",
            f"{words.quoted(resolution.path)} does not exist; it seems that env looks for one program named"
            f" {words.quoted(name)} for the script {shown}: the kernel passes all that follows env in the #!"
            " line as one word.",
            f"env looks for {words.quoted(name)} as one name",
            f"Its first line is {words.quoted(line)}.",
            advice="If so, let env split it: begin the line with #!/usr/bin/env -S.",
            lacking=UNPROVEN,
        )
    return scene.diagnosis(
        "missing-program-of-env",
        f"{words.quoted(resolution.path)} does not exist; it seems that env looks for"
        f" {words.quoted(name)} to run"
        f" the script {shown}, whose first line asks for it.",
        f"seems wanted by script {os.path.basename(script.file.path)}",
        f"Its first line is {words.quoted(line)}.",
        # Who calls env decides its name and arguments, and the script may be root's.
        advice=suggestions.for_missing(scene, resolution, roots_own=True),
        lacking=UNPROVEN,
    )
