"""Faults of ``#!`` lines."""

from __future__ import annotations

import errno
import os
from typing import Final

from execwhy.bpf.caller.binfmt import BINPRM_BUF_SIZE, ShebangFault
from execwhy.bpf.caller.lookup import File
from execwhy.bpf.events.record import Diagnosis
from execwhy.tui.why.causes import advise, chain
from execwhy.tui.why.registry import cause
from execwhy.tui.why.scene import words
from execwhy.tui.why.scene.files import Interpreter, is_found
from execwhy.tui.why.scene.scene import MAX_INTERPRETERS, Scene

_BY_ENDING: Final = {
    ".bash": "bash", ".js": "node", ".lua": "lua", ".pl": "perl", ".py": "python3", ".rb": "ruby",
    ".tcl": "tclsh", ".zsh": "zsh",
}  # fmt: skip
"""The likely interpreter of a script without a ``#!`` line, by the ending of its name."""

_BOMS: Final = {
    b"\xef\xbb\xbf": "UTF-8",
    b"\xff\xfe": "UTF-16, little endian",
    b"\xfe\xff": "UTF-16, big endian",
}


WITHOUT_CR: Final = "Give it Unix line endings, as dos2unix does."
# Without a backslash, because the screen shows two for one. Lines that end in a tab are left alone.
_REMOVE_CR: Final = "Remove the CRs: `sed -i '/[[:blank:]]$/b;s/[[:cntrl:]]$//' {}`."


def _name_one(scene: Scene, file: File) -> str:
    by_command = advise.command(scene, file, "Name one, such as the shell: `sed -i '1s|.*|#!/bin/sh|' {}`.")
    return by_command or "Let its first line name one, such as #!/bin/sh."


@cause(
    "crlf-interpreter",
    errno.ENOENT,
    manual="The #! line ends in CR LF, so the interpreter's name ends in CR.",
)
def carriage_return(scene: Scene, interpreter: Interpreter) -> Diagnosis | None:
    """Report a line that ends in CR LF, so that the CR became part of the interpreter's name."""
    if not interpreter.path.endswith("\r") or is_found(interpreter.resolved):
        return None
    file = interpreter.of
    name = interpreter.path.rstrip("\r")
    if not name:
        return scene.diagnosis(
            "crlf-interpreter",
            f"The first line of {chain.subject(scene, file, capital=False)} is #! and names no interpreter;"
            " as it ends in CR (a Windows line ending), the kernel took that for the name.",
            chain.brief(scene, file, "#! names nothing but CR"),
            advice=_name_one(scene, file),
        )
    plain = scene.aside(name)
    exists = (
        f"{words.quoted(name)} exists." if is_found(plain) else f"{words.quoted(name)} does not exist either."
    )
    nested = chain.is_interpreter(scene, file)
    which = chain.subject(scene, file) if nested else f"The script {words.quoted(file.path)}"
    return scene.diagnosis(
        "crlf-interpreter",
        f"{which} exists, but its first line ends in CR (a Windows"
        f" line ending), so the kernel looked for {words.quoted(interpreter.path)}.",
        chain.brief(scene, file, "#! line ends in CR") if nested else "its #! line ends in CR",
        exists,
        advice=without_carriage_returns(scene, file),
    )


def without_carriage_returns(scene: Scene, file: File) -> str:
    """Return how to give a script Unix line endings."""
    return advise.command(scene, file, _REMOVE_CR) or WITHOUT_CR


@cause(
    "shebang-without-interpreter",
    errno.EACCES,
    manual="A NUL byte follows the #!; the kernel takes the empty name as the working directory.",
)
def empty_name(scene: Scene, interpreter: Interpreter) -> Diagnosis | None:
    """Report a NUL in place of the name: the kernel takes the empty name as the working directory."""
    file = interpreter.of
    if interpreter.path or file.shebang is None:
        return None
    return scene.diagnosis(
        "shebang-without-interpreter",
        f"The first line of {chain.subject(scene, file, capital=False)} is #! and a NUL byte, and names no"
        " interpreter.",
        chain.brief(scene, file, "#! names no interpreter"),
        advice=_name_one(scene, file),
    )


@cause(
    "interpreters-nested-too-deep",
    errno.ELOOP,
    manual="The interpreter is a script, whose interpreter is a script, and so on.",
)
def nested_too_deep(scene: Scene) -> Diagnosis | None:
    """Report interpreters that are scripts themselves (ELOOP)."""
    scripts = [interpreter for interpreter in scene.interpreters if interpreter.of.shebang is not None]
    if len(scripts) <= MAX_INTERPRETERS:
        return None
    first = scripts[0].of
    back = any(one.path == scripts[0].path for one in scripts[1:])
    how = (
        "its interpreter is a script that leads back to itself"
        if back
        else (
            f"its interpreter is a script, whose interpreter is one too, and so on for more than"
            f" {MAX_INTERPRETERS} times"
        )
    )
    return scene.diagnosis(
        "interpreters-nested-too-deep",
        f"{words.quoted(first.path)} is a script, and {how}.",
        "#! scripts nested too deep",
        *(f"{words.quoted(one.of.path)} names {words.quoted(one.path)}." for one in scripts),
        advice="Let the first line name a program that is not a script, such as /bin/sh.",
    )


