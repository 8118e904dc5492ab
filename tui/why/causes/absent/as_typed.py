"""A path as one types it in a shell, which the kernel takes literally: ~, $HOME, quotes, arguments."""

from __future__ import annotations

import errno
import re
import stat
from typing import Final

from execwhy.bpf.caller.resolution import Resolution
from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.registry import cause
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.scene import Scene

_VARIABLE: Final = re.compile(r"\$(?:\w+|\{\w+\})")
_BEGINNING: Final = re.compile(rf"(?:\A|(?<=[/=])){_VARIABLE.pattern}")
"""A variable where variables usually stand: at the beginning of a component or of a value."""

_QUOTES: Final = "\"'`"
_MOST_BLANKS: Final = 8
"""Blanks in a path that are tried as the end of the program."""


def missing(scene: Scene, resolution: Resolution) -> Diagnosis | None:
    """Find what only a shell would have made a path of (ENOENT)."""
    return (
        _not_expanded(scene, resolution) or _quoted(scene, resolution) or _with_arguments(scene, resolution)
    )


@cause(
    "not-expanded",
    errno.ENOENT,
    manual="The path contains ~ or a variable such as $HOME, which only a shell expands.",
)
def _not_expanded(scene: Scene, resolution: Resolution) -> Diagnosis | None:
    asked = resolution.asked
    tilde = asked.startswith("~")
    found = None if tilde else _BEGINNING.search(asked)
    if (not tilde and found is None) or not asked.isprintable():
        # Any name can contain such a sign, and nobody types one with control characters.
        return None
    what = "~" if found is None else found[0]
    meant = "the home directory" if found is None else "its value"
    return scene.diagnosis(
        "not-expanded",
        f"The path {words.quoted(asked)} has {what} in it, which only a shell replaces by {meant}; the kernel"
        " takes it literally.",
        f"{what} was not expanded",
        advice=f"Write {meant} itself.",
    )


def hint(resolution: Resolution) -> tuple[str, ...]:
    """Say that a name seems to contain a variable, though nothing proves that one was meant."""
    found = _VARIABLE.search(resolution.asked)
    if found is None:
        return ()
    return (f"{found[0]} may be meant as a variable, which only a shell replaces by its value.",)


@cause("quotes-in-path", errno.ENOENT, manual="The path begins with a quotation mark.")
def _quoted(scene: Scene, resolution: Resolution) -> Diagnosis | None:
    asked = resolution.asked
    if asked[:1] not in _QUOTES or not asked:
        return None
    return scene.diagnosis(
        "quotes-in-path",
        f"The path begins with a quotation mark ({asked[0]}), which is part of the name: no shell removes"
        " it.",
        f"a quotation mark ({asked[0]}) in the path",
        f"The path is {asked}",
        advice="Leave out the quotation marks.",
    )


@cause("arguments-in-path", errno.ENOENT, manual="The path consists of a program and its arguments.")
@cause("blank-in-path", errno.ENOENT, manual="The path is that of a program, followed by a blank.")
def _with_arguments(scene: Scene, resolution: Resolution) -> Diagnosis | None:
    """Find a program that exists, followed in the path by a blank and perhaps by arguments."""
    asked = resolution.asked
    blanks = [at for at, letter in enumerate(asked) if at and letter.isspace() and letter not in "\r\n"][
        :_MOST_BLANKS
    ]
    for at in blanks:
        resolved = scene.look(asked[:at])
        file = None if resolved is None else resolved.file
        if file is None or not stat.S_ISREG(file.stat.st_mode) or not file.stat.st_mode & 0o111:
            continue
        program, rest = asked[:at], asked[at:].strip()
        if not rest:
            return scene.diagnosis(
                "blank-in-path",
                f"The path {words.quoted(asked)} ends in a blank; {words.quoted(program)} exists.",
                "a blank at the end of the path",
                f"The blank is U+{ord(asked[-1]):04X}.",
                advice="Leave out the blank.",
            )
        return scene.diagnosis(
            "arguments-in-path",
            f"{words.quoted(asked)} was taken for the name of one file; the program {words.quoted(program)}"
            f" exists, and {words.quoted(rest)} looks like its arguments.",
            f"path includes arguments: {asked}",
            advice="Pass the program and each of its arguments as separate words.",
        )
    return None