@cause("shebang-without-interpreter", errno.ENOEXEC, manual="The #! line names no interpreter.")
@cause(
    "shebang-too-long",
    errno.ENOEXEC,
    manual="The interpreter's name does not end within the part of the line that the kernel reads.",
)
def malformed(scene: Scene, file: File) -> Diagnosis | None:
    """Report a line in which the kernel finds no interpreter (ENOEXEC)."""
    line = file.shebang
    if line is None or line.fault is None:
        return None
    if line.fault is ShebangFault.NO_INTERPRETER:
        return scene.diagnosis(
            "shebang-without-interpreter",
            f"The first line of {words.quoted(file.path)} is #! and names no interpreter.",
            "#! names no interpreter",
            advice=_name_one(scene, file),
        )
    return scene.diagnosis(
        "shebang-too-long",
        f"The name of the interpreter in the #! line of {words.quoted(file.path)} does not end within the"
        f" {BINPRM_BUF_SIZE - 1} bytes that the kernel looks at.",
        "#! line is too long",
        advice="Name the interpreter by a shorter path, such as a link.",
    )


@cause("no-shebang", errno.ENOEXEC, manual="A text without a #! line.")
@cause("blank-before-shebang", errno.ENOEXEC, manual="A blank or an empty line stands before #!.")
@cause("bom-before-shebang", errno.ENOEXEC, manual="A byte order mark stands before #!.")
@cause("text-with-bom", errno.ENOEXEC, manual="A text with a byte order mark and without a #! line.")
def without(scene: Scene, file: File) -> Diagnosis | None:
    """Report a text that has no ``#!`` line, or has something before it (ENOEXEC)."""
    head = file.head
    if head is None or file.shebang is not None or file.elf is not None:
        return None
    name = words.quoted(file.path)
    for mark, encoding in _BOMS.items():
        if head.startswith(mark):
            after = head[len(mark) :].replace(b"\0", b"").startswith(b"#!")
            return scene.diagnosis(
                "bom-before-shebang" if after else "text-with-bom",
                f"{name} begins with a byte order mark ({encoding})"
                + (", so its #! is not at the beginning." if after else " and has no #! line."),
                "byte order mark before #!" if after else "text with a byte order mark",
                advice=_without_mark(scene, file, encoding, after=after),
            )
    if b"\0" in head or not _is_text(head):
        return None
    if head.lstrip().startswith(b"#!"):
        what = "an empty line" if head.lstrip(b" \t").startswith((b"\n", b"\r")) else "blanks"
        return scene.diagnosis(
            "blank-before-shebang",
            f"{name} has {what} before its #!, which must be its first two bytes.",
            f"{what} before #!",
            advice=advise.command(
                scene,
                file,
                "Remove it: `sed -i '/./,$!d' {}`."
                if what == "an empty line"
                else "Remove it: `sed -i '1s/^[[:blank:]]*//' {}`.",
            )
            or "Let it begin with #!.",
        )
    return scene.diagnosis(
        "no-shebang",
        f"{name} is a text without a #! line, so the kernel does not know what should run it.",
        "a text without #! line",
        "After this error a shell runs such a text as a shell script itself, and so does execvp(3); if the"
        " caller was one of these, nothing went wrong.",
        advice=_run_by(scene, file),
    )


def _without_mark(scene: Scene, file: File, encoding: str, *, after: bool) -> str:
    if encoding != "UTF-8":
        return "Save it as UTF-8 (iconv), without a byte order mark."
    # The mark stands before the #: one character in a UTF-8 locale, otherwise three bytes.
    by_command = advise.command(scene, file, "Remove the mark: `sed -i '1s/^[^#]*//' {}`.") if after else None
    return by_command or "Save it without the byte order mark."


def _run_by(scene: Scene, file: File) -> str:
    """Return how to run a text, or what to add to it, by the ending of its name."""
    ending = os.path.splitext(file.path)[1].lower()
    program = _BY_ENDING.get(ending, "sh")
    line = "#!/bin/sh" if program == "sh" else f"#!/usr/bin/env {program}"
    whatever = "If it is a shell script, " if program == "sh" and ending != ".sh" else ""
    run = "run" if whatever else "Run"
    return (
        advise.command(
            scene,
            file,
            f"{whatever}{run} it with `{program} {{0}}`, or give it a #! line: `sed -i '1i {line}' {{0}}`.",
        )
        or f"{whatever}{run} it with {program}, or let its first line be {line}."
    )


def _is_text(head: bytes) -> bool:
    controls = sum((byte < 0x20 or byte == 0x7F) and byte not in b"\t\n\r\f\x1b" for byte in head)
    return controls * 50 <= len(head)
